"""Exponential tilts of a continuous base: normaliser, KL and running integrals.

k stands for 1/beta throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.policies.tilt_weights import (
    Known,
    TiltWeights,
    beta_of,
    exponent,
    not_integrable,
    unresolved,
)
from infalign_theory.quadrature.grid import REACH, Grid, Running
from infalign_theory.quadrature.points import Points
from infalign_theory.quadrature.refinement import refine
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, BoolArray

TAIL = 45.0  # exp(-45) of the mass may be left beyond the reach of a grid
LONGEST_REACH = 1e4


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
        return exponent(self.k, differences, self.peak)

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
        return TiltStack.resolve(known or Known(transform), np.array([k]), start)[0]


@dataclass(frozen=True)
class TiltStack:
    """Tilts of one transform by M strengths, on one grid that resolves them all.

    Attributes
    ----------
    k, peak, log_z, kl, growth : ndarray, shape (M,)
        As those of each tilt.
    """

    known: Known
    k: Array
    grid: Grid
    peak: Array
    log_z: Array
    kl: Array
    growth: Array

    @classmethod
    def resolve(cls, known: Known, k: Array, start: Grid | None = None) -> TiltStack:
        """Refine the grid until every density, its tails and its KL are resolved."""
        transform = known.transform
        grid = reach_far_enough(transform, float(k.max()), start or uniform_grid())
        grid = grid.with_edges(np.array(transform.breaks))

        def judge(grid: Grid) -> tuple[TiltWeights, BoolArray]:
            with np.errstate(over="ignore", under="ignore"):
                weights = TiltWeights.of(grid, k, known.differences(grid))
            weights.refuse_lost_mass(transform)
            marked = weights.unresolved() | weights.unproven(known)
            return weights, np.asarray(marked.any(axis=0))

        refined = refine(grid, judge)
        weights = refined.result
        if not refined.settled:
            raise not_integrable(transform, float(k[-1]), float(weights.kl[-1]))
        weights.refuse_lost_digits(known)
        return cls(
            known,
            k,
            refined.grid,
            peak=weights.peak,
            log_z=np.log(weights.z),
            kl=weights.kl,
            growth=weights.growth,
        )

    def __getitem__(self, which: int) -> ContinuousTilt:
        """One of the tilts."""
        return ContinuousTilt(
            self.known.transform,
            float(self.k[which]),
            self.grid,
            float(self.peak[which]),
            float(self.log_z[which]),
            kl=float(self.kl[which]),
            growth=float(self.growth[which]),
        )

    def law(self, grid: Grid) -> Running:
        """F and 1 - F of every tilt on the nodes of a grid at least as fine as the stack's own."""
        k, peak, log_z = (x[:, None, None] for x in (self.k, self.peak, self.log_z))
        with np.errstate(over="ignore", under="ignore"):
            centred = exponent(k, self.known.differences(grid), peak)
        return grid.running(np.exp(centred - log_z + grid.log_jacobian))


@lru_cache(maxsize=1)
def uniform_grid() -> Grid:
    """The grid that resolves the base itself."""

    def judge(grid: Grid) -> tuple[None, BoolArray]:
        density = grid.jacobian
        return None, unresolved(grid, density, grid.sums(density), density)

    return refine(Grid.initial(), judge).grid


def reach_far_enough(transform: Transform, k: float, grid: Grid) -> Grid:
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
            f"beta = {beta_of(k)} is too small for transform {transform.name}: exp(Phi/beta) has "
            f"no finite normaliser; {works}."
        )
    needed = TAIL / (1.0 - k * slope)
    if needed <= REACH:
        return grid
    if not transform.in_logit:
        raise PrecisionError(
            f"beta = {beta_of(k)} is too close to {plain_number(slope)}, below which transform "
            f"{transform.name} has no finite normaliser; use a larger beta or a smaller KL.",
            estimate=float("nan"),
        )
    return grid if needed <= grid.edges[-1] else grid.union(Grid.initial(needed))
