"""One aligned policy after the other: what was measured, beside what theory expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from infalign_theory.empirical.fitting.goodness import calibrated_kl
from infalign_theory.empirical.fitting.laws import Law, Theory, TheoryRequest
from infalign_theory.empirical.fitting.theories import theory_of
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.scores.findings import Finding
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.kl import kl_floor
from infalign_theory.empirical.statistics.uncertainty import (
    ANYWHERE,
    Bounds,
    Estimate,
    bootstrap_over_prompts,
    mean_over_prompts,
    paired_difference,
)
from infalign_theory.empirical.survey.measurements import Measurements, PolicyNumbers
from infalign_theory.empirical.survey.questions import Question
from infalign_theory.empirical.validation.agreement import Agreement, agreement
from infalign_theory.empirical.validation.departures import Spread
from infalign_theory.empirical.validation.doubts import cautions, left_out
from infalign_theory.empirical.validation.predictions import Prediction, predicted
from infalign_theory.empirical.validation.results import (
    Difference,
    Pick,
    PolicyValidation,
    TrueReward,
    WinRate,
)
from infalign_theory.empirical.validation.spending import Spending, spending
from infalign_theory.empirical.validation.spreading import spread_over_prompts
from infalign_theory.empirical.validation.standing import LeastKL
from infalign_theory.empirical.validation.verdicts import verdict
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, BoolArray

_UNIT = (0.0, 1.0)
_ENOUGH_ATOMS = 50  # scores that are not all even by chance
_HUGE = 1e12  # a k3 that one sample makes


@dataclass(frozen=True)
class Judge:
    """Everything measured, looked at one policy at a time.

    ``resamples`` and ``seed`` are those of bootstrap intervals; 0 resamples for Student's.
    """

    question: Question
    measured: Measurements
    request: TheoryRequest
    resamples: int
    seed: int

    def place(self, duel: Duel) -> int:
        """Row of a duel in everything measured."""
        return self.request.duels.index(duel)

    def shared(self, i: int) -> BoolArray:
        """Prompts with samples of both policies."""
        return (self.measured.policies[i].samples > 0) & (self.measured.base.samples > 0)

    def judgeable(self) -> tuple[list[int], list[Finding]]:
        """Policies that can be judged, and why the others cannot."""
        kept, lost = [], []
        if not self.measured.base.samples.any():
            raise InputError(
                f"the base {self.question.policies[0]!r} has no sample with a usable reward; check "
                f"column {self.question.source.columns['reward']!r}."
            )
        atoms = self.measured.base.atoms
        if atoms.size > _ENOUGH_ATOMS and not (atoms % 2).any():
            lost.append(Finding("doubled", self.question.policies[0], self.measured.prompts))
        for i, numbers in enumerate(self.measured.policies):
            name = self.question.policies[1 + i]
            if self.shared(i).any():
                kept.append(i)
            else:
                kind = "nothing_shared" if numbers.samples.any() else "no_samples"
                lost.append(Finding(kind, name, int(numbers.samples.sum())))
        return kept, lost

    def too_few(self, i: int, duels: Sequence[Duel]) -> list[Finding]:
        """Prompts of a policy that have fewer than N samples, by duel."""
        rates, shared = self.measured.policies[i].win_rates, self.shared(i)
        counts = [
            (duel.label, int(np.count_nonzero(shared & np.isnan(rates[self.place(duel)]))))
            for duel in duels
        ]
        policy = self.question.policies[1 + i]
        return [Finding("too_few", policy, count, None, where) for where, count in counts if count]

    def ranks(self, i: int) -> TiedRanks:
        """Ranks on the prompts of both policies."""
        numbers, base = self.measured.policies[i], self.measured.base
        atoms, samples = (
            np.concatenate([[0], np.cumsum(each)]).astype(np.intp)
            for each in (base.atoms_each, numbers.samples)
        )
        every = TiedRanks(base.atoms, atoms, numbers.below, numbers.equal, samples)
        return every.only(self.shared(i))

    def judged(self, i: int, law: Law, duels: Sequence[Duel]) -> PolicyValidation:
        """All that is found of one policy, with its verdict."""
        numbers, shared = self.measured.policies[i], self.shared(i)
        ranks = self.ranks(i)
        theory, notes = theory_of(ranks, law, self.request)
        k1, k3, endless = self._measured_kl(numbers, shared)
        least = LeastKL(law, ranks)
        rows = tuple(self._row(i, duel, theory, least) for duel in duels)
        standard = self._estimate(numbers.win_rates[0][shared], _UNIT)
        found = None if theory is None else agreement(rows, theory)
        spread = self._spread(i, ranks, theory, found, rows)
        spent = spending(k1, theory, standard, departs=found is not None and found.departs)
        result = PolicyValidation(
            name=self.question.policies[i + 1],
            prompts=int(np.count_nonzero(shared)),
            samples=int(numbers.samples.sum()),
            tie_fraction=self._estimate(numbers.ties[shared]).value,
            kl_floor=kl_floor(standard.value),
            kl=k1,
            kl_k3=k3,
            calibrated_kl=calibrated_kl(ranks.calibration, level=self.request.level),
            kl_spent=spent.kl,
            kl_source=spent.source,
            theory=theory,
            spread=spread,
            win_rates=tuple(_rated(row, spent) for row in rows),
            verdict=(),
            notes=notes
            + cautions(theory, rows, endless=endless)
            + spent.notes
            + left_out(self.measured, self.question.policies, i),
            extremes=self.measured.extremes[i],
        )
        sentences = verdict(result, found, self.question.policies[0], self.request.level)
        return replace(result, verdict=sentences)

    def _spread(
        self,
        i: int,
        ranks: TiedRanks,
        theory: Theory | None,
        found: Agreement | None,
        rows: Sequence[WinRate],
    ) -> Spread | None:
        """How prompts differ, and what a departure is of."""
        if theory is None or found is None:
            return None
        numbers, shared = self.measured.policies[i], self.shared(i)

        def again(other: Theory, row: WinRate) -> Prediction:
            at = self.place(row.duel)
            rates = numbers.win_rates[at][shared]
            return predicted(rates, other, at, self._blocks(i, row.duel), self.request.level)

        return spread_over_prompts(
            ranks.calibration,
            theory,
            self.request.transform,
            found,
            rows,
            duels=self.request.duels,
            log_ratios=(numbers.k1[shared], numbers.k1_variance[shared]),
            predicted=again,
        )

    def _measured_kl(
        self, numbers: PolicyNumbers, shared: BoolArray
    ) -> tuple[Estimate | None, Estimate | None, bool]:
        """KL from log-ratios, k1 and k3, and whether k3 is beyond measure."""
        k1, k3 = numbers.k1[shared], numbers.k3[shared]
        if np.isnan(k1).all():
            return None, None, False
        endless = bool(np.nanmax(np.abs(k3), initial=0.0) > _HUGE)
        return self._estimate(k1), None if endless else self._estimate(k3), endless

    def _estimate(self, values: Array, bounds: Bounds = ANYWHERE) -> Estimate:
        return mean_over_prompts(values, level=self.request.level, bounds=bounds)

    def _row(self, i: int, duel: Duel, theory: Theory | None, least: LeastKL) -> WinRate:
        """One duel, its efficiency still open."""
        at, shared = self.place(duel), self.shared(i)
        numbers, base = self.measured.policies[i], self.measured.base
        rates = numbers.win_rates[at][shared]
        if np.isnan(rates).all():
            raise InputError(
                f"{duel.label}: no prompt has enough samples of both "
                f"{self.question.policies[0]!r} and "
                f"{self.question.policies[i + 1]!r}; collect more or take a smaller N."
            )
        found = self._estimate(rates, _UNIT)
        ci = found.ci
        if self.resamples and found.prompts > 1:
            ci = bootstrap_over_prompts(
                rates, rng=self.seed, resamples=self.resamples, level=self.request.level
            ).ci
        law = Prediction(None, None, None)
        if theory is not None:
            law = predicted(rates, theory, at, self._blocks(i, duel), self.request.level)
        own = least.base_win_rate(duel, ~np.isnan(rates))
        return WinRate(
            procedure=duel.procedure,
            estimate=found.value,
            stderr=found.stderr,
            ci=ci,
            predicted=law.value,
            predicted_ci=law.ci,
            z=law.z,
            prompts=found.prompts,
            excluded=found.excluded,
            optimal_kl=least.of(duel, found.value, own),
            optimal_kl_ci=None if ci is None else least.interval(duel, ci, found.value, own),
            efficiency=None,
            reward=_pick(numbers.picks.reward[at], base.picks.reward[at], shared),
            truth=self._truth(numbers, at, shared),
            against_procedure=duel.versus,
            base_win_rate=own,
        )

    def _blocks(self, i: int, duel: Duel) -> float:
        """Independent comparisons a prompt holds: disjoint subsets on the shorter side, mean."""
        (_, n), (_, m) = duel.sides
        ours, theirs = self.measured.policies[i].samples // n, self.measured.base.samples // m
        each = np.minimum(ours, theirs)[self.shared(i)]
        return float(each[each > 0].mean())

    def _truth(self, numbers: PolicyNumbers, at: int, shared: BoolArray) -> TrueReward | None:
        """The same comparison by the true reward; None where no prompt has one."""
        true = numbers.true_win_rates[at][shared]
        if np.isnan(true).all():
            return None
        ours, theirs = numbers.picks, self.measured.base.picks
        level = self.request.level
        return TrueReward(
            win_rate=self._estimate(true, _UNIT),
            gap=paired_difference(numbers.win_rates[at][shared], true, level=level),
            shortfall=paired_difference(numbers.perfect_win_rates[at][shared], true, level=level),
            picked=_pick(ours.truth[at], theirs.truth[at], shared),
            oracle=_pick(ours.oracle[at], theirs.oracle[at], shared),
        )

    def differences(self, kept: Sequence[int], duels: Sequence[Duel]) -> list[Difference]:
        """Every pair of policies in every duel, paired by prompt."""
        out = []
        for i, j in combinations(kept, 2):
            for duel in duels:
                ours, theirs = (
                    self.measured.policies[x].win_rates[self.place(duel)] for x in (i, j)
                )
                if not np.isnan(ours - theirs).all():
                    found = paired_difference(ours, theirs, level=self.request.level)
                    first, second = (self.question.policies[1 + x] for x in (i, j))
                    out.append(Difference(first, second, duel.procedure, found, duel.versus))
        return out


def _rated(row: WinRate, spent: Spending) -> WinRate:
    """The same with its efficiency, where a KL spent can be believed and the run has won."""
    if row.optimal_kl is None or not spent.trusted or not spent.kl or spent.kl <= 0.0:
        return row
    return (
        row
        if row.estimate <= row.base_win_rate
        else replace(row, efficiency=row.optimal_kl / spent.kl)
    )


def _pick(ours: Array, theirs: Array, shared: BoolArray) -> Pick:
    """Means over the prompts that have both numbers."""
    both = shared & ~np.isnan(ours) & ~np.isnan(theirs)
    return Pick(float(ours[both].mean()), float(theirs[both].mean()))
