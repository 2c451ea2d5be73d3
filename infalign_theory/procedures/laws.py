"""Procedures that act on the whole law of a policy, not on its CDF point by point."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NoReturn

from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Sample:
    """A law as a procedure sees it: points and what each weighs, from the lowest reward up."""

    points: Points
    masses: Array


class LawProcedure(Procedure):
    """A procedure whose output density is the policy's times a ratio that the whole law decides.

    Subclasses give :attr:`name`, :meth:`ratio` and :meth:`draws`.
    """

    @property
    def edges(self) -> tuple[float, ...]:
        """Calibrated rewards at which the ratio jumps."""
        return ()

    def features(self, points: Points) -> list[Array]:
        """Functions of u that a grid must resolve under the policy for the ratio to be exact."""
        return []

    @abstractmethod
    def ratio(self, sample: Sample, points: Points) -> Array:
        """Density after inference over density before, at any points."""

    @abstractmethod
    def draws(self, sample: Sample) -> float:
        """Expected number of samples that the procedure draws for one answer."""

    def _not_pointwise(self) -> NoReturn:
        raise InputError(
            f"procedure {self.name} acts on the whole law of a policy, so it has no g(p); "
            "win_rate takes it, this function takes standard, bon:N, won:N and other distortions."
        )

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        self._not_pointwise()

    def pdf(self, p: Array, q: Array) -> Array:
        self._not_pointwise()

    @property
    def slope_terms(self) -> Array:
        self._not_pointwise()

    @property
    def value_terms(self) -> Array:
        self._not_pointwise()
