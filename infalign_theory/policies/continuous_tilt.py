"""Exponential tilts of a continuous base: normaliser, KL and running integrals.

k stands for 1/beta throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.quadrature.grid import REACH, Grid, Running
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.quadrature.refinement import Samples, beyond_proof, refine
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, BoolArray

_TAIL = 45.0  # exp(-45) of the mass may be left beyond the reach of a grid


_LONGEST_REACH = 1e4


def _exponent(k: float, differences: Array, peak: float) -> Array:
    """k (Phi - peak), zero for the base itself unless Phi is minus infinity."""
    if k == 0.0:
        return np.where(differences == -np.inf, -np.inf, 0.0)
    with np.errstate(over="ignore"):
        return k * (differences - peak)


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
    def resolve(
        cls,
        transform: Transform,
        k: float,
        start: Grid | None = None,
        known: Known | None = None,
    ) -> ContinuousTilt:
        """Refine the grid until density, tails and KL are resolved to rounding level.

        ``known`` holds what was computed of the same transform on a nearby grid.
        """
        known = known or Known(transform)
        grid = _reach_far_enough(transform, k, start or uniform_grid())
        grid = grid.with_edges(np.array(transform.breaks))

        def judge(grid: Grid) -> tuple[_Weights, BoolArray]:
            with np.errstate(over="ignore", under="ignore"):
                weights = _Weights.of(grid, k, known.differences(grid))
            _refuse_lost_mass(transform, k, weights.density, weights.z)
            if not 0.0 < weights.z < np.inf:
                raise _not_integrable(transform, k, float("nan"))
            return weights, weights.unresolved() | _unproven(known, k, weights)

        refined = refine(grid, judge)
        weights = refined.result
        if not refined.settled:
            raise _not_integrable(transform, k, weights.kl)
        _refuse_lost_digits(known, k, weights)
        log_z = float(np.log(weights.z))
        return cls(
            transform, k, refined.grid, weights.peak, log_z, kl=weights.kl, growth=weights.growth
        )


class Known:
    """What is known of a transform on the panels of one grid, carried over to the next."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self._measured = Samples(self._measure)
        self._bounds = Samples(self._bound)

    def differences(self, grid: Grid) -> Array:
        """Phi - anchor on the nodes."""
        return self._measured.on(grid)[:, 0]

    def rounding(self, grid: Grid) -> Array:
        """Bound on the rounding errors of the differences."""
        return self._measured.on(grid)[:, 1]

    def bounds(self, grid: Grid) -> Array:
        """Variation of Phi over discs and panels, shape (panels, 2); zero if known to be smooth."""
        return self._bounds.on(grid)

    def _measure(self, grid: Grid, new: BoolArray) -> Array:
        differences, rounding = self.transform.measured(grid.points[new])
        return np.stack(
            [differences, np.zeros_like(differences) if rounding is None else rounding], axis=1
        )

    def _bound(self, grid: Grid, new: BoolArray) -> Array:
        middle = (grid.edges[1:] + grid.edges[:-1]) / 2
        bounds = self.transform.variation(middle[new], grid.half[new])
        return np.zeros((np.count_nonzero(new), 2)) if bounds is None else bounds


@dataclass(frozen=True)
class _Weights:
    """The tilted density and the terms of its KL on the nodes of one grid."""

    grid: Grid
    peak: float
    exponent: Array
    density: Array
    z: float

    @classmethod
    def of(cls, grid: Grid, k: float, differences: Array) -> _Weights:
        # centred where the mass is: a slowly decaying tail has its largest Phi elsewhere
        at = int(np.argmax(_exponent(k, differences, 0.0) + grid.log_jacobian))
        peak = float(differences.flat[at])
        exponent = _exponent(k, differences, peak)
        density = np.exp(exponent + grid.log_jacobian)
        return cls(grid, peak, exponent, density, grid.integral(density))

    @cached_property
    def terms(self) -> Array:
        """What integrates to the KL."""
        return entropy_terms(self.exponent - float(np.log(self.z)), self.grid.log_jacobian)

    @cached_property
    def kl(self) -> float:
        return self.grid.integral(self.terms) if self.exponent.any() else 0.0

    @cached_property
    def growth(self) -> float:
        """Variance of the exponent under the tilt."""
        centred = np.where(self.density > 0.0, self.exponent, 0.0)
        mean = self.grid.integral(self.density * centred) / self.z
        centred = np.where(self.density > 0.0, centred - mean, 0.0)
        return self.grid.integral(self.density * centred**2) / self.z

    def unresolved(self) -> BoolArray:
        """Panels whose samples do not settle density, tails or KL."""
        return _unresolved(self.grid, self.density, self.grid.sums(self.density), self.terms)


@lru_cache(maxsize=1)
def uniform_grid() -> Grid:
    """The grid that resolves the base itself."""

    def judge(grid: Grid) -> tuple[None, BoolArray]:
        density = grid.jacobian
        return None, _unresolved(grid, density, grid.sums(density), density)

    return refine(Grid.initial(), judge).grid


SWING = 5.0  # of the exponent on the disc around a panel: its coefficients end below 1e-7
_NEGLIGIBLE = 1e-19  # of the mass


def _unproven(known: Known, k: float, weights: _Weights) -> BoolArray:
    """Panels on which something may hide between the samples; none of a smooth transform."""
    grid = weights.grid
    if k == 0.0:
        return np.zeros(grid.half.size, dtype=bool)
    disc, panel = known.bounds(grid).T
    swing = SWING * min(1.0, float(np.sqrt(weights.growth)))
    with np.errstate(over="ignore", invalid="ignore"):
        wide: BoolArray = ~(k * disc <= swing)
        if not wide.any():
            return wide
        highest = np.max(weights.exponent + grid.log_jacobian, axis=1) + 2.0 * k * panel
        heavy = ~(highest + np.log(2.0 * grid.half) <= np.log(_NEGLIGIBLE * weights.z))
    return np.asarray(wide & heavy & ~beyond_proof(grid, known.transform.breaks))


def _unresolved(grid: Grid, density: Array, masses: Array, terms: Array) -> BoolArray:
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


_WIN_RATE_SLACK = 5e-11
_KL_SLACK = 5e-10  # relative


def _refuse_lost_digits(known: Known, k: float, weights: _Weights) -> None:
    """Refuse where rounding of the formula itself may spoil win rates or the KL."""
    rounding = known.rounding(weights.grid)
    if k == 0.0 or not rounding.any():
        return
    share = np.where(weights.density > 0.0, weights.density / weights.z, 0.0)
    # on a proven plateau that holds the peak, rounding is the same everywhere
    plateau = (known.bounds(weights.grid)[:, 1] == 0.0)[:, None] & (weights.exponent == 0.0)
    doubt = np.where((share > 0.0) & ~plateau, k * rounding, 0.0)
    off = weights.grid.integral(share * np.minimum(doubt, 1.0))
    # dKL is the covariance of log f with what the exponent is off
    root = np.sqrt(weights.grid.integral(share * np.minimum(doubt, 1.0) ** 2))
    off_kl = float(root * np.sqrt(weights.growth))
    if not (off <= _WIN_RATE_SLACK and off_kl <= _KL_SLACK * weights.kl):
        raise PrecisionError(
            f"transform {known.transform.name} at beta = {_beta(k)} loses too many digits to "
            f"rounding: its exponent Phi/beta is known to {off:.1g} only; write the formula "
            "without differences of large numbers, or use a larger beta or a smaller KL.",
            weights.kl,
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
