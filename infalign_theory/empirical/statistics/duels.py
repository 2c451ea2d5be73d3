"""What stands against what: the procedures of the two sides of a win rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np

from infalign_theory.kernels.jackknife import Sides
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, power_sides
from infalign_theory.procedures.names import as_procedure


@dataclass(frozen=True)
class Duel:
    """Names of the procedures that the aligned policy and the base go through.

    Both are of single samples, Best-of-N or Worst-of-N.
    """

    procedure: str
    against: str

    @classmethod
    def of(cls, procedure: Procedure | str, against: Procedure | str | None = None) -> Duel:
        """From names in any spelling; the base's is the same by default.

        Examples
        --------
        >>> Duel.of("best-of-4"), Duel.of("bon:8", "standard").label
        (Duel(procedure='bon:4', against='bon:4'), 'bon:8 against standard')
        """
        ours = as_procedure(procedure).name
        return cls(ours, ours if against is None else as_procedure(against).name)

    @property
    def label(self) -> str:
        """One name for both."""
        return self.procedure if self.versus is None else f"{self.procedure} against {self.versus}"

    @property
    def versus(self) -> str | None:
        """The base's procedure where it is another."""
        return None if self.against == self.procedure else self.against

    @cached_property
    def ours(self) -> Procedure:
        """What the aligned policy goes through."""
        return as_procedure(self.procedure)

    @cached_property
    def theirs(self) -> Procedure:
        """What the base goes through."""
        return as_procedure(self.against)

    @property
    def sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(sign, N) of either side; see :func:`power_sides`."""
        return power_sides(self.ours), power_sides(self.theirs)

    @property
    def single(self) -> bool:
        """Whether both sides are single samples."""
        return self.sides == ((0, 1), (0, 1))

    @property
    def even(self) -> bool:
        """Whether both sides do the same, whatever it is called."""
        return self.sides[0] == self.sides[1]

    @property
    def crossed(self) -> bool:
        """Whether one side keeps the best of several samples and the other the worst."""
        (sign, _), (other, _) = self.sides
        return sign * other < 0

    @property
    def reversed(self) -> Duel:
        """The same for rewards in the opposite order."""
        return Duel(*(reversed_order(side).name for side in (self.ours, self.theirs)))

    @property
    def base_win_rate(self) -> float:
        """What a continuous base itself wins in the aligned policy's place; 1/2 of equal sides.

        All n + m samples are in one random order: the best of n is above the best of m with
        chance n / (n + m), and the best of n below the worst of m only where all n are below.
        """
        (sign, n), (other, m) = self.sides
        if self.even:
            return 0.5
        if self.crossed:
            every = 1.0 / comb(n + m, n)
            return 1.0 - every if sign > 0 else every
        return (n if (sign or other) > 0 else m) / (n + m)


def reversed_order(procedure: Procedure) -> Procedure:
    """What a procedure is for rewards in the opposite order."""
    sign, n = power_sides(procedure)
    if sign == 0:
        return procedure
    return WorstOfN(n) if sign > 0 else BestOfN(n)


def kernel_sides(duels: Iterable[Duel]) -> Sides:
    """Both sides of duels as kernels read them."""
    pairs = [duel.sides for duel in duels]
    sizes = np.array([[n for _, n in pair] for pair in pairs], dtype=np.intp).reshape(-1, 2)
    best = np.array([[sign >= 0 for sign, _ in pair] for pair in pairs], dtype=np.intp)
    return Sides(sizes, best.reshape(-1, 2))
