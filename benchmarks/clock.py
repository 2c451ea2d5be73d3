"""Medians and ranges of wall time, and rows that compare us with a peer on the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Seconds of several runs."""

    median: float
    least: float
    most: float

    def __mul__(self, factor: float) -> Spent:
        """The time of ``factor`` such pieces of work."""
        return Spent(
            median=self.median * factor, least=self.least * factor, most=self.most * factor
        )

    def __str__(self) -> str:
        if self.least == self.most:  # measured once
            return shown(self.median)
        return f"{shown(self.median)} ({shown(self.least)} to {shown(self.most)})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    work: str
    ours: Spent
    peer: str
    theirs: Spent
    accuracy: str
    wanted: str


def shown(seconds: float) -> str:
    """Seconds with a unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def clock(call: Callable[[], object], repeats: int = 7) -> Spent:
    """Median and range; one run before them, for caches and compilation."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return Spent(median=statistics.median(times), least=min(times), most=max(times))
