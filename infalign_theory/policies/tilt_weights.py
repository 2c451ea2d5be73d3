"""Tilted densities on the nodes of one grid, and what their samples leave unsettled.

Everything is held for several strengths k = 1/beta at once, along a first axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import PrecisionError
from infalign_theory.quadrature.grid import REACH, Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.refinement import Samples, beyond_proof
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, BoolArray

SWING = 5.0  # of the exponent on the disc around a panel: its coefficients end below 1e-7
_NEGLIGIBLE = 1e-19  # of the mass
_WIN_RATE_SLACK = 5e-11
_KL_SLACK = 5e-10  # relative


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


def exponent(k: float | Array, differences: Array, peak: float | Array) -> Array:
    """k (Phi - peak), zero for the base itself (no k but 0) unless Phi is minus infinity."""
    if not np.any(k):
        return np.where(differences == -np.inf, -np.inf, 0.0 * np.asarray(k))
    changes = np.subtract(differences, peak)
    with np.errstate(over="ignore"):
        return np.multiply(k, changes, out=changes) if np.ndim(peak) else k * changes


@dataclass(frozen=True)
class TiltWeights:
    """The tilted densities exp(k (Phi - peak)) du/ds and the terms of their KLs on one grid.

    Attributes
    ----------
    k, peak, z : ndarray, shape (M,)
        Strengths, all positive or all 0; Phi where the exponent is 0; integrals of the densities.
    exponent, density : ndarray, shape (M, panels, nodes)
    """

    grid: Grid
    k: Array
    peak: Array
    exponent: Array
    density: Array
    z: Array

    @classmethod
    def of(cls, grid: Grid, k: Array, differences: Array) -> TiltWeights:
        """Of strengths k and of differences of Phi on the grid's nodes."""
        # centred where the mass is: a slowly decaying tail has its largest Phi elsewhere
        along = exponent(k[:, None, None], differences, 0.0)
        along += grid.log_jacobian
        peak = differences.ravel()[along.reshape(k.size, -1).argmax(axis=1)]
        centred = exponent(k[:, None, None], differences, peak[:, None, None])
        density = np.add(centred, grid.log_jacobian, out=along)
        np.exp(density, out=density)
        return cls(grid, k, peak, centred, density, grid.integrals(density))

    @cached_property
    def terms(self) -> Array:
        """What integrates to the KLs."""
        log_z = np.log(self.z)[:, None, None]
        return entropy_terms(self.exponent - log_z, self.grid.log_jacobian)

    @cached_property
    def kl(self) -> Array:
        """Nats, shape (M,)."""
        return self.grid.integrals(self.terms) if self.exponent.any() else np.zeros(self.k.size)

    @cached_property
    def growth(self) -> Array:
        """Variances of the exponents under their tilts, shape (M,)."""
        # no mass may have an exponent of minus infinity
        held = self.density > 0.0
        everywhere = bool(held.all())
        centred = self.exponent if everywhere else np.where(held, self.exponent, 0.0)
        mean = self.grid.integrals(self.density * centred) / self.z
        centred = centred - mean[:, None, None]
        if not everywhere:
            centred[~held] = 0.0
        centred *= centred
        centred *= self.density
        return self.grid.integrals(centred) / self.z

    def unresolved(self) -> BoolArray:
        """Panels whose samples do not settle density, tails or KL of each, shape (M, panels)."""
        return unresolved(self.grid, self.density, self.grid.sums(self.density), self.terms)

    def unproven(self, known: Known) -> BoolArray:
        """Panels on which something may hide between the samples; none of a smooth transform."""
        grid = self.grid
        nothing = np.zeros((self.k.size, grid.half.size), dtype=bool)
        disc, panel = known.bounds(grid).T
        if not self.k.any() or not disc.any():
            return nothing
        k = self.k[:, None]
        swing = SWING * np.minimum(1.0, np.sqrt(self.growth))[:, None]
        with np.errstate(over="ignore", invalid="ignore"):
            wide: BoolArray = ~(k * disc <= swing)
            if not wide.any():
                return nothing
            highest = np.max(self.exponent + grid.log_jacobian, axis=-1) + 2.0 * k * panel
            heavy = ~(highest + np.log(2.0 * grid.half) <= np.log(_NEGLIGIBLE * self.z)[:, None])
        return np.asarray(wide & heavy & ~beyond_proof(grid, known.transform.breaks))

    def refuse_lost_mass(self, transform: Transform) -> None:
        """Refuse mass beyond the last node: its density there over the tail's rate of decay."""
        rate = 1.0 - self.k * max(transform.slopes)
        outermost = self.density[:, 0, 0] + self.density[:, -1, -1]
        lost = ~(outermost <= 1e-13 * self.z * np.where(self.k > 0.0, rate, 1.0))
        if lost.any():
            raise PrecisionError(
                f"transform {transform.name} at beta = {beta_of(self.k[lost][0])} puts its mass "
                f"within exp(-{REACH:g}) of an end, beyond float64; use a larger beta or a "
                "smaller KL.",
                estimate=float("nan"),
            )
        usable = (self.z > 0.0) & (self.z < np.inf)
        if not usable.all():
            raise not_integrable(transform, self.k[~usable][0], float("nan"))

    def refuse_lost_digits(self, known: Known) -> None:
        """Refuse where rounding of the formula itself may spoil win rates or the KL."""
        rounding = known.rounding(self.grid)
        if not self.k.any() or not rounding.any():
            return
        share = np.where(self.density > 0.0, self.density / self.z[:, None, None], 0.0)
        # on a proven plateau that holds the peak, rounding is the same everywhere
        plateau = (known.bounds(self.grid)[:, 1] == 0.0)[:, None] & (self.exponent == 0.0)
        doubt = np.where((share > 0.0) & ~plateau, self.k[:, None, None] * rounding, 0.0)
        off = self.grid.integrals(share * np.minimum(doubt, 1.0))
        # dKL is the covariance of log f with what the exponent is off
        root = np.sqrt(self.grid.integrals(share * np.minimum(doubt, 1.0) ** 2))
        off_kl = root * np.sqrt(self.growth)
        spoilt = ~((off <= _WIN_RATE_SLACK) & (off_kl <= _KL_SLACK * self.kl))
        if spoilt.any():
            at = int(np.argmax(spoilt))
            raise PrecisionError(
                f"transform {known.transform.name} at beta = {beta_of(self.k[at])} loses too many "
                f"digits to rounding: its exponent Phi/beta is known to {off[at]:.1g} only; write "
                "the formula without differences of large numbers, or use a larger beta or a "
                "smaller KL.",
                float(self.kl[at]),
            )


