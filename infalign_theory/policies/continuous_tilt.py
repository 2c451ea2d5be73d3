"""Exponential tilts of a continuous base: normaliser, KL and running integrals.

k stands for 1/beta throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.kernels.panels import entropy_terms
from infalign_theory.quadrature.grid import REACH, Grid, Running
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_MAX_PANELS = 4000


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
