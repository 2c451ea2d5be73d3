r"""Polynomials in the Bernstein basis: what rewards by rank amount to."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln

from infalign_theory.checks import vector
from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, IntArray

MOST_SAMPLES = 10_000
_CHUNK = 2_000_000  # entries of the table of weights at a time


class Bernstein(Transform):
    """The transform that rank rewards amount to.

    Parameters
    ----------
    rewards : array_like, shape (K + 1,)
        Finite; entry j is the reward for ranking above j of K fresh base samples.

    Examples
    --------
    >>> round(float(Bernstein([0.0, 0.5, 1.0])(0.3)), 12)  # linear rewards give the identity
    0.3
    """

    def __init__(self, rewards: ArrayLike) -> None:
        self.rewards: Array = vector(rewards, "rewards")
        self.samples = self.rewards.size - 1
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise InputError(
                f"rewards has {self.rewards.size} entries; give K + 1 with K from 1 to "
                f"{MOST_SAMPLES}."
            )
        self._end = self.samples if self.rewards[-1] >= self.rewards[0] else 0
        j = np.arange(self.samples + 1)
        self._choices = gammaln(self.samples + 1) - gammaln(j + 1) - gammaln(self.samples - j + 1)

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return f"rank rewards of {self.samples} samples"

    @property
    def anchor(self) -> float:
        return float(self.rewards[self._end])

    def differences(self, points: Points) -> Array:
        """Phi minus its value at the end where it is anchored."""
        rises = self.rewards - self.anchor
        kept = np.flatnonzero(rises)  # the anchor's own term is zero, which keeps small ones exact
        log_u, log_v = points.log_u.ravel(), points.log_v.ravel()
        out = np.empty(log_u.size)
        step = max(1, _CHUNK // max(kept.size, 1))
        for first in range(0, log_u.size, step):
            part = slice(first, first + step)
            out[part] = self._basis(kept, log_u[part], log_v[part]) @ rises[kept]
        return out.reshape(points.s.shape)

    def basis(self, points: Points) -> Array:
        """The K + 1 Bernstein polynomials at every point, shape (points, K + 1)."""
        every = np.arange(self.samples + 1)
        return self._basis(every, points.log_u.ravel(), points.log_v.ravel())

    def _basis(self, kept: IntArray, log_u: Array, log_v: Array) -> Array:
        below = _times(kept, log_u) + _times(self.samples - kept, log_v)
        return np.asarray(np.exp(self._choices[kept] + below))


def _times(count: IntArray, log: Array) -> Array:
    """count log, with 0 times minus infinity zero."""
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, count * log[:, None], 0.0)
