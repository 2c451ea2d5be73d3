"""Predictions where ties are rare: those of any continuous reward, whatever the scores."""

from __future__ import annotations

import numpy as np

from infalign_theory.comparison.choices import Choice, Optimal
from infalign_theory.empirical.prediction.results import PredictedRow
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.errors import OutOfReachError
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.core import Policy
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform


def continuous_policy(
    choice: Choice,
    procedure: Procedure,
    against: Procedure | None,
    *,
    beta: float | None,
    kl: float | None,
) -> Policy:
    """The policy that a run ends as on a continuous base."""
    if isinstance(choice, Transform):
        return align(choice, beta=beta, kl=kl)
    ours = choice.procedure or procedure
    theirs = against if choice.procedure is None else choice.against_procedure
    return optimum(ours, beta=beta, kl=kl, against_procedure=theirs).policy


def continuous_row(
    choice: Choice,
    procedure: Procedure,
    against: Procedure | None,
    prompts: int,
    *,
    beta: float | None,
    kl: float | None,
) -> PredictedRow:
    """One row: exact numbers, without an interval, since nothing is estimated."""
    policy = continuous_policy(choice, procedure, against, beta=beta, kl=kl)
    won = win_rate(policy, procedure, against_procedure=against)
    best = won
    if not (isinstance(choice, Optimal) and choice.procedure is None):
        try:
            best = optimum(procedure, kl=policy.kl, against_procedure=against).win_rate
        except OutOfReachError:  # a beta below float64: the optimum wins always
            best = 1.0
    return PredictedRow(
        transform=choice.name,
        procedure=procedure.name,
        beta=policy.beta,
        kl=policy.kl,
        win_rate=won,
        ci=None,
        optimal=best,
        regret=max(best - won, 0.0),
        prompts=prompts,
        scaled_beta=None if np.isinf(policy.beta) else scaled_beta(policy.transform, policy.beta),
        law=BaseLaw.CONTINUOUS.value,
        corrected=won,
    )
