"""All tilts of one base by one transform, and the one that spends a given KL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.bracketing import SafeguardedNewton
from infalign_theory.policies.continuous_tilt import (
    LONGEST_REACH,
    TAIL,
    ContinuousTilt,
    reach_far_enough,
    uniform_grid,
)
from infalign_theory.policies.discrete_tilt import DiscreteTilt, changes_at_atoms
from infalign_theory.policies.tilt_weights import Known
from infalign_theory.quadrature.grid import REACH
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_KL_PROMISE = 1e-9  # relative
_PLAIN_ROUNDING = 1e-14  # what a constant written as u - u + 1 shows


_LOG_SCALE_LIMIT = 660.0  # log of the largest k times range of Phi that float64 carries safely


class Tilt(Protocol):
    """What :func:`solve` needs to know of a tilt."""

    @property
    def kl(self) -> float: ...
    @property
    def growth(self) -> float:
        """dKL / dlog k, the variance of the exponent under the tilt."""
        ...


T = TypeVar("T", bound=Tilt)


@dataclass(frozen=True)
class Family(Generic[T]):
    """All tilts of one base by one transform.

    ``at(k, nearby)`` builds a tilt, reusing what is known of a nearby one; ``spread`` is the
    standard deviation of Phi under the base; ``slope`` bounds k by 1/slope where positive;
    ``limit`` is the supremum of KL where known; ``log_odds`` bounds log(k / (1/slope - k)).
    """

    name: str
    at: Callable[[float, T | None], T]
    spread: float
    slope: float
    limit: float
    log_odds: float = 0.0


def continuous_family(transform: Transform, known: Known | None = None) -> Family[ContinuousTilt]:
    """All tilts of a continuous base by one transform, of which something may be known."""
    known = known or Known(transform)
    grid = uniform_grid()
    with np.errstate(over="ignore", under="ignore"):
        differences = known.differences(grid)
    spread = _deviation(differences, grid.jacobian * grid.half[:, None])
    _refuse_noise(known, spread)
    slope = max(transform.slopes)
    if slope == np.inf:
        reach_far_enough(transform, 1.0, grid)

    def at(k: float, nearby: ContinuousTilt | None) -> ContinuousTilt:
        return ContinuousTilt.resolve(transform, k, nearby.grid if nearby else None, known)

    # 1 - k slope must leave room for a tail of the form exp(-(1 - k slope) s) within reach
    reach = LONGEST_REACH if transform.in_logit else REACH
    return Family(transform.name, at, spread, slope, np.inf, float(np.log(reach / TAIL - 1.0)))


def _refuse_noise(known: Known, spread: float) -> None:
    """Refuse a formula whose rounding is of the size of its variation: no beta helps it."""
    grid = uniform_grid()
    unit = spread if spread > 0.0 else 1.0
    finite = np.isfinite(known.differences(grid))
    off = np.where(finite, known.rounding(grid) / unit, 0.0)
    lost = unit * float(np.sqrt(grid.integral(off**2 * grid.jacobian)))
    if lost > max(0.1 * spread, _PLAIN_ROUNDING):
        raise PrecisionError(
            f"transform {known.transform.name} varies by {spread:.1g}, and rounding may move it "
            f"by {lost:.1g}: its digits are lost; write it without differences of large numbers.",
            float("nan"),
        )


def discrete_family(transform: Transform, base: Discrete) -> Family[DiscreteTilt]:
    """All tilts of a discrete base by one transform; KL tends to -log P(largest Phi)."""
    values = changes_at_atoms(transform, base)
    limit = abs(float(np.log(np.sum(base.probs[values == values.max()]))))

    def at(k: float, nearby: DiscreteTilt | None) -> DiscreteTilt:
        return DiscreteTilt.of(transform, base, k)

    return Family(transform.name, at, _deviation(values, base.probs), 0.0, max(limit, 0.0))


def _deviation(values: Array, weights: Array) -> float:
    """Standard deviation of the finite values, scaled so that squares do not overflow."""
    finite = np.isfinite(values)
    x, w = values[finite], weights[finite]
    scale = float(np.max(np.abs(x - x.flat[0]), initial=0.0))
    if scale == 0.0:
        return 0.0
    x = (x - x.flat[0]) / scale
    w = w / w.sum()
    return scale * float(np.sqrt(np.sum(w * (x - np.sum(w * x)) ** 2)))


def solve(family: Family[T], kl: float, nearby: T | None = None, guess: float = 0.0) -> T:
    """The tilt of a family that spends a given KL: safeguarded Newton on log KL against log k.

    KL increases with k, from 0; where the normaliser bounds k the logit of k replaces its log.

    Parameters
    ----------
    family : Family
    kl : float
        Nats, at least 0.
    nearby : tilt, optional
        One whose KL is near, whose grid is re-used.
    guess : float, optional
        k to start from; 0 for the law of small budgets.

    Raises
    ------
    OutOfReachError
        Where no k of float64 spends that much.
    PrecisionError
        Where the closest k misses the budget by more than 1e-9 of it.
    """
    if kl == 0.0:
        return family.at(0.0, nearby)
    if kl >= family.limit * (1.0 - 1e-14) or family.spread == 0.0:
        raise _out_of_reach(family.name, kl, family.limit if family.spread > 0.0 else 0.0)
    slope = family.slope
    highest = _LOG_SCALE_LIMIT - np.log(family.spread) if slope == 0.0 else family.log_odds
    start = guess or np.sqrt(2.0 * kl) / family.spread
    steps = SafeguardedNewton(highest)
    x = min(float(np.log(start) + np.log(slope or 1.0)), highest)
    for _ in range(200):
        k = float(np.exp(x)) if slope == 0.0 else float(1.0 / (slope * (1.0 + np.exp(-x))))
        with np.errstate(all="ignore"):  # what over- or underflows is judged by the KL it gives
            nearby = tilt = family.at(k, nearby)
            log_ratio = float(np.log(tilt.kl / kl))
        if abs(log_ratio) <= 2e-14:
            return tilt
        if log_ratio < 0.0 and x == highest:
            raise _out_of_reach(family.name, kl, tilt.kl, certain=slope == 0.0)
        stretch = 1.0 if slope == 0.0 else 1.0 - k * slope
        climb = tilt.growth * stretch / tilt.kl if tilt.kl > 0.0 else 0.0
        new = steps.next(x, log_ratio, climb)
        if abs(new - x) <= 4e-16 * max(1.0, abs(x)):
            break
        x = new
    if abs(np.expm1(log_ratio)) <= _KL_PROMISE:
        return tilt
    raise PrecisionError(
        f"no beta found at which transform {family.name} spends kl = {plain_number(kl)} nats; "
        f"the closest spends {tilt.kl:.12g}.",
        tilt.kl,
    )


def _out_of_reach(name: str, kl: float, limit: float, certain: bool = True) -> OutOfReachError:
    what = "the largest KL is" if certain else "float64 follows its slow tail only to"
    return OutOfReachError(
        f"kl = {plain_number(kl)} nats is out of reach of transform {name} on this base: {what} "
        f"{limit:.12g} nats; give a smaller budget.",
        limit,
    )
