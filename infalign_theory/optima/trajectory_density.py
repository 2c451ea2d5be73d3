"""The density along a trajectory of power procedures, from Legendre series of its panels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.quadrature.panels import NODES
from infalign_theory.typing import Array, IntArray

_LAST_STEP = 1e-9  # of Newton's method for a place on a panel: the next would be below rounding


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What gives the density: Legendre coefficients (panels, nodes) of functions of kappa.

    ``speed_after[p]`` is the integral of speed from the end of panel p to the end of all.
    ``force_edge[p]`` is, at the end of panel p, the integral of force to the end of all
    (from_end) or from the beginning. Before the first panel speed is constant 1/tail_rate and
    force decays like exp(kappa) from tail_force.
    """

    speed: Array
    force: Array
    speed_after: Array
    force_edge: Array
    half: Array
    from_end: bool
    tail_rate: float
    tail_force: float

    def along(self, target: Array) -> Array:
        """Integral of force at the points where the remaining integral of speed is target."""
        total = self.speed_after[0] + self.half[0] * 2.0 * self.speed[0, 0]
        whole = self.force_edge[0] + self.half[0] * 2.0 * self.force[0, 0]
        rest = self.tail_force * np.exp(-np.maximum(target - total, 0.0) * self.tail_rate)
        out = np.asarray(whole + (self.tail_force - rest) if self.from_end else rest)
        inside = target < total
        target = target[inside]
        # the first panel whose end lies at or before the goal
        p = np.searchsorted(-self.speed_after, -target, side="left")
        p = np.minimum(p, self.half.size - 1)
        piece = self.half[p] * self._piece(p, (target - self.speed_after[p]) / self.half[p])
        out[inside] = self.force_edge[p] + (piece if self.from_end else -piece)
        return out

    def _piece(self, p: IntArray, want: Array) -> Array:
        """Integral of force over the end of panel p on which speed integrates to ``want``."""
        speed, force = self.speed[p], self.force[p]
        low, high = np.full(want.shape, -1.0), np.ones(want.shape)
        t = np.clip(1.0 - want / speed[:, 0], -1.0, 1.0)
        for _ in range(60):
            basis, tails = _legendre(t)
            excess = np.sum(speed * tails, axis=1) - want
            low, high = np.where(excess > 0.0, t, low), np.where(excess > 0.0, high, t)
            step = excess / np.sum(speed * basis, axis=1)
            new = t + step
            t = np.where((new >= low) & (new <= high), new, (low + high) / 2.0)
            if np.max(np.abs(step), initial=0.0) <= _LAST_STEP:
                t = np.clip(new, -1.0, 1.0)
                break
        return np.asarray(np.sum(force * _legendre(t)[1], axis=1))


def _legendre(t: Array) -> tuple[Array, Array]:
    """Legendre polynomials at t, and their integrals from t to 1."""
    basis = np.polynomial.legendre.legvander(t, NODES)
    tails = np.empty((t.size, NODES))
    tails[:, 0] = 1.0 - t
    degree = np.arange(1, NODES)
    tails[:, 1:] = (basis[:, :-2] - basis[:, 2:]) / (2 * degree + 1)
    return np.asarray(basis[:, :NODES]), tails
