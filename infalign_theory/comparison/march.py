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

_LEAST_DEGREE, _MOST_DEGREE = 40, 128
_DECAY = 32.0  # -log of the size of the last coefficients that the degree is chosen for
_ALMOST = 1.0 + 1e-12  # an end may be the policy of a budget itself
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
    evaluate: Callable[[Array], tuple[Array, Array]],
    ends: tuple[float, float],
    budgets: tuple[float, float],
) -> March | None:
    """The march from one x to another; None where KL or win rate are not smooth enough for one.

    Parameters
    ----------
    evaluate : callable
        KLs in nats and win rates at several x.
    ends : tuple of float
        First and last x.
    budgets : tuple of float
        Least and largest KL in nats that the march must reach; None where it does not.
    """
    first, last = ends
    for degree in _degrees((last - first) / 2):
        at = -np.cos(np.pi * np.arange(degree + 1) / degree)
        kl, won = evaluate(np.clip((first + last) / 2 + (last - first) / 2 * at, first, last))
        reached = kl[0] <= budgets[0] * _ALMOST and kl[-1] * _ALMOST >= budgets[1]
        if not (reached and (kl > 0.0).all()):
            return None
        both = np.column_stack([np.log(kl), won])
        coefficients = np.linalg.solve(chebyshev.chebvander(at, degree), both)
        if np.max(np.abs(coefficients[-4:])) <= _SETTLED:
            return March(first, last, coefficients[:, 0], coefficients[:, 1])
    return None


def _degrees(half: float) -> list[int]:
    """The degrees to try in turn, for a march of x = log k over twice ``half``; perhaps none.

    Normalisers have zeros at imaginary k, which is pi/2 from the march: that decides how fast
    coefficients die away.
    """
    strip = np.pi / 2 / half
    rate = np.log(strip + np.sqrt(1.0 + strip**2))
    needed = 2 * int(np.ceil(_DECAY / rate / 2))
    if needed > 2 * _MOST_DEGREE:
        return []
    first = min(max(needed, _LEAST_DEGREE), _MOST_DEGREE)
    return sorted({first, min(2 * first, _MOST_DEGREE), _MOST_DEGREE})
