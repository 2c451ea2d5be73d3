"""Settings of trainers for a wanted KL, in their own words, and what they really optimise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.training.penalties import (
    GroupScaling,
    Penalty,
    Solution,
    penalty_of,
    solution,
    solution_at_kl,
)
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

TOKENS = (
    "The law is exact where a response is one decision; over many tokens the same holds of the "
    "sequence only for a penalty in the reward, and is an approximation for one in the loss."
)
ON_POLICY = "Exact on-policy: one update a batch, so that no ratio is clipped."


@dataclass(frozen=True)
class Settings:
    """What to give a trainer, and where it will end.

    Attributes
    ----------
    trainer, transform : str
    arguments : mapping of str to value
        The trainer's own argument names.
    divergence : str
        What the penalty really is: ``kl``, ``forward-kl`` or ``none``.
    kl : float
        Reverse KL of the law it leads to, nats.
    beta, scaled_beta : float, float or None
        Strength of the penalty for Phi as it is and for Phi mapped to [0, 1], once any scaling by
        a deviation has acted: that of the law itself.
    critical_beta : float or None
        With rewards divided by their deviation: the trainer's beta below which it collapses.
    notes : tuple of str
        What to know before the run; the first differs from what was asked for where it must.
    """

    trainer: str
    transform: str
    arguments: Mapping[str, Any]
    divergence: str
    kl: float
    beta: float
    scaled_beta: float | None
    critical_beta: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, ready for JSON."""
        return {**self.__dict__, "arguments": dict(self.arguments), "notes": list(self.notes)}

    def __reduce__(self) -> tuple[Callable[..., Settings], tuple[dict[str, Any]]]:
        return _restored, (self.to_dict(),)


def _restored(fields: dict[str, Any]) -> Settings:
    frozen = MappingProxyType(fields["arguments"])
    return Settings(**{**fields, "arguments": frozen, "notes": tuple(fields["notes"])})


@dataclass(frozen=True)
class Choice:
    """What a trainer does with its penalty, and how it is told so."""

    penalty: Penalty
    scaled: bool
    arguments: Callable[[float], dict[str, Any]]
    notes: tuple[str, ...] = ()


def settings(
    transform: Transform | str,
    *,
    trainer: str,
    kl: float | None = None,
    beta: float | None = None,
    **choices: object,
) -> Settings:
    r"""A trainer's own settings for a transform and a KL, and the law they lead to.

    Parameters
    ----------
    transform : Transform or str
        Given to the trainer as rewards in [0, 1], which
        :meth:`infalign_theory.Calibrator.reward_function` does; unbounded ones (log, logit) as
        they are.
    trainer : {"trl-rloo", "trl-grpo", "verl", "openrlhf"}
    kl : float, optional
        Wanted reverse KL, nats, positive.
    beta : float, optional
        The trainer's own coefficient instead; then ``.kl`` tells where it leads.
    **choices
        trl-rloo: ``normalize_advantages``. trl-grpo: ``use_bias_correction_kl``,
        ``scale_rewards`` ("none", "group", "batch"), ``loss_type``. verl: ``use_kl_in_reward``,
        ``kl_loss_type`` ("kl", "mse", "low_var_kl"), ``norm_adv_by_std_in_grpo``. openrlhf:
        ``use_kl_loss``, ``kl_estimator`` ("k1", "k2", "k3"), ``advantage_estimator``.

    Returns
    -------
    Settings

    Raises
    ------
    InputError
        For unknown trainers and choices, and choices without any penalty.
    OutOfReachError
        Where rewards are divided by their deviation and no stable fixed point is what was asked
        for; the message names the critical beta.

    Examples
    --------
    >>> found = settings("exp:10", kl=0.5, trainer="trl-rloo")
    >>> found.divergence, round(found.arguments["beta"], 4)
    ('kl', 0.3184)
    >>> settings("identity", kl=0.5, trainer="trl-grpo", use_bias_correction_kl=False).divergence
    'forward-kl'
    """
    chosen = as_transform(transform)
    if not isinstance(trainer, str) or trainer not in TRAINERS:
        raise InputError(
            f"trainer = {trainer!r:.40} is not known; give one of {', '.join(TRAINERS)}."
        )
    choice = _choose(trainer, choices)
    if choice.penalty is Penalty.NONE:
        raise InputError(
            f"{trainer} with {_shown(choices)}: the expected gradient of this penalty is zero, so "
            "training is not regularised at all; give another estimator or put it in the reward."
        )
    law, own, critical = _law(chosen, choice, *budget(beta, kl))
    unit = scaled_beta(chosen, 1.0)  # None where Phi is unbounded
    notes = list(choice.notes)
    if choice.scaled:
        notes.insert(0, _about_scaling(law, own, critical))
    if choice.penalty is Penalty.FORWARD:
        notes.insert(0, "The penalty is the forward KL: the law is beta / (lambda - Phi).")
    if unit is None:
        notes.append(f"{chosen.name} is unbounded and is given as it is, not mapped to [0, 1].")
    return Settings(
        trainer=trainer,
        transform=chosen.name,
        arguments=MappingProxyType(choice.arguments(own)),
        divergence=choice.penalty.value,
        kl=law.kl,
        beta=1.0 / law.k,
        scaled_beta=None if unit is None else unit / law.k,
        critical_beta=critical,
        notes=tuple(notes),
    )


