"""A cache around a transform that is expensive to evaluate."""

from __future__ import annotations

import numpy as np

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_GRIDS = 4  # whose values are held: that of a policy and those of its win rates


class Remembered(Transform):
    """A transform that knows its values on the grids it has seen last.

    Everything else is asked of the transform itself: what it says of its kinks, of its rounding
    and of what its samples may miss decides how fine the quadrature is.
    """

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._seen: list[tuple[Array, tuple[Array, Array | None]]] = []

    @property
    def name(self) -> str:
        """As the transform's."""
        return self._transform.name

    @property
    def anchor(self) -> float:
        """As the transform's."""
        return self._transform.anchor

    @property
    def slopes(self) -> tuple[float, float]:
        """As the transform's."""
        return self._transform.slopes

    @property
    def in_logit(self) -> bool:
        """As the transform's."""
        return self._transform.in_logit

    @property
    def breaks(self) -> tuple[float, ...]:
        """As the transform's."""
        return self._transform.breaks

    def variation(self, middle: Array, half: Array) -> Array | None:
        """As the transform's."""
        return self._transform.variation(middle, half)

    def changes(self, points: Points, origin: Points) -> Array:
        """As the transform's."""
        return self._transform.changes(points, origin)

    def differences(self, points: Points) -> Array:
        """As the transform's, computed once for each of the last grids."""
        return self.measured(points)[0]

    def measured(self, points: Points) -> tuple[Array, Array | None]:
        """As the transform's, computed once for each of the last grids."""
        for seen, values in self._seen:
            if seen is points.s or np.array_equal(seen, points.s):
                return values
        values = self._transform.measured(points)
        self._seen = [(points.s, values), *self._seen[: _GRIDS - 1]]
        return values

    def _values(self, points: Points) -> Array:
        return self._transform._values(points)