def unresolved(grid: Grid, density: Array, masses: Array, terms: Array) -> BoolArray:
    """Panels whose error matters: for F and 1-F relative to the nearer tail, for KL to its total.

    Rounding is left alone, which no bisection removes: 4e-15 of a panel's own integral, and
    1e-12 of it once the panel is short (a steep exponent carries its argument's rounding).
    """
    rounding = np.where(grid.half < 0.02, 1e-12, 4e-15)
    below, above = np.zeros_like(masses), np.zeros_like(masses)
    np.cumsum(masses[..., :-1], axis=-1, out=below[..., 1:])
    np.cumsum(masses[..., :0:-1], axis=-1, out=above[..., -2::-1])
    whole = masses.sum(axis=-1, keepdims=True)
    allowed = 1e-13 * np.minimum(below, above) + rounding * masses + 1e-27 * whole
    spread = grid.sums(terms)
    allowed_terms = 1e-14 * spread.sum(axis=-1, keepdims=True) + rounding * spread
    marked = grid.unresolved(density) > allowed
    return np.asarray(marked | (grid.unresolved(terms) > allowed_terms))


def beta_of(k: float) -> str:
    """1/k as text."""
    return plain_number(1.0 / k) if k > 0 else "infinity"


def not_integrable(transform: Transform, k: float, estimate: float) -> PrecisionError:
    """The error of a tilt that no grid resolves."""
    return PrecisionError(
        f"transform {transform.name} at beta = {beta_of(k)} varies too fast or cancels too much to "
        "be integrated to 1e-10; use a larger beta, a smaller KL, or write the formula without "
        "differences of large numbers.",
        estimate,
    )
