"""Transforms that a solver found: the fixed points of the coupled equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class OptimalTransform(Transform):
    """Phi*, the fixed point of the coupled equation; Phi*(1) = 0 and Phi*' = g'(F*) g_ref'.

    ``drop`` gives log f at the end where it is largest, minus log f, at log x: x is u where the
    density rises to the top (``from_top``), else 1 - u.
    """

    label: str
    beta: float
    drop: Callable[[Array], Array]
    from_top: bool = field(kw_only=True)

    anchor = 0.0

    @property
    def name(self) -> str:
        """As text; the command line reads it as the optimum of that procedure."""
        return self.label

    def __repr__(self) -> str:
        return f"<transform {self.label} at beta={self.beta:.6g}>"

    def differences(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        return -self.beta * self.drop(points.log_u if self.from_top else points.log_v)


@dataclass(frozen=True, eq=False, repr=False)
class ProcedureCdf(Transform):
    """Phi(u) = g(u): optimal for one sample against an opponent that uses procedure g."""

    label: str
    cdf: Callable[[Array, Array], tuple[Array, Array]]

    anchor = 1.0

    @property
    def name(self) -> str:
        """As text; the command line reads it as the optimum of that procedure."""
        return self.label

    def differences(self, points: Points) -> Array:
        """g(u) - 1."""
        return -self.cdf(points.u, points.v)[1]


@dataclass(frozen=True, eq=False, repr=False)
class SolvedTransform(Transform):
    """Phi given by its change from u = 1 (``change``, of points of the base) and its jumps."""

    label: str
    change: Callable[[Points], Array]
    jumps: tuple[float, ...] = ()

    anchor = 0.0

    @property
    def name(self) -> str:
        """As text; the command line reads it as the optimum of that procedure."""
        return self.label

    def __repr__(self) -> str:
        return f"<transform {self.name}>"

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where Phi jumps."""
        return self.jumps

    def differences(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        return self.change(points)
