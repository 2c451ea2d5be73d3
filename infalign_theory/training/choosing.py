r"""Which calibration is best where it matters, judged on held-out base samples.

Take two base samples i and j of a prompt and calibrate r_i by the K - 2 others. Given those, the
indicator that r_j is below r_i has mean u(r_i), so the weighted mean of
:math:`(\hat u_i - 1\{r_j < r_i\})^2` is, up to a constant, the weighted mean square error of
:math:`\hat u` (a proper score). The weight is the K - 2 others' own rank to a high power: the
squared slope of exp(10u) against u is proportional to exp(20u), near u^20.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from infalign_theory.training.laws import rank_places
from infalign_theory.training.pooling import Anchor, Moments, Shape, order_bounds
from infalign_theory.training.samples import BaseSamples
from infalign_theory.typing import Array, BoolArray, IntArray

POWER = 20
PAIRS = 400_000
FEWEST = 5  # base samples of a prompt that can spare two
FOLDS = 8
TIED = 0.01  # share of tied pairs from which rewards count as graded
RANKS = "ranks"


@dataclass(frozen=True)
class Pairs:
    """Two samples of one prompt left out of the others: who, and what the others say."""

    owner: IntArray
    first: Array
    second: Array
    n: IntArray
    below: IntArray
    up_to: IntArray
    win: Array
    end: Array

    @property
    def ranks(self) -> Array:
        return rank_places(self.below, self.up_to, self.n)

    def standardised(self, anchor: Anchor, moments: Moments) -> Array:
        """The first sample by moments of the others; NaN where those agree."""
        a = self.first - moments.mean[self.owner]
        b = self.second - moments.mean[self.owner]
        mean = -(a + b) / self.n
        whole = moments.squares[self.owner]
        rest = whole - a**2 - b**2 - self.n * mean**2
        spread = np.sqrt(np.where(rest > 1e-13 * whole, rest, np.nan) / (self.n - 1.0))
        if anchor is Anchor.END:
            return np.asarray((self.first - self.end) / spread)
        return np.asarray((a - mean) / (spread * np.sqrt(1.0 + 1.0 / self.n)))


def tail_scores(samples: BaseSamples, lower: bool) -> dict[str, float]:
    """Held-out score of each candidate over that of ranks, smaller is better; {} if unknown."""
    moments = Moments.of(samples, lower)
    usable = moments.usable & (samples.sizes >= FEWEST)
    if int(usable.sum()) < 2 or samples.ties > TIED:
        return {}
    anchors = [Anchor.MEAN]
    if 2 * samples.sizes[usable].min() >= samples.sizes[usable].max():
        anchors.append(Anchor.END)  # the law of the end depends on K
    kept = usable[samples.owner]
    found = {a: FoldShapes.of(samples, moments, kept, a) for a in anchors}
    shapes = {anchor: shape for anchor, shape in found.items() if shape is not None}
    totals = dict.fromkeys([RANKS, *(a.value for a in shapes)], 0.0)
    for pairs in _pairs(samples, kept, lower):
        ranks = pairs.ranks
        weight = (1.0 - ranks if lower else ranks) ** POWER
        totals[RANKS] += float(np.sum(weight * (ranks - pairs.win) ** 2))
        low, high = order_bounds(pairs.below, pairs.up_to, pairs.n)
        for anchor, shape in shapes.items():
            z = pairs.standardised(anchor, moments)
            known = np.isfinite(z)
            guess = ranks.copy()
            guess[known] = shape.cdf(pairs.owner[known], z[known])
            guess = np.where(known, np.clip(guess, low, high), ranks)
            totals[anchor.value] += float(np.sum(weight * (guess - pairs.win) ** 2))
    return {name: total / totals[RANKS] for name, total in totals.items()}


def best_anchor(scores: dict[str, float]) -> Anchor | None:
    """The candidate of the smallest score, None for ranks."""
    name = min(scores, key=lambda key: scores[key], default=RANKS)
    return None if name == RANKS else Anchor(name)


@dataclass(frozen=True)
class FoldShapes:
    """The pooled shape without each fold of the prompts, for judging it on that fold."""

    fold: IntArray
    shapes: list[Shape]

    @classmethod
    def of(
        cls, samples: BaseSamples, moments: Moments, kept: BoolArray, anchor: Anchor
    ) -> FoldShapes | None:
        """None where a fold would leave nothing to pool."""
        owner = samples.owner[kept]
        z = moments.left_out(anchor, owner, samples.rewards[kept])
        owner, z = owner[np.isfinite(z)], z[np.isfinite(z)]
        prompts = np.unique(owner)
        if prompts.size < 2:
            return None
        fold = np.zeros(samples.sizes.size, dtype=np.intp)
        count = min(FOLDS, prompts.size)
        fold[prompts] = np.arange(prompts.size) % count
        return cls(fold, [Shape.of(z[fold[owner] != f]) for f in range(count)])

    def cdf(self, owner: IntArray, z: Array) -> Array:
        """Calibrated rewards by the shape of the other folds."""
        out = np.empty(z.size)
        for f, shape in enumerate(self.shapes):
            mine = self.fold[owner] == f
            out[mine] = shape.cdf(z[mine])
        return out


def _pairs(samples: BaseSamples, kept: BoolArray, lower: bool) -> Iterator[Pairs]:
    """Every sample with partners of its prompt, evenly spread where not all are taken."""
    at = np.flatnonzero(kept)
    owner = samples.owner[at]
    first, sizes = samples.offsets[owner], samples.sizes[owner]
    place = at - first
    below, up_to = samples.ranks(owner, samples.rewards[at])
    largest = int(sizes.max()) - 1
    rounds = max(1, min(largest, PAIRS // at.size))
    for number in range(rounds):
        step = number + 1 if rounds == largest else 1 + number * (sizes - 1) // rounds
        own = np.broadcast_to(step < sizes, sizes.shape)
        partner = (place + step) % sizes
        mine, theirs = samples.rewards[at], samples.rewards[first + partner]
        less, same = theirs < mine, theirs == mine
        yield Pairs(
            owner=owner[own],
            first=mine[own],
            second=theirs[own],
            n=sizes[own] - 2,
            below=(below - less)[own],
            up_to=(up_to - 1 - less - same)[own],
            win=(less + same / 2.0)[own],
            end=_end(samples, first, sizes, place, partner, lower)[own],
        )


def _end(
    samples: BaseSamples,
    first: IntArray,
    sizes: IntArray,
    place: IntArray,
    partner: IntArray,
    lower: bool,
) -> Array:
    """The most extreme of the others."""
    a, b = (place, partner) if lower else (sizes - 1 - place, sizes - 1 - partner)
    near, far = np.minimum(a, b), np.maximum(a, b)
    skip = np.where(near > 0, 0, np.where(far > 1, 1, 2))
    return np.asarray(samples.rewards[first + (skip if lower else sizes - 1 - skip)])
