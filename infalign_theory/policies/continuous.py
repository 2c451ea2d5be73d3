"""Aligned policies on a continuous base."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import unit_interval
from infalign_theory.policies import closed_forms
from infalign_theory.policies.base import Continuous
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.core import Policy, Training
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid, Running
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array, BoolArray, IntArray


class ContinuousPolicy(Policy):
    """A policy on a continuous base; see :func:`align`."""

    def __init__(self, tilt: ContinuousTilt, training: Training | None = None) -> None:
        self.tilt = tilt
        self.base: Continuous = Continuous()
        self.kl = closed_forms.kl(tilt.transform, tilt.k, tilt.kl)
        self._closed_law = closed_forms.LAW.get(type(tilt.transform))
        self._seal(training, tilt.transform, tilt.k)

    def mean(self) -> float:
        return 1.0 - self.grid.integral(self.tilt.weights(self.grid) * self.grid.points.v)

    def std(self) -> float:
        weights, short = self.tilt.weights(self.grid), self.grid.points.v
        missing = self.grid.integral(weights * short)
        return float(np.sqrt(self.grid.integral(weights * (short - missing) ** 2)))

    @property
    def grid(self) -> Grid:
        return self.tilt.grid

    def pdf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return np.exp(self.tilt.log_density(Points.from_pair(array, 1.0 - array)))

    def cdf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return self.tails(Points.from_pair(array, 1.0 - array))[0]

    def sf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return self.tails(Points.from_pair(array, 1.0 - array))[1]

    def law(self, grid: Grid) -> Running:
        """F and 1 - F on the nodes of a grid at least as fine as the policy's own."""
        own = grid is self.tilt.grid
        return self.tilt.running if own else grid.running(self.tilt.weights(grid))

    def tails(self, points: Points) -> tuple[Array, Array]:
        """F(u) and 1 - F(u) at any points, each accurate where it is small."""
        if self._closed_law is not None:
            return self._closed_law(self.tilt.k, points)
        flat = points.s.ravel()
        below, above = np.empty(flat.size), np.empty(flat.size)
        for first in range(0, flat.size, _CHUNK):
            part = slice(first, first + _CHUNK)
            below[part], above[part] = self._tails(flat[part])
        return below.reshape(points.s.shape), above.reshape(points.s.shape)

    def _tails(self, s: Array) -> tuple[Array, Array]:
        """The panel's edge integrals plus the part of the panel on either side."""
        edges, running = self.grid.edges, self.tilt.running
        s = np.clip(s, edges[0], edges[-1])
        panel = np.clip(np.searchsorted(edges, s, side="right") - 1, 0, edges.size - 2)
        below = running.edge_below[panel] + self._piece(edges[panel], s)
        above = running.edge_above[panel + 1] + self._piece(s, edges[panel + 1])
        total = below + above
        return below / total, above / total

    def _piece(self, start: Array, stop: Array) -> Array:
        half = (stop - start) / 2
        s = (start + half)[:, None] + half[:, None] * panels.X
        points = Points.from_logit(s)
        values = np.exp(self.tilt.log_density(points) + points.log_u + points.log_v)
        return np.asarray(half * (values @ panels.WEIGHTS))

    def ppf(self, q: ArrayLike) -> Array:
        array = unit_interval(q, "q")
        return self.quantiles(array, 1.0 - array).u

    def quantiles(self, q: Array, complement: Array) -> Points:
        """The points at which F equals q and 1 - F equals its complement."""
        shape = np.shape(q)
        low_tail, high_tail = np.ravel(q), np.ravel(complement)
        upper = low_tail > 0.5
        target = np.where(upper, high_tail, low_tail)
        edges, running = self.grid.edges, self.tilt.running
        total = running.edge_below[-1]
        below = np.searchsorted(running.edge_below, low_tail * total, side="left") - 1
        above = edges.size - 1 - np.searchsorted(running.edge_above[::-1], high_tail * total)
        panel = np.clip(np.where(upper, above, below), 0, edges.size - 2)
        low, high = edges[panel], edges[panel + 1]
        s = (low + high) / 2
        active = np.flatnonzero((target > 0.0) & (target < 1.0))
        for _ in range(80):
            if not active.size:
                break
            s[active], settled = self._newton(
                s[active], upper[active], target[active], low, high, active
            )
            active = active[~settled]
        s = np.where(low_tail <= 0.0, -np.inf, np.where(high_tail <= 0.0, np.inf, s))
        return Points.from_logit(s.reshape(shape))

    def _newton(
        self, s: Array, upper: BoolArray, target: Array, low: Array, high: Array, active: IntArray
    ) -> tuple[Array, BoolArray]:
        """One safeguarded Newton step in s on the log of the nearer tail; updates the bracket."""
        points = Points.from_logit(s)
        below, above = self.tails(points)
        excess = np.where(upper, target - above, below - target)
        low[active] = np.where(excess < 0.0, s, low[active])
        high[active] = np.where(excess < 0.0, high[active], s)
        log_weight = self.tilt.log_density(points) + points.log_u + points.log_v
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            tail = np.where(upper, above, below)
            step = np.log(target / tail) * tail * np.exp(-log_weight)
            new = s + np.where(upper, -step, step)
            move = np.abs(new - s)
        inside = (new > low[active]) & (new < high[active])
        # after a step as small as this the next would be rounding, perhaps out of the bracket
        settled = (move <= _LAST_STEP * np.maximum(1.0, np.abs(s))) | (excess == 0.0)
        new = np.where(inside | settled, new, (low[active] + high[active]) / 2)
        new = np.clip(new, low[active], high[active])
        settled |= new == s
        return np.where(excess == 0.0, s, new), settled


_LAST_STEP = 1e-11  # in the logit; Newton squares it
_CHUNK = 65536  # points evaluated at once: 16 nodes each, about 50 MB of temporaries
