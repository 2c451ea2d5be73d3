"""What a run has reached so far, from the mean calibrated reward alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.checks import real
from infalign_theory.errors import InfalignError, InputError
from infalign_theory.policies.alignment import align
from infalign_theory.policies.bracketing import bracket_increasing, root_within
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.training.reward_functions import RewardFunction
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

if TYPE_CHECKING:
    from transformers import TrainerCallback

_LARGEST_KL = 20.0  # nats


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes
    ----------
    mean : float
        Mean calibrated reward: the standard win rate against the base.
    kl_floor : float
        Least KL of any policy with that mean, nats: an observed KL below it is an error, one far
        above it is spent where the reward does not look.
    win_rate : float
        Of the procedure, on the law of the transform with that mean.
    """

    mean: float
    kl_floor: float
    win_rate: float


def progress(mean: float, transform: Transform | str, procedure: Procedure | str) -> Progress:
    """What a mean calibrated reward says of KL and of the win rate under a procedure.

    Examples
    --------
    >>> found = progress(0.7519667572, "identity", "standard")
    >>> round(found.win_rate, 6), found.kl_floor < 0.5
    (0.751967, True)
    """
    chosen, inference = as_transform(transform), as_procedure(procedure)
    number = real(mean, "mean", "a mean calibrated reward in (0, 1)")
    if not 0.0 < number < 1.0:
        raise InputError(f"mean = {number:g}: give a mean calibrated reward in (0, 1).")
    if number <= 0.5:
        return Progress(number, 0.0 if number == 0.5 else _floor(1.0 - number), 0.5)
    return Progress(number, _floor(number), win_rate(_with_mean(chosen, number), inference))


def _floor(mean: float) -> float:
    """KL of the identity's tilt of that mean, which by convexity no policy undercuts."""
    if mean - 0.5 < 1e-4:
        return 6.0 * (mean - 0.5) ** 2
    return _with_mean(as_transform("identity"), mean).kl


def _with_mean(transform: Transform, mean: float) -> ContinuousPolicy:
    def tilted(log_k: float) -> ContinuousPolicy:
        return align(transform, beta=float(np.exp(-log_k)))

    def excess(log_k: float) -> float:
        policy = tilted(log_k)
        missing = win_rate(policy) - mean
        if missing < 0.0 and policy.kl > _LARGEST_KL:
            raise _out_of_reach(transform, mean)
        return missing

    bracket = bracket_increasing(excess, 0.0, lowest=-100.0, highest=600.0)
    policy = None if bracket is None else tilted(root_within(excess, bracket, 1e-13))
    if policy is None or policy.kl > _LARGEST_KL:
        raise _out_of_reach(transform, mean)
    return policy


def _out_of_reach(transform: Transform, mean: float) -> InputError:
    return InputError(
        f"mean = {mean:.6g} is out of reach of {transform.name} within {_LARGEST_KL:g} nats."
    )


def callback(reward: RewardFunction, procedure: Procedure | str) -> TrainerCallback:
    """A callback that logs mean calibrated reward, KL floor and predicted win rate as one trains.

    Parameters
    ----------
    reward : RewardFunction
        The one the trainer uses.
    procedure : Procedure or str
        What inference will do.

    Returns
    -------
    transformers.TrainerCallback
        Adds ``calibrated/mean``, ``calibrated/kl_floor`` and ``calibrated/win_rate`` to the logs,
        over the batches since the last one. Means over calibration samples that are re-used all
        run long flatter the policy, which has seen them.
    """
    from transformers import TrainerCallback

    inference = as_procedure(procedure)

    class Calibrated(TrainerCallback):
        """Writes into the logs what the calibrated rewards say."""

        def on_log(
            self,
            args: object,
            state: object,
            control: object,
            logs: dict[str, float] | None = None,
            **given: object,
        ) -> None:
            if not reward.means or logs is None:
                return
            mean = float(np.clip(np.mean(reward.means), 1e-6, 1.0 - 1e-6))
            reward.means.clear()
            logs["calibrated/mean"] = mean
            try:
                found = progress(mean, reward.transform, inference)
            except InfalignError:  # beyond what this transform can do: only the mean is known
                return
            logs["calibrated/kl_floor"] = found.kl_floor
            logs["calibrated/win_rate"] = found.win_rate

    return Calibrated()
