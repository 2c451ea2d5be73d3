"""Aligned policies on a discrete base."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import unit_interval
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.core import Policy, Training
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.typing import Array


class DiscretePolicy(Policy):
    """A policy on a discrete base; see :func:`align`.

    Its law is that of the atoms: ``cdf`` is a step function, ``ppf`` and ``rvs`` return
    calibrated rewards of atoms, ``pdf`` is the density ratio of the atom whose share of the
    unit interval holds u.

    Attributes
    ----------
    probs : ndarray, shape (K,)
        Probability of each atom of the base.
    """

    base: Discrete

    def __init__(self, tilt: DiscreteTilt, training: Training | None = None) -> None:
        self.tilt = tilt
        self.base = tilt.base
        self.kl = tilt.kl
        self._seal(training, tilt.transform, tilt.k)

    def mean(self) -> float:
        return float(np.sum(self.probs * self.base.u))

    def std(self) -> float:
        return float(np.sqrt(np.sum(self.probs * (self.base.u - self.mean()) ** 2)))

    @property
    def probs(self) -> Array:
        return self.tilt.probs

    def pdf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        atom = np.searchsorted(self.base.below[1:-1], array, side="left")
        return np.asarray(np.exp(self.tilt.log_ratio)[atom])

    def cdf(self, u: ArrayLike) -> Array:
        return np.asarray(self.tilt.edges[0][self._atoms_up_to(u)])

    def sf(self, u: ArrayLike) -> Array:
        return np.asarray(self.tilt.edges[1][self._atoms_up_to(u)])

    def _atoms_up_to(self, u: ArrayLike) -> np.ndarray:
        return np.searchsorted(self.base.u, unit_interval(u, "u"), side="right")

    def ppf(self, q: ArrayLike) -> Array:
        atom = np.searchsorted(self.tilt.edges[0][1:-1], unit_interval(q, "q"), side="left")
        return np.asarray(self.base.u[atom])
