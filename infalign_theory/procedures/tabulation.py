"""A function of (p, q) as a table of Legendre series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.kernels import panels
from infalign_theory.typing import Array

_MOST_PANELS = 20_000


def tabulate(function: Callable[[Array, Array], Array]) -> Array:
    """A function of (p, q) as a table of Legendre series; see :mod:`kernels.terms`.

    Panels are bisected until the series have died away to 1e-14 of the function's size, or to 1e-10
    of it where bisecting no longer helps: that is the function's own rounding noise.

    Raises
    ------
    PrecisionError
        Where 20,000 panels do not resolve the function.
    """
    rows: list[list[float]] = []
    for side in (0.0, 1.0):
        waiting = [(0.0, 0.5, np.inf)]
        while waiting:
            low, high, before = waiting.pop()
            if len(rows) + len(waiting) > _MOST_PANELS:
                raise PrecisionError(
                    f"g' turns too often near p = {low if side == 0.0 else 1.0 - low:.6g} to be "
                    "tabulated; give a smoother g.",
                    float("nan"),
                )
            x = (low + high) / 2 + (high - low) / 2 * panels.X
            values = function(x, 1.0 - x) if side == 0.0 else function(1.0 - x, x)
            coefficients = panels.ANALYSIS @ values
            tail = float(np.abs(coefficients[-3:]).sum())
            size = 1.0 + float(np.abs(values).max())
            noise = tail <= 1e-10 * size and tail > 0.25 * before
            if tail > 1e-14 * size and not noise and high - low > 1e-9:
                middle = (low + high) / 2
                waiting += [(middle, high, tail), (low, middle, tail)]
            else:
                rows.append([side, low, high, *coefficients])
    return np.array(rows)