def _law(
    transform: Transform, choice: Choice, strength: float | None, nats: float
) -> tuple[Solution, float, float | None]:
    """The law, the trainer's own beta, and the critical one where there is one."""
    if strength is None and nats == 0.0:
        raise InputError("kl = 0 trains nothing; give a positive budget in nats.")
    if choice.scaled:
        return _divided(transform, choice.penalty, strength, nats if strength is None else None)
    unit = scaled_beta(transform, 1.0) or 1.0
    if strength is None:
        law = solution_at_kl(transform, choice.penalty, nats)
    else:
        law = solution(transform, choice.penalty, unit / strength)
    return law, unit / law.k, None


def _divided(
    transform: Transform, penalty: Penalty, strength: float | None, kl: float | None
) -> tuple[Solution, float, float | None]:
    """The law, the trainer's beta, and the critical one, where rewards are divided by sigma."""
    bounds = GroupScaling.of(transform) if penalty is Penalty.REVERSE else None
    critical = None if bounds is None else bounds.critical_beta
    if kl is not None:
        law = solution_at_kl(transform, penalty, kl)
        if bounds is not None and law.k > bounds.turn:
            limit = solution(transform, penalty, bounds.turn).kl
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats with rewards divided by their standard deviation: "
                f"fixed points beyond {limit:.4g} nats repel and the policy collapses (below "
                f"beta = {bounds.critical_beta:.4g} there is none); do not scale rewards.",
                limit,
            )
        return law, 1.0 / (law.k * law.deviation), critical
    assert strength is not None
    if critical is not None and strength <= critical:
        raise OutOfReachError(
            f"beta = {plain_number(strength)} with rewards divided by their standard deviation: "
            f"below the critical beta {critical:.4g} there is no fixed point and the policy "
            "collapses; use a larger beta, or do not scale rewards.",
            critical,
        )
    return _fixed_point(transform, penalty, strength, bounds), strength, critical


def _fixed_point(
    transform: Transform, penalty: Penalty, beta: float, bounds: GroupScaling | None
) -> Solution:
    """The first k at which k sigma(k) = 1/beta: the one that attracts."""
    from scipy.optimize import brentq

    def excess(log_k: float) -> float:
        law = solution(transform, penalty, float(np.exp(log_k)))
        return law.k * law.deviation * beta - 1.0

    base = solution(transform, penalty, 1e-9 / _size(transform)).deviation
    high = np.log(1.0 / (beta * base))
    turn = np.inf if bounds is None else np.log(bounds.turn)
    while excess(min(high, turn)) < 0.0 and high < turn:
        high += 0.25
    top = min(high, turn)
    return solution(transform, penalty, float(np.exp(brentq(excess, top - 40.0, top, xtol=1e-14))))


def _size(transform: Transform) -> float:
    unit = scaled_beta(transform, 1.0)
    return 1.0 if unit is None else 1.0 / unit


def _about_scaling(law: Solution, own: float, critical: float | None) -> str:
    edge = "" if critical is None else f"; below beta = {critical:.4g} the policy collapses"
    return (
        f"Rewards are divided by their deviation under the policy itself: beta = {own:.4g} acts as "
        f"1/k = {1.0 / law.k:.4g} for Phi, where k sigma(k) = 1/beta{edge}. This is for large "
        "groups."
    )


def _shown(choices: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in choices.items()) or "its defaults"


# ------------------------------------------------------------------ one function a trainer
def _choose(trainer: str, choices: dict[str, object]) -> Choice:
    make, allowed = TRAINERS[trainer]
    for name, value in choices.items():
        if name not in allowed:
            raise InputError(f"{name} is no choice of {trainer}; there are {', '.join(allowed)}.")
        if value not in allowed[name]:
            listed = ", ".join(repr(option) for option in allowed[name])
            raise InputError(f"{name} = {value!r} is not known; give one of {listed}.")
    return make({name: values[0] for name, values in allowed.items()} | choices)


