"""The same reward function in the signatures of verl and OpenRLHF."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from infalign_theory.errors import InputError
from infalign_theory.training.reward_functions import AsyncRewardFunction, RewardFunction
from infalign_theory.typing import Array

if TYPE_CHECKING:
    import torch


def verl_compute_score(reward: RewardFunction, prompt: str = "prompt") -> Callable[..., Any]:
    """A ``compute_score`` for verl's ``custom_reward_function``.

    Parameters
    ----------
    reward : RewardFunction
    prompt : str, optional
        Key of the prompt in each row's ``extra_info``.

    Returns
    -------
    callable
        (data_source, solution_str, ground_truth, extra_info) -> {"score": float, "calibrated":
        float}, keywords as verl's reward managers give them, a row at a time; for a scorer that is
        a coroutine function a coroutine function, which the managers of its reward loop await. The
        scorer receives lists of one, and data_source, ground_truth and extra_info where it takes
        them.

    Notes
    -----
    verl's ``rate_limited`` manager turns a scorer that fails into a reward of 0 and logs it; with
    ``naive``, the default, the run stops.
    """

    def given(
        data_source: str,
        solution_str: str,
        ground_truth: object,
        extra_info: Mapping[str, Any] | None,
        options: dict[str, object],
    ) -> tuple[list[object], list[str], dict[str, object]]:
        if extra_info is None or prompt not in extra_info:
            raise InputError(
                f"extra_info has no {prompt!r}, which names the prompt; put it in the data, or "
                "name another key with prompt=."
            )
        columns = {
            "data_source": [data_source],
            "ground_truth": [ground_truth],
            "extra_info": [extra_info],
        }
        return [extra_info[prompt]], [solution_str], columns | options

    if isinstance(reward, AsyncRewardFunction):

        async def awaited_score(
            data_source: str,
            solution_str: str,
            ground_truth: object,
            extra_info: Mapping[str, Any] | None = None,
            **options: object,
        ) -> dict[str, float]:
            row = given(data_source, solution_str, ground_truth, extra_info, options)
            return _row(*await reward.awaited(*row))

        return awaited_score

    def compute_score(
        data_source: str,
        solution_str: str,
        ground_truth: object,
        extra_info: Mapping[str, Any] | None = None,
        **options: object,
    ) -> dict[str, float]:
        row = given(data_source, solution_str, ground_truth, extra_info, options)
        return _row(*reward.judged(*row))

    return compute_score


def _row(calibrated: Array, rewards: Sequence[float]) -> dict[str, float]:
    return {"score": rewards[0], "calibrated": float(calibrated[0])}


def openrlhf_reward_func(
    reward: RewardFunction, end: str | Sequence[str] = ()
) -> Callable[..., dict[str, Any]]:
    """A ``reward_func`` for OpenRLHF's ``--remote_rm_url`` file.

    Parameters
    ----------
    reward : RewardFunction
    end : str or sequence of str, optional
        Special tokens that may end a response, as ``tokenizer.eos_token``: OpenRLHF decodes
        queries with them, and they are taken off before the scorer sees a response.

    Returns
    -------
    callable
        (queries, prompts, labels) -> {"rewards", "scores", "extra_logs"}, tensors with an entry a
        query; a query is the prompt and its response in one text, perhaps after a token that
        begins it. The scorer receives labels where it takes them.

    Notes
    -----
    OpenRLHF logs a reward function that fails and leaves the reward of that sample out: read its
    log.
    """
    if isinstance(reward, AsyncRewardFunction):
        raise InputError("OpenRLHF does not await rewards; give a scorer that is not async.")
    ends = (end,) if isinstance(end, str) else tuple(end)

    def reward_func(
        queries: Sequence[str], prompts: Sequence[str], labels: Sequence[object], **options: object
    ) -> dict[str, Any]:
        import torch

        responses = [_after(q, p, ends) for q, p in zip(queries, prompts, strict=True)]
        calibrated, rewards = reward.judged(prompts, responses, {"labels": labels, **options})
        found: torch.Tensor = torch.tensor(rewards)
        logs = {"calibrated": torch.tensor(calibrated.tolist())}
        return {"rewards": found, "scores": found, "extra_logs": logs}

    return reward_func


def _after(query: str, prompt: str, ends: Sequence[str]) -> str:
    """The response of a query, without the tokens that end it."""
    _, found, response = query.partition(prompt)
    if not found and prompt:
        raise InputError(
            f"query {query!r:.60} does not hold its prompt {prompt!r:.60}; the response cannot be "
            "told from it."
        )
    for end in ends:
        response = response.removesuffix(end)
    return response
