"""Where a curve over prompts peaks, and whether it falls: tests that count every look.

A curve is a matrix: a row a prompt, a column a position (N or KL). Prompts are independent, so
every statement is about means of rows; the largest of many t statistics is judged by multiplier
draws over prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from infalign_theory.typing import Array, BoolArray

_DRAWS = 2000
_SEED = 20241
_TINY = 1e-12


@dataclass(frozen=True)
class Peak:
    """The peak of a curve's mean.

    Attributes
    ----------
    at : int
        Column of the largest mean.
    possible : ndarray of bool
        Columns that may be the peak: no other is significantly higher, all pairs counted.
    falls : bool
        Whether the mean falls significantly anywhere to the right of a column: the alarm.
    """

    at: int
    possible: BoolArray
    falls: bool


def peak(curve: Array, level: float = 0.95, statements: int = 1) -> Peak:
    """Peak and fall of the mean of the rows of a curve, shape (prompts, positions).

    The critical value is a quantile of the largest t statistic over all pairs of columns under
    centred rows (Gaussian multipliers, 2000 draws of a fixed seed). Of ``statements`` flat curves
    looked at together any raises the alarm with probability 1 - level at most, asymptotically in
    prompts (Bonferroni).
    """
    prompts, columns = curve.shape
    first, second = np.triu_indices(columns, 1)
    mean = curve.mean(axis=0)
    centred = curve - mean
    covariance = centred.T @ centred / max(prompts - 1, 1)
    spread = np.diag(covariance)
    variance = spread[first] + spread[second] - 2.0 * covariance[first, second]
    error = np.sqrt(np.maximum(variance, 0.0) / prompts)
    moving = error > _TINY * max(float(np.abs(curve).max()), 1e-300)
    if not moving.any():
        at = int(np.argmax(mean))
        return Peak(at, mean >= mean[at], False)
    first, second, error = first[moving], second[moving], error[moving]
    drops = (mean[first] - mean[second]) / error
    noise = np.random.default_rng(_SEED).standard_normal((_DRAWS, prompts))
    noise -= noise.mean(axis=1, keepdims=True)
    pushed = noise @ centred / prompts
    largest = ((pushed[:, first] - pushed[:, second]) / error).max(axis=1)
    either = np.abs((pushed[:, first] - pushed[:, second]) / error).max(axis=1)
    # Student tails where prompts are few
    heavier = special.stdtrit(prompts - 1, 0.975) / special.ndtri(0.975)
    one_sided = float(np.quantile(largest, 1.0 - (1.0 - level) / statements)) * heavier
    two_sided = float(np.quantile(either, level)) * heavier
    beaten = np.zeros(columns, dtype=bool)
    beaten[second[drops > two_sided]] = True
    beaten[first[-drops > two_sided]] = True
    return Peak(int(np.argmax(mean)), ~beaten, bool((drops > one_sided).any()))


def zero_of_slope(
    positions: Array, slopes: Array, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the position at which a mean slope turns from rising to falling.

    ``slopes``, shape (prompts, positions), are the slopes of each prompt's curve. A position
    belongs to the interval unless a Student test says that the mean slope there is not zero: the
    test is inverted, so that coverage holds wherever the turn is. An end at the edge of what was
    searched means that the interval is open there; None where the
    mean still rises significantly at the end.
    """
    prompts = slopes.shape[0]
    mean = slopes.mean(axis=0)
    error = slopes.std(axis=0, ddof=1) / np.sqrt(prompts)
    limit = float(special.stdtrit(prompts - 1, 0.5 + level / 2.0))
    t = mean / np.maximum(error, 1e-300)
    rising, falling = np.flatnonzero(t > limit), np.flatnonzero(t < -limit)
    if rising.size and rising[-1] == positions.size - 1:
        return None
    low = _crossing(positions, t, int(rising[-1]), limit) if rising.size else positions[0]
    after = falling[falling > rising[-1]] if rising.size else falling
    high = _crossing(positions, t, int(after[0]) - 1, -limit) if after.size else positions[-1]
    return float(low), float(max(high, low))


def _crossing(positions: Array, t: Array, at: int, limit: float) -> float:
    """Where t passes the limit between a position and the next, by interpolation."""
    if at < 0:
        return float(positions[0])
    here, there = t[at], t[at + 1]
    share = (here - limit) / (here - there) if here != there else 0.0
    return float(positions[at] + np.clip(share, 0.0, 1.0) * (positions[at + 1] - positions[at]))
