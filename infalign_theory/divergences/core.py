"""What every divergence is: a convex h of the density ratio, known by its slope and its inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import numbers
from infalign_theory.errors import InputError
from infalign_theory.typing import Array


class Divergence(ABC):
    r"""A penalty :math:`D = \int h(f) \, du` with h convex, h(1) = 0 and h'(1) = 0.

    Training that maximises :math:`E[\Phi] - \beta D` ends at
    :math:`f = (h')^{-1}((\Phi - \lambda)/\beta)` where that is positive and at 0 elsewhere.
    A linear term of h changes nothing: here it is chosen such that h'(1) = 0, so that h itself is
    never negative.

    Attributes
    ----------
    largest_slope : float
        Supremum of h'. Where it is finite, a transform must be bounded above.
    smallest_slope : float
        Infimum of h', reached at f = 0. Where it is finite, a policy gives up rewards altogether:
        its support ends inside (0, 1).
    curvature : float
        h''(1), which alone decides how a small budget is spent.
    """

    largest_slope: float = np.inf
    smallest_slope: float = -np.inf
    curvature: float = 1.0

    @property
    @abstractmethod
    def name(self) -> str:
        """The divergence as text, as :func:`as_divergence` reads it."""

    @abstractmethod
    def log_inverse(self, x: Array) -> Array:
        """log f at which h'(f) = x; minus infinity at and below the smallest slope."""

    @abstractmethod
    def log_moved(self, start: float, drop: Array) -> Array:
        """log f at which h'(f) = h'(exp(start)) - drop, for drop >= 0: accurate at large start."""

    @abstractmethod
    def log_compliance(self, log_f: Array) -> Array:
        """log of 1 / h''(f): how far the density gives way to a change of reward."""

    @abstractmethod
    def _value(self, f: Array) -> Array: ...

    @abstractmethod
    def _slope(self, f: Array) -> Array: ...

    def value(self, f: ArrayLike) -> Array:
        """h(f) at densities f >= 0, any shape; infinite at 0 where zeros are forbidden."""
        with np.errstate(all="ignore"):
            return self._value(_densities(f))

    def slope(self, f: ArrayLike) -> Array:
        """h'(f) at densities f >= 0, any shape."""
        with np.errstate(all="ignore"):
            return self._slope(_densities(f))

    def inverse(self, x: ArrayLike) -> Array:
        """The density f at which h'(f) = x; 0 at and below the smallest slope.

        Raises
        ------
        InputError
            At and above the largest slope, which no density has.
        """
        slopes = numbers(x, "x")
        if (slopes >= self.largest_slope).any():
            raise InputError(
                f"no density has an h' of {slopes.max():.6g} under {self.name}; give x below "
                f"{self.largest_slope:.6g}."
            )
        with np.errstate(all="ignore"):
            return np.exp(self.log_inverse(slopes))

    def __str__(self) -> str:
        return self.name


def _densities(f: ArrayLike) -> Array:
    array = numbers(f, "f", "densities, at least 0")
    if not (array >= 0.0).all():
        raise InputError(f"f contains {array[~(array >= 0.0)].flat[0]}; densities are at least 0.")
    return array
