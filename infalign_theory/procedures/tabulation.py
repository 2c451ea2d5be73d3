"""A function of (p, q) as a table of Legendre series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.kernels import panels
from infalign_theory.typing import Array


def tabulate(function: Callable[[Array, Array], Array]) -> Array:
    """A function of (p, q) as a table of Legendre series; see :mod:`kernels.terms`.

    Panels are bisected until the series have died away to 1e-14 of the function's size.
    """
    rows: list[list[float]] = []
    for side in (0.0, 1.0):
        waiting = [(0.0, 0.5)]
        while waiting:
            low, high = waiting.pop()
            x = (low + high) / 2 + (high - low) / 2 * panels.X
            values = function(x, 1.0 - x) if side == 0.0 else function(1.0 - x, x)
            coefficients = panels.ANALYSIS @ values
            tail = np.abs(coefficients[-3:]).sum()
            if tail > 1e-14 * (1.0 + np.abs(values).max()) and high - low > 1e-9:
                middle = (low + high) / 2
                waiting += [(middle, high), (low, middle)]
            else:
                rows.append([side, low, high, *coefficients])
    return np.array(rows)
