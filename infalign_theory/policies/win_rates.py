"""Win rates: how often the aligned policy beats the base once inference has had its say."""

from __future__ import annotations

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.policies import closed_forms
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import TiltStack
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.inference import law_win_rate
from infalign_theory.policies.prompts import PromptPolicy
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.laws import LawProcedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.quadrature.refinement import refine
from infalign_theory.typing import Array, BoolArray

_PROMISE = 1e-10


def win_rate(
    policy: Policy,
    procedure: Procedure | str = "standard",
    *,
    against: Policy | None = None,
    against_procedure: Procedure | str | None = None,
) -> float:
    r"""Probability that T(policy) beats T(base), a tie counted half.

    On a continuous base :math:`W = 1 - \int g(F(u)) \, dg_\mathrm{ref}(u)`; on a discrete one
    :math:`W = \sum_j b_j [1 - (g(F_j) + g(F_{j-1}))/2]` with
    :math:`b_j = g_\mathrm{ref}(G_j) - g_\mathrm{ref}(G_{j-1})`.

    Parameters
    ----------
    policy : ContinuousPolicy or DiscretePolicy
        From :func:`align` or ``optimum(...).policy``.
    procedure : Procedure or str, optional
        What inference does to the policy: ``BestOfN(4)``, ``"won:4"``, one sample by default.
    against : policy, optional
        The opponent, on the same base; the base policy by default.
    against_procedure : Procedure or str, optional
        What inference does to the opponent; the same procedure by default.

    Returns
    -------
    float
        Win rate in [0, 1]; absolute error at most 1e-10 on a continuous base.

    Raises
    ------
    InputError
        For policies on different bases or unknown procedures.
    PrecisionError
        Where quadrature cannot keep the promised accuracy.

    References
    ----------
    InfAlign, arXiv 2412.19792: calibrated win rate of an inference-time procedure.

    Examples
    --------
    >>> from infalign_theory.policies.alignment import align
    >>> round(win_rate(align("log", beta=1.0), "bon:4"), 12)  # (k+1)/(k+2) for every N
    0.666666666667
    """
    if isinstance(policy, PromptPolicy):
        if against is not None:
            raise InputError(
                "against: prompts of different scales have an opponent each; compare two such "
                "policies prompt by prompt, over their .parts."
            )
        return policy.win_rate(
            lambda one: win_rate(one, procedure, against_procedure=against_procedure)
        )
    if not isinstance(policy, (ContinuousPolicy, DiscretePolicy)):
        raise InputError(
            f"policy {policy!r:.80} is not a policy; make one with align(...) or take .policy of "
            "an optimum."
        )
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    if isinstance(ours, LawProcedure) or isinstance(theirs, LawProcedure):
        if against is not None and type(against) is not type(policy):
            raise InputError(f"against = {against!r} is not on the same base as the policy.")
        return law_win_rate(policy, ours, against, theirs)
    if isinstance(policy, DiscretePolicy):
        return _discrete(policy, ours, against, theirs)
    if against is not None and not isinstance(against, ContinuousPolicy):
        raise InputError(f"against = {against!r} is not on the same base as the policy.")
    if against is None:
        closed = closed_forms.win_rate(
            policy.tilt.transform, policy.tilt.k, (*power_sides(ours), *power_sides(theirs))
        )
        if closed is not None:
            return closed
    return float(_continuous(policy, ours, against, theirs))


def win_rates(stack: TiltStack, ours: Procedure, theirs: Procedure) -> Array:
    """Win rates of several tilts against the base."""
    transform, sides = stack.known.transform, (*power_sides(ours), *power_sides(theirs))
    apart = isinstance(ours, LawProcedure) or isinstance(theirs, LawProcedure) or ours.breaks
    if apart or closed_forms.win_rate(transform, float(stack.k[0]), sides) is not None:
        policies = [ContinuousPolicy(stack[i]) for i in range(stack.k.size)]
        return np.array([win_rate(one, ours, against_procedure=theirs) for one in policies])
    return _continuous(stack, ours, None, theirs)


