"""The damped fixed-point iteration: the obvious method, kept to show where it works and fails.

From the base policy, repeat: tilt the base by the win rate's derivative at the current policy, and
move log f a fraction of the way there. It stops on the residual of the equation, never on the
size of a damped step. It finds at most one solution, not always the best one, and may not settle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.kernels.sums import cumulative_sums
from infalign_theory.optima.discrete import DiscreteProblem
from infalign_theory.optima.general import GeneralProblem
from infalign_theory.quadrature.grid import REACH, Grid
from infalign_theory.typing import Array


class Reason(StrEnum):
    """Why an iteration stopped."""

    CONVERGED = "converged: the residual is below the tolerance"
    LIMIT = "stopped: the iteration limit was reached; allow more, or damp more (a smaller damping)"
    STALLED = "stopped: the residual no longer shrinks; damp more (a smaller damping)"


_PATIENCE = 500
_FINE, _FAR = 0.125, 44.0  # panels of the logit: their width, and from where they double


@dataclass(frozen=True)
class Iteration:
    """How a damped iteration went.

    Attributes
    ----------
    log_density : ndarray
        log f at the atoms or nodes where it ended.
    residuals : ndarray, shape (iterations + 1,)
        Total variation distance to the undamped next policy, from the start on.
    reason : Reason
        Why it stopped; a sentence as text.
    """

    log_density: Array
    residuals: Array
    reason: Reason

    @property
    def converged(self) -> bool:
        """Whether the residual fell below the tolerance."""
        return self.reason is Reason.CONVERGED

    @property
    def iterations(self) -> int:
        """Number of damped steps taken."""
        return self.residuals.size - 1


@dataclass(frozen=True)
class Options:
    """Damping in (0, 1] (1 is undamped), tolerance on the residual, iteration limit."""

    damping: float = 0.5
    tolerance: float = 1e-10
    max_iterations: int = 10_000

    def __post_init__(self) -> None:
        damping = real(self.damping, "damping", "a number in (0, 1], 1 being no damping")
        tolerance = real(self.tolerance, "tolerance", "a positive residual to stop at")
        limit = whole(self.max_iterations, "max_iterations", "a whole number of at least 1")
        for name, value, good in (
            ("damping", damping, 0.0 < damping <= 1.0),
            ("tolerance", tolerance, tolerance > 0.0),
        ):
            if not good:
                raise InputError(
                    f"{name} = {plain_number(value)} is not allowed; give a damping in (0, 1] and "
                    "a positive tolerance."
                )
        object.__setattr__(self, "max_iterations", limit)


@lru_cache(maxsize=1)
def iteration_grid() -> Grid:
    """Panels of the logit of u on which the iteration on a continuous base runs."""
    inner = np.arange(-_FAR, _FAR + _FINE / 2, _FINE)
    outer = _FAR * 2.0 ** np.arange(1, 5)
    return Grid(np.concatenate([-outer[::-1], inner, outer]).clip(-REACH, REACH))


def iterate_atoms(problem: DiscreteProblem, beta: float, options: Options) -> Iteration:
    """The iteration on a discrete base, from the base policy."""
    probs = problem.base.probs

    def response(log_ratio: Array) -> Array:
        return problem.response(cumulative_sums(probs * np.exp(log_ratio)), 1.0 / beta)

    def distance(a: Array, b: Array) -> float:
        return float(0.5 * np.sum(probs * np.abs(np.exp(a) - np.exp(b))))

    def normalised(log_ratio: Array) -> Array:
        return np.asarray(log_ratio - np.log(np.sum(probs * np.exp(log_ratio))))

    return _iterate(np.zeros(probs.size), response, distance, normalised, options)


def iterate_continuous(problem: GeneralProblem, beta: float, options: Options) -> Iteration:
    """The iteration on a continuous base, on the nodes of the problem's grid."""
    grid = iteration_grid()

    def response(log_density: Array) -> Array:
        return normalised(problem.response(grid, log_density, 1.0 / beta))

    def distance(a: Array, b: Array) -> float:
        return 0.5 * grid.integral(np.abs(np.exp(a) - np.exp(b)) * grid.jacobian)

    def normalised(log_density: Array) -> Array:
        total = grid.integral(np.exp(log_density) * grid.jacobian)
        return np.asarray(log_density - np.log(total))

    start = np.zeros(grid.points.s.shape)
    return _iterate(start, response, distance, normalised, options)


def _iterate(
    start: Array,
    response: Callable[[Array], Array],
    distance: Callable[[Array, Array], float],
    normalised: Callable[[Array], Array],
    options: Options,
) -> Iteration:
    current, residuals = start, []
    reason = Reason.LIMIT
    best, best_at = np.inf, 0
    for count in range(options.max_iterations + 1):
        target = response(current)
        residuals.append(distance(current, target))
        if residuals[-1] <= options.tolerance:
            reason = Reason.CONVERGED
            break
        if residuals[-1] < 0.999 * best:
            best, best_at = residuals[-1], count
        if count - best_at >= _PATIENCE:
            reason = Reason.STALLED
            break
        if count < options.max_iterations:
            current = normalised((1.0 - options.damping) * current + options.damping * target)
    return Iteration(current, np.array(residuals), reason)
