"""Beta and win rate along the budgets of one transform, or of the optimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.comparison.families import policies_of
from infalign_theory.comparison.march import march
from infalign_theory.divergences import Divergence
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base, Continuous
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_MARCH_FROM = 20  # budgets from which one march is cheaper than a solve each


@dataclass(frozen=True)
class Setting:
    """What inference does to either side, on which base, and what training is penalised by."""

    ours: Procedure
    theirs: Procedure
    base: Base
    divergence: Divergence


def along(
    transform: Transform, ours: Procedure, theirs: Procedure, budgets: Array, base: Base
) -> tuple[Array, Array]:
    """Beta and win rate of one transform at every budget."""
    apart = np.unique(budgets[budgets > 0.0])
    if apart.size < _MARCH_FROM:
        return _solved(transform, ours, theirs, budgets, base)
    found = _marched(transform, ours, theirs, apart, base)
    where = np.minimum(np.searchsorted(apart, budgets), apart.size - 1)
    beta, won = found[0][where], found[1][where]
    zero = budgets == 0.0
    if zero.any():
        beta[zero], won[zero] = _solved(transform, ours, theirs, budgets[zero], base)
    return beta, won


def along_penalised(transform: Transform, setting: Setting, budgets: Array) -> tuple[Array, Array]:
    """Beta and win rate under a divergence other than the reverse KL."""
    beta, won = np.empty(budgets.size), np.empty(budgets.size)
    for i, nats in enumerate(budgets):
        policy = align(transform, kl=float(nats), base=setting.base, divergence=setting.divergence)
        beta[i] = policy.beta
        won[i] = win_rate(policy, setting.ours, against_procedure=setting.theirs)
    return beta, won


def _marched(
    transform: Transform, ours: Procedure, theirs: Procedure, budgets: Array, base: Base
) -> tuple[Array, Array]:
    """Beta and win rate at increasing positive budgets from one march, or from two shorter ones."""
    policies = policies_of(transform, base)
    reach = float(budgets[0]), float(budgets[-1])
    try:
        path = march(lambda x: policies.measured(x, ours, theirs), policies.around(*reach), reach)
    except PrecisionError:  # one of its policies is too sharp, perhaps none of those asked for
        path = None
    if path is None and budgets.size < 2 * _MARCH_FROM:
        return _solved(transform, ours, theirs, budgets, base)
    if path is None:
        middle = int(np.searchsorted(budgets, np.sqrt(budgets[0] * budgets[-1])))
        middle = min(max(middle, _MARCH_FROM), budgets.size - _MARCH_FROM)
        halves = [
            _marched(transform, ours, theirs, part, base)
            for part in (budgets[:middle], budgets[middle:])
        ]
        return np.concatenate([h[0] for h in halves]), np.concatenate([h[1] for h in halves])
    x, won = path.at_kl(budgets)
    return policies.x_to_beta(x), won


def _solved(
    transform: Transform, ours: Procedure, theirs: Procedure, budgets: Array, base: Base
) -> tuple[Array, Array]:
    """Beta and win rate, each budget solved from the one before in increasing order."""
    beta, won = np.empty(budgets.size), np.empty(budgets.size)
    policies = policies_of(transform, base)
    for i in np.argsort(budgets, kind="stable"):
        policy = policies.spending(float(budgets[i]))
        beta[i] = policy.beta
        won[i] = win_rate(policy, ours, against_procedure=theirs)
    return beta, won


def along_optimum(
    ours: Procedure, theirs: Procedure, budgets: Array, base: Base
) -> tuple[Array, Array]:
    """Beta and win rate of the best policy at every budget."""
    powers = Powers.of(ours, theirs) if isinstance(base, Continuous) else None
    if powers is None:
        found = [optimum(ours, kl=nats, base=base, against_procedure=theirs) for nats in budgets]
        return np.array([best.beta for best in found]), np.array([b.win_rate for b in found])
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
    return beta, won
