"""Frontiers of win rate against KL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.checks import numbers, vector
from infalign_theory.comparison.choices import (
    OPTIMAL,
    OPTIMAL_FOR,
    Choice,
    Optimal,
    as_choice,
)
from infalign_theory.errors import OutOfReachError
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.base import Base, Continuous, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.families import continuous_family, discrete_family, solve
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["OPTIMAL", "OPTIMAL_FOR", "Frontier", "frontier"]


@dataclass(frozen=True)
class Frontier:
    """Win rate against KL along one transform, or along the optimum of each beta.

    Attributes
    ----------
    name : str
        The transform as text, or ``"optimal"``.
    procedure : Procedure
    kl : ndarray
        Nats.
    beta : ndarray
        Infinite at kl = 0; 0 where the optimal beta is below 1e-300, in which case the win rate
        is 1 to all digits.
    win_rate : ndarray
        In [0, 1].
    """

    name: str
    procedure: Procedure
    kl: Array
    beta: Array
    win_rate: Array

    def to_frame(self) -> pd.DataFrame:
        """A row a KL: transform, procedure, kl, beta, win_rate."""
        import pandas as pd

        columns = {"kl": self.kl, "beta": self.beta, "win_rate": self.win_rate}
        frame = pd.DataFrame(columns)
        frame.insert(0, "transform", self.name)
        frame.insert(1, "procedure", self.procedure.name)
        return frame

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the curve on the given or current axes and return them."""
        from infalign_theory.plotting.curves import plot_frontier

        return plot_frontier(self, ax, **style)


def frontier(
    transform: Choice | str,
    procedure: Procedure | str,
    *,
    kl: Any,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> Frontier:
    """Win rate of one transform, or of the optimum, at each of many KL budgets.

    Parameters
    ----------
    transform : Transform or str
        A transform; ``"optimal"`` for the best policy of every budget; ``"optimal@bon:4"`` for
        the optimum of one procedure judged under another (``"optimal@bon:4|standard"`` where its
        base's procedure differs).
    procedure : Procedure or str
    kl : array_like, shape (M,)
        Budgets in nats, at least 0, in any order.
    base : Continuous or Discrete, optional
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.

    Returns
    -------
    Frontier

    Raises
    ------
    InputError, OutOfReachError
        As :func:`infalign_theory.align` and :func:`infalign_theory.optimum`.

    Examples
    --------
    >>> curve = frontier("log", "bon:4", kl=[0.0, 0.5])
    >>> curve.win_rate.round(6).tolist()
    [0.5, 0.768221]
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    budgets = vector(np.atleast_1d(numbers(kl, "kl")), "kl")
    for nats in budgets:
        budget(None, nats)
    where = as_base(base)
    chosen = as_choice(transform)
    if isinstance(chosen, Optimal) and chosen.procedure is None:
        return _optimal(ours, theirs, budgets, where)
    if isinstance(chosen, Optimal):
        policies = _trained_for(chosen, budgets, where)
    else:
        policies = _walk(chosen, budgets, where)
    beta, won = np.empty(budgets.size), np.empty(budgets.size)
    for i, policy in policies:
        beta[i] = policy.beta
        won[i] = win_rate(policy, ours, against_procedure=theirs)
    return Frontier(chosen.name, ours, budgets, beta, won)


def _trained_for(chosen: Optimal, budgets: Array, base: Base) -> list[tuple[int, Policy]]:
    """Optima for one procedure, to be judged under another: ``optimal@bon:4``."""
    assert chosen.procedure is not None
    versus = chosen.against_procedure
    return [
        (
            i,
            optimum(chosen.procedure, kl=nats, base=base, against_procedure=versus).policy,
        )
        for i, nats in enumerate(budgets)
    ]


def _walk(transform: Transform, budgets: Array, base: Base) -> list[tuple[int, Policy]]:
    """The policies of all budgets in increasing order, each solved from the one before."""
    out: list[tuple[int, Policy]] = []
    order = np.argsort(budgets, kind="stable")
    if isinstance(base, Discrete):
        atoms = discrete_family(transform, base)
        return [(int(i), DiscretePolicy(solve(atoms, float(budgets[i])))) for i in order]
    family = continuous_family(transform)
    guess = 0.0
    for i in order:
        tilt = solve(family, float(budgets[i]), None, guess)
        guess = tilt.k
        out.append((int(i), ContinuousPolicy(tilt)))
    return out


def _optimal(ours: Procedure, theirs: Procedure, budgets: Array, base: Base) -> Frontier:
    powers = Powers.of(ours, theirs) if isinstance(base, Continuous) else None
    if powers is None:
        found = [optimum(ours, kl=nats, base=base, against_procedure=theirs) for nats in budgets]
        beta = np.array([best.beta for best in found])
        return Frontier(OPTIMAL, ours, budgets, beta, np.array([b.win_rate for b in found]))
    beta = np.full(budgets.size, np.inf)
    won = np.full(budgets.size, powers.base_win_rate)
    positive = budgets > 0.0
    if positive.any():
        try:
            path = Trajectory.to_kl(powers, float(budgets.max()))
            within = positive
        except OutOfReachError as error:
            path = Trajectory.to_kl(powers, error.limit)
            within = positive & (budgets <= error.limit)
            beyond = positive & ~within
            beta[beyond], won[beyond] = 0.0, 1.0
        kappa = path.kappa_at_kl(budgets[within])
        beta[within], won[within] = np.exp(-kappa), path.at(kappa)[0]
    return Frontier(OPTIMAL, ours, budgets, beta, won)
