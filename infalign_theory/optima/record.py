"""The optimum of W - beta KL, with the evidence that it is one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.optima.iteration import Iteration
from infalign_theory.policies.base import Base
from infalign_theory.policies.core import Policy
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

RESIDUAL_PROMISE = 1e-8  # total variation


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Optimum:
    """The optimum of W - beta KL, with the evidence that it is one.

    Attributes
    ----------
    procedure, against_procedure : Procedure
        What inference does to the policy and to the base.
    base : Continuous or Discrete
    beta, kl, win_rate : float
        KL in nats, win rate in [0, 1].
    policy : ContinuousPolicy or DiscretePolicy
    transform : Transform
        Phi*, with Phi*(1) = 0: aligning with it at ``beta`` gives ``policy`` back.
    residual : float
        Total variation distance between the policy and one fixed-point step from it, measured
        independently of the solver; at most 1e-8 (but with ``method="iteration"``).
    gap : float or None
        Certified bound on J* - J where the win rate is concave in the policy, else None.
    alternatives : tuple of Optimum
        Other solutions of the coupled equation at this beta, where there are any; for a KL
        budget inside a jump of the frontier, the two sides of the jump.
    maximum : bool
        Whether W - beta KL has a (local) maximum here. False only for a KL budget inside a jump of
        the frontier: no beta makes a policy of that KL optimal, and this one is the stationary
        point that wins most (and for alternatives, which may be saddles).
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

    @property
    def scaled_beta(self) -> float | None:
        """Beta for Phi* mapped affinely to [0, 1]; None for the base policy (beta infinite)."""
        return scaled_beta(self.transform, self.beta) if np.isfinite(self.beta) else None

    def to_frame(self) -> pd.DataFrame:
        """A row a solution, the optimum first: its numbers, and whether it is a maximum."""
        import pandas as pd

        return pd.DataFrame([_row(one) for one in (self, *self.alternatives)])

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))

    def plot(self, ax: Axes | None = None, **style: object) -> Axes:
        """Draw the optimal transform, scaled to [0, 1], against the calibrated reward."""
        from infalign_theory.plotting.curves import plot_transforms

        return plot_transforms([self.transform], ax, **style)


def _row(one: Optimum) -> dict[str, object]:
    return {
        "procedure": one.procedure.name,
        "against_procedure": one.against_procedure.name,
        "beta": one.beta,
        "scaled_beta": one.scaled_beta,
        "kl": one.kl,
        "win_rate": one.win_rate,
        "objective": one.objective,
        "residual": one.residual,
        "gap": one.gap,
        "maximum": one.maximum,
    }


def refuse_residual(found: Optimum) -> Optimum:
    """The optimum itself, or an error where its residual exceeds the promise."""
    if not found.residual <= RESIDUAL_PROMISE:
        raise PrecisionError(
            f"the optimum of {found.procedure.name} against {found.against_procedure.name} at beta "
            f"= {found.beta:.6g} is solved only to a residual of {found.residual:.1g}, not to "
            f"{RESIDUAL_PROMISE:g}; its win rate is about {found.win_rate:.6g}. Give a larger "
            "beta or a smaller KL.",
            found.win_rate,
        )
    return found


def summary(found: Optimum) -> dict[str, object]:
    """The numbers of an optimum, as the command line prints them."""
    return {
        "procedure": found.procedure.name,
        "beta": found.beta,
        "scaled_beta": found.scaled_beta,
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
