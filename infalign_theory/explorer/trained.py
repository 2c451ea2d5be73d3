"""What every ground of a view can tell, whatever the base is.

A ground answers four questions: the policy that a transform ends as at a KL, what it wins along
budgets, and both again for the optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from infalign_theory.explorer.paths import Path
from infalign_theory.procedures import Procedure
from infalign_theory.transforms import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training ends with at one budget: a policy, or one for each prompt.

    ``density`` is relative to the base, the mean over prompts where there are several;
    ``transform`` is None where there is no single one.
    """

    kl: float
    beta: float
    win_rate: Callable[[Procedure], float]
    density: Callable[[Array], Array]
    transform: Transform | None = None


class Ground(Protocol):
    """What policies are trained on."""

    def trained(self, phi: Transform, kl: float) -> Trained:
        """The policy of a transform at a budget."""
        ...

    def along(self, phi: Transform, rule: Procedure, kl: float) -> tuple[Trained, Path]:
        """The policy at a budget, and its win rates on budgets around it."""
        ...

    def best(self, rule: Procedure, kl: float) -> Trained:
        """The policy that wins most at a budget."""
        ...

    def best_along(self, rule: Procedure, largest: float) -> Path:
        """Win rates of the optimum up to ``largest`` nats."""
        ...
