"""The one decorator of every compiled kernel."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_LOCK = threading.Lock()


class Kernel(Generic[P, R]):
    """A function that Numba compiles when it is first called, and that kernels can call.

    Importing Numba takes longer than many an answer: who needs no kernel does not wait for it.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    @functools.cached_property
    def compiled(self) -> Callable[P, R]:
        """Numba's dispatcher, one for all threads."""
        import numba

        with _LOCK:
            if "compiled" not in self.__dict__:
                # the machine code is kept on disk, and 0/0 follows IEEE rules
                compiler = numba.njit(cache=True, error_model="numpy", nogil=True)
                self.__dict__["compiled"] = compiler(self._function)
            made: Callable[P, R] = self.__dict__["compiled"]
            return made

    @property
    def _numba_type_(self) -> object:
        """What Numba sees where another kernel calls this one."""
        return self.compiled._numba_type_  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the machine code."""
        return self.compiled(*args, **kwargs)


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Compile lazily, at the first call."""
    return Kernel(function)
