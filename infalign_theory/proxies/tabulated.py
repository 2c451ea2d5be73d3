"""A proxy known from samples alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import vector
from infalign_theory.errors import InputError
from infalign_theory.policies.base import Discrete
from infalign_theory.proxies.core import Proxy
from infalign_theory.typing import Array


class Tabulated(Proxy):
    """Pairs of proxy and truth of one prompt's base samples, each weighing the same.

    Parameters
    ----------
    proxy, truth : array_like, shape (M,)
        Finite rewards of the same samples, in any scale; equal proxies share a pick, equal truths
        tie.

    Attributes
    ----------
    base : Discrete
        The empirical law of the proxy: align on it with ``align(..., base=proxy.base)``. A policy
        on a continuous base is read as one whose proxy reward between two samples is rounded.
    truths : ndarray, shape (T,)
        Distinct truths in increasing order.
    shares : ndarray, shape (K, T)
        Law of the truth at each atom of the base: how its samples share the distinct truths.

    Examples
    --------
    >>> known = Tabulated([1.0, 2.0, 2.0, 5.0], [0, 1, 0, 1])
    >>> known.base, known.shares.tolist()
    (Discrete(3 atoms), [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
    """

    def __init__(self, proxy: ArrayLike, truth: ArrayLike) -> None:
        rewards, truths = vector(proxy, "proxy"), vector(truth, "truth")
        if rewards.size != truths.size:
            raise InputError(
                f"proxy has {rewards.size} entries and truth {truths.size}; give one each a sample."
            )
        self.base = Discrete.from_scores(rewards)
        self.truths, rank = np.unique(truths, return_inverse=True)
        if len(self.base) * self.truths.size > _MOST_CELLS:
            raise InputError(
                f"{len(self.base)} distinct proxies times {self.truths.size} distinct truths are "
                f"more than {_MOST_CELLS} cells; give fewer samples, or round the truth."
            )
        atom = np.searchsorted(self.base.rewards, rewards)
        counts = np.zeros((len(self.base), self.truths.size))
        np.add.at(counts, (atom, rank), 1.0)
        self.shares: Array = counts / counts.sum(axis=1, keepdims=True)
        self._samples = rewards.size

    @property
    def name(self) -> str:
        return f"tabulated:{self._samples}"

    def __repr__(self) -> str:
        return f"Tabulated({self._samples} samples)"


_MOST_CELLS = 25_000_000
