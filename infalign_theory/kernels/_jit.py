"""The one decorator of every compiled kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile lazily, keep the machine code on disk, and let 0/0 follow IEEE rules."""
    return cast(
        "Callable[P, R]",
        numba.njit(cache=True, error_model="numpy", nogil=True)(function),
    )
