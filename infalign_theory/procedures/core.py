"""What every procedure is: a map g of the policy's CDF, increasing from 0 to 1."""

from __future__ import annotations

from abc import ABC, abstractmethod

from infalign_theory.typing import Array


class Procedure(ABC):
    """A calibrated procedure: it turns a CDF F into g(F), g increasing from 0 to 1."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The procedure as text, as the command line reads it."""

    @abstractmethod
    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        """g(p) and 1 - g(p), each accurate where it is small; q = 1 - p."""

    @abstractmethod
    def pdf(self, p: Array, q: Array) -> Array:
        """g'(p); q = 1 - p."""

    @property
    @abstractmethod
    def slope_terms(self) -> Array:
        """g' as compiled kernels read it; see :mod:`infalign_theory.kernels.terms`."""

    @property
    @abstractmethod
    def value_terms(self) -> Array:
        """g as compiled kernels read it."""

    @property
    def breaks(self) -> tuple[float, ...]:
        """Logits of p where g has a kink or varies too fast for samples: edges of integrals."""
        return ()

    @property
    def curvature(self) -> int:
        """+1 where g is convex (the win rate is concave in the policy), -1 concave, 0 unknown."""
        return 0

    def __str__(self) -> str:
        return self.name
