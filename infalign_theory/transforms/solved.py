"""Transforms that a solver found: the fixed points of the coupled equation."""

from __future__ import annotations

from collections.abc import Callable

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class OptimalTransform(Transform):
    """Phi*, the fixed point of the coupled equation; Phi*(1) = 0 and Phi*' = g'(F*) g_ref'.

    ``drop`` gives log f at the end where it is largest, minus log f, at log x: x is u where the
    density rises to the top (``from_top``), else 1 - u.
    """

    anchor = 0.0

    def __init__(
        self, name: str, beta: float, drop: Callable[[Array], Array], *, from_top: bool
    ) -> None:
        self._name = name
        self._beta = beta
        self._drop = drop
        self._from_top = from_top

    @property
    def name(self) -> str:
        """As text; the command line reads it as the optimum of that procedure."""
        return self._name

    def __repr__(self) -> str:
        return f"<transform {self._name} at beta={self._beta:.6g}>"

    def differences(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        return -self._beta * self._drop(points.log_u if self._from_top else points.log_v)


class ProcedureCdf(Transform):
    """Phi(u) = g(u): optimal for one sample against an opponent that uses procedure g."""

    anchor = 1.0

    def __init__(self, name: str, cdf: Callable[[Array, Array], tuple[Array, Array]]) -> None:
        self._name = name
        self._cdf = cdf

    @property
    def name(self) -> str:
        """As text; the command line reads it as the optimum of that procedure."""
        return self._name

    def differences(self, points: Points) -> Array:
        """g(u) - 1."""
        return -self._cdf(points.u, points.v)[1]
