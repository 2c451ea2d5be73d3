"""The optimum under soft best-of-N: the fixed point of a response that knows the whole law.

With clocks that ring at rate w, M(s) = E exp(-s w) and A(s) = E H w exp(-s w), H the opponent's
CDF, the win rate is N times the integral of A M^(N-1), a polynomial of degree N in the policy; its
derivative (eq-soft-optimum of docs/mathematics/procedures.md) is the transform.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.kernels.races import EARLIEST, LATEST, STEP
from infalign_theory.optima.record import Optimum, refuse_residual
from infalign_theory.policies.base import Base, Continuous, Discrete
from infalign_theory.policies.bracketing import bracket_increasing, root_within
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.policies.inference import Side, answers_on_atoms
from infalign_theory.policies.penalised_density import base_weights
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.soft import SoftBestOfN
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.transforms.tabulated import TabulatedTransform
from infalign_theory.typing import Array

_STEPS = 400
_SETTLED = 2e-13  # of the exponent, in units of 1 + its range
_MEMORY = 6
_FINEST = 1.5  # width of panels where the policy may turn
_INNER = 42.0
_WIDEST = 400.0  # range of log w
_LOWEST, _HIGHEST = -40.0, 14.0
_KL_PROMISE = 1e-9


@dataclass(frozen=True, eq=False)
class Field:
    """Everything a response needs of one set of nodes: base masses, weights, opponent."""

    n: int
    masses: Array
    log_weights: Array
    opponent: Array

    @cached_property
    def _times(self) -> Array:
        x = self.log_weights
        return np.arange(EARLIEST - x.max(), LATEST - x.min() + STEP, STEP)

    @cached_property
    def _silent(self) -> Array:
        """Chance that a clock has not rung, a row a time."""
        with np.errstate(under="ignore", over="ignore"):
            return np.exp(-np.exp(np.minimum(self._times[:, None] + self.log_weights, 7.0)))

    def response(self, exponent: Array) -> tuple[Array, float, float]:
        """Derivative of the win rate at the tilt by an exponent; the win rate and the KL there."""
        density = np.exp(exponent - exponent.max())
        mass = self.masses * density
        total = float(mass.sum())
        mass = mass / total
        held = mass > 0.0
        log_f = exponent - exponent.max() - np.log(total / self.masses.sum())
        kl = float((mass[held] * log_f[held]).sum())
        gain = self.opponent * np.exp(self.log_weights)
        silent = self._silent @ mass
        ahead = self._silent @ (mass * gain)
        rate = STEP * np.exp(self._times)
        won = float(self.n * np.sum(rate * ahead * silent ** (self.n - 1)))
        slope = gain * ((rate * silent ** (self.n - 1)) @ self._silent)
        if self.n > 1:  # what a sample takes from the others
            slope += (rate * (self.n - 1) * ahead * silent ** (self.n - 2)) @ self._silent
        return self.n * slope, won, max(kl, 0.0)


@dataclass(frozen=True)
class Found:
    """A solution of the coupled equation on the nodes."""

    k: float
    exponent: Array
    won: float
    kl: float

    @property
    def objective(self) -> float:
        """W - beta KL."""
        return self.won - self.kl / self.k


@dataclass
class SoftProblem:
    """Maximise W - beta KL under soft best-of-N."""

    ours: SoftBestOfN
    theirs: Procedure
    base: Base
    _warm: list[Array] = dataclass_field(default_factory=list)

    @cached_property
    def grid(self) -> Grid:
        """Panels that resolve base, weights and opponent."""
        inner = np.arange(-_INNER, _INNER + _FINEST / 2, _FINEST)
        grid = uniform_grid().with_edges(inner)
        return grid.union(Side(None, self.ours).grid)

    def on(self, grid: Grid | None) -> Field:
        """The nodes of a grid, or the atoms of the base."""
        if isinstance(self.base, Discrete):
            answers = answers_on_atoms(self.base, self.base.probs, self.theirs)
            return self._field(
                self.base.probs,
                self.ours.weight.log(self.base.points),
                np.cumsum(answers) - answers / 2.0,
            )
        assert grid is not None
        opponent = 1.0 - Side(None, self.theirs).above(grid)
        log_weights = self.ours.weight.log(grid.points)
        return self._field(base_weights(grid).ravel(), log_weights.ravel(), opponent.ravel())

    def _field(self, masses: Array, log_weights: Array, opponent: Array) -> Field:
        if not float(np.ptp(log_weights)) <= _WIDEST:
            raise PrecisionError(
                f"procedure {self.ours.name}: log weights range over {np.ptp(log_weights):.3g}, "
                f"too far for its optimum (at most {_WIDEST:g}); take that of bon:{self.ours.n}, "
                "which it is close to.",
                float("nan"),
            )
        return Field(self.ours.n, masses, log_weights - log_weights.max(), opponent)

    @cached_property
    def field(self) -> Field:
        """The nodes on which solutions are found."""
        return self.on(self.grid if isinstance(self.base, Continuous) else None)

    def solve(self, k: float, *, warm: bool = False) -> Found:
        """The best solution found from the base, its response and the last solution.

        ``warm`` starts at the last solution alone, where there is one that leads to another.
        """
        flat = np.zeros(self.field.masses.size)
        starts = [flat, k * self.field.response(flat)[0]]
        if self._warm:
            last = self._settled(k, self._warm[-1]) if warm else None
            if last is not None:
                self._warm.append(last.exponent)
                return last
            starts.append(self._warm[-1])
        found = [one for one in (self._settled(k, start) for start in starts) if one is not None]
        if not found:
            raise PrecisionError(
                f"no optimum of {self.ours.name} found at beta = {1.0 / k:.6g}: the response does "
                "not settle; give a larger beta or a smaller KL.",
                float("nan"),
            )
        best = max(found, key=lambda one: one.objective)
        self._warm.append(best.exponent)
        return best

    def _settled(self, k: float, start: Array) -> Found | None:
        """Anderson's mixing of the response, until it is its own."""
        x, xs, residuals = start, [], []
        for _ in range(_STEPS):
            phi, won, kl = self.field.response(x)
            new = k * phi
            residual = new - x
            residual = residual - residual[-1]
            if float(np.max(np.abs(residual))) <= _SETTLED * (1.0 + float(np.ptp(new))):
                return Found(k, new, won, kl)
            xs.append(x)
            residuals.append(residual)
            xs, residuals = xs[-_MEMORY:], residuals[-_MEMORY:]
            x = _mixed(xs, residuals, self.field.masses * np.exp(x - x.max()))
        return None

    def spending(self, kl: float) -> Found:
        """The solution of a KL budget."""

        def excess(log_k: float) -> float:
            found = self.solve(float(np.exp(log_k)), warm=True)
            return float(np.log(max(found.kl, 1e-300) / kl))

        phi = self.field.response(np.zeros(self.field.masses.size))[0]
        share = self.field.masses / self.field.masses.sum()
        spread = float(np.sqrt(share @ (phi - share @ phi) ** 2))
        start = 0.5 * float(np.log(2.0 * kl)) - float(np.log(max(spread, 1e-300)))
        bracket = bracket_increasing(
            excess, min(start, _HIGHEST), step=0.25, lowest=_LOWEST, highest=_HIGHEST
        )
        if bracket is None:
            limit = self.solve(float(np.exp(_HIGHEST)), warm=True).kl
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats is out of reach of the optimum of {self.ours.name} "
                f"on this base, whose largest KL is {limit:.6g} nats; give a smaller budget.",
                limit,
            )
        found = self.solve(float(np.exp(root_within(excess, bracket, 1e-14))))
        if abs(found.kl / kl - 1.0) > _KL_PROMISE:
            raise PrecisionError(
                f"no beta found at which the optimum of {self.ours.name} spends "
                f"{plain_number(kl)} nats; the closest spends {found.kl:.9g}.",
                found.kl,
            )
        return found


