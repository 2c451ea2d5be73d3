"""What finite calibration costs: the win rate lost against the optimum at equal KL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.errors import InputError
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.training import reuse as simulations
from infalign_theory.training.rank_rewards import fresh_policy, places
from infalign_theory.transforms.bernstein import MOST_SAMPLES
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("ranks", "pooled")
_WORK = 200_000  # steps of all simulated prompts together


@dataclass(frozen=True)
class CalibrationCost:
    """What training on calibrated rewards from K base samples a prompt reaches.

    Attributes
    ----------
    win_rate : float
        In [0, 1], at a mean KL of ``kl`` nats.
    regret : float
        Optimal win rate at that KL minus ``win_rate``.
    stderr : float
        Standard error of both; 0 where they are exact (fresh ranks, within 1e-10).
    optimal : float
        The optimal win rate.
    samples, kl, transform, procedure, reuse, method
        As given.
    """

    win_rate: float
    regret: float
    stderr: float
    optimal: float
    samples: int
    kl: float
    transform: str
    procedure: str
    reuse: bool
    method: str


def calibration_cost(
    transform: Transform | str,
    procedure: Procedure | str,
    *,
    kl: float,
    samples: int,
    reuse: bool = False,
    method: str = "ranks",
    law: str = "normal",
    prompts: int | None = None,
    seed: int = 0,
) -> CalibrationCost:
    r"""Win rate and regret of training on rewards calibrated by K base samples a prompt.

    With *fresh* samples at every step training sees the mean of the transform over their ranks,
    the Bernstein polynomial :math:`B_K[a](u)`, which is again a transform: the result is exact.
    With *re-used* samples each prompt has its own step function of u, on spacings that are
    Dirichlet distributed: Monte Carlo over prompts, one :math:`\beta` for all, with its error.

    Parameters
    ----------
    transform : Transform or str
    procedure : Procedure or str
    kl : float
        Mean KL over prompts, nats, positive.
    samples : int
        K, base samples a prompt.
    reuse : bool, optional
        Whether the same K samples calibrate a prompt all run long, as offline calibration does.
    method : {"ranks", "pooled"}, optional
        As of :class:`infalign_theory.Calibrator`; pooled is simulated with that class, 64 prompts
        at a time.
    law : str, optional
        Shape of the rewards for ``pooled``: normal, logistic, gumbel, t3, exponential or beta
        (ranks do not depend on it).
    prompts : int, optional
        Simulated prompts; by default enough for an error near 0.001.
    seed : int, optional

    Returns
    -------
    CalibrationCost
        ``.win_rate``, ``.regret``, ``.stderr``.

    Raises
    ------
    InputError
        For unknown names and numbers that cannot be used.
    OutOfReachError
        Where no beta spends that KL: K samples resolve a limited one.

    Examples
    --------
    >>> round(calibration_cost("exp:10", "bon:4", kl=0.5, samples=8).regret, 5)
    0.01394
    """
    chosen, inference = as_transform(transform), as_procedure(procedure)
    count = whole(samples, "samples", "a whole number of base samples a prompt")
    _check(method, count, reuse)
    _, nats = budget(None, kl)
    assert nats is not None
    if nats == 0.0:
        raise InputError("kl = 0 trains nothing; give a positive budget in nats.")
    best = optimum(inference, kl=nats).win_rate
    if method == "ranks" and not reuse:
        won, error = win_rate(fresh_policy(chosen, nats, count), inference), 0.0
    else:
        if method == "ranks":
            number = prompts or max(1000, _WORK // (count + 1))
            steps = simulations.rank_steps(chosen(places(count)), number, seed)
        else:
            number = prompts or 512
            steps = simulations.pooled_steps(chosen, law, count, number, seed, fresh=not reuse)
        won, error = simulations.outcome(steps, inference, nats)
    return CalibrationCost(
        win_rate=won,
        regret=best - won,
        stderr=error,
        optimal=best,
        samples=count,
        kl=nats,
        transform=chosen.name,
        procedure=inference.name,
        reuse=reuse,
        method=method,
    )


def _check(method: str, samples: int, reuse: bool) -> None:
    if method not in METHODS:
        raise InputError(f"method = {method!r} is not known; give one of {', '.join(METHODS)}.")
    if not isinstance(reuse, (bool, np.bool_)):
        raise InputError(f"reuse = {reuse!r} is neither True nor False.")
    if samples > MOST_SAMPLES:
        raise InputError(f"samples = {samples}: give at most {MOST_SAMPLES}.")


def cost_table(
    transform: Transform | str,
    procedure: Procedure | str,
    *,
    kl: float,
    samples: tuple[int, ...] = (4, 8, 16, 32, 64, 128),
    **options: Any,  # noqa: ANN401 - those of calibration_cost, each of its own type
) -> pd.DataFrame:
    """How many base samples a prompt are needed: a row a K, fresh and re-used.

    Parameters
    ----------
    transform, procedure, kl
        As of :func:`calibration_cost`, which takes the further options too.
    samples : tuple of int, optional

    Returns
    -------
    DataFrame
        Columns samples, fresh, reused, stderr: regrets, and the error of the re-used one.
    """
    import pandas as pd

    rows = []
    for k in samples:
        fresh = calibration_cost(transform, procedure, kl=kl, samples=k, **options)
        again = calibration_cost(transform, procedure, kl=kl, samples=k, reuse=True, **options)
        rows.append((k, fresh.regret, again.regret, again.stderr))
    return pd.DataFrame(rows, columns=["samples", "fresh", "reused", "stderr"])
