"""The one family of exceptions of this package.

Every message says what was given, what is allowed and what to do next, so that it can be
shown to a person as it stands: the command line prints it and exits with status 2.
"""

from __future__ import annotations


class InfalignError(ValueError):
    """Base class of every error this package raises on purpose."""


class InputError(InfalignError):
    """An argument, a file or a text that cannot be used as given."""


class OutOfReachError(InfalignError):
    """A KL budget or exponent that no policy attains.

    Attributes
    ----------
    limit : float
        The largest value that can be reached (nats for a KL budget).
    """

    def __init__(self, message: str, limit: float) -> None:
        super().__init__(message)
        self.limit = limit

    def __reduce__(self) -> tuple[type, tuple[str, float]]:  # to cross processes whole
        return type(self), (str(self), self.limit)


class PrecisionError(InfalignError):
    """A number that float64 cannot hold to the promised accuracy.

    Attributes
    ----------
    estimate : float
        The best value found; its error exceeds the promise.
    """

    def __init__(self, message: str, estimate: float) -> None:
        super().__init__(message)
        self.estimate = estimate

    def __reduce__(self) -> tuple[type, tuple[str, float]]:  # to cross processes whole
        return type(self), (str(self), self.estimate)
