"""The adaptive grid of every continuous integral: Gauss-Legendre panels in the logit of u.

In s = log(u / (1 - u)) a Best-of-N weight, a tilted density and both of their tails vary on a
scale of order one, whatever N, KL or exponent; what does not is bisected until the Legendre
coefficients of a panel have died away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.quadrature import panels
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

REACH = 704.0  # exp(-704) is still a normal float64
_START = 2.75


@dataclass(frozen=True)
class Running:
    """Integrals of a function below and above each node and each panel edge."""

    below: Array
    above: Array
    edge_below: Array
    edge_above: Array

    @property
    def total(self) -> float:
        """Integral over the whole grid, of one function."""
        return float(self.edge_below[-1])

    @property
    def fractions(self) -> tuple[Array, Array]:
        """The running integrals as shares of the total: a CDF and its complement."""
        total = self.edge_below[..., -1, None, None]
        below, above = self.below / total, self.above / total
        return np.minimum(below, 1.0, out=below), np.minimum(above, 1.0, out=above)


@dataclass(frozen=True)
class Grid:
    """Consecutive panels ``edges[i] .. edges[i+1]`` in the logit coordinate."""

    edges: Array

    @classmethod
    def initial(cls, reach: float = REACH) -> Grid:
        """Panels doubling in width away from u = 1/2."""
        right = _START * 2.0 ** np.arange(int(np.ceil(np.log2(reach / _START))) + 1)
        return cls(np.concatenate([-right[::-1], [0.0], right]))

    @cached_property
    def half(self) -> Array:
        return np.diff(self.edges) / 2

    @cached_property
    def points(self) -> Points:
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        return Points.from_logit(middle[:, None] + self.half[:, None] * panels.X)

    @cached_property
    def log_jacobian(self) -> Array:
        """log du/ds = log u + log v."""
        return self.points.log_u + self.points.log_v

    @cached_property
    def jacobian(self) -> Array:
        """du/ds = u v."""
        return self.points.u * self.points.v

    def sums(self, values: Array) -> Array:
        """Integral of each panel (in s)."""
        return panels.panel_sums(values, self.half, panels.WEIGHTS)

    def integral(self, values: Array) -> float:
        """Integral over the whole grid (in s)."""
        return float(self.sums(values).sum())

    def integrals(self, values: Array) -> Array:
        """Integrals of several functions, shape (..., panels, nodes), over the whole grid."""
        return np.asarray(self.sums(values).sum(axis=-1))

    def running(self, values: Array) -> Running:
        """Running integrals from both ends (in s)."""
        return Running(*panels.running_integrals(values, self.half))

    def unresolved(self, values: Array) -> Array:
        """Estimated error of each panel's integral: the size of its last Legendre terms."""
        tail = np.abs(values @ panels.ANALYSIS[-3:].T)
        return np.asarray(tail.sum(axis=-1) * self.half)

    def split(self, marked: np.ndarray) -> Grid:
        """Bisect the marked panels."""
        middle = (self.edges[1:] + self.edges[:-1]) / 2
        return Grid(np.sort(np.concatenate([self.edges, middle[marked]])))

    def with_edges(self, edges: Array) -> Grid:
        """A refinement with further edges, where they fall inside."""
        inside = edges[(edges > self.edges[0]) & (edges < self.edges[-1])]
        # a grid keeps what was computed on it
        return Grid(np.union1d(self.edges, inside)) if inside.size else self

    def splittable(self) -> np.ndarray:
        """Panels still wide enough to be bisected in float64."""
        scale = np.maximum(np.abs(self.edges[1:]), np.abs(self.edges[:-1]))
        return np.asarray(self.half > 1e-14 * np.maximum(scale, 1.0))

    def union(self, other: Grid) -> Grid:
        """The common refinement of two grids."""
        return Grid(np.union1d(self.edges, other.edges))
