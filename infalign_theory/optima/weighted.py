"""The policy that maximises a weighted sum of win rates at a KL budget, by Newton's method.

Each procedure is judged against itself on the base's side, so the sum is not the win rate of a
mixture: its coupled equation is

    log f(v) = c - k int_v^1 sum_i w_i g_i'(F(u)) dg_i(u),   int f = 1,   KL = budget.

Both kinds of base give it the same shape: unknown log densities at nodes, linear maps from masses
to F and from forces to the fall of log f.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.kernels import panels
from infalign_theory.kernels.panels import entropy_terms
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.typing import Array

_SOLVED = 1e-12
_STEPS = 60
_MOST_NODES = 4000
_FIRST_KL, _FIRST_FACTOR, _LAST_FACTOR = 1e-4, 4.0, 1.02  # of a budget grown step by step
_BEND = 1e-5  # of the nearer tail: step of the difference that stands for g''


@dataclass(frozen=True)
class Stage:
    """The nodes of one problem and its linear maps.

    Attributes
    ----------
    log_mass : ndarray, shape (n,)
        log of the base's mass at each node.
    below, above : ndarray, shape (e, n)
        From masses at nodes to F and 1 - F where forces act.
    fall : ndarray, shape (n, e)
        From forces to the fall of log f between a node and the top.
    shares : ndarray, shape (e,)
        Quadrature weights of the places where forces act.
    forces : ndarray, shape (m, e)
        dg_i of the base at those places, a row a procedure.
    constants : ndarray, shape (m,)
        What each win rate has beside its sum over places.
    """

    procedures: tuple[Procedure, ...]
    log_mass: Array
    below: Array
    above: Array
    fall: Array
    shares: Array
    forces: Array
    constants: Array

    def laws(self, log_density: Array) -> tuple[Array, Array]:
        """F and 1 - F where forces act, of the policy normalised."""
        mass = np.exp(log_density + self.log_mass)
        mass /= mass.sum()
        # a running integral may round below 0 where a panel holds nothing
        return np.clip(self.below @ mass, 0.0, 1.0), np.clip(self.above @ mass, 0.0, 1.0)

    def moves(self, log_density: Array) -> Array:
        """Derivative of F by log f, shape (e, n), taken from the nearer tail."""
        mass = np.exp(log_density + self.log_mass)
        p, q = self.laws(log_density)
        nearer = np.where((p < 0.5)[:, None], self.below - p[:, None], q[:, None] - self.above)
        return np.asarray(nearer * (mass / mass.sum()))

    def win_rates(self, log_density: Array) -> Array:
        """Win rate of each procedure."""
        laws = self.laws(log_density)
        kept = np.stack([one.cdf(*laws)[1] for one in self.procedures])
        return self.constants + (kept * self.forces) @ self.shares

    def slopes(self, log_density: Array) -> tuple[Array, Array]:
        """g_i'(F) and g_i''(F) times the base's force, shape (m, e) each."""
        p, q = self.laws(log_density)
        step = _BEND * np.minimum(p, q)
        up = np.minimum(p + step, 1.0), np.maximum(q - step, 0.0)
        down = np.maximum(p - step, 0.0), np.minimum(q + step, 1.0)
        width = np.where(step > 1e-290, 2.0 * step, np.inf)  # nothing bends where nothing is left
        first, second = [], []
        for one in self.procedures:
            first.append(one.pdf(p, q))
            second.append((one.pdf(*up) - one.pdf(*down)) / width)
        return np.stack(first) * self.forces, np.stack(second) * self.forces


@dataclass(frozen=True)
class Weighted:
    """The maximiser for one set of weights: log f at the nodes, k = 1/beta, and dW/dw."""

    weights: Array
    log_density: Array
    k: float
    win_rates: Array
    sensitivity: Array


def on_atoms(base: Discrete, procedures: Sequence[Procedure]) -> Stage:
    """A discrete base: nodes are atoms, forces act at the edges between them."""
    count = len(base)
    if count > _MOST_NODES:
        raise InputError(
            f"the base has {count} atoms; a robust policy is solved on at most {_MOST_NODES}: "
            "merge neighbouring rewards."
        )
    weights = np.stack([increments(one, (base.below, base.above)) for one in procedures])
    below = np.tri(count - 1, count)
    return Stage(
        procedures=tuple(procedures),
        log_mass=np.log(base.probs),
        below=below,
        above=1.0 - below,
        fall=below.T.copy(),
        shares=np.ones(count - 1),
        forces=(weights[:, :-1] + weights[:, 1:]) / 2.0,
        constants=weights[:, 0] / 2.0,
    )


def on_grid(grid: Grid, procedures: Sequence[Procedure]) -> Stage:
    """A continuous base: nodes of a grid in the logit, where forces act as well."""
    points = grid.points
    count = points.s.size
    shares = (grid.half[:, None] * panels.WEIGHTS).ravel()
    owner = np.arange(count) // panels.NODES
    left = (owner[:, None] > owner[None, :]) * shares[None, :]
    right = (owner[:, None] < owner[None, :]) * shares[None, :]
    for p, half in enumerate(grid.half):
        own = slice(p * panels.NODES, (p + 1) * panels.NODES)
        left[own, own] = half * panels.FROM_LEFT
        right[own, own] = half * panels.FROM_RIGHT
    forces = np.stack([(one.pdf(points.u, points.v) * grid.jacobian).ravel() for one in procedures])
    return Stage(
        procedures=tuple(procedures),
        log_mass=np.log(shares) + grid.log_jacobian.ravel(),
        below=left / shares[None, :],
        above=right / shares[None, :],
        fall=right,
        shares=shares,
        forces=forces,
        constants=np.zeros(len(procedures)),
    )


def solve_weighted(stage: Stage, weights: Array, kl: float, start: Array, k: float) -> Weighted:
    """Damped Newton on log f, its constant and k; from a nearby solution or a rough start.

    Raises PrecisionError where it does not settle: then the start was too far away.
    """
    x = np.concatenate([start, [float(start[-1]), np.log(k)]])
    residual, parts = _residual(stage, weights, kl, x)
    for _ in range(_STEPS):
        size = _size(residual, x)
        matrix = _jacobian(stage, weights, kl, x, parts)
        if not np.isfinite(matrix).all():
            break
        jacobian = linalg.lu_factor(matrix)
        if size <= _SOLVED:
            return _solution(stage, weights, x, parts, jacobian)
        step = linalg.lu_solve(jacobian, -residual)
        # log f may move by a few units at most, where it is not enormous; log k as well
        reach = np.abs(step) / (3.0 + np.abs(x))
        share = min(1.0, 1.0 / float(max(reach.max(), 1e-300)))
        for _ in range(30):
            trial = x + share * step
            new, new_parts = _residual(stage, weights, kl, trial)
            if np.isfinite(new).all() and _size(new, trial) <= (1.0 - share / 4.0) * size:
                break
            share /= 2.0
        else:
            if size <= 100.0 * _SOLVED:  # rounding of a long sum
                return _solution(stage, weights, x, parts, jacobian)
            break
        x, residual, parts = trial, new, new_parts
    raise PrecisionError(
        f"the policy for these procedures at {kl:g} nats was not found to rounding (residual "
        f"{_size(residual, x):.1g}); give a smaller budget or fewer procedures.",
        float("nan"),
    )


def follow_from_base(stage: Stage, weights: Array, kl: float) -> Weighted:
    """The maximiser on the branch that starts at the base policy, the budget grown step by step.

    At a small budget log f is proportional to the sum's derivative at the base.
    """
    slopes, _ = stage.slopes(np.zeros(stage.log_mass.size))
    direction = -(stage.fall @ (weights @ slopes))
    mass = np.exp(stage.log_mass)
    direction -= mass @ direction
    budget = min(kl, _FIRST_KL)
    k = float(np.sqrt(2.0 * budget / (mass @ direction**2)))
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


def _residual(
    stage: Stage, weights: Array, kl: float, x: Array
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Residuals of the coupled equation, the mass and the KL; and what the Jacobian needs."""
    log_density, constant, k = x[:-2], x[-2], float(np.exp(x[-1]))
    with np.errstate(over="ignore", invalid="ignore"):
        slopes, bends = stage.slopes(log_density)
        fall = stage.fall @ (weights @ slopes)
        mass = np.exp(log_density + stage.log_mass)
        spent = entropy_terms(log_density, stage.log_mass).sum()
    residual = np.concatenate(
        [log_density + k * fall - constant, [mass.sum() - 1.0, spent / kl - 1.0]]
    )
    return residual, (slopes, bends, fall)