def _mixed(xs: list[Array], residuals: list[Array], weights: Array) -> Array:
    """The combination of the last points whose residual is smallest, and a step of it."""
    last = residuals[-1]
    if len(xs) == 1:
        return np.asarray(xs[-1] + 0.5 * last)
    root = np.sqrt(weights / weights.sum())
    apart = np.array([r - last for r in residuals[:-1]]).T
    share, *_ = np.linalg.lstsq(root[:, None] * apart, -root * last, rcond=1e-13)
    x = xs[-1] + sum(c * (x - xs[-1]) for c, x in zip(share, xs[:-1], strict=True))
    return np.asarray(x + 0.5 * (last + apart @ share))


def soft_optimum(
    ours: SoftBestOfN, theirs: Procedure, base: Base, beta: float | None, kl: float
) -> Optimum:
    """The optimum under soft best-of-N, the best of the solutions found."""
    problem = SoftProblem(ours, theirs, base)
    if beta is not None:
        return _record(problem, problem.solve(1.0 / beta))
    if kl == 0.0:
        flat = np.zeros(problem.field.masses.size)
        return _record(problem, Found(0.0, flat, problem.field.response(flat)[1], 0.0))
    return _record(problem, problem.spending(kl))


def _record(problem: SoftProblem, found: Found) -> Optimum:
    versus = "" if problem.ours == problem.theirs else f"|{problem.theirs.name}"
    policy = _policy(problem, found, f"optimal@{problem.ours.name}{versus}")
    return refuse_residual(
        Optimum(
            procedure=problem.ours,
            against_procedure=problem.theirs,
            base=problem.base,
            beta=policy.beta,
            kl=policy.kl,
            win_rate=win_rate(policy, problem.ours, against_procedure=problem.theirs),
            policy=policy,
            transform=policy.transform,
            residual=_residual(problem, policy),
            gap=None,
        )
    )


def _policy(problem: SoftProblem, found: Found, label: str) -> ContinuousPolicy | DiscretePolicy:
    exponent = found.exponent - found.exponent[-1]
    k = found.k
    if isinstance(problem.base, Discrete):
        phi = exponent / k if k > 0.0 else exponent
        atoms = AtomTransform(label, problem.base.u, problem.base.below[1:-1], phi)
        return DiscretePolicy(DiscreteTilt.of(atoms, problem.base, k))
    grid, scale = problem.grid, k if k > 0.0 else 1.0
    transform = TabulatedTransform(label, grid, exponent.reshape(grid.points.s.shape), 1.0 / scale)
    return ContinuousPolicy(ContinuousTilt.resolve(transform, k, grid))


def _residual(problem: SoftProblem, policy: ContinuousPolicy | DiscretePolicy) -> float:
    """Total variation from the tilt by the derivative of W at the policy, on other nodes."""
    if isinstance(policy, DiscretePolicy):
        nodes, log_f = problem.field, policy.tilt.log_ratio
    else:
        finer = policy.grid.split(np.ones(policy.grid.half.size, dtype=bool))
        nodes = problem.on(finer)
        log_f = policy.tilt.log_density(finer.points).ravel()
    phi, _, _ = nodes.response(log_f)
    mass = nodes.masses * np.exp(log_f)
    tilted = nodes.masses * np.exp(policy.tilt.k * (phi - phi.max()))
    return float(0.5 * np.sum(np.abs(mass / mass.sum() - tilted / tilted.sum())))
