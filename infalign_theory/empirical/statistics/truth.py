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
from scipy import special

from infalign_theory.empirical.scores.groups import Groups, check_sorted
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.uncertainty import Estimate, mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.kernels import ustatistics
from infalign_theory.procedures import Procedure
from infalign_theory.typing import Array, IntArray

# effective samples a prompt below which a tilt is not read off its base samples
FEWEST_EFFECTIVE = 3.0
_MOST_COPIES = 4_000_000  # samples in all copies of the jackknife
_FALSE_ALARMS = 0.05
_RESAMPLES = 1000
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
    def _atom(self) -> IntArray:
        """Atom of each sample."""
        new = np.ones(self.proxy.values.size, dtype=bool)
        new[1:] = np.diff(self.proxy.values) != 0
        new[self.proxy.offsets[:-1]] = True
        return np.cumsum(new) - 1

    @cached_property
    def _samples(self) -> Array:
        """How many samples share each atom."""
        return np.bincount(self._atom).astype(np.float64)

    @cached_property
    def _order(self) -> IntArray:
        """Samples sorted by truth within each prompt."""
        return np.lexsort((self.truth, self.proxy.owner))

    def shared(self, atom_mass: Array) -> Array:
        """The mass of each atom, shared equally by its samples."""
        return np.asarray((atom_mass / self._samples)[self._atom])

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
class Onset:
    """Where the truth stops rising along a tilt.

    ``kl`` in nats, with an interval ``ci`` over prompts; both None where no fall is told from
    chance. ``reach`` is the largest KL these samples can tell of.
    """

    kl: float | None
    ci: tuple[float, float] | None
    reach: float


def onset(kls: ArrayLike, truths: Array, seed: int = 0) -> Onset:
    r"""KL from which on the truth falls, from each prompt's curve of truth against KL.

    ``kls``, shape (M,), rise; ``truths``, shape (P, M), holds a prompt's truth at each. The onset
    is the peak of the mean curve, told only if the fall from it to some later KL is more than
    chance gives a curve that never falls: the largest studentised fall is compared with its
    95 % quantile under multiplier resampling of prompts, so that at most about 5 % of worlds
    without a fall raise an alarm. The interval holds the peaks of resampled prompts.

    Examples
    --------
    >>> kl = np.linspace(0, 1, 11)
    >>> noise = np.random.default_rng(0).normal(0, 0.01, (50, 1))
    >>> round(onset(kl, 0.5 + kl * (1 - kl) + noise).kl, 2)
    0.5
    """
    nats = np.asarray(kls, dtype=np.float64)
    reach = float(nats[-1])
    prompts, points = truths.shape
    if prompts < 2 or points < 3:
        return Onset(None, None, reach)
    rng = np.random.default_rng(seed)
    mean = truths.mean(axis=0)
    rises = np.diff(truths, axis=1)
    # falls over one step, and from each point to the end
    tails = np.cumsum(rises[:, ::-1], axis=1)[:, ::-1]
    changes = np.concatenate([rises, tails], axis=1)
    centre = changes.mean(axis=0)
    error = changes.std(axis=0, ddof=1) / np.sqrt(prompts)
    told = error > 1e-12
    exact = bool(np.any(~told & (centre < -1e-12)))
    if told.any():
        signs = rng.standard_normal((_RESAMPLES, prompts))
        noise = signs @ (changes[:, told] - centre[told]) / (prompts * error[told])
        limit = float(np.quantile(noise.max(axis=1), 1.0 - _FALSE_ALARMS))
        # heavier tails where prompts are few
        limit *= float(special.stdtrit(prompts - 1, 0.975) / special.ndtri(0.975))
        alarm = bool(np.max(-centre[told] / error[told]) > limit)
    else:
        alarm = False
    if not (alarm or exact):
        return Onset(None, None, reach)
    drawn = rng.multinomial(prompts, np.full(prompts, 1.0 / prompts), size=_RESAMPLES)
    peaks = np.array([_peak(nats, curve) for curve in drawn @ truths / prompts])
    low, high = (float(x) for x in np.quantile(peaks, [0.025, 0.975]))
    return Onset(_peak(nats, mean), (low, high), reach)


def _peak(kls: Array, curve: Array) -> float:
    """Where a curve is largest: the top of the parabola through the highest point's neighbours."""
    at = int(np.argmax(curve))
    if at in (0, kls.size - 1):
        return float(kls[at])
    x, y = kls[at - 1 : at + 2], curve[at - 1 : at + 2]
    steps, slopes = np.diff(x), np.diff(y) / np.diff(x)
    bend = slopes[0] - slopes[1]
    if bend <= 0.0:
        return float(x[1])
    middle = (x[:-1] + x[1:]) / 2
    top = middle[0] + slopes[0] / bend * (steps.sum() / 2)
    return float(np.clip(top, x[0], x[2]))


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
    thinned = pairs.thinned()
    if thinned is None:
        values = pairs.win_rates(own, procedure, against)
    else:
        ratio = log_ratio_of(thinned.pairs.bases)
        values = thinned.corrected(thinned.pairs.win_rates(ratio, procedure, against))
    effective = float(np.mean(pairs.effective_samples(own)))
    found = mean_over_prompts(values, level=level, bounds=_UNIT)
    clipped = Estimate(
        min(max(found.value, 0.0), 1.0), found.stderr, found.ci, found.prompts, pairs.excluded
    )
    return TrueWinRate(clipped, effective)
