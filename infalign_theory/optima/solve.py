"""The coupled optimum: the policy that maximises W - beta KL, and the transform it induces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.optima.certificate import certified_gap, fixed_point_step
from infalign_theory.optima.discrete import DiscreteProblem
from infalign_theory.optima.general import GeneralProblem
from infalign_theory.optima.iteration import (
    Options,
    iterate_atoms,
    iterate_continuous,
    iteration_grid,
)
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.optima.record import Optimum, refuse_residual
from infalign_theory.optima.rewind import rewind_optimum
from infalign_theory.optima.soft import soft_optimum
from infalign_theory.optima.solutions import Jump, P, Solution
from infalign_theory.policies.base import Base, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.families import continuous_family, solve
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.laws import LawProcedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.procedures.soft import SoftBestOfN
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.transforms.solved import OptimalTransform, ProcedureCdf


def optimum(
    procedure: Procedure | str,
    *,
    beta: float | None = None,
    kl: float | None = None,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    method: str = "exact",
    damping: float = 0.5,
    tolerance: float = 1e-10,
    max_iterations: int = 10_000,
) -> Optimum:
    r"""The policy that maximises W - beta KL and the transform that trains it.

    The transform is the derivative of the win rate at the optimum itself,
    :math:`\Phi^*(v) = -\int_v^1 g'(F^*(u)) \, dg_\mathrm{ref}(u)` with
    :math:`f^* \propto e^{\Phi^*/\beta}`. For powers on a continuous base it is one point of a
    single differential equation, exact to rounding; other pairs and discrete bases are solved by
    one-dimensional shooting that finds every solution.

    Parameters
    ----------
    procedure : Procedure or str
        ``BestOfN(4)``, ``"won:4"``, ``"standard"``.
    beta : float, optional
        Strength of the regularisation, positive.
    kl : float, optional
        Budget in nats instead; exactly one of the two.
    base : Continuous or Discrete, optional
        Continuous by default.
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.
    method : {"exact", "iteration"}, optional
        ``"iteration"`` is the damped fixed-point iteration from the base policy, for comparison:
        it finds one solution at most, not always the best, and says in ``.iteration.reason`` why
        it stopped.
    damping, tolerance, max_iterations : float, float, int
        Of the iteration alone: damping in (0, 1], 1 being none; the residual to stop at; the
        number of steps after which to give up.

    Returns
    -------
    Optimum

    Raises
    ------
    InputError
        For bad numbers or names.
    OutOfReachError
        Where the optimal beta of a budget underflows.
    PrecisionError
        Where float64 cannot hold the optimum to a residual of 1e-8.

    References
    ----------
    InfAlign, arXiv 2412.19792: coupled characterisation of the inference-aware optimum.

    Examples
    --------
    >>> best = optimum("bon:4", kl=0.5)
    >>> round(best.win_rate, 6), best.gap < 1e-12
    (0.87325, True)
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    where = as_base(base)
    strength, nats = budget(beta, kl)
    if method not in ("exact", "iteration"):
        raise InputError(f'method = {method!r} is not known; give "exact" or "iteration".')
    if method == "iteration":
        options = Options(damping, tolerance, max_iterations)
        return _iterated(ours, theirs, where, strength, options)
    found = _exact(ours, theirs, where, strength, nats)
    return found if strength is None else replace(found, beta=strength)  # not 1/(1/beta)


def _exact(
    ours: Procedure, theirs: Procedure, base: Base, beta: float | None, kl: float
) -> Optimum:
    """The solver for the base and the pair of procedures."""
    if isinstance(ours, SoftBestOfN):
        return soft_optimum(ours, theirs, base, beta, kl)
    if isinstance(ours, LawProcedure) or isinstance(theirs, LawProcedure):
        return rewind_optimum(ours, theirs, base, beta, kl)
    if isinstance(base, Discrete):
        return _on_atoms(DiscreteProblem(base, ours, theirs), beta, kl)
    if power_sides(ours)[1] == 1:
        return _one_sample(ours, theirs, beta, kl)
    powers = Powers.of(ours, theirs)
    if powers is not None:
        try:
            return _power_optimum(powers, ours, theirs, beta, kl)
        except PrecisionError:
            pass  # its policy turns too sharply for a grid that starts from the base's
    return _general(GeneralProblem(ours, theirs), beta, kl)


def _unspent(ours: Procedure, theirs: Procedure, transform: Transform, won: float) -> Optimum:
    """The base policy itself."""
    policy = ContinuousPolicy(ContinuousTilt.resolve(transform, 0.0))
    return _certified(ours, theirs, policy, won, 0.0)


def _general(problem: GeneralProblem, beta: float | None, kl: float) -> Optimum:
    ours, theirs = problem.ours, problem.theirs
    if beta is None and kl == 0.0:
        base = ContinuousPolicy(ContinuousTilt.resolve(Identity(), 0.0))
        won = win_rate(base, ours, against_procedure=theirs)
        return _unspent(ours, theirs, Identity(), won)
    found, jump = problem.at_kl(kl) if beta is None else (problem.solutions(1.0 / beta), None)

    def record(one: Solution[ContinuousPolicy]) -> Optimum:
        return replace(
            _certified(ours, theirs, one.policy, one.win_rate, one.kl), maximum=one.maximum
        )

    return _with_others(record, found, jump)


