"""Checks of arguments: each returns the value in its plain form or raises one clear message."""

from __future__ import annotations

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.typing import Array


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


LARGEST_COUNT = 10**9


def whole(value: object, name: str, allowed: str) -> int:
    """A whole number from 1 to 10^9, or one clear message."""
    number = real(value, name, allowed)
    if number != int(number) or not 1 <= number <= LARGEST_COUNT:
        most = f", at most {LARGEST_COUNT:,}" if number > LARGEST_COUNT else ""
        raise InputError(f"{name} = {plain_number(number)} is not allowed; give {allowed}{most}.")
    return int(number)


def numbers(values: object, name: str, allowed: str = "real numbers") -> Array:
    """An array of real numbers of any shape, or one clear message; truth values are none."""
    try:
        given = np.asarray(values)
        if given.dtype.kind == "O" and not any(
            isinstance(item, (bool, np.bool_, str, bytes)) for item in given.flat
        ):
            return given.astype(np.float64)
        if given.dtype.kind in "iuf":
            return given.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(
        f"{name} = {values!s:.60} is not a number or an array of numbers; give {allowed}."
    )


def vector(values: object, name: str) -> Array:
    """A one-dimensional, non-empty array of finite numbers, or one clear message."""
    array = numbers(values, name)
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


def unit_interval(values: object, name: str) -> Array:
    """An array of numbers in [0, 1], or one clear message."""
    array = numbers(values, name, "numbers in [0, 1]")
    outside = ~((array >= 0.0) & (array <= 1.0))
    if outside.any():
        raise InputError(
            f"{name} contains {array[outside].flat[0]}, outside [0, 1]; calibrated rewards and "
            "probabilities lie in [0, 1]."
        )
    return array
