r"""Truth behind a proxy, from base samples alone: the tilt reweights their (proxy, truth) pairs.

A policy trained on the proxy differs from the base by a density that depends on the proxy only,
so the base's own pairs, reweighted, say what the truth of its picks will be: within a prompt, the
mass that the policy's inference gives each atom of the proxy is shared equally by its samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.empirical.scores.groups import Groups, check_sorted
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.uncertainty import Estimate, mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.kernels import ustatistics
from infalign_theory.procedures import Procedure
from infalign_theory.typing import Array, IntArray

# effective samples of the median prompt below which a tilt is not read off its base samples
FEWEST_EFFECTIVE = 4.0
_MOST_COPIES = 4_000_000  # samples in all copies of the jackknife
_UNIT = (0.0, 1.0)


@dataclass(frozen=True)
class TruthPairs:
    """(proxy, truth) of the base samples of every prompt.

    ``proxy`` holds sorted scores, ``truth``, shape (M,), the true reward of each in the same
    order, finite throughout; no prompt is empty. :meth:`of` leaves out prompts where some truth
    is not known and says how many in ``excluded``.
    """

    proxy: Groups
    truth: Array
    excluded: int = 0

    @classmethod
    def of(cls, proxy: Groups, truth: ArrayLike) -> TruthPairs:
        """From sorted proxies; prompts with a missing truth (NaN) or no samples are left out.

        Examples
        --------
        >>> TruthPairs.of(Groups.stack([[1, 2], [3]]), [0, 1, float("nan")]).excluded
        1
        """
        check_sorted("proxy scores", proxy)
        values = np.ascontiguousarray(truth, dtype=np.float64)
        if values.shape != proxy.values.shape:
            raise InputError(
                f"truth has {values.size} entries for {proxy.values.size} samples; give one each."
            )
        if np.isinf(values).any():
            raise InputError("truth is not finite throughout; give NaN where it is not known.")
        known = (proxy.sums(np.isnan(values).astype(np.float64)) == 0) & (proxy.sizes > 0)
        if not known.any():
            raise InputError(
                "no prompt has the truth of all its samples; fill the column or leave it out."
            )
        kept, at = proxy.reordered(np.flatnonzero(known))
        return cls(kept, values[at], int(np.count_nonzero(~known)))

    @cached_property
    def bases(self) -> PromptBases:
        """Each prompt's discrete base of proxies."""
        return PromptBases.of(self.proxy)

    @cached_property
    def atom(self) -> IntArray:
        """Atom of each sample."""
        new = np.ones(self.proxy.values.size, dtype=bool)
        new[1:] = np.diff(self.proxy.values) != 0
        new[self.proxy.offsets[:-1]] = True
        return np.cumsum(new) - 1

    @cached_property
    def samples(self) -> Array:
        """How many samples share each atom."""
        return np.bincount(self.atom).astype(np.float64)

    @cached_property
    def atom_truth(self) -> Array:
        """Mean truth of the samples of each atom."""
        return np.bincount(self.atom, weights=self.truth) / self.samples

    @cached_property
    def _order(self) -> IntArray:
        """Samples sorted by truth within each prompt."""
        return np.lexsort((self.truth, self.proxy.owner))

    def shared(self, atom_mass: Array) -> Array:
        """The mass of each atom, shared equally by its samples."""
        return np.asarray((atom_mass / self.samples)[self.atom])

    def win_rates(
        self, log_ratio: Array, procedure: Procedure, against: Procedure | None = None
    ) -> Array:
        r"""True win rate of each prompt's policy, both picks made by the proxy.

        :math:`\sum_{ij} q_i r_j [1\{v_i > v_j\} + \tfrac12 1\{v_i = v_j\}]` with q and r the
        chances that the policy's and the base's inference pick each sample; ``log_ratio`` is the
        policy's log density ratio at each atom of :attr:`bases`.
        """
        ours = self.shared(self.bases.picked(log_ratio, procedure))
        theirs = self.shared(self.bases.increments(procedure if against is None else against))
        out = np.empty(self.proxy.prompts)
        ustatistics.weighted_win_rates(
            self.truth, self._order, self.proxy.offsets, ours, theirs, out
        )
        return out

    def means(self, log_ratio: Array, procedure: Procedure) -> Array:
        """Expected truth of the pick that each prompt's policy makes by the proxy."""
        ours = self.shared(self.bases.picked(log_ratio, procedure))
        return self.proxy.sums(ours * self.truth)

    def effective_samples(self, log_ratio: Array) -> Array:
        """Kish's effective number of each prompt's samples under the tilt: 1 / sum of squares."""
        weights = self.shared(self.bases.mass * np.exp(log_ratio))
        return np.asarray(1.0 / self.proxy.sums(weights**2))

    def carrying(self, log_ratio: Array) -> float:
        """Effective samples of the median prompt: what :data:`FEWEST_EFFECTIVE` is a floor of."""
        return float(np.median(self.effective_samples(log_ratio)))

    def only(self, chosen: IntArray) -> TruthPairs:
        """Some of the prompts, by position."""
        proxy, at = self.proxy.reordered(chosen)
        return TruthPairs(proxy, self.truth[at], self.excluded)

    @cached_property
    def thinned(self) -> ThinnedPairs | None:
        """All prompts and, for each sample, its prompt without it; None where that is too much."""
        sizes = self.proxy.sizes
        if float(np.sum(sizes.astype(np.float64) ** 2)) > _MOST_COPIES:
            return None
        rows, owners, lengths, weights = [], [], [], []
        for prompt, (first, size) in enumerate(
            zip(self.proxy.offsets[:-1].tolist(), sizes.tolist(), strict=True)
        ):
            whole = np.arange(size)
            rows.append(first + whole)
            copies = size if size > 1 else 0
            if copies:
                keep = np.broadcast_to(whole, (size, size))[~np.eye(size, dtype=bool)]
                rows.append(first + keep)
            owners += [prompt] * (1 + copies)
            lengths += [size] + [size - 1] * copies
            weights += [float(size) if copies else 1.0] + [-(size - 1.0) / size] * copies
        at = np.concatenate(rows)
        proxy = Groups(self.proxy.values[at], np.concatenate([[0], np.cumsum(lengths)]))
        pairs = TruthPairs(proxy, self.truth[at])
        return ThinnedPairs(pairs, np.array(owners), np.array(weights), self.proxy.prompts)


