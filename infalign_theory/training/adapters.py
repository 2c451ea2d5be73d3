"""The same reward function in the signatures of verl and OpenRLHF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infalign_theory.errors import InputError
from infalign_theory.training.reward_functions import AsyncRewardFunction, RewardFunction

if TYPE_CHECKING:
    import torch


def verl_compute_score(
    reward: RewardFunction, prompt: str = "prompt"
) -> Callable[..., dict[str, float]]:
    """A ``compute_score`` for verl's ``custom_reward_function``.

    Parameters
    ----------
    reward : RewardFunction
    prompt : str, optional
        Key of the prompt in each row's ``extra_info``.

    Returns
    -------
    callable
        (data_source, solution_str, ground_truth, extra_info) -> {"score": float, ...}. The scorer
        receives lists of one, and data_source and ground_truth where it takes them.
    """
    _plain(reward)

    def compute_score(
        data_source: str,
        solution_str: str,
        ground_truth: object,
        extra_info: Mapping[str, Any] | None = None,
        **options: object,
    ) -> dict[str, float]:
        if extra_info is None or prompt not in extra_info:
            raise InputError(
                f"extra_info has no {prompt!r}, which names the prompt; put it in the data, or "
                "name another key with prompt=."
            )
        [value] = reward(
            [extra_info[prompt]],
            [solution_str],
            data_source=[data_source],
            ground_truth=[ground_truth],
            extra_info=[extra_info],
            **options,
        )
        return {"score": value, "calibrated": reward.means[-1]}

    return compute_score


def openrlhf_reward_func(reward: RewardFunction) -> Callable[..., dict[str, Any]]:
    """A ``reward_func`` for OpenRLHF's ``--remote_rm_url`` file.

    Returns
    -------
    callable
        (queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}; a query is the prompt
        and its response in one text. The scorer receives labels where it takes them.
    """
    _plain(reward)

    def reward_func(
        queries: Sequence[str], prompts: Sequence[str], labels: Sequence[object], **options: object
    ) -> dict[str, Any]:
        import torch

        responses = [_after(q, p) for q, p in zip(queries, prompts, strict=True)]
        found: torch.Tensor = torch.tensor(reward(prompts, responses, labels=labels, **options))
        mean = torch.tensor(reward.means[-1])
        return {"rewards": found, "scores": found, "extra_logs": {"calibrated_mean": mean}}

    return reward_func


def _plain(reward: RewardFunction) -> None:
    if isinstance(reward, AsyncRewardFunction):
        raise InputError("this trainer does not await rewards; give a scorer that is not async.")


def _after(query: str, prompt: str) -> str:
    if not query.startswith(prompt):
        raise InputError(
            f"query {query!r:.60} does not start with its prompt {prompt!r:.60}; the response "
            "cannot be told from it."
        )
    return query[len(prompt) :]
