"""A transform held as series on panels of the logit."""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class TabulatedTransform(Transform):
    """Phi held as Legendre series of log f on panels of the logit; Phi(1) = 0."""

    anchor = 0.0

    def __init__(self, name: str, grid: Grid, log_density: Array, beta: float) -> None:
        self._name = name
        self._edges = grid.edges
        self._coefficients = beta * log_density @ panels.ANALYSIS.T
        self._top = float(self._coefficients[-1].sum())

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return self._name

    def __repr__(self) -> str:
        return f"<transform {self._name}>"

    def differences(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        s = np.clip(points.s.ravel(), self._edges[0], self._edges[-1])
        panel = np.clip(np.searchsorted(self._edges, s, side="right") - 1, 0, len(self._edges) - 2)
        low, high = self._edges[panel], self._edges[panel + 1]
        t = (2.0 * s - low - high) / (high - low)
        basis = np.polynomial.legendre.legvander(t, panels.NODES - 1)
        values = np.einsum("ij,ij->i", self._coefficients[panel], basis) - self._top
        return np.asarray(values.reshape(points.s.shape))
