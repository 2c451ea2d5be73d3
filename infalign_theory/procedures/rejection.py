"""Rejection sampling to an exponential tilt, with or without a cap on draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.errors import PrecisionError
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.procedures.weights import Weight
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Rejection(LawProcedure):
    """Draw until a sample is accepted with probability w / max w, w = exp(k Phi(u)).

    Without a cap the result is the exact tilt and costs max w / E[w] draws. With a cap of M draws
    the last one is kept whatever it is: with a = E[w] / max w the ratio is
    (1 - (1-a)^M) w / E[w] + (1-a)^(M-1) (1 - w / max w). The largest weight is that of the best
    reward there is: of an atom on a discrete base.

    Parameters
    ----------
    strength : float
        k; negative for an attacker.
    cap : int, optional
        Most draws; unlimited by default.
    transform : Transform or str, optional
        Phi, the identity by default; exp(k Phi) must be bounded.

    References
    ----------
    arXiv 2309.06657: statistical rejection sampling.

    Examples
    --------
    >>> Rejection(5, 64).name, Rejection(5, 64, "exp:10").name
    ('reject:5@64', 'reject:5*exp:10@64')
    """

    strength: float
    cap: int | None = None
    transform: Transform | str = field(default=Identity())

    def __post_init__(self) -> None:
        weight = Weight.checked("rejection", self.strength, self.transform)
        object.__setattr__(self, "strength", weight.strength)
        object.__setattr__(self, "transform", weight.transform)
        if self.cap is not None:
            cap = whole(self.cap, "rejection: cap", "a whole number of draws, at least 1")
            object.__setattr__(self, "cap", cap)

    @cached_property
    def weight(self) -> Weight:
        """What samples are accepted by."""
        return Weight.checked("rejection", self.strength, self.transform)

    @property
    def name(self) -> str:
        cap = "" if self.cap is None else f"@{self.cap}"
        return f"reject:{self.weight.name}{cap}"

    @property
    def edges(self) -> tuple[float, ...]:
        return self.weight.transform.breaks

    def features(self, points: Points) -> list[Array]:
        x = self.weight.log(points)
        with np.errstate(under="ignore"):
            return [np.exp(x - x.max())]

    def _accepts(self, sample: Sample) -> tuple[float, float]:
        """The largest log w, and the share of draws that is accepted."""
        largest = self.weight.largest(sample)
        with np.errstate(under="ignore"):
            rate = float(np.sum(sample.masses * np.exp(self.weight.log(sample.points) - largest)))
        if not rate > 1e-290:
            raise PrecisionError(
                f"procedure {self.name} accepts fewer than one draw in 1e290; give a smaller "
                "strength.",
                rate,
            )
        return largest, min(rate, 1.0)

    def ratio(self, sample: Sample) -> Callable[[Points], Array]:
        largest, rate = self._accepts(sample)
        found, last = 1.0, 0.0
        if self.cap is not None and rate < 1.0:
            found = float(-np.expm1(self.cap * np.log1p(-rate)))
            last = float(np.exp((self.cap - 1) * np.log1p(-rate)))

        def at(points: Points) -> Array:
            with np.errstate(under="ignore"):
                weight = np.minimum(np.exp(self.weight.log(points) - largest), 1.0)
            return np.asarray(found * weight / rate + last * (1.0 - weight))

        return at

    def draws(self, sample: Sample) -> float:
        rate = self._accepts(sample)[1]
        if self.cap is None or rate >= 1.0:
            return 1.0 / rate
        return float(-np.expm1(self.cap * np.log1p(-rate)) / rate)