@dataclass(frozen=True)
class ThinnedPairs:
    """Pairs of every prompt and of the prompt without each sample, with jackknife weights."""

    pairs: TruthPairs
    owner: IntArray
    weights: Array
    prompts: int

    def corrected(self, values: Array) -> Array:
        """A statistic of every prompt, its bias of order 1/K removed."""
        return np.asarray(np.bincount(self.owner, self.weights * values, minlength=self.prompts))


@dataclass(frozen=True)
class TrueWinRate:
    """The true win rate of one policy from base samples, with its interval over prompts."""

    estimate: Estimate
    effective_samples: float


def true_win_rate(
    pairs: TruthPairs,
    log_ratio_of: Callable[[PromptBases], Array],
    procedure: Procedure,
    against: Procedure | None = None,
    *,
    level: float = 0.95,
) -> TrueWinRate:
    """Mean over prompts of the true win rate, finite-sample bias removed where that is possible.

    ``log_ratio_of`` gives the policy's log density ratio at the atoms of any bases: it is asked
    for the prompts' own and for those with one sample less (jackknife, bias of order 1/K^2 left).
    """
    own = log_ratio_of(pairs.bases)
    thinned = pairs.thinned
    if thinned is None:
        values = pairs.win_rates(own, procedure, against)
    else:
        ratio = log_ratio_of(thinned.pairs.bases)
        values = thinned.corrected(thinned.pairs.win_rates(ratio, procedure, against))
    effective = pairs.carrying(own)
    found = mean_over_prompts(values, level=level, bounds=_UNIT)
    clipped = Estimate(
        min(max(found.value, 0.0), 1.0), found.stderr, found.ci, found.prompts, pairs.excluded
    )
    return TrueWinRate(clipped, effective)
