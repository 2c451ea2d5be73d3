"""The aligned policy: the base tilted by a transform of its calibrated reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, overload

import numpy as np

from infalign_theory import closed_forms
from infalign_theory.base import Base, Continuous, Discrete, as_base
from infalign_theory.errors import InputError
from infalign_theory.grid import Grid, Running
from infalign_theory.kernels import panels
from infalign_theory.points import Points
from infalign_theory.tilt import (
    ContinuousTilt,
    DiscreteTilt,
    continuous_family,
    discrete_family,
    solve,
)
from infalign_theory.transforms import Transform, as_transform, unit_interval
from infalign_theory.types import Array, BoolArray, IntArray, plain_number, real


class Policy(ABC):
    """An aligned policy, as the law of the calibrated reward of its samples.

    Attributes
    ----------
    transform : Transform
    base : Continuous or Discrete
    beta : float
        Infinite for the base policy itself (kl = 0).
    kl : float
        KL(policy || base) in nats.
    """

    transform: Transform
    base: Base
    beta: float
    kl: float

    @abstractmethod
    def pdf(self, u: Any) -> Array:
        """Density f(u) relative to the base, at u in [0, 1]."""

    @abstractmethod
    def cdf(self, u: Any) -> Array:
        """F(u): probability that a sample's calibrated reward is at most u."""

    @abstractmethod
    def sf(self, u: Any) -> Array:
        """1 - F(u), accurate where it is small."""

    @abstractmethod
    def ppf(self, q: Any) -> Array:
        """Smallest u with F(u) >= q, at q in [0, 1]."""

    def rvs(self, size: int | tuple[int, ...] = 1, rng: Any = None) -> Array:
        """Calibrated rewards of independent samples.

        Parameters
        ----------
        size : int or tuple of int
        rng : numpy.random.Generator or int, optional
            A generator or a seed.
        """
        try:
            draws = np.random.default_rng(rng).random(size)
        except (TypeError, ValueError):
            raise InputError(
                f"size = {size!r}, rng = {rng!r}: give a whole size of at least 0 (or a tuple of "
                "them) and a numpy Generator or a whole seed."
            ) from None
        return self.ppf(draws)

    def __repr__(self) -> str:
        return f"<policy {self.transform.name}: beta={self.beta:.6g}, kl={self.kl:.6g} nats>"


