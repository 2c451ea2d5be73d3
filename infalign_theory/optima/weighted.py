"""The policy that maximises a weighted sum of win rates at a KL budget, by Newton's method.

Each procedure is judged against itself on the base's side, so the sum is not the win rate of a
mixture: its coupled equation is

    log f(v) = c - k int_v^1 sum_i w_i g_i'(F(u)) dg_i(u),   int f = 1,   KL = budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.optima.stages import Linearised, Stage
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.typing import Array

_SOLVED = 1e-12
_STEPS = 60
_HALVINGS = 30
_FIRST_KL, _FIRST_FACTOR, _LAST_FACTOR = 1e-4, 4.0, 1.02  # of a budget grown step by step


@dataclass(frozen=True)
class Weighted:
    """The maximiser for one set of weights: log f at the nodes, k = 1/beta, and dW/dw."""

    weights: Array
    log_density: Array
    k: float
    win_rates: Array
    sensitivity: Array


@dataclass(frozen=True)
class _Task:
    """What is to be solved."""

    stage: Stage
    weights: Array
    kl: float


@dataclass(frozen=True)
class _Place:
    """A policy on the way, with c and log k, and what it misses the equations by.

    ``residual`` is that of the coupled equation at the nodes, ``lacking`` those of mass and KL.
    """

    log_density: Array
    constant: float
    log_k: float
    slopes: Array
    bends: Array
    fall: Array
    residual: Array
    lacking: Array

    @classmethod
    def of(cls, task: _Task, log_density: Array, constant: float, log_k: float) -> _Place:
        """Everything measured there."""
        stage = task.stage
        with np.errstate(over="ignore", invalid="ignore"):
            k = float(np.exp(log_k))
            slopes, bends = stage.slopes(log_density)
            fall = stage.falls(np.tensordot(task.weights, slopes, 1))
            mass = float(np.exp(log_density + stage.log_mass).sum())
            spent = float(entropy_terms(log_density, stage.log_mass).sum())
            residual = log_density + k * fall - constant
        lacking = np.array([mass - 1.0, spent / task.kl - 1.0])
        return cls(
            log_density=log_density,
            constant=constant,
            log_k=log_k,
            slopes=slopes,
            bends=bends,
            fall=fall,
            residual=residual,
            lacking=lacking,
        )

    @property
    def k(self) -> float:
        """1 / beta."""
        return float(np.exp(self.log_k))

    @property
    def size(self) -> float:
        """The largest residual, relative to log f where that is large; NaN where it overflowed."""
        inner = np.max(np.abs(self.residual) / (1.0 + np.abs(self.log_density)))
        return float(np.maximum(inner, np.abs(self.lacking).max()))

    def linearised(self, task: _Task) -> Linearised:
        """The equations around here."""
        mass = np.exp(self.log_density + task.stage.log_mass)
        return Linearised(task.stage, mass, np.tensordot(task.weights, self.bends, 1), self.k)

    def changes(self, task: _Task, right: Array, lacking: Array) -> tuple[Array, Array, Array]:
        """Changes of log f and F, shape (r, C, q), and of (c, log k), shape (r, 2).

        ``right`` and ``lacking``, shape (r, C, q) and (2,), are right sides of the equation, and
        of mass and KL, the same for all.
        """
        here = self.linearised(task)
        extra = np.stack([np.ones_like(self.fall), -self.k * self.fall])
        y, p = here.solve(np.concatenate([right, extra]))
        rows = np.stack([here.mass, here.mass * self.log_density / task.kl])
        moved = np.einsum("icq,rcq->ir", rows, y)
        both = np.linalg.solve(moved[:, -2:], lacking[:, None] - moved[:, :-2])
        return (
            y[:-2] + np.einsum("er,ecq->rcq", both, y[-2:]),
            p[:-2] + np.einsum("er,ecq->rcq", both, p[-2:]),
            both.T,
        )

    def moved(self, task: _Task, share: float, step: tuple[Array, Array]) -> _Place:
        """A share of a step of log f and of (c, log k) further."""
        y, ends = step
        return _Place.of(
            task,
            self.log_density + share * y,
            self.constant + share * float(ends[0]),
            self.log_k + share * float(ends[1]),
        )


def solve_weighted(stage: Stage, weights: Array, kl: float, start: Array, k: float) -> Weighted:
    """Damped Newton on log f, its constant and k; from a nearby solution or a rough start.

    Raises PrecisionError where it does not settle: then the start was too far away.
    """
    task = _Task(stage, weights, kl)
    here = _Place.of(task, start, float(start[-1, -1]), float(np.log(k)))
    for _ in range(_STEPS):
        if here.size <= _SOLVED:
            return _solution(task, here)
        step = _newton(task, here)
        further = None if step is None else _further(task, here, step)
        if further is None:
            if here.size <= 100.0 * _SOLVED:  # rounding of a long sum
                return _solution(task, here)
            break
        here = further
    raise PrecisionError(
        f"the policy for these procedures at {kl:g} nats was not found to rounding (residual "
        f"{here.size:.1g}); give a smaller budget or fewer procedures.",
        float("nan"),
    )


def _newton(task: _Task, here: _Place) -> tuple[Array, Array] | None:
    """Newton's step; None where the equations overflow or are singular."""
    if not (np.isfinite(here.residual).all() and np.isfinite(here.bends).all()):
        return None
    try:
        y, _, ends = here.changes(task, -here.residual[None], -here.lacking)
    except np.linalg.LinAlgError:
        return None
    return (y[0], ends[0]) if np.isfinite(y).all() and np.isfinite(ends).all() else None