def _trl_rloo(choices: Mapping[str, Any]) -> Choice:
    scaled = choices["normalize_advantages"]
    notes = [TOKENS, ON_POLICY]
    if scaled:
        notes.insert(
            0,
            "Normalised advantages leave the law as it is, for they vanish on it; but their noise "
            "does not die away near it: prefer normalize_advantages=False.",
        )
    return Choice(
        penalty_of(place="reward", estimator="k1"),
        False,
        lambda beta: {"beta": beta, "normalize_advantages": scaled, "num_iterations": 1},
        tuple(notes),
    )


def _trl_grpo(choices: Mapping[str, Any]) -> Choice:
    corrected, scale = choices["use_bias_correction_kl"], choices["scale_rewards"]
    arguments = {
        "use_bias_correction_kl": corrected,
        "scale_rewards": scale,
        "loss_type": choices["loss_type"],
        "num_iterations": 1,
    }
    if choices["loss_type"] == "cispo":  # its clip acts on ratios of 1 too
        arguments["epsilon_high"] = 5.0
    return Choice(
        penalty_of(place="loss", estimator="k3", ratio=corrected),
        scale != "none",
        lambda beta: {"beta": beta, **arguments},
        (TOKENS, ON_POLICY),
    )


_VERL_NAMES = {"kl": "k1", "mse": "k2", "low_var_kl": "k3"}


def _verl(choices: Mapping[str, Any]) -> Choice:
    in_reward, by_std = choices["use_kl_in_reward"], choices["norm_adv_by_std_in_grpo"]
    shared = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": by_std,
        "algorithm.use_kl_in_reward": in_reward,
        "actor_rollout_ref.actor.use_kl_loss": not in_reward,
    }
    if in_reward:
        return Choice(
            penalty_of(place="reward", estimator="k1"),
            False,  # the advantage, penalty and all, vanishes on the law
            lambda beta: (
                shared
                | {
                    "algorithm.kl_penalty": "kl",
                    "algorithm.kl_ctrl.type": "fixed",
                    "algorithm.kl_ctrl.kl_coef": beta,
                }
            ),
            (TOKENS, ON_POLICY),
        )
    name = choices["kl_loss_type"]
    return Choice(
        penalty_of(place="loss", estimator=_VERL_NAMES[name]),
        by_std,
        lambda beta: (
            shared
            | {
                "actor_rollout_ref.actor.kl_loss_type": name,
                "actor_rollout_ref.actor.kl_loss_coef": beta,
            }
        ),
        (TOKENS, ON_POLICY),
    )


def _openrlhf(choices: Mapping[str, Any]) -> Choice:
    in_loss, estimator = choices["use_kl_loss"], choices["kl_estimator"]
    advantage = choices["advantage_estimator"]
    return Choice(
        penalty_of(place="loss" if in_loss else "reward", estimator=estimator),
        in_loss and advantage == "group_norm",
        lambda beta: {
            "advantage_estimator": advantage,
            "init_kl_coef": beta,
            "use_kl_loss": in_loss,
            "kl_estimator": estimator,
        },
        (TOKENS, ON_POLICY),
    )


_SWITCH = (False, True)
_LOSSES = ("dapo", "grpo", "dr_grpo", "bnpo", "luspo", "cispo")
# the first value of each choice is the default
TRAINERS: dict[str, tuple[Callable[[Mapping[str, Any]], Choice], dict[str, tuple[Any, ...]]]] = {
    "trl-rloo": (_trl_rloo, {"normalize_advantages": _SWITCH}),
    "trl-grpo": (
        _trl_grpo,
        {
            "use_bias_correction_kl": (True, False),
            "scale_rewards": ("none", "group", "batch"),
            "loss_type": _LOSSES,
        },
    ),
    "verl": (
        _verl,
        {
            "use_kl_in_reward": (True, False),
            "kl_loss_type": ("mse", "low_var_kl", "kl"),
            "norm_adv_by_std_in_grpo": _SWITCH,
        },
    ),
    "openrlhf": (
        _openrlhf,
        {
            "use_kl_loss": _SWITCH,
            "kl_estimator": ("k1", "k2", "k3"),
            "advantage_estimator": ("rloo", "group_norm", "reinforce_baseline", "dr_grpo"),
        },
    ),
}
