"""Where a curve over prompts peaks, and whether it falls: tests that count every look.

A curve is a matrix: a row a prompt, a column a position (N or KL). Prompts are independent, so
every statement is about means of rows; the largest of many t statistics is judged by multiplier
draws over prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from infalign_theory.typing import Array, BoolArray, IntArray

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


def peaks(curves: Sequence[Array], level: float = 0.95, statements: int = 1) -> list[Peak]:
    """Peak and fall of the mean of the rows of each curve, shape (prompts, positions) each.

    The rows of all curves are the same prompts. The critical values are quantiles of the largest
    t statistic over all pairs of columns of all curves under centred rows (Gaussian multipliers,
    2000 draws of a fixed seed): of flat curves any raises the alarm with probability 1 - level at
    most, asymptotically in prompts. ``statements`` counts such calls that are looked at together
    (Bonferroni).
    """
    prompts = curves[0].shape[0]
    noise = np.random.default_rng(_SEED).standard_normal((_DRAWS, prompts))
    noise -= noise.mean(axis=1, keepdims=True)
    pairs = [_Pairs.of(curve, noise) for curve in curves]
    # Student tails where prompts are few
    heavier = special.stdtrit(prompts - 1, 0.975) / special.ndtri(0.975)
    largest = np.max([each.largest for each in pairs], axis=0)
    one_sided = float(np.quantile(largest, 1.0 - (1.0 - level) / statements)) * heavier
    return [each.judged(one_sided, level, heavier) for each in pairs]


@dataclass(frozen=True)
class _Pairs:
    """t statistics of all pairs of columns of a curve, and the largest under centred rows."""

    mean: Array
    first: IntArray
    second: IntArray
    drops: Array
    largest: Array
    either: Array
    certain: bool

    @classmethod
    def of(cls, curve: Array, noise: Array) -> _Pairs:
        prompts, columns = curve.shape
        first, second = np.triu_indices(columns, 1)
        mean = curve.mean(axis=0)
        centred = curve - mean
        covariance = centred.T @ centred / max(prompts - 1, 1)
        spread = np.diag(covariance)
        variance = spread[first] + spread[second] - 2.0 * covariance[first, second]
        error = np.sqrt(np.maximum(variance, 0.0) / prompts)
        tiny = _TINY * max(float(np.abs(curve).max()), 1e-300)
        moving = error > tiny
        alike = ~moving & (mean[first] - mean[second] > tiny)  # every prompt falls by as much
        first, second, error = first[moving], second[moving], error[moving]
        drops = (mean[first] - mean[second]) / error
        pushed = noise @ centred / prompts
        scaled = (pushed[:, first] - pushed[:, second]) / error
        nothing = np.zeros((noise.shape[0], 1))
        return cls(
            mean=mean,
            first=first,
            second=second,
            drops=drops,
            largest=np.hstack([scaled, nothing]).max(axis=1),
            either=np.hstack([np.abs(scaled), nothing]).max(axis=1),
            certain=bool(alike.any()),
        )

    def judged(self, one_sided: float, level: float, heavier: float) -> Peak:
        """The peak, with what may be it and whether the curve falls."""
        at = int(np.argmax(self.mean))
        if not self.drops.size:
            return Peak(at, self.mean >= self.mean[at], self.certain)
        two_sided = float(np.quantile(self.either, level)) * heavier
        beaten = np.zeros(self.mean.size, dtype=bool)
        beaten[self.second[self.drops > two_sided]] = True
        beaten[self.first[-self.drops > two_sided]] = True
        return Peak(at, ~beaten, self.certain or bool((self.drops > one_sided).any()))


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
    t = mean / np.maximum(error, _TINY * max(float(np.abs(slopes).max()), 1e-300))
    rising, falling = np.flatnonzero(t > limit), np.flatnonzero(t < -limit)
    if rising.size and rising[-1] == positions.size - 1:
        return None
    low = _crossing(positions, t, int(rising[-1]), limit) if rising.size else positions[0]
    after = falling[falling > rising[-1]] if rising.size else falling
    high = _crossing(positions, t, int(after[0]) - 1, -limit) if after.size else positions[-1]
    return float(low), float(max(high, low))


@dataclass(frozen=True)
class Turn:
    """Where a curve turns and the interval of that place; None where no fall can be told."""

    at: float | None
    ci: tuple[float, float] | None


NO_TURN = Turn(None, None)


def turn(positions: Array, curve: Array, level: float = 0.95) -> Turn:
    """The turn of the mean of the rows of a curve, shape (prompts, positions).

    Told where :func:`peaks` finds a fall; its interval inverts a test of the slope, taken by
    differences along each prompt's own row.

    Examples
    --------
    >>> kl = np.linspace(0, 1, 21)
    >>> noise = np.random.default_rng(0).normal(0, 0.01, (50, 1))
    >>> round(turn(kl, 0.5 + kl * (1 - kl) + noise).at, 2)
    0.5
    """
    prompts, columns = curve.shape
    # every other position is enough for the alarm: neighbours hardly differ
    if prompts < 2 or columns < 3 or not peaks([curve[:, ::2]], level)[0].falls:
        return NO_TURN
    at = _top(positions, curve.mean(axis=0))
    found = zero_of_slope(positions, np.gradient(curve, positions, axis=1), level)
    return Turn(at, None if found is None else (min(at, found[0]), max(at, found[1])))


def _top(positions: Array, mean: Array) -> float:
    """Where a curve is largest: the top of the parabola through the highest point's neighbours."""
    at = int(np.argmax(mean))
    if at in (0, positions.size - 1):
        return float(positions[at])
    x, y = positions[at - 1 : at + 2], mean[at - 1 : at + 2]
    slopes = np.diff(y) / np.diff(x)
    bend = slopes[0] - slopes[1]
    if bend <= 0.0:
        return float(x[1])
    top = (x[0] + x[1]) / 2.0 + slopes[0] / bend * (x[2] - x[0]) / 2.0
    return float(np.clip(top, x[0], x[2]))


def _crossing(positions: Array, t: Array, at: int, limit: float) -> float:
    """Where t passes the limit between a position and the next, by interpolation."""
    if at < 0:
        return float(positions[0])
    here, there = t[at], t[at + 1]
    share = (here - limit) / (here - there) if here != there else 0.0
    return float(positions[at] + np.clip(share, 0.0, 1.0) * (positions[at + 1] - positions[at]))
