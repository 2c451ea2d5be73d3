"""Laws after inference by a procedure that acts on the whole law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.kernels.sums import cumulative_sums, divergence
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.families import continuous_family
from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.transforms.elementary import Identity
from infalign_theory.typing import Array

_MAX_PANELS = 150_000
_STEEPEST = 3.0  # change of log w over a panel: a race is smooth on the scale of 1
_WEIGHTLESS = 1e-17
_PROMISE = 1e-10


@dataclass(frozen=True)
class Inferred:
    """What a policy's answers are like once a procedure has chosen them.

    Attributes
    ----------
    mean : float
        Expected calibrated reward: the win rate of one answer against one base sample.
    kl : float
        KL(answers || base) in nats.
    draws : float
        Expected number of samples drawn for one answer.
    """

    mean: float
    kl: float
    draws: float


def inferred(policy: Policy, procedure: Procedure | str) -> Inferred:
    """The law after inference by ``soft:N@K``, ``reject:K`` or ``rewind:N@C``.

    Examples
    --------
    >>> from infalign_theory.policies.alignment import align
    >>> answer = inferred(align("identity", kl=0), "soft:8@5")
    >>> round(answer.mean, 7), round(answer.kl, 7), answer.draws
    (0.7687269, 0.4825008, 8.0)
    """
    chosen = as_procedure(procedure)
    if not isinstance(chosen, LawProcedure):
        raise InputError(
            f"procedure {chosen.name} is a distortion of the CDF; give soft, reject or rewind."
        )
    if isinstance(policy, DiscretePolicy):
        base = policy.base
        sample = Sample(base.points, policy.probs, atoms=True)
        with np.errstate(divide="ignore"):
            log_ratio = policy.tilt.log_ratio + np.log(chosen.ratio(sample)(base.points))
        mean = float(np.sum(base.probs * np.exp(log_ratio) * base.u))
        return Inferred(mean, divergence(base.probs, log_ratio), chosen.draws(sample))
    assert isinstance(policy, ContinuousPolicy)
    side = Side(policy, chosen)
    grid = side.grid
    log_f = side.log_density(grid)
    weights = np.exp(log_f + grid.log_jacobian)
    kl = grid.integral(entropy_terms(log_f, grid.log_jacobian))
    mean = 1.0 - grid.integral(weights * grid.points.v)
    return Inferred(mean, kl, chosen.draws(side.sample))


class Side:
    """One side of a comparison on a continuous base: a policy and what inference does to it."""

    def __init__(self, policy: ContinuousPolicy | None, procedure: Procedure) -> None:
        self.policy = policy or ContinuousPolicy(continuous_family(Identity()).at(0.0, None))
        self.procedure = procedure
        self.grid = self.policy.grid
        if isinstance(procedure, LawProcedure):
            self.grid = _resolved(self.policy, procedure)
            self.sample = Sample(self.grid.points, _masses(self.policy, self.grid))
            self._ratio = procedure.ratio(self.sample)

    def log_density(self, grid: Grid) -> Array:
        """log f after inference by a procedure that acts on the whole law."""
        assert isinstance(self.procedure, LawProcedure)
        with np.errstate(divide="ignore"):
            log_ratio = np.log(self._ratio(grid.points))
        return np.asarray(self.policy.tilt.log_density(grid.points) + log_ratio)

    def weights(self, grid: Grid) -> Array:
        """Density after inference, times du/ds."""
        if isinstance(self.procedure, LawProcedure):
            return np.exp(self.log_density(grid) + grid.log_jacobian)
        slope = self.procedure.pdf(*self.policy.law(grid).fractions)
        return np.asarray(slope * self.policy.tilt.weights(grid))

    def above(self, grid: Grid) -> Array:
        """1 - CDF after inference."""
        if isinstance(self.procedure, LawProcedure):
            return grid.running(self.weights(grid)).fractions[1]
        return self.procedure.cdf(*self.policy.law(grid).fractions)[1]


def _masses(policy: ContinuousPolicy, grid: Grid) -> Array:
    mass = policy.tilt.weights(grid) * grid.half[:, None] * panels.WEIGHTS
    return np.asarray(mass / mass.sum())


def _resolved(policy: ContinuousPolicy, procedure: LawProcedure) -> Grid:
    """A grid that resolves what the procedure asks of the policy, its jumps being edges."""
    grid = policy.grid.with_edges(np.array(procedure.edges))
    while grid.half.size <= _MAX_PANELS:
        weights = policy.tilt.weights(grid)
        steepness, masses = procedure.steepness(grid.points), grid.sums(weights)
        marked = np.zeros(grid.half.size, dtype=bool)
        floor = 0.0
        if steepness is not None:
            climb = np.ptp(steepness, axis=1)
            marked |= (climb > _STEEPEST) & (masses > _WEIGHTLESS)
            # the integral of a panel is far closer than its last terms; a steep weight carries the
            # rounding of its argument
            rounding = 1e-15 * (1.0 + np.abs(grid.edges[1:])) * climb / grid.half
            floor = (1e-10 + rounding) * masses + _WEIGHTLESS
        for feature in procedure.features(grid.points):
            values = weights * feature
            sums = grid.sums(values)
            marked |= grid.unresolved(values) > floor + 2e-15 * sums.sum() + 1e-13 * sums
        marked &= grid.splittable()
        if not marked.any():
            return grid
        grid = grid.split(marked)
    raise PrecisionError(
        f"procedure {procedure.name} varies too fast for quadrature; give a smaller strength, or "
        "bon:N, which it is close to.",
        float("nan"),
    )


def law_win_rate(
    policy: Policy, ours: Procedure, against: Policy | None, theirs: Procedure
) -> float:
    """Win rate where at least one side's procedure acts on the whole law."""
    if isinstance(policy, DiscretePolicy):
        base = policy.base
        won, lost = (
            answers_on_atoms(base, mass, by)
            for mass, by in (
                (policy.probs, ours),
                (against.probs if isinstance(against, DiscretePolicy) else base.probs, theirs),
            )
        )
        _, above = cumulative_sums(won)
        return float(np.clip(np.sum(lost * (above[1:] + above[:-1]) / 2), 0.0, 1.0))
    assert isinstance(policy, ContinuousPolicy)
    mine = Side(policy, ours)
    other = Side(against if isinstance(against, ContinuousPolicy) else None, theirs)
    grid = mine.grid.union(other.grid)
    while True:
        values = mine.above(grid) * other.weights(grid)
        errors = grid.unresolved(values)
        marked = (errors > 2e-14 + 4e-15 * grid.sums(values)) & grid.splittable()
        if not marked.any() or grid.half.size > _MAX_PANELS:
            break
        grid = grid.split(marked)
    total = grid.integral(values)
    if not float(errors.sum()) <= _PROMISE:
        raise PrecisionError(
            f"the {ours.name} win rate of {policy!r} is known only to {errors.sum():.1g}.", total
        )
    return float(np.clip(total, 0.0, 1.0))


def answers_on_atoms(base: Discrete, masses: Array, procedure: Procedure) -> Array:
    """Mass of each atom after inference."""
    if isinstance(procedure, LawProcedure):
        sample = Sample(base.points, masses, atoms=True)
        return np.asarray(masses * procedure.ratio(sample)(base.points))
    below, above = procedure.cdf(*cumulative_sums(masses))
    return np.where(below[1:] <= 0.5, np.diff(below), -np.diff(above))
