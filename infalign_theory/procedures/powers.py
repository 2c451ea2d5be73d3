"""One sample, Best-of-N and Worst-of-N."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.procedures.core import Procedure
from infalign_theory.typing import Array

_ALLOWED_N = "a whole number N of at least 1"
_LARGE = 64  # powers from which the rounding of p itself, next to 1, would be felt


def _power(n: int, p: Array, q: Array) -> tuple[Array, Array]:
    """p**n and 1 - p**n for q = 1 - p, each accurate where it is small."""
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    exponent = _exponent(n, p, q)
    whole = np.exp(exponent) if n > _LARGE else _whole_power(n, p)
    rest = np.expm1(exponent)
    return whole, np.abs(rest)


def _power_slope(n: int, p: Array, q: Array) -> Array:
    """Derivative n p**(n-1)."""
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    n, factor = n - 1, n
    return factor * (np.exp(_exponent(n, p, q)) if n > _LARGE else _whole_power(n, p))


def _exponent(n: int, p: Array, q: Array) -> Array:
    """n log p."""
    if n == 0:
        return np.zeros(p.shape)
    near = q < 0.5
    exponent = np.negative(q, where=near, out=np.zeros(p.shape))
    np.log1p(exponent, where=near, out=exponent)
    with np.errstate(divide="ignore"):
        np.log(p, where=~near, out=exponent)
    exponent *= n
    return exponent


def _whole_power(n: int, p: Array) -> Array:
    """p**n by repeated squaring."""
    result: Array | None = None
    while n > 0:
        if n & 1:
            result = p if result is None else result * p
        n >>= 1
        p = p * p if n else p
    return np.ones(p.shape) if result is None else result


@dataclass(frozen=True)
class Standard(Procedure):
    """One sample: g(p) = p.

    Examples
    --------
    >>> Standard().name
    'standard'
    """

    name = "standard"
    curvature = 1

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        return p, q

    def pdf(self, p: Array, q: Array) -> Array:
        return np.ones(np.shape(p))

    slope_terms = np.array([[0.0, 0.0, 0.0, 0.0, 1.0]])
    value_terms = np.array([[0.0, 1.0, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class BestOfN(Procedure):
    """The best of N samples by reward: g(p) = p**N.

    Examples
    --------
    >>> BestOfN(4).name
    'bon:4'
    """

    n: int
    curvature = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "Best-of-N: N", _ALLOWED_N))

    @property
    def name(self) -> str:
        return f"bon:{self.n}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        return _power(self.n, p, q)

    def pdf(self, p: Array, q: Array) -> Array:
        return _power_slope(self.n, p, q)

    @property
    def slope_terms(self) -> Array:
        return np.array([[np.log(self.n), self.n - 1.0, 0.0, 0.0, 1.0]])

    @property
    def value_terms(self) -> Array:
        return np.array([[0.0, self.n, 0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class WorstOfN(Procedure):
    """The worst of N samples, the attacker's pick in best-of-N jailbreaking: g(p) = 1-(1-p)**N.

    Examples
    --------
    >>> WorstOfN(4).name
    'won:4'
    """

    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "Worst-of-N: N", _ALLOWED_N))

    @property
    def name(self) -> str:
        return f"won:{self.n}"

    @property
    def curvature(self) -> int:
        return 1 if self.n == 1 else -1

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        lost, kept = _power(self.n, q, p)
        return kept, lost

    def pdf(self, p: Array, q: Array) -> Array:
        return _power_slope(self.n, q, p)

    @property
    def slope_terms(self) -> Array:
        return np.array([[np.log(self.n), 0.0, self.n - 1.0, 0.0, 1.0]])

    @property
    def value_terms(self) -> Array:
        return np.array([[0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, self.n, 0.0, -1.0]])


def power_sides(procedure: Procedure) -> tuple[int, int]:
    """(sign, N): +1 for Best-of-N, -1 for Worst-of-N, 0 with N = 1 for one sample; (0, 0) else."""
    if isinstance(procedure, Standard):
        return 0, 1
    if isinstance(procedure, (BestOfN, WorstOfN)):
        sign = 1 if isinstance(procedure, BestOfN) else -1
        return (sign, procedure.n) if procedure.n > 1 else (0, 1)
    return 0, 0
