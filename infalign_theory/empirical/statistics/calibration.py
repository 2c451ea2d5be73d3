"""Calibrated rewards: where aligned samples fall among the base samples of their prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.empirical.scores.groups import Groups, check_sorted, share_out
from infalign_theory.kernels import ustatistics
from infalign_theory.typing import Array, IntArray


@dataclass(frozen=True)
class Calibration:
    """Where each aligned sample falls among the base samples of its prompt.

    ``below`` and ``equal``, shape (M,), count the base samples that score below and the same;
    ``groups`` are the aligned samples; ``base_sizes``, shape (P,), holds K of each prompt.
    """

    below: IntArray
    equal: IntArray
    groups: Groups
    base_sizes: IntArray

    @cached_property
    def trials(self) -> IntArray:
        """K of each sample's prompt."""
        return self.base_sizes[self.groups.owner]

    @property
    def rewards(self) -> Array:
        """Calibrated rewards, ties counted half; NaN where a prompt has no base samples."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.below + self.equal / 2) / self.trials)

    def shares(self, bins: int) -> Array:
        """Share of each prompt's samples in equal bins of rank, shape (P, bins).

        A sample with b base scores below and e equal covers b/(K+1) to (b+e+1)/(K+1) evenly: the
        random rank that breaks its ties at random, which is exactly uniform under the base at
        any K. NaN for prompts without samples on a side.
        """
        count = whole(bins, "bins", "a whole number of bins")
        covers = rank_covers(self.below, self.equal, self.trials, count)
        out = np.stack([self.groups.means(cover) for cover in covers], axis=1)
        out[self.base_sizes == 0] = np.nan
        return out


def rank_covers(
    below: IntArray | int, equal: IntArray | int, trials: IntArray | int, bins: int
) -> Iterator[Array]:
    """For each equal bin of rank, the part of [b, b + e + 1] / (K + 1) that lies in it."""
    scale = bins / (trials + 1.0)
    low, high = below * scale, (below + equal + 1) * scale
    for j in range(bins):
        yield (np.clip(high - j, 0.0, 1.0) - np.clip(low - j, 0.0, 1.0)) / (high - low)


def calibrate(aligned: Groups, base: Groups) -> Calibration:
    """Rank aligned samples among the base samples of the same prompt.

    Given the exact calibrated reward u and a continuous base, K times the estimate is
    Binomial(K, u): functions of it are biased (eq-bias of docs/mathematics/fitting.md),
    which the fit corrects.

    Examples
    --------
    >>> calibrate(Groups.stack([[1, 2, 3]]), Groups.stack([[0, 2]])).rewards.tolist()
    [0.5, 0.75, 1.0]
    """
    check_sorted("scores", aligned, base)
    below = np.zeros(aligned.values.size, dtype=np.intp)
    equal = np.zeros(aligned.values.size, dtype=np.intp)

    def run(first: int, last: int) -> None:
        ustatistics.rank_counts(
            aligned.values, aligned.offsets, base.values, base.offsets, below, equal, first, last
        )

    share_out(run, aligned.prompts, aligned.values.size + base.values.size)
    return Calibration(below, equal, aligned, base.sizes)
