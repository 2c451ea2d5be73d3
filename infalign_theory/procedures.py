"""Procedures: what inference does, as a map g of the policy's CDF."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.types import Array, whole

_ALLOWED_N = "a whole number N of at least 1"


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
    def slope_terms(self) -> Array:
        """g' as terms sign w p^a q^b exp(-c q): rows (log w, a, b, c, sign)."""
        raise NotImplementedError

    @property
    def value_terms(self) -> Array:
        """g as terms of the same kind."""
        raise NotImplementedError

    @property
    def curvature(self) -> int:
        """+1 where g is convex (the win rate is concave in the policy), -1 concave, 0 unknown."""
        return 0

    def __str__(self) -> str:
        return self.name


def _log_complement(small: Array, other: Array) -> Array:
    """log(other) where small + other = 1, accurate at both ends."""
    with np.errstate(divide="ignore"):
        return np.where(small < 0.5, np.log1p(-np.minimum(small, 0.5)), np.log(other))


def _power(n: int, p: Array, q: Array) -> tuple[Array, Array]:
    """p**n and 1 - p**n."""
    exponent = n * _log_complement(q, p)
    return np.exp(exponent), -np.expm1(exponent)


def _power_slope(n: int, p: Array, q: Array) -> Array:
    """Derivative n p**(n-1)."""
    if n == 1:
        return np.ones(np.shape(p))
    return n * np.exp((n - 1) * _log_complement(q, p))


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


ALLOWED = "standard, bon:N or won:N with a whole N of at least 1"


def as_procedure(procedure: Procedure | str) -> Procedure:
    """A procedure from itself or from text such as ``bon:4``.

    Examples
    --------
    >>> as_procedure("won:8")
    WorstOfN(n=8)
    """
    if isinstance(procedure, Procedure):
        return procedure
    if isinstance(procedure, str):
        head, colon, tail = procedure.strip().partition(":")
        if head == "standard" and not colon:
            return Standard()
        if head in ("bon", "won") and colon:
            try:
                number = float(tail)
            except ValueError:
                number = float("nan")
            kind = BestOfN if head == "bon" else WorstOfN
            if number == number:
                return kind(number)  # type: ignore[arg-type]
    raise InputError(f"procedure {procedure!r} is not known; give {ALLOWED}.")


def several(texts: Sequence[str]) -> list[Procedure]:
    """Procedures from texts, in which ``bon:2,4`` stands for bon:2 and bon:4.

    Examples
    --------
    >>> [p.name for p in several(["bon:2,4", "standard"])]
    ['bon:2', 'bon:4', 'standard']
    """
    out = []
    for text in texts:
        head, colon, tail = text.partition(":")
        parts = tail.split(",") if colon else [""]
        out += [as_procedure(f"{head}{colon}{part.strip()}") for part in parts]
    return out


def power_sides(procedure: Procedure) -> tuple[int, int]:
    """(sign, N): +1 for Best-of-N, -1 for Worst-of-N, 0 with N = 1 for one sample; (0, 0) else."""
    if isinstance(procedure, Standard):
        return 0, 1
    if isinstance(procedure, (BestOfN, WorstOfN)):
        sign = 1 if isinstance(procedure, BestOfN) else -1
        return (sign, procedure.n) if procedure.n > 1 else (0, 1)
    return 0, 0
