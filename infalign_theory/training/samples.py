"""Base samples of many prompts as one sorted table, and where further rewards fall in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import vector
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, IntArray


@dataclass(frozen=True)
class BaseSamples:
    """Rewards of the base model, prompt after prompt, increasing within each.

    ``prompts`` are P names; prompt i owns ``rewards[offsets[i]:offsets[i + 1]]``.
    """

    prompts: tuple[str, ...]
    rewards: Array
    offsets: IntArray

    @classmethod
    def read(cls, scores: ScoresLike, prompt: str, reward: str) -> BaseSamples:
        """From files or tables; every source that predictions read."""
        found = read_scores(scores, prompt=prompt, reward=reward)
        return cls(found.prompts, found.rewards.values, found.rewards.offsets)

    @classmethod
    def collect(cls, prompts: Sequence[str], rewards: ArrayLike) -> BaseSamples:
        """From one prompt and one reward a sample, in any order."""
        values = vector(rewards, "rewards")
        if len(prompts) != values.size:
            raise InputError(
                f"{len(prompts)} prompts and {values.size} rewards; give one of each a sample."
            )
        names, owner = np.unique(np.asarray(prompts, dtype=object), return_inverse=True)
        order = np.lexsort((values, owner))
        counts = np.bincount(owner, minlength=names.size)
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        return cls(tuple(str(name) for name in names), values[order], offsets)

    def joined(self, other: BaseSamples) -> BaseSamples:
        """These samples and others, prompts in increasing order."""
        names = [self.names(), other.names()]
        rewards = np.concatenate([self.rewards, other.rewards])
        return BaseSamples.collect([name for part in names for name in part], rewards)

    def names(self) -> list[str]:
        """The prompt of every sample."""
        return [self.prompts[i] for i in self.owner.tolist()]

    @cached_property
    def sizes(self) -> IntArray:
        """Samples of each prompt."""
        return np.diff(self.offsets)

    @cached_property
    def owner(self) -> IntArray:
        """Prompt of each sample."""
        return np.repeat(np.arange(self.sizes.size), self.sizes)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.prompts)}

    def find(self, prompts: Sequence[str]) -> IntArray:
        """Place of each prompt, -1 for those without base samples."""
        index = self._index
        return np.fromiter((index.get(p, -1) for p in prompts), dtype=np.intp, count=len(prompts))

    def ranks(self, owner: IntArray, rewards: Array) -> tuple[IntArray, IntArray]:
        """Base samples of the same prompt that score below each reward, and at most it."""
        first, last = self.offsets[owner], self.offsets[owner + 1]
        below = _search(self.rewards, first, last, rewards, strict=True) - first
        up_to = _search(self.rewards, first, last, rewards, strict=False) - first
        return below, up_to

    @cached_property
    def ties(self) -> float:
        """Share of tied pairs among the samples of a prompt, mean over prompts."""
        starts = np.flatnonzero(
            np.r_[True, (np.diff(self.rewards) != 0) | (np.diff(self.owner) > 0)]
        )
        runs = np.diff(np.r_[starts, self.rewards.size]).astype(np.float64)
        tied = np.bincount(self.owner[starts], runs * (runs - 1), minlength=self.sizes.size)
        pairs = np.maximum(self.sizes * (self.sizes - 1.0), 1.0)
        return float(np.mean(tied / pairs))


def _search(
    values: Array, first: IntArray, last: IntArray, wanted: Array, *, strict: bool
) -> IntArray:
    """Binary search of each wanted number in its own stretch of values, all at once."""
    low, high = first.copy(), last.copy()
    for _ in range(int(np.max(last - first, initial=1)).bit_length()):
        middle = (low + high) // 2
        found = values[np.minimum(middle, values.size - 1)]
        right = (found < wanted if strict else found <= wanted) & (low < high)
        low = np.where(right, middle + 1, low)
        high = np.where(right, high, middle)
    return low