class ContinuousPolicy(Policy):
    """A policy on a continuous base; see :func:`align`."""

    def __init__(self, tilt: ContinuousTilt) -> None:
        self.tilt = tilt
        self.transform = tilt.transform
        self.base: Continuous = Continuous()
        self.beta = 1.0 / tilt.k if tilt.k > 0.0 else np.inf
        closed_kl = closed_forms.KL.get(type(tilt.transform))
        self.kl = closed_kl(tilt.k) if closed_kl else tilt.kl
        self._closed_law = closed_forms.LAW.get(type(tilt.transform))

    @property
    def grid(self) -> Grid:
        return self.tilt.grid

    def pdf(self, u: Any) -> Array:
        array = unit_interval(u, "u")
        return np.exp(self.tilt.log_density(Points.from_pair(array, 1.0 - array)))

    def cdf(self, u: Any) -> Array:
        array = unit_interval(u, "u")
        return self.tails(Points.from_pair(array, 1.0 - array))[0]

    def sf(self, u: Any) -> Array:
        array = unit_interval(u, "u")
        return self.tails(Points.from_pair(array, 1.0 - array))[1]

    def law(self, grid: Grid) -> Running:
        """F and 1 - F on the nodes of a grid at least as fine as the policy's own."""
        return grid.running(self.tilt.weights(grid))

    def tails(self, points: Points) -> tuple[Array, Array]:
        """F(u) and 1 - F(u) at any points, each accurate where it is small."""
        if self._closed_law is not None:
            return self._closed_law(self.tilt.k, points)
        flat = points.s.ravel()
        below, above = np.empty(flat.size), np.empty(flat.size)
        for first in range(0, flat.size, _CHUNK):
            part = slice(first, first + _CHUNK)
            below[part], above[part] = self._tails(flat[part])
        return below.reshape(points.s.shape), above.reshape(points.s.shape)

    def _tails(self, s: Array) -> tuple[Array, Array]:
        """The panel's edge integrals plus the part of the panel on either side."""
        edges, running = self.grid.edges, self.tilt.running
        s = np.clip(s, edges[0], edges[-1])
        panel = np.clip(np.searchsorted(edges, s, side="right") - 1, 0, edges.size - 2)
        below = running.edge_below[panel] + self._piece(edges[panel], s)
        above = running.edge_above[panel + 1] + self._piece(s, edges[panel + 1])
        total = below + above
        return below / total, above / total

    def _piece(self, start: Array, stop: Array) -> Array:
        half = (stop - start) / 2
        s = (start + half)[:, None] + half[:, None] * panels.X
        points = Points.from_logit(s)
        values = np.exp(self.tilt.log_density(points) + points.log_u + points.log_v)
        return np.asarray(half * (values @ panels.WEIGHTS))

    def ppf(self, q: Any) -> Array:
        array = unit_interval(q, "q")
        return self.quantiles(array, 1.0 - array).u

    def quantiles(self, q: Array, complement: Array) -> Points:
        """The points at which F equals q and 1 - F equals its complement."""
        shape = np.shape(q)
        low_tail, high_tail = np.ravel(q), np.ravel(complement)
        upper = low_tail > 0.5
        target = np.where(upper, high_tail, low_tail)
        edges, running = self.grid.edges, self.tilt.running
        total = running.edge_below[-1]
        below = np.searchsorted(running.edge_below, low_tail * total, side="left") - 1
        above = edges.size - 1 - np.searchsorted(running.edge_above[::-1], high_tail * total)
        panel = np.clip(np.where(upper, above, below), 0, edges.size - 2)
        low, high = edges[panel], edges[panel + 1]
        s = (low + high) / 2
        active = np.flatnonzero((target > 0.0) & (target < 1.0))
        for _ in range(80):
            if not active.size:
                break
            s[active], settled = self._newton(
                s[active], upper[active], target[active], low, high, active
            )
            active = active[~settled]
        s = np.where(low_tail <= 0.0, -np.inf, np.where(high_tail <= 0.0, np.inf, s))
        return Points.from_logit(s.reshape(shape))

    def _newton(
        self, s: Array, upper: BoolArray, target: Array, low: Array, high: Array, active: IntArray
    ) -> tuple[Array, BoolArray]:
        """One safeguarded Newton step in s on the log of the nearer tail; updates the bracket."""
        points = Points.from_logit(s)
        below, above = self.tails(points)
        excess = np.where(upper, target - above, below - target)
        low[active] = np.where(excess < 0.0, s, low[active])
        high[active] = np.where(excess < 0.0, high[active], s)
        log_weight = self.tilt.log_density(points) + points.log_u + points.log_v
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            tail = np.where(upper, above, below)
            step = np.log(target / tail) * tail * np.exp(-log_weight)
            new = s + np.where(upper, -step, step)
        inside = (new > low[active]) & (new < high[active])
        new = np.where(inside, new, (low[active] + high[active]) / 2)
        settled = (np.abs(new - s) <= 2e-15 * np.maximum(1.0, np.abs(s))) | (excess == 0.0)
        return np.where(excess == 0.0, s, new), settled


_SMALLEST_KL = 1e-100
_CHUNK = 65536  # points evaluated at once: 16 nodes each, about 50 MB of temporaries


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

    def __init__(self, tilt: DiscreteTilt) -> None:
        self.tilt = tilt
        self.transform = tilt.transform
        self.base = tilt.base
        self.beta = 1.0 / tilt.k if tilt.k > 0.0 else np.inf
        self.kl = tilt.kl

    @property
    def probs(self) -> Array:
        return self.tilt.probs

    def pdf(self, u: Any) -> Array:
        array = unit_interval(u, "u")
        atom = np.searchsorted(self.base.below[1:-1], array, side="left")
        return np.asarray(np.exp(self.tilt.log_ratio)[atom])

    def cdf(self, u: Any) -> Array:
        return np.asarray(self.tilt.edges[0][self._atoms_up_to(u)])

    def sf(self, u: Any) -> Array:
        return np.asarray(self.tilt.edges[1][self._atoms_up_to(u)])

    def _atoms_up_to(self, u: Any) -> np.ndarray:
        return np.searchsorted(self.base.u, unit_interval(u, "u"), side="right")

    def ppf(self, q: Any) -> Array:
        atom = np.searchsorted(self.tilt.edges[0][1:-1], unit_interval(q, "q"), side="left")
        return np.asarray(self.base.u[atom])


