"""A transform known at the atoms of one discrete base."""

from __future__ import annotations

import numpy as np

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class AtomTransform(Transform):
    """Phi known at the atoms of one discrete base, constant over each atom's share of (0, 1).

    ``middles`` are the calibrated rewards of the K atoms, ``edges`` the K - 1 points between their
    shares of the unit interval.
    """

    anchor = 0.0

    def __init__(self, name: str, middles: Array, edges: Array, values: Array) -> None:
        self._name = name
        self._edges = edges
        self._middles = middles
        self._values_at_atoms = values

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return self._name

    def __repr__(self) -> str:
        return f"<transform {self._name} on {self._values_at_atoms.size} atoms>"

    def differences(self, points: Points) -> Array:
        """Phi of the atom that holds u."""
        u = points.u
        # atoms below the spacing of float64 share their edges: look for the atom's own u first
        exact = np.searchsorted(self._middles, u)
        exact = np.minimum(exact, self._middles.size - 1)
        held = np.searchsorted(self._edges, u, side="left")
        atom = np.where(self._middles[exact] == u, exact, held)
        return np.asarray(self._values_at_atoms[atom])
