"""The one adaptive refinement: panels are bisected until a judge finds nothing to mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from infalign_theory.quadrature.grid import Grid
from infalign_theory.typing import Array, BoolArray, IntArray

MOST_PANELS = 8000

T = TypeVar("T")


@dataclass(frozen=True)
class Refined(Generic[T]):
    """The last grid, what the judge said of it, and whether it had nothing left to mark."""

    grid: Grid
    result: T
    settled: bool


def refine(grid: Grid, judge: Callable[[Grid], tuple[T, BoolArray]]) -> Refined[T]:
    """Bisect the panels that a judge marks until it marks none, or until there are too many.

    ``judge`` returns a result and a mark for each panel. Panels too narrow to be bisected in
    float64 count as settled; what they may hide is for the judge's result to say.
    """
    while True:
        result, marks = judge(grid)
        marked = marks & grid.splittable()
        if not marked.any():
            return Refined(grid, result, settled=True)
        if grid.half.size + np.count_nonzero(marked) > MOST_PANELS:
            return Refined(grid, result, settled=False)
        grid = grid.split(marked)


class Samples:
    """A function of panels on successive grids, evaluated on the panels that are new.

    ``function`` takes a grid and a mask of its panels; it returns an array whose first axis runs
    over the panels asked for.
    """

    def __init__(self, function: Callable[[Grid, BoolArray], Array]) -> None:
        self._function = function
        self._edges = np.empty(0)
        self._values = np.empty(0)

    def on(self, grid: Grid) -> Array:
        """Values on every panel of a grid."""
        if self._edges.size == 0:
            values = self._function(grid, np.ones(grid.half.size, dtype=bool))
        elif np.array_equal(grid.edges, self._edges):
            return self._values
        else:
            at, known = self._known(grid)
            values = np.empty((grid.half.size, *self._values.shape[1:]))
            values[known] = self._values[at[known]]
            if not known.all():
                values[~known] = self._function(grid, ~known)
        self._edges, self._values = grid.edges, values
        return values

    def _known(self, grid: Grid) -> tuple[IntArray, BoolArray]:
        """For each panel, where the last grid may hold it, and whether it does."""
        low, high = grid.edges[:-1], grid.edges[1:]
        at = np.clip(np.searchsorted(self._edges, low), 0, self._edges.size - 2)
        return at, (self._edges[at] == low) & (self._edges[at + 1] == high)


FAR = 45.0  # beyond this logit lies 3e-20 of the unit interval
_BESIDE = 1e-7  # width from which samples show how a function ends at a singular point


def beyond_proof(grid: Grid, breaks: Iterable[float]) -> BoolArray:
    """Panels that no enclosure can settle: the outermost tails, and the ends at singular points."""
    low, high = grid.edges[:-1], grid.edges[1:]
    points = np.array(tuple(breaks))
    beside = np.isin(low, points) | np.isin(high, points)
    beside &= grid.half < _BESIDE * np.maximum(1.0, np.abs(low))
    return np.asarray(beside | (low >= FAR) | (high <= -FAR))
