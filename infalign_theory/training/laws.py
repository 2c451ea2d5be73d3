"""From base samples to calibrated rewards: ranks alone, or ranks and the pooled shape together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.training.pooling import FEWEST, Anchor, Moments, Shape, order_bounds
from infalign_theory.training.samples import BaseSamples
from infalign_theory.typing import Array, IntArray


def rank_places(below: IntArray, up_to: IntArray, sizes: IntArray) -> Array:
    """(j + 1/2)/(K + 1) where j of K base samples score below, ties counted half."""
    return np.asarray((below + up_to + 1.0) / 2.0 / (sizes + 1.0))


@dataclass(frozen=True)
class Law:
    """How a reward becomes a calibrated one; without an anchor by ranks alone."""

    samples: BaseSamples
    anchor: Anchor | None
    lower: bool = False

    @cached_property
    def _moments(self) -> Moments:
        return Moments.of(self.samples, self.lower)

    @cached_property
    def _shape(self) -> Shape | None:
        if self.anchor is None:
            return None
        owner, rewards = self.samples.owner, self.samples.rewards
        kept = self._moments.usable[owner]
        z = self._moments.left_out(self.anchor, owner[kept], rewards[kept])
        z = z[np.isfinite(z)]
        return Shape.of(z) if z.size else None

    def require_shape(self) -> None:
        """Refuse base samples that have nothing to pool."""
        if self._shape is None:
            raise InputError(
                f"no prompt has {FEWEST} base samples that differ, so there is no shape to pool; "
                'give more samples a prompt, or method="ranks".'
            )

    def calibrated(self, owner: IntArray, rewards: Array) -> Array:
        """Calibrated rewards in (0, 1) of samples whose prompts are numbers into ``samples``."""
        below, up_to = self.samples.ranks(owner, rewards)
        sizes = self.samples.sizes[owner]
        out = rank_places(below, up_to, sizes)
        if self.anchor is None or self._shape is None:
            return out
        use = self._moments.usable[owner]
        z = self._moments.standardised(self.anchor, owner[use], rewards[use])
        low, high = order_bounds(below[use], up_to[use], sizes[use])
        out[use] = np.clip(self._shape.cdf(z), low, high)
        return out

    def left_out(self) -> Array:
        """Calibrated rewards of the base samples themselves, each by the others of its prompt.

        NaN where a prompt has a single sample.
        """
        owner, rewards = self.samples.owner, self.samples.rewards
        below, up_to = self.samples.ranks(owner, rewards)
        others = self.samples.sizes[owner] - 1
        out = np.where(others > 0, rank_places(below, up_to - 1, others), np.nan)
        if self.anchor is None or self._shape is None:
            return out
        use = np.flatnonzero(self._moments.usable[owner])
        z = self._moments.left_out(self.anchor, owner[use], rewards[use])
        use, z = use[np.isfinite(z)], z[np.isfinite(z)]
        low, high = order_bounds(below[use], up_to[use] - 1, others[use])
        out[use] = np.clip(self._shape.cdf(z), low, high)
        return out


@dataclass(frozen=True)
class Pooled:
    """All rewards as one law, each prompt weighing the same: for prompts never seen."""

    rewards: Array
    below: Array

    @classmethod
    def of(cls, samples: BaseSamples) -> Pooled:
        weights = 1.0 / (samples.sizes * samples.sizes.size)[samples.owner]
        order = np.argsort(samples.rewards, kind="stable")
        below = np.concatenate([[0.0], np.cumsum(weights[order])])
        return cls(samples.rewards[order], below / below[-1])

    def calibrated(self, rewards: Array) -> Array:
        low = self.below[np.searchsorted(self.rewards, rewards, side="left")]
        high = self.below[np.searchsorted(self.rewards, rewards, side="right")]
        count = self.rewards.size
        return np.asarray(((low + high) / 2 * count + 0.5) / (count + 1.0))
