"""What every proxy is: the law of the truth given the proxy."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from infalign_theory.checks import numbers
from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


class Proxy(ABC):
    """The joint law of a proxy reward and the truth under the base policy."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The proxy as text."""

    def __str__(self) -> str:
        return self.name


class Copula(Proxy):
    """A proxy whose calibrated reward u and calibrated truth v have a smooth joint law.

    A family gives :meth:`conditional`; all else follows from it by quadrature.
    """

    @abstractmethod
    def conditional(self, v: Points, u: Points) -> Array:
        """P(V <= v | U = u), accurate to rounding however close to an end v and u lie."""

    @property
    @abstractmethod
    def increasing(self) -> bool:
        """Whether V is stochastically increasing in U: P(V <= v | U = u) falls in u for every v.

        Where it is, no increasing transform can be hacked: the truth rises with KL.
        """

    def hacked(self, u: Points) -> Array:
        """Probability that a sample of proxy reward u is hacked: worse than every honest one."""
        return np.zeros(u.u.shape)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Proxy rewards at which the law of the truth changes abruptly."""
        return ()

    def cdf(self, v: object, u: object) -> Array:
        """P(V <= v | U = u) at numbers strictly between 0 and 1, which broadcast.

        Examples
        --------
        >>> from infalign_theory.proxies import Gaussian
        >>> round(float(Gaussian(0.7).cdf(0.5, 0.9)), 6)
        0.104527
        """
        return self.conditional(interior(v, "v"), interior(u, "u"))


def interior(values: object, name: str) -> Points:
    """Points strictly inside the unit interval, or one clear message."""
    array = numbers(values, name, "numbers strictly between 0 and 1")
    outside = ~((array > 0.0) & (array < 1.0))
    if outside.any():
        raise InputError(
            f"{name} contains {array[outside].flat[0]}; give numbers strictly between 0 and 1."
        )
    return Points.from_pair(array, 1.0 - array)
