"""What the solvers of the coupled equation hand over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.discrete import DiscretePolicy

P = TypeVar("P", ContinuousPolicy, DiscretePolicy)


@dataclass(frozen=True, kw_only=True)
class Solution(Generic[P]):
    """One solution of the coupled equation at one k = 1/beta.

    Attributes
    ----------
    policy : ContinuousPolicy or DiscretePolicy
    loss : float
        1 - win rate, to full relative accuracy.
    kl : float
    end : float
        What the shooting solves for: log f(1) on a continuous base, the logit of the top
        atom's mass on a discrete one.
    maximum : bool
        Whether W - beta KL has a (local) maximum here.
    """

    policy: P
    loss: float
    kl: float
    end: float
    maximum: bool

    @property
    def win_rate(self) -> float:
        """W, in [0, 1]."""
        return 1.0 - self.loss

    @property
    def cost(self) -> float:
        """1 - W + beta KL: ranks solutions to full relative accuracy, however small beta is."""
        return self.loss + (self.policy.beta * self.kl if self.kl > 0.0 else 0.0)

    @property
    def objective(self) -> float:
        """J = W - beta KL."""
        return 1.0 - self.cost


@dataclass(frozen=True)
class Jump(Generic[P]):
    """A first-order transition of the optimal frontier at one beta.

    Attributes
    ----------
    below, above : Solution
        The two optima of equal objective, either side of the missing KL.
    hull_win_rate : float
        Win rate of the concave hull at the budget: what a mixture of the two would reach if the
        win rate were linear between them; an upper bound.
    """

    below: Solution[P]
    above: Solution[P]
    hull_win_rate: float


def ranked(solutions: list[Solution[P]]) -> list[Solution[P]]:
    """The best first; of two equal ones a maximum comes before what is none."""
    return sorted(solutions, key=lambda one: (one.cost, not one.maximum))
