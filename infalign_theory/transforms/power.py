"""Powers of the calibrated reward."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Power(Transform):
    """Phi(u) = u**p: with p = 2N - 1 first-order optimal for Best-of-N at small KL.

    Parameters
    ----------
    p : float
        Power, positive.

    Examples
    --------
    >>> float(Power(2)(0.5))
    0.25
    """

    p: float

    def __post_init__(self) -> None:
        number = real(self.p, "power p", "a positive power between 1e-100 and 1e9")
        if not 1e-100 <= number <= 1e9:
            raise InputError(
                f"power p = {plain_number(number)}: give a positive power from 1e-100 to 1e9 "
                "(log is the limit at 0; for a negative power write an expression)."
            )
        object.__setattr__(self, "p", number)

    anchor = 1.0

    @property
    def name(self) -> str:
        return f"power:{plain_number(self.p)}"

    def differences(self, points: Points) -> Array:
        return np.expm1(self.p * points.log_u)

    def changes(self, points: Points, origin: Points) -> Array:
        ratio = np.expm1(self.p * (points.log_u - origin.log_u))
        return np.asarray(self._values(origin) * ratio)

    def _values(self, points: Points) -> Array:
        return np.asarray(np.exp(self.p * points.log_u))
