r"""Which law a trainer's KL penalty leads to, and what dividing by a standard deviation does to it.

With r = ref/pi a trainer estimates KL by k1 = -log r, k2 = (log r)^2 / 2 or k3 = r - 1 - log r. In
the reward k1 gives the reverse KL. In the loss, what counts is the gradient: that of k1 has mean
zero, that of k2 is the reverse KL's, that of k3 is the *forward* KL's (its coefficient of
grad log pi is 1 - r), and the importance ratio turns k3 back into the reverse KL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError
from infalign_theory.kernels.panels import WEIGHTS
from infalign_theory.policies.alignment import align
from infalign_theory.policies.continuous_tilt import uniform_grid
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.core import Transform


class Penalty(Enum):
    """The divergence that training is really penalised by."""

    REVERSE = "kl"
    FORWARD = "forward-kl"
    NONE = "none"


def penalty_of(*, place: str, estimator: str, ratio: bool = False) -> Penalty:
    """The divergence of an estimator in the reward or in the loss.

    Parameters
    ----------
    place : {"reward", "loss"}
    estimator : {"k1", "k2", "k3"}
    ratio : bool, optional
        Whether the loss multiplies the estimator by the importance ratio and differentiates both.

    Raises
    ------
    InputError
        For k2 and k3 in the reward, whose fixed points are no divergence's.

    Examples
    --------
    >>> penalty_of(place="loss", estimator="k3").value
    'forward-kl'
    """
    known = {
        ("reward", "k1", False): Penalty.REVERSE,
        ("loss", "k1", False): Penalty.NONE,
        ("loss", "k1", True): Penalty.REVERSE,
        ("loss", "k2", False): Penalty.REVERSE,
        ("loss", "k3", False): Penalty.FORWARD,
        ("loss", "k3", True): Penalty.REVERSE,
    }
    try:
        return known[place, estimator, ratio]
    except KeyError:
        raise InputError(
            f"{estimator} in the {place}{' with the importance ratio' if ratio else ''} does not "
            "lead to the law of any divergence; use k1 in the reward, k2 in the loss, or k3 in "
            "the loss."
        ) from None


@dataclass(frozen=True)
class Solution:
    """The law a penalty leads to at strength k = 1/beta.

    ``deviation`` is that of Phi under it, in the units of Phi; ``kl`` is always the reverse KL.
    """

    k: float
    kl: float
    deviation: float


def solution(transform: Transform, penalty: Penalty, k: float) -> Solution:
    """The law at one strength."""
    if penalty is Penalty.REVERSE:
        policy = align(transform, beta=1.0 / k)
        return Solution(k, policy.kl, float(np.sqrt(policy.tilt.growth)) / k)
    return _forward(transform, k)


def solution_at_kl(transform: Transform, penalty: Penalty, kl: float) -> Solution:
    """The law that spends a given reverse KL."""
    if penalty is Penalty.REVERSE:
        return solution(transform, penalty, 1.0 / align(transform, kl=kl).beta)
    scale = 1.0 / _spread(transform)

    def excess(log_k: float) -> float:
        return _forward(transform, float(np.exp(log_k)) * scale).kl - kl

    high = -2.0
    while excess(high) < 0.0:
        high += 0.5
    return _forward(transform, float(np.exp(brentq(excess, -14.0, high, xtol=1e-13))) * scale)


def _spread(transform: Transform) -> float:
    values = transform.differences(uniform_grid().points)
    return float(np.ptp(values[np.isfinite(values)]))


@lru_cache(maxsize=1)
def _grid() -> Grid:
    grid = uniform_grid()
    for _ in range(2):
        grid = grid.split(np.abs(grid.edges[1:]) < 60.0)
    return grid


def _forward(transform: Transform, k: float) -> Solution:
    """f = 1 / (k (lambda - Phi)), lambda above the largest Phi such that its mass is 1."""
    grid = _grid()
    weights = grid.half[:, None] * WEIGHTS * grid.jacobian
    differences = transform.differences(grid.points)
    drop = differences.max() - differences  # at least 0

    def mass(log_gap: float) -> float:
        return float(np.sum(weights / (k * (np.exp(log_gap) + drop)))) - 1.0

    low, high = -300.0, np.log(float(drop[np.isfinite(drop)].max()) + 2.0 / k)
    if mass(low) < 0.0:
        raise InputError(
            f"transform {transform.name} at beta = {plain_number(1.0 / k)} has no law under a "
            "forward KL penalty without an atom at its top; use a larger beta."
        )
    gap = float(np.exp(brentq(mass, low, high, xtol=1e-14)))
    f = 1.0 / (k * (gap + drop))
    total = f * weights
    total = total / total.sum()
    mean = float(np.sum(total * drop))
    return Solution(
        k, float(np.sum(total * np.log(f))), float(np.sqrt(np.sum(total * (drop - mean) ** 2)))
    )


@dataclass(frozen=True)
class GroupScaling:
    r"""What dividing rewards by their standard deviation does.

    The advantage is Phi over its deviation under the policy itself, so the strength k of the law
    solves :math:`k \sigma(k) = 1/\beta`. Under the reverse KL the left side is bounded by
    :attr:`largest`, reached at :attr:`turn`: below :attr:`critical_beta` there is no fixed point
    and the policy collapses, and beyond the turn fixed points repel.
    """

    turn: float
    largest: float

    @property
    def critical_beta(self) -> float:
        """The smallest beta with a fixed point."""
        return 1.0 / self.largest

    @classmethod
    def of(cls, transform: Transform) -> GroupScaling:
        """Under the reverse KL: the largest k sigma(k) and where it is."""
        from scipy.optimize import minimize_scalar

        unit = 1.0 / _spread(transform)
        grid = np.geomspace(0.3, 300.0, 40) * unit
        values = [k * solution(transform, Penalty.REVERSE, float(k)).deviation for k in grid]
        top = int(np.argmax(values))
        if values[-1] >= max(values) * (1.0 - 1e-9):  # it only tends to its bound
            return cls(np.inf, float(max(values)))
        found = minimize_scalar(
            lambda log_k: (
                -np.exp(log_k)
                * solution(transform, Penalty.REVERSE, float(np.exp(log_k))).deviation
            ),
            bounds=(np.log(grid[top - 1]), np.log(grid[top + 1])),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return cls(float(np.exp(found.x)), float(-found.fun))
