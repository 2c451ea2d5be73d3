"""Points of the unit interval, held so that both ends keep full relative accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.typing import Array, BoolArray, IntArray


def _log_expit(s: Array) -> Array:
    """log(1 / (1 + exp(-s))) without overflow or cancellation."""
    return np.minimum(s, 0.0) - np.log1p(np.exp(-np.abs(s)))


@dataclass(frozen=True)
class Points:
    """Calibrated rewards u with their complements v = 1 - u and logits s = log(u / v)."""

    u: Array
    v: Array
    s: Array

    @classmethod
    def from_logit(cls, s: Array) -> Points:
        """Points from logits: the coordinate of the quadrature."""
        small = np.exp(-np.abs(s))
        near, far = small / (1.0 + small), 1.0 / (1.0 + small)
        lower = s < 0.0
        return cls(np.where(lower, near, far), np.where(lower, far, near), s)

    @classmethod
    def from_pair(cls, u: Array, v: Array) -> Points:
        """Points from u and an accurate v = 1 - u."""
        with np.errstate(divide="ignore"):
            return cls(u, v, np.log(u) - np.log(v))

    @cached_property
    def log_u(self) -> Array:
        """log u."""
        return _log_expit(self.s)

    @cached_property
    def log_v(self) -> Array:
        """log(1 - u)."""
        return _log_expit(-self.s)

    def minus(self, origin: Points) -> Array:
        """u - origin.u, from the complements where those are the small ones."""
        return np.where(origin.upper, origin.v - self.v, self.u - origin.u)

    def __getitem__(
        self, index: slice | IntArray | BoolArray | list[int] | tuple[slice | IntArray | None, ...]
    ) -> Points:
        """Some of the points."""
        return Points(self.u[index], self.v[index], self.s[index])

    @cached_property
    def upper(self) -> np.ndarray:
        """Whether a point lies in the upper half, where v is the small one."""
        return self.s >= 0.0