def _on_atoms(problem: DiscreteProblem, beta: float | None, kl: float) -> Optimum:
    def record(one: Solution[DiscretePolicy]) -> Optimum:
        return refuse_residual(_on_atoms_record(problem, one))

    if beta is None and kl == 0.0:
        return record(problem.best(0.0))
    found, jump = problem.at_kl(kl) if beta is None else (problem.solutions(1.0 / beta), None)
    return _with_others(record, found, jump)


def _with_others(
    record: Callable[[Solution[P]], Optimum], found: list[Solution[P]], jump: Jump[P] | None
) -> Optimum:
    """The record of the best, with the other solutions or the two sides of its jump."""
    best, *others = found
    if jump is not None:
        others = [jump.below, jump.above]
    return replace(
        record(best),
        alternatives=tuple(record(other) for other in others),
        hull_win_rate=None if jump is None else jump.hull_win_rate,
    )


def _iterated(
    ours: Procedure, theirs: Procedure, base: Base, beta: float | None, options: Options
) -> Optimum:
    if beta is None:
        raise InputError('method="iteration" needs beta; a KL budget is met by the exact method.')
    if isinstance(base, Discrete):
        atoms = DiscreteProblem(base, ours, theirs)
        run = iterate_atoms(atoms, beta, options)
        found = _on_atoms_record(atoms, atoms.solution(1.0 / beta, run.log_density, True))
    else:
        problem = GeneralProblem(ours, theirs)
        run = iterate_continuous(problem, beta, options)
        policy = problem.policy(1.0 / beta, iteration_grid(), run.log_density)
        won = win_rate(policy, ours, against_procedure=theirs)
        found = _measured(ours, theirs, policy, won, policy.kl)
    return replace(found, iteration=run)


def _power_optimum(
    powers: Powers, ours: Procedure, theirs: Procedure, beta: float | None, kl: float
) -> Optimum:
    kappa = powers.leading if beta is None else -float(np.log(beta))
    if beta is None and kl > 0.0:
        kappa = float(Trajectory.to_kl(powers, kl).kappa_at_kl(np.array([kl]))[0])
    if kappa > powers.limit:
        raise InputError(
            f"beta = {beta} is too small for {ours.name}: 1/beta times N*M must stay below "
            "1e299; give a larger beta."
        )
    path = Trajectory.to_kappa(powers, kappa)
    versus = "" if ours == theirs else f"|{theirs.name}"
    transform = OptimalTransform(
        f"optimal@{ours.name}{versus}",
        float(np.exp(-path.last)),
        path.log_density_drop,
        from_top=powers.sign > 0,
    )
    if beta is None and kl == 0.0:
        return _unspent(ours, theirs, transform, powers.base_win_rate)
    grid = uniform_grid().with_edges(path.turns())
    policy = ContinuousPolicy(ContinuousTilt.resolve(transform, float(np.exp(kappa)), grid))
    if abs(policy.kl - path.kl) > 1e-9 * path.kl + 1e-12:
        raise PrecisionError(
            f"the optimum of {ours.name} against {theirs.name} at beta = {policy.beta:.6g} turns "
            f"too sharply for its policy to be integrated (KL {policy.kl:.9g} against "
            f"{path.kl:.9g}); give a larger beta or a smaller KL.",
            path.win_rate,
        )
    return _certified(ours, theirs, policy, path.win_rate, path.kl)


def _one_sample(ours: Procedure, theirs: Procedure, beta: float | None, kl: float) -> Optimum:
    """One sample: the win rate is linear in the policy, so Phi* = g_ref whatever the policy."""
    transform = (
        Identity()
        if power_sides(theirs)[1] == 1
        else ProcedureCdf(f"optimal@standard|{theirs.name}", theirs.cdf)
    )
    family = continuous_family(transform)
    tilt = solve(family, kl) if beta is None else family.at(1.0 / beta, None)
    policy = ContinuousPolicy(tilt)
    won = win_rate(policy, ours, against_procedure=theirs)
    return _certified(ours, theirs, policy, won, policy.kl)


def _on_atoms_record(problem: DiscreteProblem, solution: Solution[DiscretePolicy]) -> Optimum:
    policy = solution.policy
    residual, step_kl = problem.fixed_point_step(policy)
    return Optimum(
        procedure=problem.ours,
        against_procedure=problem.theirs,
        base=problem.base,
        beta=policy.beta,
        kl=solution.kl,
        win_rate=solution.win_rate,
        policy=policy,
        transform=policy.transform,
        residual=residual,
        gap=certified_gap(problem.ours, policy.beta, step_kl),
        maximum=solution.maximum,
    )


def _certified(
    ours: Procedure, theirs: Procedure, policy: ContinuousPolicy, won: float, kl: float
) -> Optimum:
    return refuse_residual(_measured(ours, theirs, policy, won, kl))


def _measured(
    ours: Procedure, theirs: Procedure, policy: ContinuousPolicy, won: float, kl: float
) -> Optimum:
    """The record of a policy on a continuous base, whatever its residual."""
    residual, step_kl = fixed_point_step(policy, ours, theirs)
    return Optimum(
        procedure=ours,
        against_procedure=theirs,
        base=policy.base,
        beta=policy.beta,
        kl=kl,
        win_rate=won,
        policy=policy,
        transform=policy.transform,
        residual=residual,
        gap=certified_gap(ours, policy.beta, step_kl),
    )
