"""Exponential tilts of a base: normaliser, KL, running integrals, and KL solved for 1/beta.

k stands for 1/beta throughout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Generic, Protocol, TypeVar

import numpy as np

from infalign_theory.base import Discrete
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.grid import REACH, Grid, Running
from infalign_theory.kernels.panels import entropy_terms
from infalign_theory.kernels.sums import cumulative_sums, divergence
from infalign_theory.points import Points
from infalign_theory.transforms import Transform
from infalign_theory.types import Array, plain_number

_MAX_PANELS = 4000
_KL_PROMISE = 1e-9  # relative
_TAIL = 45.0  # exp(-45) of the mass may be left beyond the reach of a grid
_LONGEST_REACH = 1e4
_LOG_SCALE_LIMIT = 660.0  # log of the largest k times range of Phi that float64 carries safely


def _exponent(k: float, differences: Array, peak: float) -> Array:
    """k (Phi - peak), zero for the base itself unless Phi is minus infinity."""
    if k == 0.0:
        return np.where(differences == -np.inf, -np.inf, 0.0)
    with np.errstate(over="ignore"):
        return k * (differences - peak)


class Tilt(Protocol):
    """What :func:`solve` needs to know of a tilt."""

    @property
    def kl(self) -> float: ...
    @property
    def growth(self) -> float:
        """dKL / dlog k, the variance of the exponent under the tilt."""
        ...


@dataclass(frozen=True)
class ContinuousTilt:
    """f(u) = exp(k Phi(u)) / Z on a grid that resolves f, its tails and its KL."""

    transform: Transform
    k: float
    grid: Grid
    peak: float
    log_z: float
    kl: float
    growth: float

    def exponent(self, points: Points) -> Array:
        with np.errstate(over="ignore", under="ignore"):
            differences = self.transform.differences(points)
        return _exponent(self.k, differences, self.peak)

    def log_density(self, points: Points) -> Array:
        """log f(u)."""
        return self.exponent(points) - self.log_z

    def weights(self, grid: Grid) -> Array:
        """f(u) du/ds on the nodes of a grid."""
        return np.exp(self.log_density(grid.points) + grid.log_jacobian)

    @cached_property
    def running(self) -> Running:
        return self.grid.running(self.weights(self.grid))

    @classmethod
    def resolve(cls, transform: Transform, k: float, start: Grid | None = None) -> ContinuousTilt:
        """Refine the grid until density, tails and KL are resolved to rounding level."""
        grid = _reach_far_enough(transform, k, start or uniform_grid())
        while True:
            points = grid.points
            with np.errstate(over="ignore", under="ignore"):
                differences = transform.differences(points)
            # centred where the mass is: a slowly decaying tail has its largest Phi elsewhere
            at = int(np.argmax(_exponent(k, differences, 0.0) + grid.log_jacobian))
            peak = float(differences.flat[at])
            exponent = _exponent(k, differences, peak)
            density = np.exp(exponent + grid.log_jacobian)
            masses = grid.sums(density)
            z = float(masses.sum())
            _refuse_lost_mass(transform, k, density, z)
            if not 0.0 < z < np.inf:
                raise _not_integrable(transform, k, float("nan"))
            log_z = float(np.log(z))
            terms = entropy_terms(exponent - log_z, grid.log_jacobian)
            marked = _unresolved(grid, density, masses, terms) & grid.splittable()
            if not marked.any():
                break
            grid = grid.split(marked)
            if grid.half.size > _MAX_PANELS:
                raise _not_integrable(transform, k, grid.integral(terms))
        held = density > 0.0
        centred = np.where(held, exponent, 0.0)
        centred -= np.where(held, grid.integral(density * centred) / z, 0.0)
        growth = grid.integral(density * centred**2) / z
        return cls(transform, k, grid, peak, log_z, grid.integral(terms), growth)


@lru_cache(maxsize=1)
def uniform_grid() -> Grid:
    """The grid that resolves the base itself."""
    grid = Grid.initial()
    while True:
        density = grid.jacobian
        marked = _unresolved(grid, density, grid.sums(density), density)
        if not marked.any():
            return grid
        grid = grid.split(marked)


def _unresolved(grid: Grid, density: Array, masses: Array, terms: Array) -> Array:
    """Panels whose error matters: for F and 1-F relative to the nearer tail, for KL to its total.

    Rounding is left alone, which no bisection removes: 4e-15 of a panel's own integral, and
    1e-12 of it once the panel is short (a steep exponent carries its argument's rounding).
    """
    rounding = np.where(grid.half < 0.02, 1e-12, 4e-15)
    below = np.concatenate([[0.0], np.cumsum(masses)[:-1]])
    above = np.concatenate([np.cumsum(masses[::-1])[::-1][1:], [0.0]])
    allowed = 1e-13 * np.minimum(below, above) + rounding * masses + 1e-27 * masses.sum()
    spread = grid.sums(terms)
    allowed_terms = 1e-14 * spread.sum() + rounding * spread
    marked = grid.unresolved(density) > allowed
    return np.asarray(marked | (grid.unresolved(terms) > allowed_terms))


def _beta(k: float) -> str:
    return plain_number(1.0 / k) if k > 0 else "infinity"


def _not_integrable(transform: Transform, k: float, estimate: float) -> PrecisionError:
    return PrecisionError(
        f"transform {transform.name} at beta = {_beta(k)} varies too fast or cancels too much to "
        "be integrated to 1e-10; use a larger beta, a smaller KL, or write the formula without "
        "differences of large numbers.",
        estimate,
    )


def _reach_far_enough(transform: Transform, k: float, grid: Grid) -> Grid:
    """Refuse a tilt without normaliser; widen the grid where its tail decays slowly."""
    slope = max(transform.slopes)
    if slope == 0.0 or k == 0.0:
        return grid
    if k * slope >= 1.0:
        works = (
            f"any beta above {plain_number(slope)} works"
            if np.isfinite(slope)
            else "no beta works: bound the transform near the ends"
        )
        raise InputError(
            f"beta = {_beta(k)} is too small for transform {transform.name}: exp(Phi/beta) has "
            f"no finite normaliser; {works}."
        )
    needed = _TAIL / (1.0 - k * slope)
    if needed <= REACH:
        return grid
    if not transform.in_logit:
        raise PrecisionError(
            f"beta = {_beta(k)} is too close to {plain_number(slope)}, below which transform "
            f"{transform.name} has no finite normaliser; use a larger beta or a smaller KL.",
            estimate=float("nan"),
        )
    return grid if needed <= grid.edges[-1] else grid.union(Grid.initial(needed))


def _refuse_lost_mass(transform: Transform, k: float, density: Array, z: float) -> None:
    """The mass beyond the last node is its density over the tail's rate of decay."""
    rate = 1.0 - k * max(transform.slopes) if k > 0.0 else 1.0
    if not density[0, 0] + density[-1, -1] <= 1e-13 * z * rate:
        raise PrecisionError(
            f"transform {transform.name} at beta = {_beta(k)} puts its mass within "
            f"exp(-{REACH:g}) of an end, beyond float64; use a larger beta or a smaller KL.",
            estimate=float("nan"),
        )


@dataclass(frozen=True)
class DiscreteTilt:
    """Atoms of mass p_j exp(k Phi(u_j)) / Z."""

    transform: Transform
    base: Discrete
    k: float
    log_ratio: Array

    @classmethod
    def of(cls, transform: Transform, base: Discrete, k: float) -> DiscreteTilt:
        exponent = _exponent(k, changes_at_atoms(transform, base), 0.0)
        return cls(transform, base, k, exponent - np.log(np.sum(base.probs * np.exp(exponent))))

    @cached_property
    def probs(self) -> Array:
        mass = self.base.probs * np.exp(self.log_ratio)
        return np.asarray(mass / mass.sum())

    @cached_property
    def kl(self) -> float:
        return divergence(self.base.probs, self.log_ratio)

    @cached_property
    def growth(self) -> float:
        held = self.probs > 0.0
        exponent = self.log_ratio[held]
        mean = np.sum(self.probs[held] * exponent)
        return float(np.sum(self.probs[held] * (exponent - mean) ** 2))

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """F and 1 - F at the edges between atoms, shape (K + 1,)."""
        return cumulative_sums(self.probs)


T = TypeVar("T", bound=Tilt)


@dataclass(frozen=True)
class Family(Generic[T]):
    """All tilts of one base by one transform.

    ``at(k, nearby)`` builds a tilt, reusing what is known of a nearby one; ``spread`` is the
    standard deviation of Phi under the base; ``slope`` bounds k by 1/slope where positive;
    ``limit`` is the supremum of KL where known; ``log_odds`` bounds log(k / (1/slope - k)).
    """

    name: str
    at: Callable[[float, T | None], T]
    spread: float
    slope: float
    limit: float
    log_odds: float = 0.0


def continuous_family(transform: Transform) -> Family[ContinuousTilt]:
    """All tilts of a continuous base by one transform."""
    grid = uniform_grid()
    with np.errstate(over="ignore", under="ignore"):
        differences = transform.differences(grid.points)
    spread = _deviation(differences, grid.jacobian * grid.half[:, None])
    slope = max(transform.slopes)
    if slope == np.inf:
        _reach_far_enough(transform, 1.0, grid)

    def at(k: float, nearby: ContinuousTilt | None) -> ContinuousTilt:
        return ContinuousTilt.resolve(transform, k, nearby.grid if nearby else None)

    # 1 - k slope must leave room for a tail of the form exp(-(1 - k slope) s) within reach
    reach = _LONGEST_REACH if transform.in_logit else REACH
    return Family(transform.name, at, spread, slope, np.inf, float(np.log(reach / _TAIL - 1.0)))


def changes_at_atoms(transform: Transform, base: Discrete) -> Array:
    """Phi at each atom minus Phi at the atom where it is largest."""
    with np.errstate(all="ignore"):
        values = transform.changes(base.points, base.points[[0]])
        if not np.isfinite(values).any():
            values = transform.differences(base.points)
        top = int(values.size - 1 - np.argmax(values[::-1]))
        changes = transform.changes(base.points, base.points[[top]])
    if not changes.max() == 0.0:
        raise InputError(
            f"transform {transform.name} is not finite at the atom of the base where it is "
            "largest; give one that is finite at the atoms."
        )
    return changes


def discrete_family(transform: Transform, base: Discrete) -> Family[DiscreteTilt]:
    """All tilts of a discrete base by one transform; KL tends to -log P(largest Phi)."""
    values = changes_at_atoms(transform, base)
    limit = abs(float(np.log(np.sum(base.probs[values == values.max()]))))

    def at(k: float, nearby: DiscreteTilt | None) -> DiscreteTilt:
        return DiscreteTilt.of(transform, base, k)

    return Family(transform.name, at, _deviation(values, base.probs), 0.0, max(limit, 0.0))


def _deviation(values: Array, weights: Array) -> float:
    """Standard deviation of the finite values, scaled so that squares do not overflow."""
    finite = np.isfinite(values)
    x, w = values[finite], weights[finite]
    scale = float(np.max(np.abs(x - x.flat[0]), initial=0.0))
    if scale == 0.0:
        return 0.0
    x = (x - x.flat[0]) / scale
    w = w / w.sum()
    return scale * float(np.sqrt(np.sum(w * (x - np.sum(w * x)) ** 2)))


def solve(family: Family[T], kl: float, nearby: T | None = None, guess: float = 0.0) -> T:
    """The tilt of a family that spends a given KL: safeguarded Newton on log KL against log k.

    KL increases with k, from 0; where the normaliser bounds k the logit of k replaces its log.
    """
    if kl == 0.0:
        return family.at(0.0, nearby)
    if kl >= family.limit * (1.0 - 1e-14) or family.spread == 0.0:
        raise _out_of_reach(family.name, kl, family.limit if family.spread > 0.0 else 0.0)
    slope = family.slope
    highest = _LOG_SCALE_LIMIT - np.log(family.spread) if slope == 0.0 else family.log_odds
    low, high = -np.inf, np.inf
    width = older = np.inf
    start = guess or np.sqrt(2.0 * kl) / family.spread
    x = min(float(np.log(start) + np.log(slope or 1.0)), highest)
    for _ in range(200):
        k = float(np.exp(x)) if slope == 0.0 else float(1.0 / (slope * (1.0 + np.exp(-x))))
        with np.errstate(all="ignore"):  # what over- or underflows is judged by the KL it gives
            nearby = tilt = family.at(k, nearby)
        ratio = tilt.kl / kl
        if abs(ratio - 1.0) <= 2e-14:
            return tilt
        if ratio < 1.0 and x == highest:
            raise _out_of_reach(family.name, kl, tilt.kl, certain=slope == 0.0)
        low, high = (x, high) if ratio < 1.0 else (low, x)
        stretch = 1.0 if slope == 0.0 else 1.0 - k * slope
        climb = tilt.growth * stretch / tilt.kl if tilt.kl > 0.0 else 0.0
        step = -np.log(ratio) / climb if climb > 1e-300 and ratio > 0.0 else 20.0
        new = x + float(np.clip(step, -20.0, 20.0))
        older, width, before = width, high - low, older
        # Newton may creep or cycle: bisect whenever two steps did not halve the bracket
        slow = np.isfinite(before) and width > before / 2
        if slow or not low < new < high:
            new = (low + high) / 2 if np.isfinite(high - low) else x + np.copysign(20.0, step)
        new = min(new, highest)
        if abs(new - x) <= 4e-16 * max(1.0, abs(x)):
            break
        x = new
    if abs(ratio - 1.0) <= _KL_PROMISE:
        return tilt
    raise PrecisionError(
        f"no beta found at which transform {family.name} spends kl = {plain_number(kl)} nats; "
        f"the closest spends {tilt.kl:.12g}.",
        tilt.kl,
    )


def _out_of_reach(name: str, kl: float, limit: float, certain: bool = True) -> OutOfReachError:
    what = "the largest KL is" if certain else "float64 follows its slow tail only to"
    return OutOfReachError(
        f"kl = {plain_number(kl)} nats is out of reach of transform {name} on this base: {what} "
        f"{limit:.12g} nats; give a smaller budget.",
        limit,
    )
