"""What a transform wins at one KL under each procedure: by theory, or on a table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from infalign_theory.comparison.choices import Optimal
from infalign_theory.comparison.frontiers import frontier
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base, Continuous
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from infalign_theory.empirical.prediction.plug_in import PlugIn
    from infalign_theory.empirical.scores.sources import ScoresLike

__all__ = ["Judge", "Scores", "Theory"]


class Judge(Protocol):
    """Win rates of transforms under each procedure, all at one KL."""

    def optimal(self) -> Array:
        """The best possible win rate under each procedure, shape (P,)."""
        ...

    def win_rates(self, transforms: Sequence[Transform]) -> tuple[Array, Array]:
        """Win rates, shape (P, T), and the betas, shape (T,)."""
        ...


@dataclass(frozen=True)
class Theory:
    """A base that is known: continuous, or a list of atoms."""

    procedures: Sequence[Procedure]
    opponents: Sequence[Procedure]
    kl: float
    base: Base

    def optimal(self) -> Array:
        """The best possible win rate under each procedure."""
        return np.array(
            [
                frontier(
                    Optimal(), ours, kl=self.kl, base=self.base, against_procedure=theirs
                ).win_rate[0]
                for ours, theirs in zip(self.procedures, self.opponents, strict=True)
            ]
        )

    def win_rates(self, transforms: Sequence[Transform]) -> tuple[Array, Array]:
        """Win rates and betas of each transform."""
        policies = [self._policy(transform) for transform in transforms]
        won = [
            [win_rate(policy, ours, against_procedure=theirs) for policy in policies]
            for ours, theirs in zip(self.procedures, self.opponents, strict=True)
        ]
        return np.array(won), np.array([policy.beta for policy in policies])

    def _policy(self, transform: Transform) -> Policy:
        if isinstance(self.base, Continuous):
            return align(transform, kl=self.kl)
        return align(transform, kl=self.kl, base=self.base)


@dataclass(frozen=True)
class Scores:
    """Scores of the base model, judged as :func:`infalign_theory.predict` judges them."""

    procedures: Sequence[Procedure]
    kl: float
    scores: ScoresLike
    columns: Mapping[str, Any] = field(default_factory=dict)

    def optimal(self) -> Array:
        """The best possible mean win rate under each procedure."""
        return np.array([self._plug_in.optimal(ours, self.kl) for ours in self.procedures])

    def win_rates(self, transforms: Sequence[Transform]) -> tuple[Array, Array]:
        """Mean win rates over prompts and the betas."""
        found = [self._plug_in.win_rates(transforms, ours, self.kl) for ours in self.procedures]
        return np.array([won for won, _ in found]), found[0][1]

    @cached_property
    def _plug_in(self) -> PlugIn:
        from infalign_theory.empirical.prediction.plug_in import PlugIn

        return PlugIn.read(self.scores, **self.columns)
