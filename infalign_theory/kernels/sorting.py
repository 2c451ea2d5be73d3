"""Sorting inside kernels: NumPy's takes seconds to compile there."""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array, IntArray


@kernel
def sorted_order(values: Array) -> IntArray:
    """Places of the values in increasing order, equal ones as given: a merge sort. No NaN."""
    size = values.size
    order, merged = np.empty(size, dtype=np.intp), np.empty(size, dtype=np.intp)
    for i in range(size):
        order[i] = i
    width = 1
    while width < size:
        for start in range(0, size, 2 * width):
            middle, end = min(start + width, size), min(start + 2 * width, size)
            i, j = start, middle
            for at in range(start, end):
                if i < middle and (j >= end or values[order[i]] <= values[order[j]]):
                    merged[at] = order[i]
                    i += 1
                else:
                    merged[at] = order[j]
                    j += 1
        order, merged = merged, order
        width *= 2
    return order


@kernel
def sorted_copy(values: Array) -> Array:
    """The values in increasing order. No NaN."""
    order = sorted_order(values)
    out = np.empty(values.size)
    for i in range(values.size):
        out[i] = values[order[i]]
    return out


@kernel
def any_missing(values: Array) -> bool:
    """Whether a value is NaN."""
    missing = False
    for i in range(values.size):
        missing = missing or np.isnan(values[i])
    return missing
