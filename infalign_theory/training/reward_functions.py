"""Rewards that trainers can use: score, calibrate, transform, scale to [0, 1]."""

from __future__ import annotations

import inspect
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.policies.scaling import transform_bounds
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from infalign_theory.training.calibrator import Calibrator

_log = logging.getLogger(__name__)
RECENT = 50  # batches whose means are remembered for the callback
_LOGGERS = ("log_metric", "log_extra")  # TRL's own, never a scorer's business


class RewardFunction:
    """A reward function with TRL's signature; see :meth:`Calibrator.reward_function`.

    Attributes
    ----------
    calibrator : Calibrator
    transform : Transform
    means : deque of float
        Mean calibrated reward of the latest batches, free of the ranks' own bias.
    """

    def __init__(
        self,
        calibrator: Calibrator,
        score: Callable[..., Any],
        transform: Transform,
        *,
        key: str | None = None,
        unseen: str = "error",
        slow: float = 60.0,
    ) -> None:
        if not callable(score):
            raise InputError(f"score = {score!r:.60} is not a function; give the scorer.")
        self.calibrator = calibrator
        self.transform = transform
        self.means: deque[float] = deque(maxlen=RECENT)
        self.__name__ = f"calibrated {transform.name}"
        self._score = score
        self._accepted = _accepted(score)
        self._bounds = transform_bounds(transform)
        self._key, self._unseen, self._slow = key, unseen, slow

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: object
    ) -> list[float]:
        """Rewards of a batch, in [0, 1] where the transform is bounded."""
        return self.judged(prompts, completions, columns)[1]

    def judged(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]
    ) -> tuple[Array, list[float]]:
        """Calibrated rewards of a batch, free of the ranks' own bias, and its rewards."""
        started = time.perf_counter()
        try:
            scores = self._score(prompts, completions, **self._passed(columns))
        except Exception as error:
            raise self._failed(error, len(completions)) from error
        self._tell_if_slow(time.perf_counter() - started, len(completions))
        return self.rewards(prompts, scores, columns)

    def rewards(
        self, prompts: Sequence[Any], scores: Iterable[SupportsFloat], columns: Mapping[str, Any]
    ) -> tuple[Array, list[float]]:
        """The same of a batch that has been scored."""
        values = _checked(scores, len(prompts))
        names = self._names(prompts, columns)
        u = self.calibrator.calibrate(names, values, unseen=self._unseen)
        unbiased = self.calibrator.without_bias(names, u)
        self.means.append(float(np.mean(unbiased)))
        log_metric = columns.get("log_metric")
        if log_metric is not None:
            log_metric("calibrated/mean", float(np.mean(unbiased)))
        return unbiased, [float(x) for x in self.scaled(u)]

    def scaled(self, u: Array) -> Array:
        """Phi(u), mapped affinely to [0, 1] where it is bounded."""
        points = Points.from_pair(u, 1.0 - u)
        differences = self.transform.differences(points)
        if self._bounds is None:
            return np.asarray(differences + self.transform.anchor)
        low, high = self._bounds
        return np.clip((differences - low) / (high - low), 0.0, 1.0)

    def _passed(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in columns.items() if key not in _LOGGERS}
        if self._accepted is None:
            return kept
        return {key: value for key, value in kept.items() if key in self._accepted}

    def _names(self, prompts: Sequence[Any], columns: Mapping[str, Any]) -> list[str]:
        if self._key is None:
            return [prompt_text(prompt) for prompt in prompts]
        if self._key not in columns:
            raise InputError(
                f"the dataset has no column {self._key!r} (key=), which names the prompts of the "
                "calibration; add it, or leave key out."
            )
        return [str(name) for name in columns[self._key]]

    def _failed(self, error: Exception, count: int) -> InputError:
        return InputError(
            f"the scorer failed on a batch of {count}: {type(error).__name__}: {error!s:.200}; "
            "repair it: no reward is better than a made-up one."
        )

    def _tell_if_slow(self, seconds: float, count: int) -> None:
        if seconds > self._slow:
            _log.warning("the scorer took %.0f s for a batch of %d", seconds, count)


class AsyncRewardFunction(RewardFunction):
    """The same for a scorer that is a coroutine function; trainers await it."""

    async def __call__(  # type: ignore[override]
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: object
    ) -> list[float]:
        """Rewards of a batch, in [0, 1] where the transform is bounded."""
        return (await self.awaited(prompts, completions, columns))[1]

    async def awaited(
        self, prompts: Sequence[Any], completions: Sequence[Any], columns: Mapping[str, Any]
    ) -> tuple[Array, list[float]]:
        """What :meth:`RewardFunction.judged` gives."""
        started = time.perf_counter()
        try:
            scores = await self._score(prompts, completions, **self._passed(columns))
        except Exception as error:
            raise self._failed(error, len(completions)) from error
        self._tell_if_slow(time.perf_counter() - started, len(completions))
        return self.rewards(prompts, scores, columns)


def prompt_text(prompt: str | Sequence[Mapping[str, object]]) -> str:
    """The text that names a prompt: itself, or the last user message of a chat.

    Examples
    --------
    >>> prompt_text([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
    'Hi'
    """
    if isinstance(prompt, str):
        return prompt
    try:
        texts = [message["content"] for message in prompt if message["role"] == "user"]
        if texts and isinstance(texts[-1], str):
            return texts[-1]
    except (TypeError, KeyError):
        pass
    raise InputError(
        f"prompt {prompt!r:.80} is neither text nor a chat with a user message; name the prompts "
        "by a column of the dataset with key=."
    )


def _accepted(score: Callable[..., Any]) -> frozenset[str] | None:
    """Names of the further arguments a scorer takes; None where it takes any."""
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return frozenset(p.name for p in parameters) - {"prompts", "completions"}


def _checked(scores: Iterable[SupportsFloat], count: int) -> Array:
    """One finite score a completion, or what is wrong with them."""
    if hasattr(scores, "detach"):  # a tensor
        scores = scores.detach().cpu().numpy()
    try:
        listed = list(scores)
    except TypeError:
        raise InputError(
            f"the scorer returned {scores!r:.60}; it must return a score a completion."
        ) from None
    if len(listed) != count:
        raise InputError(
            f"the scorer returned {len(listed)} scores for {count} completions; it must return one "
            "each."
        )
    bad = [at for at, value in enumerate(listed) if not _is_finite(value)]
    if bad:
        raise InputError(
            f"the scorer returned {listed[bad[0]]!r:.40} for completion {bad[0]} of the batch "
            f"({len(bad)} of {count} are no finite numbers); repair it: no reward is better than "
            "a made-up one."
        )
    return np.array([float(value) for value in listed])


def _is_finite(value: SupportsFloat | str) -> bool:
    try:
        return not isinstance(value, str) and bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False