def _further(task: _Task, here: _Place, step: tuple[Array, Array]) -> _Place | None:
    """As far along a step as the residual falls; None where it does not."""
    # log f may move by a few units at most, where it is not enormous; log k as well
    reach = max(
        float(np.max(np.abs(step[0]) / (3.0 + np.abs(here.log_density)))),
        abs(float(step[1][0])) / (3.0 + abs(here.constant)),
        abs(float(step[1][1])) / (3.0 + abs(here.log_k)),
    )
    share = min(1.0, 1.0 / max(reach, 1e-300))
    for _ in range(_HALVINGS):
        trial = here.moved(task, share, step)
        if trial.size <= (1.0 - share / 4.0) * here.size:
            return trial
        share /= 2.0
    return None


def follow_from_base(stage: Stage, weights: Array, kl: float) -> Weighted:
    """The maximiser on the branch that starts at the base policy, the budget grown step by step.

    At a small budget log f is proportional to the sum's derivative at the base.
    """
    slopes, _ = stage.slopes(np.zeros(stage.log_mass.shape))
    direction = -stage.falls(np.tensordot(weights, slopes, 1))
    mass = np.exp(stage.log_mass)
    direction -= np.sum(mass * direction)
    budget = min(kl, _FIRST_KL)
    k = float(np.sqrt(2.0 * budget / np.sum(mass * direction**2)))
    found = solve_weighted(stage, weights, budget, k * direction, k)
    factor = _FIRST_FACTOR
    while budget < kl:
        ahead = min(budget * factor, kl)
        grown = np.sqrt(ahead / budget)
        try:
            found = solve_weighted(
                stage, weights, ahead, found.log_density * grown, found.k * grown
            )
        except PrecisionError:
            factor = factor**0.5
            if factor < _LAST_FACTOR:
                raise
        else:
            budget, factor = ahead, min(factor**1.5, _FIRST_FACTOR)
    return found


def _solution(task: _Task, here: _Place) -> Weighted:
    """The record at a solution, with the derivatives of all win rates by all weights."""
    right = -here.k * task.stage.falls(here.slopes)
    _, p, _ = here.changes(task, right, np.zeros(2))
    sensitivity = -np.einsum("icq,jcq->ij", here.slopes, p)
    won = task.stage.win_rates(here.log_density)
    return Weighted(task.weights, here.log_density, here.k, won, sensitivity)
