"""The one decorator of every compiled kernel."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

_LOCK = threading.Lock()
MOST_INTERPRETED = 150_000  # numbers in all that are worked through before anything is compiled


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
        with _LOCK:
            if "compiled" not in self.__dict__:
                self.__dict__["compiled"] = _dispatcher(self._function)
            made: Callable[P, R] = self.__dict__["compiled"]
            return made

    @property
    def _numba_type_(self) -> object:
        """What Numba sees where another kernel calls this one."""
        return self.compiled._numba_type_  # type: ignore[attr-defined]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the machine code."""
        return self.compiled(*args, **kwargs)


class LightKernel(Kernel[P, R]):
    """A kernel of sums, products and comparisons alone, whose bits are the same interpreted.

    To import Numba and to load machine code takes a second, to compile it several: few numbers are
    through before that. They are counted over the process, so that many small calls compile too.
    """

    _left = MOST_INTERPRETED
    _inside = threading.local()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run interpreted what is small, the machine code otherwise."""
        if getattr(self._inside, "busy", False):  # called by another one
            return self._function(*args, **kwargs)
        size = sum(arg.size for arg in args if isinstance(arg, np.ndarray))
        if "compiled" in self.__dict__ or size > LightKernel._left:
            return self.compiled(*args, **kwargs)
        LightKernel._left -= size
        self._inside.busy = True
        try:
            with np.errstate(all="ignore"):  # 0/0 follows IEEE rules
                return self._function(*args, **kwargs)
        finally:
            self._inside.busy = False


def _dispatcher(function: Callable[P, R]) -> Callable[P, R]:
    """Numba's own: machine code is kept on disk where that can be, and 0/0 follows IEEE rules."""
    import numba

    compiler = numba.njit(error_model="numpy", nogil=True)
    made: Callable[P, R] = compiler(function)
    try:
        made.enable_caching()  # type: ignore[attr-defined]
    except RuntimeError:  # neither the package's folder nor the user's may be written to
        return made
    cache = made._cache  # type: ignore[attr-defined]
    save = cache.save_overload

    def saved(*given: object) -> None:
        # a full disk costs the next process its time, not this one its answer
        with contextlib.suppress(OSError):
            save(*given)

    cache.save_overload = saved
    return made


def kernel(function: Callable[P, R]) -> Kernel[P, R]:
    """Compile lazily, at the first call."""
    return Kernel(function)


def light_kernel(function: Callable[P, R]) -> LightKernel[P, R]:
    """Compile at the first call that is not small."""
    return LightKernel(function)
