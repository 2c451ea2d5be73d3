"""Ranks of aligned samples among tied base samples, and tilts of the laws behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.empirical.scores.groups import Groups, share_out
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.empirical.statistics.duels import Duel, kernel_sides
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.errors import OutOfReachError
from infalign_theory.kernels import jackknife
from infalign_theory.kernels.jackknife import BaseLaws, Places, Table
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array, BoolArray, IntArray

_LARGEST_RANGE = 600.0  # of exponents: their exponentials must stay inside float64
_WORK = 50  # of the jackknife, for each sample, in units of reading one


@dataclass(frozen=True)
class TiedRanks:
    """Ranks of aligned samples among tied base samples: what a discrete fit looks at.

    ``counts`` are base samples of each grade, ``atoms`` (P + 1) their offsets; ``below`` and
    ``equal`` rank the aligned samples, in increasing order, ``offsets`` (P + 1) are theirs.
    """

    counts: IntArray
    atoms: IntArray
    below: IntArray
    equal: IntArray
    offsets: IntArray

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return self.offsets.size - 1

    @cached_property
    def base_sizes(self) -> IntArray:
        """K of each prompt."""
        running = np.concatenate([[0], np.cumsum(self.counts)])
        return np.asarray(np.diff(running[self.atoms]))

    @cached_property
    def usable(self) -> BoolArray:
        """Prompts with aligned samples and enough base samples for the jackknife."""
        return (np.diff(self.offsets) > 0) & (self.base_sizes >= jackknife.LEAST)

    @cached_property
    def base_laws(self) -> BaseLaws:
        """The base as the jackknife reads it: with many grades left out block by block."""
        many = np.diff(self.atoms) > jackknife.MOST_ATOMS
        step = np.where(many, self.base_sizes // jackknife.BLOCKS, 0).astype(np.intp)
        blocks = np.zeros((self.counts.size if many.any() else 0, jackknife.BLOCKS), np.int32)
        jackknife.shuffled_blocks(self.counts, self.atoms, step, blocks)
        return BaseLaws(self.counts, self.atoms, blocks, step)

    @cached_property
    def places(self) -> Places:
        """Different (below, equal) of each prompt and how many samples stand there."""
        new = np.ones(self.below.size, dtype=bool)
        new[1:] = (np.diff(self.below) != 0) | (np.diff(self.equal) != 0)
        new[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        at = np.flatnonzero(new)
        times = np.diff(np.append(at, self.below.size)).astype(np.int32)
        return Places(self.below[at], self.equal[at], times, np.searchsorted(at, self.offsets))

    def only(self, chosen: BoolArray) -> TiedRanks:
        """The same of some prompts."""
        samples, each = np.diff(self.offsets), np.diff(self.atoms)
        kept, held = np.repeat(chosen, samples), np.repeat(chosen, each)
        cuts = [
            np.concatenate([[0], np.cumsum(x[chosen])]).astype(np.intp) for x in (each, samples)
        ]
        return TiedRanks(self.counts[held], cuts[0], self.below[kept], self.equal[kept], cuts[1])

    def spread_over(self, among: BoolArray, most: int) -> TiedRanks:
        """At most so many of some prompts, evenly selected."""
        chosen = np.flatnonzero(among)
        if chosen.size == self.prompts <= most:
            return self
        kept = np.zeros(self.prompts, dtype=bool)
        places = np.linspace(0, chosen.size - 1, min(chosen.size, most)).astype(int)
        kept[chosen[places]] = True
        return self.only(kept)

    @cached_property
    def table(self) -> tuple[IntArray, Points]:
        """First table row of each K, and u of all rows."""
        enough = self.base_sizes >= jackknife.LEAST
        step = np.maximum(self.base_laws.step, 1)
        needed = np.unique(
            np.concatenate([(self.base_sizes - less * step)[enough] for less in range(3)])
            if enough.any()
            else [1]
        )
        needed = np.unique(np.concatenate([needed, self.base_sizes[enough] - 1])).astype(np.intp)
        first = np.zeros(int(needed[-1]) + 1, dtype=np.intp)
        first[needed] = np.concatenate([[0], np.cumsum(2 * needed + 1)[:-1]])
        row = np.concatenate([np.arange(2 * k + 1) for k in needed])
        size = np.repeat(2.0 * needed + 2.0, 2 * needed + 1)
        return first, Points.from_pair((row + 1) / size, (size - 1 - row) / size)

    def looked_up(self, eta: Array) -> Table:
        """Exponents as the jackknife looks them up, shifted to a largest of 0."""
        high = float(np.max(eta))
        if not high - float(np.min(eta)) < _LARGEST_RANGE:
            raise OutOfReachError(
                "the aligned samples are as extreme as the base samples can tell: the likelihood "
                "rises without end; give more base samples.",
                float(np.log(self.base_sizes.max() + 1.0)),
            )
        shifted = eta - high
        return Table(self.table[0], shifted, np.exp(shifted))

    def residuals(self, eta: Array, features: Array, order: int = 2) -> Array:
        """Log-likelihood and, for each feature (rows of u), mean less expectation: (P, 1 + q).

        ``order`` 2 is free of bias of orders 1/K and 1/K^2, order 1 of the first only.
        """
        out = np.empty((self.prompts, 1 + features.shape[0]))
        base, places, table = self.base_laws, self.places, self.looked_up(eta)
        columns = np.ascontiguousarray(features.T)

        def run(first: int, last: int) -> None:
            jackknife.residuals(
                base, places, table, features=columns, order=order, out=out, span=(first, last)
            )

        share_out(run, self.prompts, _WORK * self.below.size)
        return out

    def outcomes(self, eta: Array, duels: Sequence[Duel], order: int = 2) -> Array:
        """KL and win rates of the tilt in each prompt: (P, 1 + R)."""
        sides = kernel_sides(duels)
        out = np.empty((self.prompts, 1 + len(duels)))
        base, table = self.base_laws, self.looked_up(eta)

        def run(first: int, last: int) -> None:
            jackknife.outcomes(base, table, sides, order=order, out=out, span=(first, last))

        share_out(run, self.prompts, _WORK * self.counts.size)
        return out

    @cached_property
    def calibration(self) -> Calibration:
        """The same ranks without the base's own ties."""
        held = Groups(np.zeros(self.below.size), self.offsets)
        return Calibration(self.below, self.equal, held, self.base_sizes)

    def empirical_laws(self) -> PromptBases:
        """The empirical laws of the base on the usable prompts."""
        each = np.diff(self.atoms)
        kept = np.repeat(self.usable, each)
        mass = (self.counts / np.repeat(self.base_sizes, each))[kept]
        ends = np.concatenate([[0], np.cumsum(each[self.usable])])
        return PromptBases(Groups(mass, ends))
