"""Any calibrated procedure, given by its g."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.formulas.compiled import CompiledExpression, compile_expression
from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.tabulation import tabulate
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.quadrature.refinement import FAR, beyond_proof, refine
from infalign_theory.typing import Array, BoolArray

_SWING = 0.5  # of g on the disc around a panel of the logit
_WIDTH = 0.5  # of panels in the logit of p; narrower ones mark narrow features
_END = 36.0


class Distortion(Procedure):
    """Any calibrated procedure, given by its g.

    Parameters
    ----------
    g : str or callable
        A formula in ``p``, parsed by the whitelist of :class:`infalign_theory.Expression`, or a
        function of an array. It must run from g(0) = 0 to g(1) = 1 without decreasing.
    derivative : callable, optional
        g', needed with a callable.
    name : str, optional
        How to call a callable.
    **parameters : float
        Values of the names in a formula.

    Raises
    ------
    InputError
        Where g is not such a function, or its derivative does not fit it.

    Examples
    --------
    >>> Distortion("p**2 * (3 - 2*p)").name
    'g:p**2 * (3 - 2*p)'
    """

    def __init__(
        self,
        g: str | Callable[[Array], Any],
        derivative: Callable[[Array], Any] | None = None,
        *,
        name: str | None = None,
        **parameters: float,
    ) -> None:
        self._formula: CompiledExpression | None = None
        self._g: Callable[[Array], Array]
        self._derivative: Callable[[Array], Array]
        if isinstance(g, str):
            if derivative is not None:
                raise InputError("a formula is differentiated here; give no derivative with it.")
            formula = compile_expression(g, "p", **parameters)
            values = "".join(f";{k}={plain_number(v)}" for k, v in formula.parameters)
            self._name = f"g:{formula.text}{values}"
            self._g = formula.value
            self._formula = formula
        elif callable(g):
            if derivative is None or not callable(derivative) or parameters:
                raise InputError(
                    f"distortion {g!r}: give a callable with its derivative and no parameters, as "
                    "in Distortion(g, derivative); or give a formula in p."
                )
            self._name = name or f"g:{getattr(g, '__name__', 'callable')}"
            self._g, self._derivative = _Vectorised(g), _Vectorised(derivative)
        else:
            raise InputError(f"distortion {g!r} is neither a formula in p nor a callable.")
        self._check()

    def _check(self) -> None:
        ends = self._g(np.array([0.0, 1.0]))
        if not np.allclose(ends, [0.0, 1.0], rtol=0.0, atol=1e-9):
            raise InputError(
                f"distortion {self._name}: g(0) = {ends[0]:.6g} and g(1) = {ends[1]:.6g}; a "
                "procedure has g(0) = 0 and g(1) = 1."
            )
        points = Points.from_logit(np.union1d(np.linspace(-_END, _END, 1201), self.breaks))
        inner = Points.from_logit((points.s[1:] + points.s[:-1]) / 2)
        slope = self._slope(inner.u, inner.v)
        bad = ~(slope >= -1e-10) | ~np.isfinite(slope)
        if bad.any():
            raise InputError(
                f"distortion {self._name}: g'({inner.u[bad][0]:.6g}) = {slope[bad][0]:.6g}; g "
                "must nowhere decrease."
            )
        grid = Grid(points.s)
        nodes = grid.points
        climbed = grid.sums(self._slope(nodes.u, nodes.v) * grid.jacobian)
        below, above = self.cdf(points.u, points.v)
        gap = np.abs(np.where(points.upper[1:], -np.diff(above), np.diff(below)) - climbed)
        if not gap.max() <= 1e-8:
            at = int(np.argmax(gap))
            raise InputError(
                f"distortion {self._name}: between p = {points.u[at]:.6g} and "
                f"{points.u[at + 1]:.6g} g does not rise by what its derivative says, "
                f"{climbed[at]:.6g}; give the derivative of g, and a g without jumps."
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distortion):
            return NotImplemented
        if self._formula is None or other._formula is None:
            return self is other
        return bool(self._formula == other._formula)

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f"<procedure {self._name}>"

    @property
    def name(self) -> str:
        return self._name

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        if self._formula is None:
            below = np.clip(self._g(p), 0.0, 1.0)
            return below, 1.0 - below
        below = np.clip(self._formula.at(p, q), 0.0, 1.0)
        anchor, change = self._formula.near(1.0, -q)
        above = np.where(q < 0.5, -change if anchor else 1.0 - change, 1.0 - below)
        return below, np.clip(above, 0.0, 1.0)

    def pdf(self, p: Array, q: Array) -> Array:
        return np.maximum(self._slope(p, q), 0.0)

    def _slope(self, p: Array, q: Array) -> Array:
        return self._derivative(p) if self._formula is None else self._formula.slope(p, q)

    @cached_property
    def breaks(self) -> tuple[float, ...]:
        """Logits of the kinks of a formula, and of panels around its narrow features."""
        if self._formula is None:
            return ()
        formula, kinks = self._formula, self._formula.breaks

        def judge(grid: Grid) -> tuple[None, BoolArray]:
            middle = (grid.edges[1:] + grid.edges[:-1]) / 2
            wide = ~(formula.variation(middle, grid.half)[:, 0] <= _SWING)
            return None, wide & ~beyond_proof(grid, kinks)

        start = Grid(np.arange(-FAR, FAR + _WIDTH / 2, _WIDTH)).with_edges(np.array(kinks))
        proven = refine(start, judge)
        if not proven.settled:
            raise PrecisionError(
                f"distortion {self._name} varies too fast to be resolved; give one without so "
                "many or so narrow features.",
                estimate=float("nan"),
            )
        bisected = np.setdiff1d(proven.grid.edges, start.edges)
        return tuple(np.union1d(bisected, kinks).tolist())

    @cached_property
    def slope_terms(self) -> Array:
        return tabulate(self.pdf, self.breaks)

    @cached_property
    def value_terms(self) -> Array:
        return tabulate(lambda p, q: self.cdf(p, q)[0], self.breaks)


@dataclass(frozen=True)
class _Vectorised:
    """A function of an array that may return a number or a list."""

    function: Callable[[Array], Any]

    def __call__(self, x: Array) -> Array:
        return np.broadcast_to(np.asarray(self.function(x), dtype=np.float64), np.shape(x)).copy()
