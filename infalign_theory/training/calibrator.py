"""Calibrated rewards from base samples, for training and for streaming use while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import numbers
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.errors import InputError
from infalign_theory.training.choosing import best_anchor, tail_scores
from infalign_theory.training.laws import Law, Pooled
from infalign_theory.training.pooling import Anchor
from infalign_theory.training.samples import BaseSamples
from infalign_theory.training.uniformity import Uniformity
from infalign_theory.typing import Array, BoolArray

if TYPE_CHECKING:
    from infalign_theory.training.reward_functions import RewardFunction
    from infalign_theory.transforms.core import Transform

METHODS = ("auto", "ranks", "pooled")
TAILS = ("upper", "lower")
UNSEEN = ("error", "pooled")


class Calibrator:
    r"""Calibrated rewards u = P(a base sample of the prompt scores below), ties half.

    Made by :meth:`fit` from base samples. ``ranks`` puts a reward above j of K base samples at
    (j + 1/2)/(K + 1). ``pooled`` adds the common shape of the standardised rewards of all prompts,
    kept between the bounds that the order statistics of the prompt itself set. ``auto`` takes
    what calibrates held-out samples best in the tail that matters; graded rewards stay with ranks.

    Attributes
    ----------
    prompts : tuple of str
    method : str
        ``"ranks"`` or ``"pooled"``: what is used, also where ``auto`` chose it.
    uniformity : Uniformity
        How uniform base samples are once calibrated, each by the others of its prompt.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scores = {"prompt": np.repeat(["a", "b"], 8), "reward": np.arange(16) % 8 / 8}
    >>> import pandas as pd
    >>> cal = Calibrator.fit(pd.DataFrame(scores), method="ranks")
    >>> cal.calibrate(["a", "b", "a"], [0.5, 0.51, -3.0]).round(4).tolist()
    [0.5556, 0.6111, 0.0556]
    """

    def __init__(
        self, samples: BaseSamples, *, method: str, tail: str, anchor: Anchor | Unknown | None
    ) -> None:
        self._samples = samples
        self._asked = method
        self._tail = tail
        self._known = anchor

    @classmethod
    def fit(
        cls,
        scores: ScoresLike,
        prompt: str = "prompt",
        reward: str = "reward",
        method: str = "auto",
        *,
        tail: str = "upper",
    ) -> Calibrator:
        """From base samples, a row a sample.

        Parameters
        ----------
        scores : path, sequence of paths, or table
            Whatever :func:`infalign_theory.predict` reads.
        prompt, reward : str, optional
            Names of the columns.
        method : {"auto", "ranks", "pooled"}, optional
        tail : {"upper", "lower"}, optional
            Where calibration must be best: upper for transforms that favour Best-of-N (the
            default), lower for Worst-of-N.

        Raises
        ------
        InputError
            For unreadable scores, unknown options, and ``pooled`` where no prompt has four
            samples that differ.
        """
        _one_of(method, METHODS, "method")
        _one_of(tail, TAILS, "tail")
        made = cls(
            BaseSamples.read(scores, prompt, reward), method=method, tail=tail, anchor=UNKNOWN
        )
        if method == "pooled":
            made._law.require_shape()
        return made

    # ------------------------------------------------------------------ what it is
    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts with base samples, in increasing order."""
        return self._samples.prompts

    @property
    def samples(self) -> int:
        """Base samples of all prompts together."""
        return int(self._samples.rewards.size)

    @property
    def method(self) -> str:
        """What is used: ``"ranks"`` or ``"pooled"``."""
        return "ranks" if self._law.anchor is None else "pooled"

    @cached_property
    def _scores(self) -> dict[str, float]:
        return tail_scores(self._samples, self._tail == "lower")

    @cached_property
    def _law(self) -> Law:
        if not isinstance(self._known, Unknown):
            anchor = self._known
        elif self._asked == "ranks":
            anchor = None
        elif self._asked == "auto":
            anchor = best_anchor(self._scores)
        else:
            pooled = {name: s for name, s in self._scores.items() if name != "ranks"}
            anchor = best_anchor(pooled) or Anchor.MEAN
        return Law(self._samples, anchor, self._tail == "lower")

    @cached_property
    def _pooled(self) -> Pooled:
        return Pooled.of(self._samples)

    @cached_property
    def uniformity(self) -> Uniformity:
        """How uniform held-out base samples are once calibrated; draws itself with ``plot()``."""
        anchor = self._law.anchor
        return Uniformity.of(
            self._law.left_out(),
            self._scores,
            "ranks" if anchor is None else anchor.value,
            self._samples.ties,
        )

    def __repr__(self) -> str:
        return (
            f"<calibrator of {len(self.prompts)} prompts, {self.samples} base samples: "
            f"{self.method}>"
        )

    # ------------------------------------------------------------------ what it does
    def calibrate(
        self, prompts: str | Sequence[str], rewards: ArrayLike, *, unseen: str = "error"
    ) -> Array:
        """Calibrated rewards of further samples.

        Parameters
        ----------
        prompts : sequence of str, or str
            The prompt of each sample, or the one of all.
        rewards : array_like, shape (M,)
            Finite; on the scale of the base samples.
        unseen : {"error", "pooled"}, optional
            What to do with prompts without base samples: refuse them, or rank their rewards among
            those of all prompts (right only where rewards mean the same on every prompt).

        Returns
        -------
        ndarray, shape (M,)
            In (0, 1), increasing in the reward of each prompt, equal for equal rewards.

        Raises
        ------
        InputError
            For unseen prompts, rewards that are not finite, and lengths that differ.
        """
        _one_of(unseen, UNSEEN, "unseen")
        values = _finite(rewards)
        names = [prompts] * values.size if isinstance(prompts, str) else prompts
        if len(names) != values.size:
            raise InputError(
                f"{len(names)} prompts and {values.size} rewards; give one of each a sample, or "
                "one prompt for all."
            )
        owner = self._samples.find(names)
        missing = owner < 0
        if not missing.any():
            return self._law.calibrated(owner, values)
        if unseen == "error":
            raise InputError(_never_seen(names, missing))
        out = np.empty(values.size)
        out[missing] = self._pooled.calibrated(values[missing])
        out[~missing] = self._law.calibrated(owner[~missing], values[~missing])
        return out

    def add(
        self,
        scores: ScoresLike,
        rewards: ArrayLike | None = None,
        *,
        prompt: str = "prompt",
        reward: str = "reward",
    ) -> Calibrator:
        """Add base samples, as a run that goes on draws them; what is fitted is fitted anew.

        Parameters
        ----------
        scores : table as in :meth:`fit`, or a sequence of prompts where ``rewards`` are given
        rewards : array_like, optional
            The reward of each prompt's sample.

        Returns
        -------
        Calibrator
            This one, so that a reward function that holds it sees the new samples.
        """
        if rewards is None:
            new = BaseSamples.read(scores, prompt, reward)
        else:
            names = cast("Sequence[str]", scores)
            if isinstance(scores, str):
                names = [scores] * np.size(rewards)
            new = BaseSamples.collect(names, rewards)
        self._samples = self._samples.joined(new)
        if self._asked == "auto":
            self._known = UNKNOWN
        for name in ("_scores", "_law", "_pooled", "uniformity"):
            self.__dict__.pop(name, None)
        return self

    def without_bias(self, prompts: Sequence[str], calibrated: Array) -> Array:
        """Calibrated rewards whose *mean* is right, for reports: the places of ranks pull inwards.

        Given u, ranks among K fresh samples have the mean (K u + 1/2)/(K + 1).
        """
        if self._law.anchor is not None:
            return calibrated
        owner = self._samples.find(prompts)
        size = np.where(owner >= 0, self._samples.sizes[owner], self.samples)
        return np.asarray((calibrated * (size + 1.0) - 0.5) / size)

    def reward_function(
        self,
        score: Callable[..., Any],
        transform: Transform | str,
        *,
        key: str | None = None,
        unseen: str = "error",
        slow: float = 60.0,
    ) -> RewardFunction:
        """A reward function for TRL: score, calibrate, transform, map to [0, 1].

        Parameters
        ----------
        score : callable
            (prompts, completions, ...) -> a score a completion, on the scale of the base samples.
            It receives prompts and completions as the trainer gives them (text or chat messages)
            and the further columns of the dataset that it takes; it may be a coroutine function.
        transform : Transform or str
            Bounded ones are mapped to [0, 1]; log and logit are given as they are.
        key : str, optional
            Column of the dataset that names the prompts of the calibration; by default the prompt
            itself, or the last user message of a chat.
        unseen : {"error", "pooled"}, optional
            As of :meth:`calibrate`.
        slow : float, optional
            Seconds a batch from which the scorer's time is logged as a warning.

        Returns
        -------
        RewardFunction
            ``(prompts, completions, **columns) -> list of float``. A scorer that fails, or returns
            NaN, None or the wrong number of scores, stops the run with an InputError.

        Examples
        --------
        >>> import pandas as pd
        >>> base = pd.DataFrame({"prompt": ["a"] * 4, "reward": [1.0, 2.0, 3.0, 4.0]})
        >>> cal = Calibrator.fit(base, method="ranks")
        >>> length = lambda prompts, completions: map(len, completions)
        >>> reward = cal.reward_function(length, transform="identity")
        >>> reward(prompts=["a", "a"], completions=["xx", "xxxxxx"])
        [0.4, 0.9]
        """
        from infalign_theory.training.reward_functions import AsyncRewardFunction, RewardFunction
        from infalign_theory.transforms.names import as_transform

        _one_of(unseen, UNSEEN, "unseen")
        call = getattr(score, "__call__", None)  # noqa: B004 - an object's own coroutine
        awaits = iscoroutinefunction(score) or iscoroutinefunction(call)
        kind = AsyncRewardFunction if awaits else RewardFunction
        return kind(self, score, as_transform(transform), key=key, unseen=unseen, slow=slow)

    # ------------------------------------------------------------------ files
    def save(self, path: str | Path) -> None:
        """Write base samples and choices as Parquet, with a version and a checksum, atomically."""
        from infalign_theory.training.storage import Stored, write

        anchor = self._law.anchor
        write(
            Path(path),
            Stored(self._samples, self._asked, self._tail, anchor.value if anchor else "ranks"),
        )

    @classmethod
    def load(cls, path: str | Path) -> Calibrator:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            For files that are not calibrations, of a newer version, or damaged.
        """
        from infalign_theory.training.storage import read

        stored = read(Path(path))
        anchor = None if stored.chosen == "ranks" else Anchor(stored.chosen)
        return cls(stored.samples, method=stored.method, tail=stored.tail, anchor=anchor)


class Unknown(Enum):
    """No choice has been made yet."""

    UNKNOWN = "unknown"


UNKNOWN = Unknown.UNKNOWN


def _one_of(given: str, allowed: tuple[str, ...], what: str) -> None:
    if given not in allowed:
        raise InputError(f"{what} = {given!r} is not known; give one of {', '.join(allowed)}.")


def _finite(rewards: ArrayLike) -> Array:
    values = np.atleast_1d(numbers(rewards, "rewards"))
    if values.ndim != 1:
        raise InputError(f"rewards has shape {values.shape}; give a one-dimensional array.")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"rewards[{bad[0]}] = {values[bad[0]]} is not finite ({bad.size} such in all); a "
            "calibrated reward needs a score: repair the scorer."
        )
    return values


def _never_seen(names: Sequence[str], missing: BoolArray) -> str:
    first = names[int(np.flatnonzero(missing)[0])]
    shown = first if len(first) <= 60 else first[:57] + "..."
    count = len({names[i] for i in np.flatnonzero(missing).tolist()})
    return (
        f"prompt {shown!r} has no base samples ({count} such in all); add some with add(), or pass "
        'unseen="pooled" to rank them among the rewards of all prompts.'
    )
