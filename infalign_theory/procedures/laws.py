"""Procedures that act on the whole law of a policy, not on its CDF point by point."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Sample:
    """A law as a procedure sees it: points and what each weighs, from the lowest reward up.

    ``atoms`` says whether these are all rewards there are, or the nodes of a quadrature.
    """

    points: Points
    masses: Array
    atoms: bool = False


class LawProcedure(Procedure):
    """A procedure whose output density is the policy's times a ratio that the whole law decides.

    Subclasses give :attr:`name`, :meth:`ratio` and :meth:`draws`.
    """

    @property
    def edges(self) -> tuple[float, ...]:
        """Logits of the calibrated rewards at which the ratio jumps or has a kink."""
        return ()

    def steepness(self, points: Points) -> Array | None:
        """A function of u whose change over a panel that has mass must stay moderate."""
        return None

    def features(self, points: Points) -> list[Array]:
        """Functions of u that a grid must resolve under the policy for the ratio to be exact."""
        return []

    @abstractmethod
    def ratio(self, sample: Sample) -> Callable[[Points], Array]:
        """Density after inference over density before, as a function of points."""

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
