"""The k-th best of n samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.typing import Array

_MOST_TERMS = 100_000


@dataclass(frozen=True)
class OrderStatistic(Procedure):
    """The k-th best of n samples; k = (n + 1)/2 is the median.

    g(p) = P(at least n - k + 1 of n uniforms are below p), a regularised incomplete beta function.

    Examples
    --------
    >>> OrderStatistic(2, 3).name
    'order:2/3'
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "order statistic: n", "a whole n >= 1"))
        k = whole(self.k, "order statistic: k", "a whole k from 1 (the best) to n (the worst)")
        if k > self.n:
            raise InputError(
                f"order statistic: k = {k} of n = {self.n} does not exist; give a whole k from 1 "
                "(the best) to n (the worst)."
            )
        object.__setattr__(self, "k", k)

    @property
    def name(self) -> str:
        return f"order:{self.k}/{self.n}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        from scipy import special  # here: half a second of import that few need

        below = special.betainc(self.n - self.k + 1, self.k, p)
        return np.asarray(below), np.asarray(special.betainc(self.k, self.n - self.k + 1, q))

    def pdf(self, p: Array, q: Array) -> Array:
        from scipy import special

        exponent = special.xlogy(self.n - self.k, p) + special.xlogy(self.k - 1, q)
        return np.asarray(np.exp(self._log_constant + exponent))

    @property
    def _log_constant(self) -> float:
        from scipy import special

        return float(-special.betaln(self.n - self.k + 1, self.k))

    @property
    def slope_terms(self) -> Array:
        return np.array([[self._log_constant, self.n - self.k, self.k - 1.0, 0.0, 1.0]])

    @property
    def value_terms(self) -> Array:
        from scipy import special

        if self.k > _MOST_TERMS:
            raise InputError(
                f"order statistic: {self.name} is a sum of {self.k} terms here, more than the "
                f"{_MOST_TERMS} that fit; give a k of at most {_MOST_TERMS}."
            )
        j = np.arange(self.n - self.k + 1.0, self.n + 1.0)
        log_binomial = -np.log(self.n + 1.0) - special.betaln(j + 1.0, self.n - j + 1.0)
        zeros = np.zeros(j.size)
        return np.column_stack([log_binomial, j, self.n - j, zeros, zeros + 1.0])

    @property
    def curvature(self) -> int:
        return 1 if self.k == 1 else (-1 if self.k == self.n else 0)
