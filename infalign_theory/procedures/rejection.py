"""Rejection sampling to an exponential tilt, with or without a cap on draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Rejection(LawProcedure):
    """Draw until a sample is accepted with probability w / max w, w = exp(k u).

    Without a cap the result is the exact tilt and costs max w / E[w] draws. With a cap of M draws
    the last one is kept whatever it is: with a = E[w] / max w the ratio is
    (1 - (1-a)^M) w / E[w] + (1-a)^(M-1) (1 - w / max w).

    Parameters
    ----------
    strength : float
        k, from -500 to 500.
    cap : int, optional
        Most draws; unlimited by default.

    References
    ----------
    arXiv 2309.06657: statistical rejection sampling.
    """

    strength: float
    cap: int | None = None

    def __post_init__(self) -> None:
        k = real(self.strength, "rejection: strength", "a number from -500 to 500")
        if abs(k) > 500.0:
            raise InputError(f"rejection: strength = {plain_number(k)}; give -500 to 500.")
        object.__setattr__(self, "strength", k)
        if self.cap is not None:
            cap = whole(self.cap, "rejection: cap", "a whole number of draws, at least 1")
            object.__setattr__(self, "cap", cap)

    @property
    def name(self) -> str:
        cap = "" if self.cap is None else f"@{self.cap}"
        return f"reject:{plain_number(self.strength)}{cap}"

    def _weight(self, points: Points) -> Array:
        """w / max w."""
        k = self.strength
        return np.exp(-k * points.v if k >= 0.0 else k * points.u)

    def features(self, points: Points) -> list[Array]:
        return [self._weight(points)]

    def _accepted(self, sample: Sample) -> float:
        return float(np.sum(sample.masses * self._weight(sample.points)))

    def ratio(self, sample: Sample, points: Points) -> Array:
        rate, weight = self._accepted(sample), self._weight(points)
        if self.cap is None:
            return np.asarray(weight / rate)
        found = -np.expm1(self.cap * np.log1p(-rate)) if rate < 1.0 else 1.0
        last = (1.0 - rate) ** (self.cap - 1)
        return np.asarray(found * weight / rate + last * (1.0 - weight))

    def draws(self, sample: Sample) -> float:
        rate = self._accepted(sample)
        if self.cap is None or rate >= 1.0:
            return 1.0 / rate
        return float(-np.expm1(self.cap * np.log1p(-rate)) / rate)
