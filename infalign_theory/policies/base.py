"""The base policy, seen through its calibrated reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import vector
from infalign_theory.errors import InputError
from infalign_theory.kernels.sums import cumulative_sums
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Continuous:
    """A base without ties: its calibrated reward is uniform on (0, 1), whatever the reward.

    Examples
    --------
    >>> Continuous()
    Continuous()
    """


class Discrete:
    """A base with finitely many rewards: atoms sorted by reward, equal rewards merged.

    Parameters
    ----------
    probs : array_like, shape (K,)
        Probabilities, non-negative, summing to 1 within 1e-9 (then normalised exactly).
        Atoms of probability zero are dropped.
    rewards : array_like, shape (K,), optional
        Finite rewards in any order; by default the atoms are taken in increasing order.

    Attributes
    ----------
    probs, rewards : ndarray, shape (K',)
        Merged atoms in increasing order of reward.
    u : ndarray, shape (K',)
        Calibrated reward of each atom, ties counted half: P(below) + probs / 2.

    Raises
    ------
    InputError
        For negative, non-finite or badly summing probabilities, and rewards that do not fit.

    Examples
    --------
    >>> base = Discrete(probs=[0.2, 0.3, 0.5], rewards=[1.0, 0.0, 1.0])
    >>> base.probs.tolist(), base.rewards.tolist()
    ([0.3, 0.7], [0.0, 1.0])
    >>> base.u.round(12).tolist()
    [0.15, 0.65]
    """

    def __init__(self, probs: ArrayLike, rewards: ArrayLike | None = None) -> None:
        mass = vector(probs, "probs")
        reward = vector(np.arange(mass.size) if rewards is None else rewards, "rewards")
        if reward.size != mass.size:
            raise InputError(
                f"probs has {mass.size} entries and rewards {reward.size}; give one each an atom."
            )
        if (mass < 0).any():
            first = int(np.flatnonzero(mass < 0)[0])
            raise InputError(
                f"probs[{first}] = {mass[first]:g} is negative; probabilities lie in [0, 1]."
            )
        total = float(np.sum(mass))
        if abs(total - 1.0) > 1e-9:
            raise InputError(
                f"probs sum to {total:.12g}; they must sum to 1 (divide counts by their total, "
                "or use Discrete.from_scores)."
            )
        kept = mass > 0.0
        merged, group = np.unique(reward[kept], return_inverse=True)
        self.rewards: Array = merged
        self.probs: Array = np.bincount(group, weights=mass[kept] / total).astype(np.float64)
        self.below, self.above = cumulative_sums(self.probs)
        self.points = Points.from_pair(
            self.below[:-1] + self.probs / 2, self.above[1:] + self.probs / 2
        )

    @classmethod
    def from_scores(cls, scores: ArrayLike) -> Discrete:
        """The empirical law of a sample of scores: every score weighs the same.

        Examples
        --------
        >>> Discrete.from_scores([3, 1, 3, 2]).probs.tolist()
        [0.25, 0.25, 0.5]
        """
        values = vector(scores, "scores")
        return cls(np.full(values.size, 1.0 / values.size), values)

    @property
    def u(self) -> Array:
        """Calibrated reward of each atom."""
        return self.points.u

    def __len__(self) -> int:
        return int(self.probs.size)

    def __repr__(self) -> str:
        return f"Discrete({len(self)} atoms)"


Base = Continuous | Discrete


def as_base(base: object) -> Base:
    """The base given, a continuous one by default."""
    if base is None:
        return Continuous()
    if isinstance(base, (Continuous, Discrete)):
        return base
    raise InputError(f"base {base!r} is not a base; give Continuous() or Discrete(probs, rewards).")
