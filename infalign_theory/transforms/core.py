"""What every transform is: a function of the calibrated reward, known by its differences."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from infalign_theory.checks import unit_interval
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


class Transform(ABC):
    """An increasing or other function Phi of the calibrated reward u in (0, 1).

    Calling it returns Phi(u). Subclasses give :attr:`name`, :attr:`anchor` and
    :meth:`differences`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The transform as text, as the command line reads it."""

    @property
    @abstractmethod
    def anchor(self) -> float:
        """Phi at the end where it is largest: Phi(1) if increasing; 0 where that is infinite."""

    @abstractmethod
    def differences(self, points: Points) -> Array:
        """Phi(u) - anchor, to full relative accuracy."""

    def changes(self, points: Points, origin: Points) -> Array:
        """Phi(u) - Phi(origin), for origins at the atoms of a discrete base.

        Where Phi is much larger at u = 1 than at any atom, differences from the anchor would say
        nothing about the atoms.
        """
        return self._values(points) - self._values(origin)

    @property
    def slopes(self) -> tuple[float, float]:
        """Growth of Phi per unit of |logit u| towards u = 0 and u = 1.

        The tilt exp(Phi/beta) has a finite normaliser if and only if beta exceeds both.
        """
        return 0.0, 0.0

    @property
    def in_logit(self) -> bool:
        """Whether differences stay exact where u or 1 - u underflow."""
        return False

    @property
    def breaks(self) -> tuple[float, ...]:
        """Logits of the kinks, jumps and singular points inside (0, 1): edges of the quadrature."""
        return ()

    def variation(self, middle: Array, half: Array) -> Array | None:
        """Proven bounds on how far Phi goes from its value at the middles of panels of the logit.

        Shape (panels, 2): on the disc of complex u that decides how fast a panel's Legendre
        coefficients die away, and on the panel itself. None for a transform known to be smooth
        in the logit, whose samples suffice.
        """
        return None

    def measured(self, points: Points) -> tuple[Array, Array | None]:
        """Differences, and a bound on their rounding errors; None where it is a few units."""
        return self.differences(points), None

    def __call__(self, u: object) -> Array:
        """Phi at calibrated rewards u in [0, 1], any shape."""
        array = unit_interval(u, "u")
        points = Points.from_pair(array, 1.0 - array)
        with np.errstate(all="ignore"):
            return np.asarray(self._values(points))

    def _values(self, points: Points) -> Array:
        return self.differences(points) + self.anchor

    def __str__(self) -> str:
        return self.name
