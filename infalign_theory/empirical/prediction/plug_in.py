"""Win rates on the scores as they are, without intervals: what a search over transforms needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infalign_theory.comparison.choices import OPTIMAL, Choice, as_choice
from infalign_theory.empirical.prediction.continuous import continuous_row
from infalign_theory.empirical.prediction.discrete import Contest, trained_tilt
from infalign_theory.empirical.prediction.files import one_policy
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.statistics.estimators import mean_tie_fraction
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True, kw_only=True, eq=False)
class PlugIn:
    """Scores of the base, read once, and the kind of law they count as."""

    rewards: Groups
    bases: PromptBases
    law: BaseLaw

    @classmethod
    def read(cls, scores: ScoresLike, *, law: str = "auto", **columns: Any) -> PlugIn:  # noqa: ANN401
        """The arguments are those of :func:`infalign_theory.predict`."""
        wished = BaseLaw.of(law)
        table = read_scores(scores, **columns)
        one_policy(table.by_file)
        ties = mean_tie_fraction(table.rewards)
        bases = PromptBases.of(table.rewards)
        return cls(rewards=table.rewards, bases=bases, law=wished.chosen(ties))

    def optimal(self, procedure: Procedure, kl: float) -> float:
        """The best possible mean win rate at a KL."""
        if self.law is BaseLaw.CONTINUOUS:
            return self._continuous(as_choice(OPTIMAL), procedure, kl)[0]
        return Contest(self.rewards, self.bases, procedure, None).optima.win_rates_at_kl(kl)[1]

    def win_rates(
        self, transforms: Sequence[Transform], procedure: Procedure, kl: float
    ) -> tuple[Array, Array]:
        """The mean win rate and the beta of each transform at a KL."""
        found = [self._of(transform, procedure, kl) for transform in transforms]
        won, beta = np.array(found, dtype=float).reshape(-1, 2).T
        return won, beta

    def _of(self, transform: Transform, procedure: Procedure, kl: float) -> tuple[float, float]:
        if self.law is BaseLaw.CONTINUOUS:
            return self._continuous(transform, procedure, kl)
        contest = Contest(self.rewards, self.bases, procedure, None)
        tilt = trained_tilt(transform, contest, None, kl)
        won = float(np.mean(self.bases.win_rates(tilt.log_ratio, procedure, None)))
        return won, 1.0 / tilt.k if tilt.k > 0.0 else np.inf

    def _continuous(self, choice: Choice, procedure: Procedure, kl: float) -> tuple[float, float]:
        row = continuous_row(choice, procedure, None, self.bases.prompts, beta=None, kl=kl)
        return row.win_rate, row.beta
