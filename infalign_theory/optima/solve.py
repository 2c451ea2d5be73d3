"""The coupled optimum: the policy that maximises W - beta KL, and the transform it induces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.optima.certificate import _gap, fixed_point_step
from infalign_theory.optima.discrete import DiscreteProblem, Solution
from infalign_theory.optima.general import Found, GeneralProblem
from infalign_theory.optima.iteration import Options, iterate_atoms, iterate_continuous
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.optima.record import Optimum
from infalign_theory.policies.base import Base, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.families import continuous_family, solve
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.elementary import Identity
from infalign_theory.transforms.solved import OptimalTransform, ProcedureCdf


def optimum(
    procedure: Procedure | str,
    *,
    beta: Any = None,
    kl: Any = None,
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
    beta, kl = budget(beta, kl)
    if method not in ("exact", "iteration"):
        raise InputError(f'method = {method!r} is not known; give "exact" or "iteration".')
    if method == "iteration":
        options = Options(damping, tolerance, max_iterations)
        return _iterated(ours, theirs, where, beta, options)
    found = _exact(ours, theirs, where, beta, kl)
    return found if beta is None else replace(found, beta=beta)  # not 1/(1/beta)


def _exact(
    ours: Procedure, theirs: Procedure, base: Base, beta: float | None, kl: float
) -> Optimum:
    """The solver for the base and the pair of procedures."""
    if isinstance(base, Discrete):
        return _on_atoms(DiscreteProblem(base, ours, theirs), beta, kl)
    if power_sides(ours)[1] == 1:
        return _one_sample(ours, theirs, beta, kl)
    powers = Powers.of(ours, theirs)
    if powers is not None:
        return _power_optimum(powers, ours, theirs, beta, kl)
    return _general(GeneralProblem(ours, theirs), beta, kl)


def _general(problem: GeneralProblem, beta: float | None, kl: float) -> Optimum:
    if beta is None and kl == 0.0:
        policy = ContinuousPolicy(ContinuousTilt.resolve(Identity(), 0.0))
        won = win_rate(policy, problem.ours, against_procedure=problem.theirs)
        return _certified(problem.ours, problem.theirs, policy, won, 0.0)
    if beta is None:
        beta = problem.at_kl(kl).policy.beta
    best, *others = problem.solutions(1.0 / beta)

    def record(found: Found) -> Optimum:
        policy = found.policy
        one = _certified(problem.ours, problem.theirs, policy, found.win_rate, policy.kl)
        return replace(one, maximum=found.maximum)

    return replace(record(best), alternatives=tuple(record(other) for other in others))


def _iterated(
    ours: Procedure, theirs: Procedure, base: Base, beta: float | None, options: Options
) -> Optimum:
    if beta is None:
        raise InputError('method="iteration" needs beta; a KL budget is met by the exact method.')
    if isinstance(base, Discrete):
        atoms = DiscreteProblem(base, ours, theirs)
        run = iterate_atoms(atoms, beta, options)
        found = _on_atoms_record(atoms, atoms.solution(1.0 / beta, run.log_density, True), ())
    else:
        problem = GeneralProblem(ours, theirs)
        run = iterate_continuous(problem, beta, options)
        one = problem.found(1.0 / beta, run.log_density, True)
        found = _certified(ours, theirs, one.policy, one.win_rate, one.policy.kl)
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
        policy = ContinuousPolicy(ContinuousTilt.resolve(transform, 0.0))
        return _certified(ours, theirs, policy, powers.base_win_rate, 0.0)
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


def _on_atoms(problem: DiscreteProblem, beta: float | None, kl: float) -> Optimum:
    jump = None
    if beta is not None:
        best, *others = problem.solutions(1.0 / beta)
    elif kl == 0.0:
        best, others = problem.best(0.0), []
    else:
        best, jump = problem.at_kl(kl)
        if jump is None:
            best, *others = problem.solutions(best.policy.tilt.k)
        else:
            others = [jump.below, jump.above]
    alternatives = tuple(_on_atoms_record(problem, other, ()) for other in others)
    found = _on_atoms_record(problem, best, alternatives)
    return found if jump is None else replace(found, hull_win_rate=jump.hull_win_rate)


def _on_atoms_record(
    problem: DiscreteProblem, solution: Solution, rest: tuple[Optimum, ...]
) -> Optimum:
    policy = solution.policy
    residual, step_kl = problem.fixed_point_step(policy)
    gap = _gap(problem.ours, policy.beta, step_kl)
    return Optimum(
        problem.ours, problem.theirs, problem.base, policy.beta, solution.kl,
        solution.win_rate, policy, policy.transform, residual, gap, rest, solution.maximum,
    )  # fmt: skip


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


def _certified(
    ours: Procedure, theirs: Procedure, policy: ContinuousPolicy, won: float, kl: float
) -> Optimum:
    residual, step_kl = fixed_point_step(policy, ours, theirs)
    gap = _gap(ours, policy.beta, step_kl)
    return Optimum(
        ours, theirs, policy.base, policy.beta, kl, won, policy, policy.transform, residual, gap
    )
