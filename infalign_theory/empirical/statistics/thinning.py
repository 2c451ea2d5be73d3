r"""Statistics of prompts' discrete bases without the bias of finite samples: a jackknife.

A statistic S_K of K base samples of a prompt, such as the win rate of the tilt of its empirical
law, has a bias with an expansion in 1/K. With S_(K-1) and S_(K-2) averaged over all ways to leave
out one and two samples,

.. math:: \tfrac12 [K^2 S_K - 2 (K-1)^2 S_{K-1} + (K-2)^2 S_{K-2}]

has a bias of order 1/K^3 only (Schucany, Gray and Owen, 1971; docs/mathematics/scores.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.kernels.segments import leave_out
from infalign_theory.typing import Array, IntArray


@dataclass(frozen=True)
class ThinnedBases:
    """The base of every prompt, and those with one or two samples less, weighted.

    ``owner`` is the prompt of each copy in ``bases``; the weighted sum of a statistic over the
    copies of a prompt estimates it for the law the samples came from.
    """

    bases: PromptBases
    owner: IntArray
    weights: Array
    prompts: int

    @classmethod
    def of(cls, rewards: Groups, most_atoms: int) -> ThinnedBases | None:
        """The highest order of which all copies together have at most so many atoms."""
        given = PromptBases.of(rewards)
        counts = np.rint(given.mass * given.spread_out(rewards.sizes.astype(np.float64)))
        each = np.diff(given.offsets).astype(np.float64)
        cost = {2: np.sum(each * (1 + each * (each + 3) / 2)), 1: np.sum(each * (1 + each))}
        order = next((order for order, atoms in cost.items() if atoms <= most_atoms), 0)
        if order == 0:
            return None
        left, ends, owner, weights = leave_out(counts, given.offsets, order)
        copies = Groups(left, ends)
        mass = left / copies.spread(copies.sums(left))
        return cls(PromptBases(Groups(mass, ends)), owner, weights, given.prompts)

    def corrected(self, values: Array) -> Array:
        """The statistic of every prompt from those of all its copies."""
        weighted = self.weights * values
        return np.asarray(np.bincount(self.owner, weighted, minlength=self.prompts))
