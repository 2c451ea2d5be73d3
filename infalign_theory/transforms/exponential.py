"""Exponential transforms, the family of CTRL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

EXPONENT_LIMIT = 600.0  # exp(t) and the beta that goes with it must stay inside float64


@dataclass(frozen=True)
class Exponential(Transform):
    """Phi(u) = sign(t) exp(t u): t > 0 favours Best-of-N, t < 0 Worst-of-N.

    Parameters
    ----------
    t : float
        Exponent, non-zero, at most 600 in size.

    References
    ----------
    InfAlign, arXiv 2412.19792, section on exponential transforms (CTRL).

    Examples
    --------
    >>> float(Exponential(10)(0.0)), float(Exponential(-10)(0.0))
    (1.0, -1.0)
    """

    t: float

    def __post_init__(self) -> None:
        allowed = f"a non-zero exponent of size 1e-100 to {EXPONENT_LIMIT:g}"
        number = real(self.t, "exponent t", allowed)
        if not 1e-100 <= abs(number) <= EXPONENT_LIMIT:
            hint = " (as t tends to 0 use identity)" if abs(number) < 1e-100 else ""
            raise InputError(f"exponent t = {plain_number(number)}: give {allowed}{hint}.")
        object.__setattr__(self, "t", number)

    @property
    def name(self) -> str:
        return f"exp:{plain_number(self.t)}"

    @property
    def anchor(self) -> float:
        return float(np.sign(self.t) * np.exp(self.t))

    def differences(self, points: Points) -> Array:
        return self.anchor * np.expm1(-self.t * points.v)

    def changes(self, points: Points, origin: Points) -> Array:
        return np.asarray(self._values(origin) * np.expm1(self.t * points.minus(origin)))

    def _values(self, points: Points) -> Array:
        return np.asarray(np.sign(self.t) * np.exp(self.t * points.u))
