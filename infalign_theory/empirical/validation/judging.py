"""One aligned policy after the other: what was measured, beside what theory expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from infalign_theory.empirical.fitting.discrete_fit import TiedRanks
from infalign_theory.empirical.fitting.goodness import calibrated_kl
from infalign_theory.empirical.fitting.theories import (
    CONTINUOUS,
    DISCRETE,
    ENOUGH_BASE,
    Ask,
    Theory,
    calibration_of,
    theory_of,
)
from infalign_theory.empirical.scores.findings import Finding
from infalign_theory.empirical.statistics.kl import kl_floor
from infalign_theory.empirical.statistics.uncertainty import (
    Estimate,
    bootstrap_over_prompts,
    mean_over_prompts,
    paired_difference,
    student_interval,
)
from infalign_theory.empirical.survey.shares import PolicyNumbers, Question, Share
from infalign_theory.empirical.validation.results import (
    Difference,
    Pick,
    PolicyValidation,
    TrueReward,
    WinRate,
)
from infalign_theory.empirical.validation.standing import DiscreteStanding, optimal_kl
from infalign_theory.empirical.validation.verdicts import verdict
from infalign_theory.errors import InputError
from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.typing import Array, BoolArray

_UNIT = (0.0, 1.0)
# a fit can match an estimate by construction; what is left is then measured in this part of the
# estimate's own error
_LEAST_ERROR = 0.1
# of the largest error the law allows: well below the real one, which is half of it or more
_LEAST_SHARE = 0.3
_ENOUGH_ATOMS = 50  # scores that are not all even by chance
_HUGE = 1e12  # a k3 that one sample makes
_MANY = 0.01  # of a policy's rows


@dataclass(frozen=True)
class View:
    """Everything measured, looked at one policy at a time."""

    question: Question
    share: Share
    ask: Ask
    resamples: int
    seed: int

    def row(self, name: str) -> int:
        return self.ask.procedures.index(name)

    def shared(self, i: int) -> BoolArray:
        """Prompts with samples of both policies."""
        return (self.share.policies[i].samples > 0) & (self.share.base.samples > 0)

    def judgeable(self) -> tuple[list[int], list[Finding]]:
        """Policies that can be judged, and why the others cannot."""
        kept, lost = [], []
        if not self.share.base.samples.any():
            raise InputError(
                f"the base {self.question.policies[0]!r} has no sample with a usable reward; check "
                f"column {self.question.source.columns['reward']!r}."
            )
        atoms = self.share.base.atoms
        if atoms.size > _ENOUGH_ATOMS and not (atoms % 2).any():
            lost.append(Finding("doubled", self.question.policies[0], self.share.prompts))
        for i, numbers in enumerate(self.share.policies):
            name = self.question.policies[1 + i]
            if self.shared(i).any():
                kept.append(i)
            else:
                kind = "nothing_shared" if numbers.samples.any() else "no_samples"
                lost.append(Finding(kind, name, int(numbers.samples.sum())))
        return kept, lost

    def too_few(self, i: int, names: Sequence[str]) -> list[Finding]:
        rates, shared = self.share.policies[i].win_rates, self.shared(i)
        counts = [(name, np.count_nonzero(shared & np.isnan(rates[self.row(name)])))
                  for name in names]  # fmt: skip
        policy = self.question.policies[1 + i]
        return [Finding("too_few", policy, int(c), None, name) for name, c in counts if c]

    def ranks(self, i: int) -> TiedRanks:
        """Ranks on the prompts of both policies."""
        numbers, base = self.share.policies[i], self.share.base
        cuts = [np.concatenate([[0], np.cumsum(each)]).astype(np.intp)
                for each in (base.atoms_each, numbers.samples)]  # fmt: skip
        every = TiedRanks(base.atoms, cuts[0], numbers.below, numbers.equal, cuts[1])
        return every.only(self.shared(i))

    def judged(self, i: int, law: str, names: Sequence[str]) -> PolicyValidation:
        numbers, shared, name = (
            self.share.policies[i],
            self.shared(i),
            self.question.policies[i + 1],
        )
        ranks = self.ranks(i)
        theory, notes = theory_of(ranks, law, self.ask)
        ratios = numbers.k1[shared], numbers.k3[shared]
        endless = bool(np.nanmax(np.abs(ratios[1]), initial=0.0) > _HUGE)
        k1 = None if np.isnan(ratios[0]).all() else self._estimate(ratios[0])
        k3 = None if k1 is None or endless else self._estimate(ratios[1])
        spent, origin = _spent(k1, theory)
        bench = _Bench(law, ranks)
        rows = tuple(self._row(i, p, theory, spent, bench) for p in names)
        standard = self._estimate(numbers.win_rates[0][shared], _UNIT)
        result = PolicyValidation(
            name, int(np.count_nonzero(shared)), int(numbers.samples.sum()),
            self._estimate(numbers.ties[shared]).value, kl_floor(standard.value),
            k1, k3, calibrated_kl(calibration_of(ranks), level=self.ask.level),
            spent, origin, theory, rows, (),
            notes + _cautions(law, ranks, theory, rows, endless) + _doubts(k1, standard)
            + self._left_out(i),
            self.share.extremes[i],
        )  # fmt: skip
        return verdict(result, self.ask, self.question.policies[0])

    def _left_out(self, i: int) -> tuple[str, ...]:
        """A note where so many rewards are unusable that the win rates may be of a selection."""
        out = []
        for pid in (0, i + 1):
            bad, _ = self.share.findings.found.get(("bad_reward", pid), (0, None))
            rows = bad + self.share.findings.samples[pid]
            if bad > _MANY * rows:
                out.append(
                    f"{bad} of {rows} rewards of {self.question.policies[pid]} are missing or not "
                    "finite: win rates are those of the others, which may flatter it"
                )
        return tuple(out)

    def _estimate(self, values: Array, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Estimate:
        return mean_over_prompts(values, level=self.ask.level, bounds=bounds)

    def _row(
        self, i: int, name: str, theory: Theory | None, spent: float | None, bench: _Bench
    ) -> WinRate:
        at, shared = self.row(name), self.shared(i)
        numbers, base = self.share.policies[i], self.share.base
        rates = numbers.win_rates[at][shared]
        if np.isnan(rates).all():
            raise InputError(
                f"{name}: no prompt has enough samples of both {self.question.policies[0]!r} and "
                f"{self.question.policies[i + 1]!r}; collect more or take a smaller N."
            )
        found = self._estimate(rates, _UNIT)
        ci = found.ci
        if self.resamples and found.prompts > 1:
            ci = bootstrap_over_prompts(
                rates, rng=self.seed, resamples=self.resamples, level=self.ask.level
            ).ci
        predicted, predicted_ci, z = None, None, None
        if theory is not None:
            predicted, predicted_ci, z = _against(
                rates, theory, at, self._blocks(i, name), self.ask.level
            )
        least = bench.optimal_kl(name, found.value)
        ends = None
        if ci is not None:
            ends = bench.optimal_kl(name, ci[0]), bench.optimal_kl(name, ci[1])
        efficiency = None
        if least is not None and spent and spent > 0.0 and found.value > 0.5:
            efficiency = least / spent
        return WinRate(
            name, found.value, found.stderr, ci, predicted, predicted_ci, z, found.prompts,
            found.excluded, least, ends, efficiency,
            _pick(numbers.picks.reward[at], base.picks.reward[at], shared),
            self._truth(numbers, at, shared),
        )  # fmt: skip

    def _blocks(self, i: int, name: str) -> float:
        """Independent comparisons a prompt holds: disjoint subsets on the smaller side, mean."""
        sizes = np.minimum(self.share.policies[i].samples, self.share.base.samples)[self.shared(i)]
        each = sizes // power_sides(as_procedure(name))[1]
        return float(each[each > 0].mean())

    def _truth(self, numbers: PolicyNumbers, at: int, shared: BoolArray) -> TrueReward | None:
        true = numbers.true_win_rates[at][shared]
        if np.isnan(true).all():
            return None
        ours, theirs = numbers.picks, self.share.base.picks
        return TrueReward(
            self._estimate(true, _UNIT),
            paired_difference(numbers.win_rates[at][shared], true, level=self.ask.level),
            _pick(ours.truth[at], theirs.truth[at], shared),
            _pick(ours.oracle[at], theirs.oracle[at], shared),
        )

    def differences(self, kept: Sequence[int], names: Sequence[str]) -> list[Difference]:
        out = []
        for i, j in combinations(kept, 2):
            for name in names:
                ours, theirs = (self.share.policies[x].win_rates[self.row(name)] for x in (i, j))
                if not np.isnan(ours - theirs).all():
                    found = paired_difference(ours, theirs, level=self.ask.level)
                    first, second = (self.question.policies[1 + x] for x in (i, j))
                    out.append(Difference(first, second, name, found))
        return out


class _Bench:
    """The least KL for a win rate, on the law that theory uses."""

    def __init__(self, law: str, ranks: TiedRanks) -> None:
        self.law, self.ranks = law, ranks
        self.standings: dict[str, DiscreteStanding] = {}

    def optimal_kl(self, name: str, win_rate: float) -> float | None:
        if self.law == CONTINUOUS:
            return optimal_kl(as_procedure(name), win_rate)
        if name not in self.standings:
            self.standings[name] = DiscreteStanding(
                self.ranks.counts, self.ranks.atoms, as_procedure(name)
            )
        return self.standings[name].optimal_kl(win_rate)


def _pick(ours: Array, theirs: Array, shared: BoolArray) -> Pick:
    """Means over the prompts that have both numbers."""
    both = shared & ~np.isnan(ours) & ~np.isnan(theirs)
    return Pick(float(ours[both].mean()), float(theirs[both].mean()))


def _spent(ratios: Estimate | None, theory: Theory | None) -> tuple[float | None, str]:
    if ratios is not None:
        return ratios.value, "log-ratios"
    if theory is not None:
        return theory.kl.value, "theory"
    return None, "none"


def _against(
    rates: Array, theory: Theory, at: int, blocks: float, level: float
) -> tuple[float | None, tuple[float, float] | None, float | None]:
    """Prediction on the prompts observed, its interval, and z of the difference.

    With both means written as sums of independent contributions of prompts, fitted parameters
    included, their difference has the error of its own contributions. Where nearly all prompts
    agree that error is no estimate: it is kept above a share of what the law itself allows,
    W (1 - W) over the number of independent comparisons (Hoeffding 1963, section 5).
    """
    local, through = theory.local[:, at], theory.influence[:, at]
    both = ~np.isnan(rates) & ~np.isnan(local)
    count = int(np.count_nonzero(both))
    if count < 2:
        return None, None, None
    used = both | (through != 0.0)
    total = int(np.count_nonzero(used))
    predicted = float(np.clip(local[both].mean(), 0.0, 1.0))
    gap = float(rates[both].mean()) - predicted

    def error(values: Array, mean: float, sign: float) -> float:
        each = np.where(both, (values - mean) * (total / count), 0.0) + sign * through
        return float(np.sqrt(np.sum(each[used] ** 2) / (total * (total - 1.0))))

    filled = np.where(both, rates, 0.0), np.where(both, local, 0.0)
    wobble = error(filled[1], predicted, 1.0)
    interval = student_interval(predicted, wobble, total, level, _UNIT) if wobble > 0.0 else None
    spread = error(filled[0] - filled[1], gap, -1.0)
    own = float(np.std(rates[both], ddof=1) / np.sqrt(count))
    own = max(own, _LEAST_SHARE * np.sqrt(predicted * (1.0 - predicted) / (blocks * count)))
    known = theory.law == CONTINUOUS and not theory.fitted
    spread = max(spread, own if known else _LEAST_ERROR * own)
    return predicted, interval, float(gap / spread) if spread > 0.0 else None


def _cautions(
    law: str,
    ranks: TiedRanks,
    theory: Theory | None,
    rows: Sequence[WinRate],
    endless: bool,
) -> tuple[str, ...]:
    """What the numbers cannot tell by themselves."""
    out = []
    few = int(np.median(ranks.base_sizes))
    if law == DISCRETE and theory is not None and theory.fitted and few < ENOUGH_BASE:
        out.append(
            f"{few} base samples a prompt and many ties: the fitted law, its KL and its "
            f"predictions may be off by more than their errors; {ENOUGH_BASE} or more are needed"
        )
    agreed = [row.procedure for row in rows if row.stderr is not None and row.stderr < 1e-12]
    if agreed:
        out.append(
            f"every prompt agrees under {', '.join(agreed)}: the interval has no width and says "
            "nothing of rarer outcomes"
        )
    if endless:
        out.append("k3 is beyond measure: some sample has a log-ratio far below 0")
    return tuple(out)


def _doubts(kl: Estimate | None, standard: Estimate) -> tuple[str, ...]:
    """Log-ratios that cannot be what they should be."""
    if kl is None or kl.ci is None:
        return ()
    if kl.ci[1] < 0.0:
        return (
            "the KL from log-ratios is below 0, which no policy has: give log pi - log pi_ref of "
            "the policy's own samples, not the other way round and not log pi alone",
        )
    if standard.ci is not None:
        worst = standard.ci[0] if standard.value > 0.5 else standard.ci[1]
        told = (standard.value - 0.5) * (worst - 0.5) > 0.0
        if told and kl.ci[1] < kl_floor(worst):
            return (
                "the KL from log-ratios is below what this win rate needs at least: are they of "
                "whole sequences, in nats, neither averaged over tokens nor scaled?",
            )
    return ()
