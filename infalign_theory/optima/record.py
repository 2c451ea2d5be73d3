"""The optimum of W - beta KL, with the evidence that it is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infalign_theory.optima.iteration import Iteration
from infalign_theory.policies.base import Base
from infalign_theory.policies.core import Policy
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform


@dataclass(frozen=True, repr=False)
class Optimum:
    """The optimum of W - beta KL, with the evidence that it is one.

    Attributes
    ----------
    procedure, against_procedure : Procedure
        What inference does to the policy and to the base.
    beta, kl, win_rate : float
        KL in nats, win rate in [0, 1].
    policy : ContinuousPolicy or DiscretePolicy
    transform : Transform
        Phi*, with Phi*(1) = 0: aligning with it at ``beta`` gives ``policy`` back.
    residual : float
        Total variation distance between the policy and one fixed-point step from it, measured
        independently of the solver.
    gap : float or None
        Certified bound on J* - J where the win rate is concave in the policy, else None.
    alternatives : tuple of Optimum
        Other solutions of the coupled equation at this beta, where there are any; for a KL
        budget inside a jump of the frontier, the two sides of the jump.
    maximum : bool
        Whether W - beta KL has a maximum here; not so inside a jump.
    hull_win_rate : float or None
        For a KL budget inside a jump, the win rate of the concave hull: an upper bound.
    iteration : Iteration or None
        How the damped iteration went, with ``method="iteration"``.
    """

    procedure: Procedure
    against_procedure: Procedure
    base: Base
    beta: float
    kl: float
    win_rate: float
    policy: Policy
    transform: Transform
    residual: float
    gap: float | None
    alternatives: tuple[Optimum, ...] = field(default=())
    maximum: bool = True
    hull_win_rate: float | None = None
    iteration: Iteration | None = None

    def __repr__(self) -> str:
        gap = "" if self.gap is None else f", gap={self.gap:.1e}"
        others = len(self.alternatives)
        more = f", {others} alternative{'s' * (others > 1)}" if others else ""
        return (
            f"<optimum of {self.procedure.name}: win_rate={self.win_rate:.6g}, kl={self.kl:.6g} "
            f"nats, beta={self.beta:.6g}, residual={self.residual:.1e}{gap}{more}>"
        )

    @property
    def objective(self) -> float:
        """J = W - beta KL."""
        return self.win_rate - (self.beta * self.kl if self.kl > 0.0 else 0.0)


def summary(found: Optimum) -> dict[str, Any]:
    """The numbers of an optimum, as the command line prints them."""
    return {
        "procedure": found.procedure.name,
        "beta": found.beta,
        "kl": found.kl,
        "win_rate": found.win_rate,
        "residual": found.residual,
        "gap": found.gap,
        "alternatives": [
            {
                "beta": other.beta,
                "kl": other.kl,
                "win_rate": other.win_rate,
                "objective": other.objective,
                "maximum": other.maximum,
            }
            for other in found.alternatives
        ],
    }