def _size(residual: Array, x: Array) -> float:
    """The largest residual, relative to log f where that is large."""
    scale = 1.0 + np.abs(x)
    scale[-2:] = 1.0
    return float(np.max(np.abs(residual) / scale))


def _jacobian(
    stage: Stage, weights: Array, kl: float, x: Array, parts: tuple[Array, Array, Array]
) -> Array:
    log_density, k = x[:-2], float(np.exp(x[-1]))
    _, bends, fall = parts
    count = log_density.size
    mass = np.exp(log_density + stage.log_mass)
    out = np.empty((count + 2, count + 2))
    out[:count, :count] = (stage.fall * (k * (weights @ bends))) @ stage.moves(log_density)
    out[np.arange(count), np.arange(count)] += 1.0
    out[:count, count], out[:count, count + 1] = -1.0, k * fall
    out[count, :count], out[count + 1, :count] = mass, mass * log_density / kl
    out[count:, count:] = 0.0
    return out


def _solution(
    stage: Stage,
    weights: Array,
    x: Array,
    parts: tuple[Array, Array, Array],
    jacobian: tuple[Array, Array],
) -> Weighted:
    """The record at a solution, with the derivatives of all win rates by all weights."""
    log_density, k = x[:-2], float(np.exp(x[-1]))
    slopes = parts[0]
    pushed = np.zeros((x.size, slopes.shape[0]))
    pushed[:-2] = -k * (stage.fall @ slopes.T)
    moved = linalg.lu_solve(jacobian, pushed)[:-2]
    sensitivity = -(slopes * stage.shares) @ (stage.moves(log_density) @ moved)
    return Weighted(weights, log_density, k, stage.win_rates(log_density), sensitivity)
