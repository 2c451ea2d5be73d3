"""Base samples with a proxy reward and a truth each, prompt by prompt."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.reading import read_policies
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.empirical.statistics.truth import TruthPairs
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, IntArray

_FEWEST_PROMPTS = 2


@dataclass(frozen=True)
class Pairs:
    """Proxy and truth of the same samples.

    Attributes
    ----------
    prompts : tuple of str
    samples : TruthPairs
        (proxy, truth) of every prompt.
    notes : tuple of str
        What was left out.
    """

    prompts: tuple[str, ...]
    samples: TruthPairs
    notes: tuple[str, ...]

    @property
    def proxy(self) -> Groups:
        """Proxy rewards, sorted within each prompt."""
        return self.samples.proxy

    @property
    def truth(self) -> Array:
        """Truth of each sample in the same order, finite."""
        return self.samples.truth

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
    ) -> tuple[Pairs, dict[str, Pairs]]:
        """The base's pairs from files or tables, and those of all other policies by name.

        Samples without a truth are left out and counted; other policies with truths on fewer than
        two prompts are left out with a note.
        """
        tables = read_policies(
            scores, prompt=prompt, reward=reward, truth=truth, policy=policy, base=base, wide=wide
        )
        (_, first), *others = tables.items()
        if first.truth is None:
            raise InputError(f"column {truth!r} was not read; name the column of the truth.")
        own = cls.of(first.prompts, first.rewards, first.truth)
        trained, notes = {}, []
        for name, table in others:
            assert table.truth is not None  # the same columns as the base's
            known = table.rewards.sums((~np.isnan(table.truth)).astype(np.float64))
            if np.count_nonzero(known) < _FEWEST_PROMPTS:
                notes.append(f"{name}: too few prompts have a truth; it is left out")
            else:
                trained[name] = cls.of(table.prompts, table.rewards, table.truth)
        return replace(own, notes=(*own.notes, *notes)), trained

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
                f"{kept.size} prompts have samples with a truth that is a number, 0/1 or "
                f"true/false; intervals over prompts need at least {_FEWEST_PROMPTS}."
            )
        return cls(
            tuple(prompts[i] for i in kept),
            TruthPairs.of(
                Groups(proxy.values[known], np.concatenate([[0], np.cumsum(sizes[kept])])),
                truth[known],
            ),
            tuple(notes),
        )

    def only(self, chosen: IntArray) -> Pairs:
        """Some of the prompts, by position."""
        return Pairs(
            tuple(self.prompts[int(i)] for i in chosen), self.samples.only(chosen), self.notes
        )
