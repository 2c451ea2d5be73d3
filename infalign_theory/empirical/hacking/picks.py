"""Truth of what best-of-N and soft best-of-N pick, and where it turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from infalign_theory.empirical.hacking.results import Onset, PickRow, SoftRow
from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.statistics.estimators import picked_truth
from infalign_theory.empirical.statistics.soft_picks import soft_picks
from infalign_theory.empirical.statistics.turning import peaks
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.procedures.weights import Weight
from infalign_theory.typing import Array, IntArray

_EVERY_N = 64  # up to which every N is listed; beyond, eight an octave


def listed(largest: int) -> IntArray:
    """Every N up to 64, then eight an octave.

    Examples
    --------
    >>> listed(5).tolist(), listed(100).size
    ([1, 2, 3, 4, 5], 70)
    """
    dense = np.arange(1, min(largest, _EVERY_N) + 1)
    if largest <= _EVERY_N:
        return dense
    octaves = np.log2(largest / _EVERY_N)
    sparse = _EVERY_N * 2.0 ** (np.arange(1, int(np.ceil(8 * octaves))) / 8.0)
    return np.unique(np.concatenate([dense, np.round(sparse).astype(int), [largest]]))


@dataclass(frozen=True)
class Picked:
    """Mean proxy and truth of each prompt's pick, by N, of best-of-N and soft best-of-N.

    The curves are named by strength, ``None`` for best-of-N itself: arrays of shape (P, N) each.
    """

    ns: IntArray
    bounds: tuple[float, float]
    rewards: Mapping[str | None, Array]
    truths: Mapping[str | None, Array]

    @classmethod
    def of(cls, pairs: Pairs, largest: int, weights: Sequence[Weight]) -> Picked:
        ns = listed(largest)
        curves: list[dict[str | None, Array]] = [
            {None: np.stack([picked_truth(pairs.proxy, x, f"bon:{n}") for n in ns], axis=1)}
            for x in (pairs.proxy.values, pairs.truth)
        ]
        for weight in weights:
            found = soft_picks(pairs.samples, weight, min(largest, _EVERY_N))
            for curve, values in zip(curves, found, strict=True):
                curve[weight.name] = values
        return cls(ns, (float(pairs.truth.min()), float(pairs.truth.max())), *curves)

    def best(self, level: float) -> tuple[PickRow, ...]:
        """Rows of best-of-N."""
        return tuple(PickRow(*row) for row in self._rows(None, level))

    def soft(self, level: float) -> tuple[SoftRow, ...]:
        """Rows of soft best-of-N, strength by strength."""
        return tuple(
            SoftRow(name, *row)
            for name in self.truths
            if name is not None
            for row in self._rows(name, level)
        )

    def _rows(
        self, name: str | None, level: float
    ) -> Iterator[tuple[int, float, float, tuple[float, float] | None]]:
        columns = zip(self.ns.tolist(), self.rewards[name].T, self.truths[name].T, strict=False)
        for n, reward, truth in columns:
            estimate = mean_over_prompts(truth, level=level, bounds=self.bounds)
            yield n, float(reward.mean()), estimate.value, estimate.ci

    def onsets(self, level: float, statements: int) -> list[Onset]:
        """Where the truth of each turns."""
        found = peaks(list(self.truths.values()), level, statements)
        out = []
        for name, one in zip(self.truths, found, strict=True):
            ns = self.ns[: one.possible.size]
            best, possible = float(ns[one.at]), ns[one.possible]
            out.append(
                Onset(
                    name="best-of-n" if name is None else f"soft:N@{name}",
                    by_n=True,
                    at=best if one.falls else None,
                    peak=best,
                    ci=(float(possible[0]), float(possible[-1])),
                    searched_to=float(ns[-1]),
                    limited_by=(
                        f"there are {self.ns[-1]} samples a prompt"
                        if ns.size == self.ns.size
                        else f"soft best-of-N is looked at up to {ns[-1]}"
                    ),
                )
            )
        return out
