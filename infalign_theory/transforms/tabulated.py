"""A transform held as series on panels of the logit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True, eq=False, repr=False)
class TabulatedTransform(Transform):
    """Phi held as Legendre series of log f on panels of the logit; Phi(1) = 0."""

    label: str
    grid: Grid
    log_density: Array
    beta: float

    anchor = 0.0

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return self.label

    @cached_property
    def _coefficients(self) -> Array:
        return np.asarray(self.beta * self.log_density @ panels.ANALYSIS.T)

    def __repr__(self) -> str:
        return f"<transform {self.label}>"

    def differences(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        edges = self.grid.edges
        s = np.clip(points.s.ravel(), edges[0], edges[-1])
        panel = np.clip(np.searchsorted(edges, s, side="right") - 1, 0, len(edges) - 2)
        low, high = edges[panel], edges[panel + 1]
        t = (2.0 * s - low - high) / (high - low)
        basis = np.polynomial.legendre.legvander(t, panels.NODES - 1)
        values = (
            np.einsum("ij,ij->i", self._coefficients[panel], basis) - self._coefficients[-1].sum()
        )
        return np.asarray(values.reshape(points.s.shape))
