"""Rewind and repeat: up to N draws until one is good enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Rewind(LawProcedure):
    """Up to N draws until one has u >= c, else the last of them.

    With q = F(c) the density is multiplied by q^(N-1) below c and by (1 - q^N)/(1 - q) above.

    Parameters
    ----------
    n : int
        Most draws.
    threshold : float
        c, strictly between 0 and 1.

    References
    ----------
    arXiv 2401.01879, section on rewind and repeat.
    """

    n: int
    threshold: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "rewind: N", "a whole N of at least 1"))
        c = real(self.threshold, "rewind: threshold", "a calibrated reward between 0 and 1")
        if not 0.0 < c < 1.0:
            raise InputError(f"rewind: threshold = {plain_number(c)}; give one between 0 and 1.")
        object.__setattr__(self, "threshold", c)

    @property
    def name(self) -> str:
        return f"rewind:{self.n}@{plain_number(self.threshold)}"

    @property
    def edges(self) -> tuple[float, ...]:
        return (float(np.log(self.threshold) - np.log1p(-self.threshold)),)

    def _good(self, points: Points) -> np.ndarray:
        return np.asarray(points.u >= self.threshold)

    def _repeats(self, sample: Sample) -> tuple[float, float]:
        """q^(N-1), and the mean number of draws (1 - q^N)/(1 - q)."""
        good = self._good(sample.points)
        above = float(sample.masses[good].sum())
        below = float(sample.masses[~good].sum())
        if below <= 0.0 or above <= 0.0:
            return (1.0, 1.0) if below <= 0.0 else (1.0, float(self.n))
        log_q = np.log1p(-above) if above < 0.5 else np.log(below)
        return float(np.exp((self.n - 1) * log_q)), float(-np.expm1(self.n * log_q) / above)

    def ratio(self, sample: Sample) -> Callable[[Points], Array]:
        last, repeats = self._repeats(sample)
        return lambda points: np.where(self._good(points), repeats, last)

    def draws(self, sample: Sample) -> float:
        return self._repeats(sample)[1]