@overload
def align(
    transform: Transform | str, beta: Any = ..., *, kl: Any = ..., base: Continuous | None = ...
) -> ContinuousPolicy: ...
@overload
def align(
    transform: Transform | str, beta: Any = ..., *, kl: Any = ..., base: Discrete
) -> DiscretePolicy: ...
def align(
    transform: Transform | str, beta: Any = None, *, kl: Any = None, base: Base | None = None
) -> Policy:
    r"""Solve KL-regularised RL on a transformed calibrated reward.

    The solution has density :math:`f(u) = e^{\Phi(u)/\beta} / Z` relative to the base, and
    :math:`\mathrm{KL} = \int f \log f \, du`.

    Parameters
    ----------
    transform : Transform or str
        Phi, for example ``Exponential(10)`` or ``"exp:10"``.
    beta : float, optional
        Strength of the regularisation, positive, in the units of Phi.
    kl : float, optional
        KL(policy || base) in nats instead, at least 0; beta is then solved for.
    base : Continuous or Discrete, optional
        Continuous by default.

    Returns
    -------
    ContinuousPolicy or DiscretePolicy
        With ``kl``, ``beta``, ``pdf(u)``, ``cdf(u)``, ``ppf(q)``, ``rvs(size, rng)``.

    Raises
    ------
    InputError
        Unless exactly one of beta and kl is given and usable, and for a transform whose tilt has
        no finite normaliser at that beta.
    OutOfReachError
        Where no beta spends that KL; the message and ``limit`` name the largest.

    References
    ----------
    InfAlign, arXiv 2412.19792: the solution of KL-regularised RL and the calibrated reward.

    Examples
    --------
    >>> policy = align("exp:10", kl=0.5)
    >>> round(policy.kl, 12)
    0.5
    >>> round(float(policy.cdf(0.5)), 4)
    0.2615
    """
    chosen = as_transform(transform)
    where = as_base(base)
    beta, kl = budget(beta, kl)
    policy: Policy
    if isinstance(where, Discrete):
        family = discrete_family(chosen, where)
        policy = DiscretePolicy(solve(family, kl) if beta is None else family.at(1 / beta, None))
    else:
        tilts = continuous_family(chosen)
        policy = ContinuousPolicy(solve(tilts, kl) if beta is None else tilts.at(1 / beta, None))
    if beta is not None:
        policy.beta = beta  # not 1/(1/beta)
    return policy


def budget(beta: Any, kl: Any) -> tuple[float | None, float]:
    """Exactly one of beta > 0 and kl >= 0, as numbers; the other None and 0."""
    if (beta is None) == (kl is None):
        given = "neither" if beta is None else "both"
        raise InputError(f"{given} of beta and kl given; give exactly one, as in kl=0.5.")
    if beta is None:
        nats = real(kl, "kl", "a KL budget in nats, at least 0")
        if nats < 0.0:
            raise InputError(f"kl = {plain_number(nats)} is negative; give nats, at least 0.")
        if 0.0 < nats < _SMALLEST_KL:
            raise InputError(
                f"kl = {nats!r} is too small to be told from 0; give 0 or at least {_SMALLEST_KL}."
            )
        return None, nats
    allowed = "a finite positive number (for the base policy itself use kl=0)"
    number = real(beta, "beta", allowed)
    if number <= 0.0 or number < 1e-300:
        raise InputError(f"beta = {plain_number(number)} is not allowed; give {allowed}.")
    return number, 0.0
