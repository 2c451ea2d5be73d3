"""The best of a Poisson number of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.typing import Array


@dataclass(frozen=True)
class BestOfPoisson(Procedure):
    """The best of 1 + Poisson(mu) samples: g(p) = p exp(mu (p - 1)).

    A Best-of-N with a continuous budget; arXiv 2506.19248.

    Examples
    --------
    >>> BestOfPoisson(3).name
    'bop:3'
    """

    mu: float
    curvature = 1

    def __post_init__(self) -> None:
        mu = real(self.mu, "best of Poisson: mu", "a mean number of extra samples, at least 0")
        if mu < 0.0:
            raise InputError(
                f"best of Poisson: mu = {plain_number(mu)} is negative; give a mean number of "
                "extra samples, at least 0."
            )
        object.__setattr__(self, "mu", mu)

    @property
    def name(self) -> str:
        return f"bop:{plain_number(self.mu)}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        return p * np.exp(-self.mu * q), q - p * np.expm1(-self.mu * q)

    def pdf(self, p: Array, q: Array) -> Array:
        return np.asarray((1.0 + self.mu * p) * np.exp(-self.mu * q))

    @property
    def slope_terms(self) -> Array:
        rows = [[0.0, 0.0, 0.0, self.mu, 1.0]]
        if self.mu > 0.0:
            rows.append([np.log(self.mu), 1.0, 0.0, self.mu, 1.0])
        return np.array(rows)

    @property
    def value_terms(self) -> Array:
        return np.array([[0.0, 1.0, 0.0, self.mu, 1.0]])