def _continuous(
    policy: ContinuousPolicy | TiltStack,
    ours: Procedure,
    against: ContinuousPolicy | None,
    theirs: Procedure,
) -> Array:
    """Integral of 1 - g(F) against the opponent's law, on a grid refined for that integrand.

    One number for a policy, one a tilt for a stack, whose procedure must have no kinks.
    """

    def judge(grid: Grid) -> tuple[tuple[Array, Array], BoolArray]:
        values = _integrand(policy, ours, against, theirs, grid)
        errors, sums = grid.unresolved(values), grid.sums(values)
        marked = (errors > 2e-14 + 4e-15 * sums).reshape(-1, grid.half.size)
        return (sums.sum(axis=-1), errors.sum(axis=-1)), np.asarray(marked.any(axis=0))

    start = policy.grid if against is None else policy.grid.union(against.grid)
    refined = refine(start.with_edges(kinks(policy, ours, against, theirs)), judge)
    total, error = refined.result
    if not (error <= _PROMISE).all():
        at = int(np.argmax(error))
        of = repr(policy) if isinstance(policy, ContinuousPolicy) else f"{policy[at].transform}"
        raise PrecisionError(
            f"the {ours.name} win rate of {of} is known only to {error.flat[at]:.1g}, not to "
            f"{_PROMISE:g}; its estimate is {total.flat[at]:.12g}.",
            estimate=float(total.flat[at]),
        )
    return np.asarray(np.clip(total, 0.0, 1.0))


def kinks(
    policy: ContinuousPolicy | TiltStack,
    ours: Procedure,
    against: ContinuousPolicy | None,
    theirs: Procedure,
) -> Array:
    """Logits of u at which either side's procedure has a kink of its g."""
    reached = _reached(policy, ours.breaks) if isinstance(policy, ContinuousPolicy) else np.empty(0)
    if against is None:
        return np.concatenate([reached, np.array(theirs.breaks)])
    return np.concatenate([reached, _reached(against, theirs.breaks)])


def _reached(policy: ContinuousPolicy, levels: tuple[float, ...]) -> Array:
    """Logits of u at which F has the given logits."""
    if not levels:
        return np.empty(0)
    p = Points.from_logit(np.array(levels))
    return policy.quantiles(p.u, p.v).s


def _integrand(
    policy: ContinuousPolicy | TiltStack,
    ours: Procedure,
    against: ContinuousPolicy | None,
    theirs: Procedure,
    grid: Grid,
) -> Array:
    _, lost = ours.cdf(*policy.law(grid).fractions)
    if against is None:
        return lost * theirs.pdf(grid.points.u, grid.points.v) * grid.jacobian
    other = against.law(grid)
    slope = theirs.pdf(*other.fractions)
    return np.asarray(lost * slope * against.tilt.weights(grid) / other.total)


def increments(procedure: Procedure, edges: tuple[Array, Array]) -> Array:
    """Mass that a procedure gives each atom: differences of g at the edges, from the near end."""
    below, above = procedure.cdf(*edges)
    from_below, from_above = np.diff(below), -np.diff(above)
    return np.where(below[1:] <= 0.5, from_below, from_above)


def _discrete(
    policy: DiscretePolicy, ours: Procedure, against: Policy | None, theirs: Procedure
) -> float:
    if against is not None and (
        not isinstance(against, DiscretePolicy)
        or not np.array_equal(against.base.rewards, policy.base.rewards)
        or not np.array_equal(against.base.probs, policy.base.probs)
    ):
        raise InputError(f"against = {against!r} is not on the same base as the policy.")
    base = policy.base
    opponent = (base.below, base.above) if against is None else against.tilt.edges
    return weighted_win_rate(policy, ours, increments(theirs, opponent))


def weighted_win_rate(policy: DiscretePolicy, ours: Procedure, weights: Array) -> float:
    """Win rate against an opponent that has the given mass at each atom."""
    _, lost = ours.cdf(*policy.tilt.edges)
    return float(np.clip(np.sum(weights * (lost[1:] + lost[:-1]) / 2), 0.0, 1.0))
