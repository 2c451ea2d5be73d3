"""Base samples with a proxy reward and a truth each, prompt by prompt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, IntArray

_FEWEST_PROMPTS = 2


@dataclass(frozen=True)
class Pairs:
    """Proxy and truth of the same samples.

    Attributes
    ----------
    prompts : tuple of str
    proxy : Groups
        Sorted within each prompt.
    truth : ndarray, shape (M,)
        Finite, in the same order.
    notes : tuple of str
        What was left out.
    """

    prompts: tuple[str, ...]
    proxy: Groups
    truth: Array
    notes: tuple[str, ...]

    @classmethod
    def read(
        cls,
        scores: ScoresLike,
        *,
        prompt: str,
        reward: str,
        truth: str,
        policy: str | None,
        base: str | None,
        wide: WideLike | None,
    ) -> Pairs:
        """From files or tables; samples without a truth are left out and counted."""
        table = read_scores(
            scores, prompt=prompt, reward=reward, truth=truth, policy=policy, base=base, wide=wide
        )
        if table.truth is None:
            raise InputError(f"column {truth!r} was not read; name the column of the truth.")
        return cls.of(table.prompts, table.rewards, table.truth)

    @classmethod
    def of(cls, prompts: tuple[str, ...], proxy: Groups, truth: Array) -> Pairs:
        """From sorted proxies and their truths, NaN where not known."""
        known = ~np.isnan(truth)
        notes = []
        if not known.all():
            notes.append(
                f"{int((~known).sum())} of {known.size} samples have no truth and are left out; "
                "where truth is known must not depend on the truth itself"
            )
        sizes = np.bincount(proxy.owner[known], minlength=proxy.prompts)
        kept = np.flatnonzero(sizes >= 1)
        if kept.size < proxy.prompts:
            notes.append(f"{proxy.prompts - kept.size} prompts without any truth are left out")
        if kept.size < _FEWEST_PROMPTS:
            raise InputError(
                f"{kept.size} prompts have samples with a truth; intervals over prompts need at "
                f"least {_FEWEST_PROMPTS}."
            )
        return cls(
            tuple(prompts[i] for i in kept),
            Groups(proxy.values[known], np.concatenate([[0], np.cumsum(sizes[kept])])),
            truth[known],
            tuple(notes),
        )

    def only(self, chosen: IntArray) -> Pairs:
        """Some of the prompts, by position."""
        proxy, at = self.proxy.reordered(chosen)
        return Pairs(tuple(self.prompts[int(i)] for i in chosen), proxy, self.truth[at], self.notes)
