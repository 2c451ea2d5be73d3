"""What every aligned policy offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.policies.base import Base
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class Policy(ABC):
    """An aligned policy, as the law of the calibrated reward of its samples.

    Attributes
    ----------
    transform : Transform
    base : Continuous or Discrete
    beta : float
        Infinite for the base policy itself (kl = 0).
    kl : float
        KL(policy || base) in nats.
    """

    transform: Transform
    base: Base
    beta: float
    kl: float

    @abstractmethod
    def pdf(self, u: Any) -> Array:
        """Density f(u) relative to the base, at u in [0, 1]."""

    @abstractmethod
    def cdf(self, u: Any) -> Array:
        """F(u): probability that a sample's calibrated reward is at most u."""

    @abstractmethod
    def sf(self, u: Any) -> Array:
        """1 - F(u), accurate where it is small."""

    @abstractmethod
    def ppf(self, q: Any) -> Array:
        """Smallest u with F(u) >= q, at q in [0, 1]."""

    def rvs(self, size: int | tuple[int, ...] = 1, rng: Any = None) -> Array:
        """Calibrated rewards of independent samples.

        Parameters
        ----------
        size : int or tuple of int
        rng : numpy.random.Generator or int, optional
            A generator or a seed.
        """
        try:
            draws = np.random.default_rng(rng).random(size)
        except (TypeError, ValueError):
            raise InputError(
                f"size = {size!r}, rng = {rng!r}: give a whole size of at least 0 (or a tuple of "
                "them) and a numpy Generator or a whole seed."
            ) from None
        return self.ppf(draws)

    def __repr__(self) -> str:
        return f"<policy {self.transform.name}: beta={self.beta:.6g}, kl={self.kl:.6g} nats>"
