"""The truth behind predicted rows: what the base's own (score, truth) pairs say of each tilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.comparison.choices import Choice
from infalign_theory.empirical.prediction.continuous import continuous_policy
from infalign_theory.empirical.prediction.discrete import Contest, ratios_of
from infalign_theory.empirical.prediction.results import PredictedRow
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, tilted
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.empirical.statistics.truth import (
    FEWEST_EFFECTIVE,
    TruthPairs,
    true_win_rate,
)
from infalign_theory.empirical.statistics.turning import NO_TURN, turn
from infalign_theory.errors import InfalignError
from infalign_theory.policies.alignment import align
from infalign_theory.policies.core import Policy
from infalign_theory.policies.families import solve
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_STEPS = 24  # of KL along a tilt
_REACH_STEP = 0.01
_SMALLEST_KL = 1e-3
_LARGEST_KL = 20.0


@dataclass(frozen=True)
class TruthRows:
    """Adds the truth to predicted rows of one procedure."""

    pairs: TruthPairs
    contest: Contest

    def completed(self, row: PredictedRow, choice: Choice) -> tuple[PredictedRow, tuple[str, ...]]:
        """The row with its truth, and what must be told of it."""
        curve = self._curve(choice, row.law)
        found = NO_TURN if curve is None else turn(curve.kls, curve.truths)
        ratio_of = _RatioOf(choice, self.contest, row)
        try:
            truth = true_win_rate(
                self.pairs, ratio_of, self.contest.procedure, self.contest.against
            )
        except InfalignError as error:
            return row, (f"{row.transform}: no true win rate: {error}",)
        if truth.effective_samples < FEWEST_EFFECTIVE:
            reach = 0.0 if curve is None else float(curve.kls[-1])
            told = plain_number(float(f"{reach:.2g}"))
            note = (
                f"{row.transform} under {row.procedure} at {row.kl:.3g} nats: these samples cannot "
                f"tell the truth beyond {told} nats; the tilt leaves "
                f"{truth.effective_samples:.1f} effective samples of the median prompt, fewer than "
                f"{FEWEST_EFFECTIVE:g}: take more samples a prompt or a smaller KL"
            )
            kept = replace(row, effective_samples=truth.effective_samples)
            return replace(kept, onset_kl=found.at, onset_ci=found.ci), (note,)
        return (
            replace(
                row,
                true_win_rate=truth.estimate.value,
                true_ci=truth.estimate.ci,
                onset_kl=found.at,
                onset_ci=found.ci,
                effective_samples=truth.effective_samples,
            ),
            (),
        )

    def _curve(self, choice: Choice, law: str) -> _Curve | None:
        """True win rates of every prompt along the tilt, up to what the samples can tell.

        An optimum is another transform at every KL and in every prompt: it has no such curve.
        """
        if not isinstance(choice, Transform):
            return None
        reach = self._reach(choice, law)
        if reach is None:
            return None
        kls = np.linspace(reach / _STEPS, reach, _STEPS)
        thinned = self.pairs.thinned
        pairs = self.pairs if thinned is None else thinned.pairs
        rates = [
            pairs.win_rates(
                self._at(choice, law, float(kl))(pairs.bases),
                self.contest.procedure,
                self.contest.against,
            )
            for kl in kls
        ]
        truths = rates if thinned is None else [thinned.corrected(each) for each in rates]
        return _Curve(kls, np.stack(truths, axis=1))

    def _at(self, choice: Transform, law: str, kl: float) -> Callable[[PromptBases], Array]:
        """Log density ratios, at the atoms of any bases, of the tilt that spends a KL."""
        if law == BaseLaw.CONTINUOUS:
            policy = align(choice, kl=kl)
            return lambda bases: continuous_ratio(policy, bases)
        k = solve(tilted(choice, self.pairs.bases), kl).k
        return lambda bases: ratios_of(choice, self.contest, bases)(k)

    def _reach(self, choice: Transform, law: str) -> float | None:
        """Largest KL at which enough effective samples are left; None where there is none."""

        def tellable(kl: float) -> bool:
            try:
                ratio = self._at(choice, law, kl)(self.pairs.bases)
            except InfalignError:
                return False
            return self.pairs.carrying(ratio) >= FEWEST_EFFECTIVE

        low, high = _SMALLEST_KL, 2 * _SMALLEST_KL
        if not tellable(low):
            return None
        while high < _LARGEST_KL and tellable(high):
            low, high = high, 2 * high
        while high - low > _REACH_STEP * low:
            middle = (low + high) / 2
            low, high = (middle, high) if tellable(middle) else (low, middle)
        return low


@dataclass(frozen=True)
class _Curve:
    kls: Array
    truths: Array


@dataclass(frozen=True)
class _RatioOf:
    """Log density ratios of a row's policy at the atoms of any bases."""

    choice: Choice
    contest: Contest
    row: PredictedRow

    def __call__(self, bases: PromptBases) -> Array:
        if self.row.law == BaseLaw.DISCRETE:
            k = 1.0 / self.row.beta if 0.0 < self.row.beta < np.inf else 0.0
            return ratios_of(self.choice, self.contest, bases)(k)
        return continuous_ratio(self._policy(), bases)

    def _policy(self) -> Policy:
        beta = self.row.beta if 0.0 < self.row.beta < np.inf else None
        kl = None if beta is not None else self.row.kl
        return continuous_policy(
            self.choice, self.contest.procedure, self.contest.against, beta=beta, kl=kl
        )


def continuous_ratio(policy: Policy, bases: PromptBases) -> Array:
    """Log of the policy's mass over the base's, between the edges of each atom."""
    below, _ = bases.edges
    # K samples without ties have K + 1 edges whatever the prompt
    places, which = np.unique(np.round(below, 12), return_inverse=True)
    cdf = np.asarray(policy.cdf(places))[which]
    at = (
        np.arange(bases.mass.size) + np.repeat(np.arange(bases.prompts), np.diff(bases.offsets)) + 1
    )
    with np.errstate(divide="ignore"):
        return np.asarray(np.log((cdf[at] - cdf[at - 1]) / bases.mass))
