"""Aliases of the array types that signatures name."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.signedinteger[Any]]
BoolArray: TypeAlias = NDArray[np.bool_]

# what elementwise arithmetic takes and gives: one number or an array of them
Values: TypeAlias = np.float64 | Array
