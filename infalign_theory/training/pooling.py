r"""The common shape of the rewards of all prompts, and what it says of one more reward.

With location m and scale s taken from the K base samples of a prompt, the standardised rewards
:math:`z = (r - m)/s` of further samples follow one law for all prompts that differ by location and
scale only. Leaving each base sample out of its own m and s draws from that law: pooled over the
prompts, these are its quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.special import betaincinv

from infalign_theory.training.samples import BaseSamples
from infalign_theory.typing import Array, BoolArray, IntArray

FEWEST = 4  # base samples of a prompt, so that three are left when one is left out
KNOTS = 4096
BOUND = 0.1  # chance on each side that the order statistics' law leaves outside its bounds
_TOP = float(np.nextafter(1.0, 0.0))


class Anchor(Enum):
    """Where standardised rewards are measured from."""

    MEAN = "mean"
    """The mean: good for every shape whose tail thins out."""
    END = "end"
    """The most extreme sample: good where the tail ends at a wall."""


@dataclass(frozen=True)
class Shape:
    """A law of standardised rewards by its quantiles: F(knots) = levels, beyond them a power."""

    knots: Array
    levels: Array
    scale: float

    @classmethod
    def of(cls, standardised: Array) -> Shape:
        z = np.sort(standardised)
        levels = (np.arange(z.size) + 0.5) / z.size
        if z.size > KNOTS:  # every sample of both tails, some of the middle
            part = KNOTS // 4
            middle = np.linspace(part, z.size - part - 1, 2 * part).astype(int)
            kept = np.r_[np.arange(part), middle, np.arange(z.size - part, z.size)]
            z, levels = z[kept], levels[kept]
        z, first, count = np.unique(z, return_index=True, return_counts=True)
        spread = float(z[-1] - z[0])
        return cls(z, (levels[first] + levels[first + count - 1]) / 2, spread or 1.0)

    def cdf(self, z: Array) -> Array:
        """Increasing everywhere: beyond the last knots the rest decays as a power of distance."""
        inside = np.interp(z, self.knots, self.levels)
        below = self.levels[0] / (1.0 + np.maximum(self.knots[0] - z, 0.0) / self.scale)
        above = (1.0 - self.levels[-1]) / (1.0 + np.maximum(z - self.knots[-1], 0.0) / self.scale)
        out = np.where(z < self.knots[0], below, np.where(z > self.knots[-1], 1.0 - above, inside))
        return np.clip(out, 1.0 - _TOP, _TOP)


@dataclass(frozen=True)
class Moments:
    """What standardises the rewards of a prompt: samples, mean, deviation, end, next to the end."""

    sizes: IntArray
    mean: Array
    squares: Array
    end: Array
    next_end: Array

    @classmethod
    def of(cls, samples: BaseSamples, lower: bool) -> Moments:
        sizes, owner = samples.sizes, samples.owner
        mean = np.bincount(owner, samples.rewards, minlength=sizes.size) / sizes
        centred = samples.rewards - mean[owner]
        squares = np.bincount(owner, centred**2, minlength=sizes.size).astype(np.float64)
        first, last = samples.offsets[:-1], samples.offsets[1:] - 1
        inner = np.where(sizes > 1, 1, 0)
        end, after = (first, first + inner) if lower else (last, last - inner)
        return cls(sizes, mean, squares, samples.rewards[end], samples.rewards[after])

    @property
    def usable(self) -> BoolArray:
        """Prompts with enough samples, not all the same but for one."""
        size = np.maximum(np.abs(self.mean), np.abs(self.end))
        return np.asarray((self.sizes >= FEWEST) & (self.squares > 1e-24 * size**2 * self.sizes))

    def standardised(self, anchor: Anchor, owner: IntArray, rewards: Array) -> Array:
        """Rewards of further samples; prompts must be usable."""
        n = self.sizes[owner].astype(np.float64)
        spread = np.sqrt(self.squares[owner] / (n - 1.0))
        if anchor is Anchor.END:
            return np.asarray((rewards - self.end[owner]) / spread)
        return np.asarray((rewards - self.mean[owner]) / (spread * np.sqrt(1.0 + 1.0 / n)))

    def left_out(self, anchor: Anchor, owner: IntArray, rewards: Array) -> Array:
        """Base samples, each standardised by the others of its prompt; NaN where those agree."""
        n = self.sizes[owner].astype(np.float64)
        centred = rewards - self.mean[owner]
        rest = self.squares[owner] - centred**2 * n / (n - 1.0)
        rest = np.where(rest > 1e-13 * self.squares[owner], rest, np.nan)
        spread = np.sqrt(rest / (n - 2.0))
        if anchor is Anchor.END:
            end = np.where(rewards == self.end[owner], self.next_end[owner], self.end[owner])
            return np.asarray((rewards - end) / spread)
        others = -centred / (n - 1.0)
        return np.asarray((centred - others) / (spread * np.sqrt(1.0 + 1.0 / (n - 1.0))))


def order_bounds(below: IntArray, up_to: IntArray, sizes: IntArray) -> tuple[Array, Array]:
    """Bounds on u from the ranks alone.

    The calibrated reward at the j-th of K base samples is Beta(j, K - j + 1): a reward at or above
    it lies above that law's lower quantile, one below the next sample below its upper quantile.
    """
    stride = int(np.max(sizes, initial=1)) + 1
    lowest, place = np.unique(below * stride + sizes, return_inverse=True)
    ranks, size = np.divmod(lowest, stride)
    lower = np.where(ranks > 0, betaincinv(np.maximum(ranks, 1), size - ranks + 1, BOUND), 0.0)
    highest, spot = np.unique(up_to * stride + sizes, return_inverse=True)
    ranks, size = np.divmod(highest, stride)
    above = betaincinv(ranks + 1.0, np.maximum(size - ranks, 1), 1.0 - BOUND)
    upper = np.where(ranks < size, above, 1.0)
    return np.asarray(lower[place]), np.asarray(upper[spot])
