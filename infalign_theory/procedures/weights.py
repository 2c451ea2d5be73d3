"""Weights exp(k Phi(u)) by which procedures choose or accept samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.procedures.laws import Sample
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

_STRONGEST = 1e6
_ZOOMS = 30


@dataclass(frozen=True)
class Weight:
    """w(u) = exp(k Phi(u)), known by its logarithm up to a constant."""

    strength: float
    transform: Transform

    @classmethod
    def checked(cls, owner: str, strength: object, transform: Transform | str) -> Weight:
        """From what a user gave."""
        allowed = f"a number from -{_STRONGEST:g} to {_STRONGEST:g}"
        k = real(strength, f"{owner}: strength", allowed)
        if abs(k) > _STRONGEST:
            raise InputError(f"{owner}: strength = {plain_number(k)}; give {allowed}.")
        return cls(k, as_transform(transform))

    @property
    def name(self) -> str:
        """As text: ``5``, or ``5*exp:10`` where Phi is not the identity."""
        k = plain_number(self.strength)
        return k if self.transform == Identity() else f"{k}*{self.transform.name}"

    def log(self, points: Points) -> Array:
        """log w up to a constant; minus infinity where a reward is refused."""
        if self.strength == 0.0:
            return np.zeros(points.u.shape)
        with np.errstate(over="ignore", under="ignore"):
            differences = self.transform.differences(points)
        if self.strength < 0.0 and (differences == -np.inf).any():
            raise InputError(
                f"weight exp({self.name}) is infinite where {self.transform.name} refuses a "
                "reward; give a positive strength."
            )
        return np.asarray(self.strength * differences)

    def largest(self, sample: Sample) -> float:
        """The largest log w: over the atoms of a discrete base, over (0, 1) of a continuous one."""
        values = self.log(sample.points).ravel()
        top = int(np.argmax(values))
        if sample.atoms:
            return float(values[top])
        ends = self.log(Points.from_logit(np.array([-704.0, -660.0, 660.0, 704.0])))
        if max(ends[0] - ends[1], ends[3] - ends[2]) > 1e-9 * (1.0 + abs(self.strength)):
            raise InputError(
                f"weight exp({self.name}) has no largest value, so nothing can be accepted by its "
                "share of it; give a transform that is bounded above."
            )
        s = sample.points.s.ravel()
        low, high = s[max(top - 1, 0)], s[min(top + 1, s.size - 1)]
        best = max(float(values[top]), float(ends.max()))
        for _ in range(_ZOOMS):
            inner = np.linspace(low, high, 9)
            found = self.log(Points.from_logit(inner))
            at = int(np.argmax(found))
            best = max(best, float(found[at]))
            low, high = inner[max(at - 1, 0)], inner[min(at + 1, 8)]
        return best
