"""One march over 1/beta in place of a solve a budget.

KL and win rate of a family of tilts are analytic in log(1/beta): one polynomial follows each to
rounding, so a few dozen exact policies give the win rate at any number of budgets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from infalign_theory.typing import Array

__all__ = ["March", "march"]

_DEGREES = (16, 32, 64, 128)  # each keeps the points of the one before
_SETTLED = 1e-12  # size of the last coefficients of log KL and of the win rate


@dataclass(frozen=True)
class March:
    """Chebyshev coefficients of log KL and win rate over x between ``first`` and ``last``."""

    first: float
    last: float
    log_kl: Array
    won: Array

    def at_kl(self, kl: Array) -> tuple[Array, Array]:
        """x and win rate where each KL is spent; KL grows with x."""
        target = np.log(kl)
        coarse = np.linspace(-1.0, 1.0, 257)
        along = chebyshev.chebval(coarse, self.log_kl)
        at = np.interp(target, along, coarse)
        slope = chebyshev.chebder(self.log_kl)
        for _ in range(30):
            step = (target - chebyshev.chebval(at, self.log_kl)) / chebyshev.chebval(at, slope)
            new = np.clip(at + step, -1.0, 1.0)
            moved, at = float(np.max(np.abs(new - at))), new
            if moved <= 1e-15:
                break
        x = (self.first + self.last) / 2 + (self.last - self.first) / 2 * at
        return x, np.asarray(chebyshev.chebval(at, self.won))


def march(
    evaluate: Callable[[float], tuple[float, float]], first: float, last: float
) -> March | None:
    """The march from one x to another; None where KL or win rate are not smooth enough for one.

    Parameters
    ----------
    evaluate : callable
        KL in nats and win rate at x.
    first, last : float
        Ends of x, first < last.
    """
    known: dict[float, tuple[float, float]] = {}
    for degree in _DEGREES:
        at = -np.cos(np.pi * np.arange(degree + 1) / degree)
        at[degree // 2] = 0.0
        for t in at:
            if _key(t) not in known:
                x = first if t == -1.0 else last if t == 1.0 else _between(first, last, t)
                known[_key(t)] = evaluate(x)
        values = np.array([known[_key(t)] for t in at])
        if not (values[:, 0] > 0.0).all():
            return None
        both = np.column_stack([np.log(values[:, 0]), values[:, 1]])
        coefficients = np.linalg.solve(chebyshev.chebvander(at, degree), both)
        if np.max(np.abs(coefficients[-4:])) <= _SETTLED:
            return March(first, last, coefficients[:, 0], coefficients[:, 1])
    return None


def _key(t: float) -> float:
    """The same for a point of two degrees, whatever its rounding."""
    return round(float(t), 12)


def _between(first: float, last: float, t: float) -> float:
    return float((first + last) / 2 + (last - first) / 2 * t)
