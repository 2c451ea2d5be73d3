r"""Rewards by rank among K fresh base samples: what training sees is their Bernstein polynomial.

A reward a_j for ranking above j of K fresh base samples has, at calibrated reward u, the mean

.. math:: B_K[a](u) = \sum_j a_j \binom{K}{j} u^j (1-u)^{K-j},

and the solution of KL-regularised RL depends on that mean only.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.bernstein import MOST_SAMPLES, Bernstein
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

_COUNT = f"a whole number of base samples a prompt from 1 to {MOST_SAMPLES}"


def places(samples: int) -> Array:
    """(j + 1/2)/(K + 1), the calibrated rewards of ranks."""
    return np.asarray((np.arange(samples + 1) + 0.5) / (samples + 1.0))


def fresh_transform(transform: Transform | str, samples: int) -> Bernstein:
    r"""What a transform of ranks among K fresh base samples amounts to: B_K of Phi at the places.

    Examples
    --------
    >>> round(fresh_transform("identity", 4)(0.5).item(), 12)
    0.5
    """
    chosen = as_transform(transform)
    return Bernstein(chosen(places(whole(samples, "samples", _COUNT))))


def power_rewards(power: int, samples: int) -> Array:
    r"""Rank rewards whose mean is u^m exactly: a_j = C(j, m)/C(K, m).

    Parameters
    ----------
    power : int
        m, from 1 to K. The first-order best transform for Best-of-N is m = 2N - 1.
    samples : int
        K, fresh base samples a prompt.

    Returns
    -------
    ndarray, shape (K + 1,)
        In [0, 1].

    Examples
    --------
    >>> power_rewards(2, 3).round(6).tolist()
    [0.0, 0.0, 0.333333, 1.0]
    """
    k, m = whole(samples, "samples", _COUNT), whole(power, "power", "a whole power up to K")
    if m > k:
        raise InputError(
            f"power = {m} with samples = {k}: no rewards of {k} ranks have the mean u^{m}; give at "
            f"least {m} samples a prompt."
        )
    j = np.arange(k + 1.0)
    factors = [(j - i) / (k - i) for i in range(m)]
    return np.where(j >= m, np.prod(factors, axis=0), 0.0)


def exponential_rewards(t: float, samples: int) -> Array:
    """Rank rewards (1 + t/K)^j, whose mean (1 + t u/K)^K tends to exp(t u).

    Parameters
    ----------
    t : float
        Above -K, not zero; for t < 0 the sign is turned, as that of exp:t is.
    """
    k = whole(samples, "samples", _COUNT)
    number = real(t, "t", f"an exponent above -{k}, not zero")
    if number <= -k or number == 0.0:
        raise InputError(f"t = {plain_number(number)}: give an exponent above -{k}, not zero.")
    with np.errstate(over="raise"):
        try:
            return np.asarray(np.sign(number) * (1.0 + number / k) ** np.arange(k + 1.0))
        except FloatingPointError:
            raise InputError(
                f"t = {plain_number(number)} with samples = {k} overflows; give a smaller t."
            ) from None


def best_rewards(procedure: Procedure | str, *, kl: float, samples: int) -> Array:
    r"""Rank rewards in [0, 1] for the policy of their family nearest to the optimum.

    Minimises KL(f* ‖ f_a) over all rewards a, f_a proportional to exp(B_K[a]): log Z(a) minus the
    mean of B_K[a] under the optimum f*, a convex problem in K + 1 numbers solved by damped Newton
    steps. Aligning with them at that KL is then measured by ``win_rate`` as ever.

    Parameters
    ----------
    procedure : Procedure or str
    kl : float
        Nats, positive.
    samples : int
        K, at most 200 here.

    Returns
    -------
    ndarray, shape (K + 1,)

    Examples
    --------
    >>> best_rewards("bon:2", kl=0.1, samples=3).size
    4
    """
    k = whole(samples, "samples", _COUNT)
    if k > 200:
        raise InputError(f"samples = {k}: give at most 200; more change nothing that can be seen.")
    target = optimum(procedure, kl=kl).policy
    if not isinstance(target, ContinuousPolicy):
        raise InputError("rank rewards are for a continuous base.")
    grid = target.grid
    basis = Bernstein(np.arange(k + 1.0)).basis(grid.points)
    mass = (grid.half[:, None] * _weights(grid) * grid.jacobian).ravel()
    wanted = mass * np.exp(target.tilt.log_density(grid.points)).ravel()
    wanted /= wanted.sum()
    rewards = _nearest(basis, mass / mass.sum(), wanted)
    low, high = float(rewards.min()), float(rewards.max())
    return (rewards - low) / (high - low)


def _weights(grid: Grid) -> Array:
    from infalign_theory.quadrature.panels import WEIGHTS

    return np.broadcast_to(WEIGHTS, grid.points.s.shape)


def _nearest(basis: Array, mass: Array, wanted: Array) -> Array:
    """Maximum likelihood in an exponential family: moments of the basis are matched."""
    moments = basis.T @ wanted
    a = np.zeros(basis.shape[1])

    def state(a: Array) -> tuple[float, Array]:
        exponent = basis @ a
        peak = float(exponent.max())
        f = mass * np.exp(exponent - peak)
        z = float(f.sum())
        return peak + float(np.log(z)) - float(moments @ a), f / z

    value, f = state(a)
    for _ in range(200):
        mean = basis.T @ f
        slope = mean - moments
        curve = (basis * f[:, None]).T @ basis - np.outer(mean, mean)
        ridge = 1e-11 * float(np.trace(curve))
        step = np.linalg.solve(curve + ridge * np.eye(a.size), slope)
        gain = float(slope @ step)
        if gain < 1e-15:
            break
        size = 1.0
        while True:
            trial, g = state(a - size * step)
            if trial <= value - 1e-4 * size * gain or size < 1e-6:
                break
            size /= 2.0
        if trial >= value:
            break
        a, value, f = a - size * step, trial, g
    return a


def fresh_policy(transform: Transform | str, kl: float, samples: int) -> ContinuousPolicy:
    """The solution of RL on ranks among fresh base samples."""
    return align(fresh_transform(transform, samples), kl=kl)
