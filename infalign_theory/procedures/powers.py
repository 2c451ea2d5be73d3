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
    if n <= _LARGE:
        whole, total = _geometric(n, p)
        total *= q  # 1 - p^n = (1 - p) (1 + p + ... + p^(n-1)), in which nothing cancels
        return whole, total
    exponent = _exponent(n, p, q)
    return np.exp(exponent), np.abs(np.expm1(exponent))


def _power_slope(n: int, p: Array, q: Array) -> Array:
    """Derivative n p**(n-1)."""
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if n == 1:
        return np.ones(p.shape)
    slope = np.exp(_exponent(n - 1, p, q)) if n > _LARGE else _geometric(n - 1, p)[0]
    return np.asarray(n * slope)


def _exponent(n: int, p: Array, q: Array) -> Array:
    """n log p."""
    with np.errstate(divide="ignore"):
        return np.asarray(n * np.where(q < 0.5, np.log1p(-q), np.log(p)))


def _geometric(n: int, p: Array) -> tuple[Array, Array]:
    """p**n and 1 + p + ... + p**(n-1), by doubling n from its highest digit down."""
    power, total = p.copy(), np.ones(p.shape)
    for digit in bin(n)[3:]:
        total += total * power
        power = power * power
        if digit == "1":
            total += power
            power *= p
    return power, total


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
