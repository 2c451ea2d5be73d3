"""A function of (p, q) as a table of Legendre series."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.quadrature.refinement import refine
from infalign_theory.typing import Array, BoolArray

_NARROWEST = 1e-9
_SHORT = 0.005


def tabulate(function: Callable[[Array, Array], Array], breaks: Iterable[float] = ()) -> Array:
    """A function of (p, q) as a table of Legendre series; see :mod:`kernels.terms`.

    Panels are bisected until the series have died away to 1e-14 of the function's size; the
    logits ``breaks`` of kinks are edges between them.
    """
    kinks = Points.from_logit(np.array(tuple(breaks), dtype=np.float64))
    lower = _rows(0.0, function, kinks.u[~kinks.upper])
    upper = _rows(1.0, lambda q, p: function(p, q), kinks.v[kinks.upper])
    return np.concatenate([lower, upper])


def _rows(side: float, function: Callable[[Array, Array], Array], kinks: Array) -> Array:
    """The rows of one half of (0, 1), in the variable that is small there."""

    def judge(grid: Grid) -> tuple[Array, BoolArray]:
        middle = (grid.edges[1:] + grid.edges[:-1]) / 2
        x = middle[:, None] + grid.half[:, None] * panels.X
        values = function(x, 1.0 - x)
        series = values @ panels.ANALYSIS.T
        tail = np.abs(series[:, -3:]).sum(axis=1)
        # on short panels what is left is the function's own rounding noise
        allowed = np.where(grid.half < _SHORT, 1e-12, 1e-14)
        unsettled = tail > allowed * (1.0 + np.abs(values).max(axis=1))
        return series, unsettled & (grid.half > _NARROWEST / 2)

    refined = refine(Grid(np.union1d([0.0, 0.5], kinks)), judge)
    if not refined.settled:
        raise PrecisionError(
            "the procedure's g varies too fast to be tabulated; give one without so many or so "
            "narrow features.",
            estimate=float("nan"),
        )
    edges = refined.grid.edges
    sides = np.full(edges.size - 1, side)
    return np.column_stack([sides, edges[:-1], edges[1:], refined.result])
