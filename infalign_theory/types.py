"""Array types, and the few checks of numbers that every public function needs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from infalign_theory.errors import InputError

Array: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]


def plain_number(value: float) -> str:
    """Shortest text that reads back as the same number; integers without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def real(value: object, name: str, allowed: str) -> float:
    """A finite real number, or one clear message."""
    if isinstance(value, (bool, np.bool_, str, bytes)) or value is None:
        raise InputError(f"{name} = {value!r} is not a number; give {allowed}.")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} = {value!r} is not a number; give {allowed}.") from None
    if not np.isfinite(number):
        raise InputError(f"{name} = {number} is not finite; give {allowed}.")
    return number


def whole(value: object, name: str, allowed: str) -> int:
    """A whole number at least 1, or one clear message."""
    number = real(value, name, allowed)
    if number != int(number) or number < 1:
        raise InputError(f"{name} = {plain_number(number)} is not allowed; give {allowed}.")
    return int(number)


def vector(values: Any, name: str) -> Array:
    """A one-dimensional, non-empty array of finite numbers, or one clear message."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name} holds something that is not a number; give real numbers.") from (
            None
        )
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}; give a one-dimensional array.")
    if array.size == 0:
        raise InputError(f"{name} is empty; give at least one number.")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise InputError(
            f"{name}[{bad[0]}] = {array[bad[0]]} is not finite ({bad.size} such in all); "
            "remove or repair these entries."
        )
    return array
