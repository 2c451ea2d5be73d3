"""First-order efficiency: how well a transform spends its first bit of KL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.policies.continuous_tilt import uniform_grid
from infalign_theory.policies.tilt_weights import SWING, Known
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.refinement import beyond_proof, refine
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array, BoolArray

_END_SHARE = 1e-12  # of the variance that may sit in the outermost panels


def first_order_efficiency(transform: Transform | str, procedure: Procedure | str) -> float:
    r"""Correlation of a transform with the win rate's own derivative at the base.

    For a budget that tends to zero, every transform's win rate climbs as

    .. math:: W = 1/2 + \rho \, \sqrt{2 \mathrm{Var}(\Phi_0) \, \mathrm{KL}} + O(\mathrm{KL}),
       \quad \rho = \mathrm{corr}(\Phi(U), \Phi_0(U)), \quad
       \Phi_0(u) = -\int_u^1 g'(x)^2 \, dx,

    with U uniform on (0, 1), so :math:`\rho` is the share of the best possible first gain that
    a transform obtains. For Best-of-N, :math:`\Phi_0` is :math:`u^{2N-1}` up to scale and
    :math:`\sqrt{2 \mathrm{Var}(\Phi_0)} = N / \sqrt{2 (4N - 1)}`; Worst-of-N is its reflection.

    Parameters
    ----------
    transform : Transform or str
        Any scale and offset.
    procedure : Procedure or str
        What inference does to both the policy and the base.

    Returns
    -------
    float
        In [-1, 1]; 1 for the optimum's own transform, negative where training loses win rate.

    Raises
    ------
    InputError
        For a constant transform, and for one of infinite variance, whose tilt gains nothing of
        order sqrt(KL).
    PrecisionError
        Where quadrature does not resolve the transform.

    References
    ----------
    First-order expansion of the win rate of InfAlign, arXiv 2412.19792, in the tilt.

    Examples
    --------
    >>> round(first_order_efficiency("identity", "bon:4"), 6)  # sqrt(3 (4N - 1)) / (2N + 1)
    0.745356
    >>> round(first_order_efficiency("power:7", "bon:4"), 12)
    1.0
    """
    chosen, where = as_transform(transform), as_procedure(procedure)
    known = Known(chosen)
    start = uniform_grid().with_edges(np.array([*chosen.breaks, *where.breaks]))
    refined = refine(start, lambda grid: _judged(_Centred.of(known, where, grid)))
    found = refined.result
    variance = found.product(found.phi, found.phi)
    best_variance = found.product(found.best, found.best)
    _refuse_variance(chosen, found.grid.sums(found.phi**2 * found.grid.jacobian), variance)
    if not refined.settled:
        raise PrecisionError(
            f"transform {chosen.name} varies too fast for quadrature to give its variance; "
            "use one without so many or so narrow features.",
            estimate=float("nan"),
        )
    _refuse_lost_digits(chosen, found, variance)
    covariance = found.product(found.phi, found.best)
    return float(np.clip(covariance / np.sqrt(variance * best_variance), -1.0, 1.0))


@dataclass(frozen=True)
class _Centred:
    """Phi, up to scale, and the best first step, both less their means, on a grid."""

    known: Known
    grid: Grid
    phi: Array
    best: Array
    scale: float

    @classmethod
    def of(cls, known: Known, procedure: Procedure, grid: Grid) -> _Centred:
        phi, scale = _scaled(known, grid)
        best = _derivative_at_base(procedure, grid)
        return cls(known, grid, _centred(phi, grid), _centred(best, grid), scale)

    def product(self, one: Array, other: Array) -> float:
        """Expectation under the base."""
        return self.grid.integral(one * other * self.grid.jacobian)


def _judged(found: _Centred) -> tuple[_Centred, BoolArray]:
    """Marks for panels that samples do not settle, or behind whose samples something may hide."""
    grid = found.grid
    marked = np.zeros(grid.half.size, dtype=bool)
    for values in (found.phi, found.best):
        moment = values**2 * grid.jacobian
        sums = grid.sums(moment)
        marked |= grid.unresolved(moment) > 1e-14 * sums.sum() + 4e-15 * sums
    swing = SWING * np.sqrt(found.product(found.phi, found.phi))
    wide = ~(found.known.bounds(grid)[:, 0] <= swing * found.scale)
    return found, marked | (wide & ~beyond_proof(grid, found.known.transform.breaks))


def _scaled(known: Known, grid: Grid) -> tuple[Array, float]:
    """Phi divided by the scale that it has where it matters, up to an offset; and that scale."""
    with np.errstate(over="ignore", under="ignore"):
        phi = known.differences(grid)
    if not np.isfinite(phi).all():
        raise InputError(
            f"transform {known.transform.name} is infinite on part of (0, 1), so it has no finite "
            "variance under the base and no first-order efficiency; give a finite transform."
        )
    # weighted, because logarithms are unbounded; scaled, so that no square overflows
    largest = float(np.max(np.abs(phi) * np.sqrt(grid.jacobian)))
    return (phi / largest, largest) if largest > 0.0 else (phi, 1.0)


def _derivative_at_base(procedure: Procedure, grid: Grid) -> Array:
    points = grid.points
    slope = procedure.pdf(points.u, points.v)
    return -grid.running(slope * slope * grid.jacobian).above


def _centred(values: Array, grid: Grid) -> Array:
    return np.asarray(values - grid.integral(values * grid.jacobian))


def _refuse_lost_digits(transform: Transform, found: _Centred, variance: float) -> None:
    rounding = found.known.rounding(found.grid) / found.scale
    lost = np.sqrt(found.product(rounding, rounding) / variance)
    if not lost <= 1e-10:
        raise PrecisionError(
            f"transform {transform.name} loses too many digits to rounding: its variation is "
            f"known to {lost:.1g} of itself; write it without differences of large numbers.",
            estimate=float("nan"),
        )


def _refuse_variance(transform: Transform, sums: Array, variance: float) -> None:
    if not variance < np.inf or sums[0] + sums[-1] > _END_SHARE * variance:
        raise InputError(
            f"transform {transform.name} grows so fast towards an end of (0, 1) that its variance "
            "under the base is infinite or beyond float64, so it has no first-order efficiency; "
            "give one that grows more slowly, such as a logarithm."
        )
    if variance <= 1e-26:
        raise InputError(
            f"transform {transform.name} is constant on (0, 1): it trains nothing and has no "
            "first-order efficiency; give one that varies."
        )
