"""A transform known at the atoms of one discrete base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class AtomTransform(Transform):
    """Phi known at the atoms of one discrete base, constant over each atom's share of (0, 1).

    ``middles`` are the calibrated rewards of the K atoms, ``edges`` the K - 1 points between their
    shares of the unit interval.
    """

    label: str
    middles: Array
    edges: Array
    values: Array

    anchor = 0.0

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return self.label

    def __repr__(self) -> str:
        return f"<transform {self.label} on {self.values.size} atoms>"

    def differences(self, points: Points) -> Array:
        """Phi of the atom that holds u."""
        u = points.u
        # atoms below the spacing of float64 share their edges: look for the atom's own u first
        exact = np.searchsorted(self.middles, u)
        exact = np.minimum(exact, self.middles.size - 1)
        held = np.searchsorted(self.edges, u, side="left")
        atom = np.where(self.middles[exact] == u, exact, held)
        return np.asarray(self.values[atom])
