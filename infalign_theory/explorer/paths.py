"""Win rates along budgets: where the points lie, and what is read between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.families import Family
from infalign_theory.typing import Array

POINTS = 13  # of a frontier
_LEVELS = (1.0, 2.0, 4.0, 12.5)  # nats that a frontier may show
_LONGEST_STEP = 3.0  # of log k


@dataclass(frozen=True, kw_only=True)
class Path:
    """Win rate against KL; ``slope`` is dW/dKL where it is known.

    Every point is exact. Between points :meth:`at` follows a cubic in the root of KL, in which a
    frontier is smooth down to 0.
    """

    kl: Array
    win_rate: Array
    slope: Array | None = None

    def at(self, kl: Array) -> Array:
        """Win rate at KLs within the path."""
        if self.slope is None or self.kl.size < 4:
            return np.interp(kl, self.kl, self.win_rate)
        from scipy.interpolate import CubicHermiteSpline

        root = np.sqrt(self.kl)
        slope = np.empty(root.size)
        slope[1:] = 2.0 * root[1:] * self.slope[1:]
        # towards no KL the slope in the root tends to a limit, which three points give
        slope[0] = 3.0 * slope[1] - 3.0 * slope[2] + slope[3]
        return np.asarray(CubicHermiteSpline(root, self.win_rate, slope)(np.sqrt(kl)))


def level(kl: float) -> float:
    """Nats up to which frontiers are drawn: a few steps, so that a dragged KL redraws few."""
    return next(nats for nats in _LEVELS if kl <= 0.8 * nats)


def budgets(largest: float, count: int = POINTS) -> Array:
    """Budgets of a frontier, even in the root of KL, in which win rates climb steadily."""
    return largest * np.linspace(0.0, 1.0, count) ** 2


def below(kl: float) -> Array:
    """Positive budgets of the frontier below a KL, from the largest down."""
    nats = budgets(level(kl))[1:]
    return nats[nats < 0.97 * kl][::-1]


def above(kl: float) -> Array:
    """Budgets of the frontier above a KL, from the smallest up."""
    nats = budgets(level(kl))
    return nats[nats > 1.03 * kl]


def stepping(
    family: Family[ContinuousTilt], start: ContinuousTilt, nats: Array
) -> Iterator[ContinuousTilt]:
    """Tilts whose KLs are close to budgets that lead away from ``start``: a Newton step each.

    A picture needs exact points, not points at given budgets: this takes one tilt a point, where
    solving for the budget takes about seven. It ends where the KL hardly moves any more.
    """
    tilt, k = start, start.k
    for aim in nats:
        stretch = 1.0 - k * family.slope
        if not (tilt.kl > 0.0 and tilt.growth * stretch > 1e-3 * tilt.kl):
            return
        step = np.log(aim / tilt.kl) * tilt.kl / (tilt.growth * stretch)
        ratio = float(np.exp(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)))
        # the logarithm of k moves; where the normaliser bounds k by 1/slope, its logit
        k = k * ratio / (stretch + k * family.slope * ratio)
        with np.errstate(all="ignore"):
            tilt = family.at(k, tilt)
        yield tilt
