"""How far prompts differ from each other, beyond what their finite samples make them differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.typing import Array, BoolArray


@dataclass(frozen=True)
class PairMoments:
    r"""Unbiased estimates of each prompt's standard win rate and of its square.

    With x_ib = 1 where aligned sample i beats base sample b (1/2 where they tie), the square is the
    mean of x_ib x_jc over i != j and b != c, two comparisons that share no sample
    (eq-square of docs/mathematics/fitting.md). NaN for prompts with a single sample on a side.
    """

    rate: Array
    square: Array

    @classmethod
    def of(cls, ranks: Calibration) -> PairMoments:
        """From where aligned samples fall among the base samples."""
        n = ranks.groups.sizes.astype(np.float64)
        k = ranks.base_sizes.astype(np.float64)
        wins = ranks.below + ranks.equal / 2.0
        total = ranks.groups.sums(wins)
        by_aligned = ranks.groups.sums(wins**2)
        each = ranks.groups.sums(ranks.below + ranks.equal / 4.0)
        distinct = total**2 - by_aligned - _by_base(ranks) + each
        with np.errstate(invalid="ignore", divide="ignore"):
            rate = total / (n * k)
            square = distinct / (n * (n - 1.0) * k * (k - 1.0))
        known = (n > 1) & (k > 1)
        return cls(np.where(known, rate, np.nan), np.where(known, square, np.nan))

    @property
    def known(self) -> BoolArray:
        """Prompts that have both numbers."""
        return ~np.isnan(self.rate)

    @property
    def prompts(self) -> int:
        """How many they are."""
        return int(np.count_nonzero(self.known))

    @property
    def variance(self) -> float:
        """Unbiased estimate of the variance of the standard win rate over prompts."""
        rate, square = self.rate[self.known], self.square[self.known]
        count = rate.size
        between = (rate.sum() ** 2 - np.sum(rate**2)) / (count * (count - 1.0))
        return float(square.mean() - between)

    @property
    def influence(self) -> Array:
        """Of each prompt on (mean, variance), shape (P, 2); its mean over known prompts is 0."""
        rate, square = self.rate[self.known], self.square[self.known]
        off = rate - rate.mean()
        out = np.zeros((self.rate.size, 2))
        out[self.known, 0] = off
        out[self.known, 1] = square - square.mean() - 2.0 * rate.mean() * off
        return out

    @property
    def p_value(self) -> float:
        """Chance of a variance as large where all prompts have the same win rate; Student."""
        count = self.prompts
        error = float(np.std(self.influence[self.known, 1], ddof=1) / np.sqrt(count))
        if error <= 0.0:
            return 1.0
        return float(special.stdtr(count - 1, -self.variance / error))


def _by_base(ranks: Calibration) -> Array:
    """Sum over a prompt's base samples of the square of what each loses; shape (P,)."""
    prompts, sizes = ranks.groups.prompts, ranks.base_sizes
    starts = np.concatenate([[0], np.cumsum(sizes + 1)])
    owner = ranks.groups.owner
    low = starts[:-1][owner] + ranks.below
    high = low + ranks.equal
    # base sample b is beaten by all that have more than b below, and tied where b is among equals
    ends = np.bincount(low, minlength=starts[-1]) + np.bincount(high, minlength=starts[-1])
    from_below = np.concatenate([[0.0], np.cumsum(ends)]) / 2.0
    place = np.arange(starts[-1])
    own = np.repeat(np.arange(prompts), sizes + 1)
    lost = from_below[starts[1:]][own] - from_below[place + 1]
    inside = place < starts[1:][own] - 1
    return np.asarray(np.bincount(own, np.where(inside, lost**2, 0.0), minlength=prompts))
