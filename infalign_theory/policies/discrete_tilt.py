"""Exponential tilts of a discrete base."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.kernels.sums import cumulative_sums, divergence
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.tilt_weights import exponent
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True)
class DiscreteTilt:
    """Atoms of mass p_j exp(k Phi(u_j)) / Z."""

    transform: Transform
    base: Discrete
    k: float
    log_ratio: Array

    @classmethod
    def of(cls, transform: Transform, base: Discrete, k: float) -> DiscreteTilt:
        tilted = exponent(k, changes_at_atoms(transform, base), 0.0)
        return cls(transform, base, k, tilted - np.log(np.sum(base.probs * np.exp(tilted))))

    @cached_property
    def probs(self) -> Array:
        mass = np.exp(self.log_ratio)
        mass *= self.base.probs
        mass /= mass.sum()
        return mass

    @cached_property
    def kl(self) -> float:
        return divergence(self.base.probs, self.log_ratio)

    @cached_property
    def growth(self) -> float:
        held = self.probs > 0.0
        exponent = self.log_ratio[held]
        mean = np.sum(self.probs[held] * exponent)
        return float(np.sum(self.probs[held] * (exponent - mean) ** 2))

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """F and 1 - F at the edges between atoms, shape (K + 1,)."""
        return cumulative_sums(self.probs)


def changes_at_atoms(transform: Transform, base: Discrete) -> Array:
    """Phi at each atom minus Phi at the atom where it is largest."""
    with np.errstate(all="ignore"):
        values = transform.changes(base.points, base.points[[0]])
        if not np.isfinite(values).any():
            values = transform.differences(base.points)
        top = int(values.size - 1 - np.argmax(values[::-1]))
        changes = transform.changes(base.points, base.points[[top]])
    if not changes.max() == 0.0:
        raise InputError(
            f"transform {transform.name} is not finite at the atom of the base where it is "
            "largest; give one that is finite at the atoms."
        )
    return changes
