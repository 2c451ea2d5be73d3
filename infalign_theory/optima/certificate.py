"""How far a policy on a continuous base is from being its own best response."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.win_rates import kinks
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid, Running
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.refinement import refine
from infalign_theory.typing import Array, BoolArray


def certified_gap(ours: Procedure, beta: float, step_kl: float) -> float | None:
    """The certificate J* - J <= beta KL(policy || response) of a concave problem, else None."""
    if ours.curvature <= 0:
        return None
    return beta * step_kl if np.isfinite(beta) else 0.0


def response_step(
    policy: ContinuousPolicy, force_of: Callable[[Grid, Running], Array], start: Grid
) -> tuple[float, float]:
    """Distance of a policy from a tilt of the base: total variation, and KL(policy || tilt).

    The tilt's transform has the derivative ``force_of(grid, law)`` per unit of logit, law being the
    policy's own; computed by quadrature from F alone, on refinements of ``start``.
    """
    k = policy.tilt.k

    def judge(grid: Grid) -> tuple[tuple[Running, Running], BoolArray]:
        law = policy.law(grid)
        force = force_of(grid, law)
        climbed = grid.running(force)
        allowed = 1e-14 / max(k, 1e-300) + 1e-14 * climbed.edge_above[1:] + 4e-15 * grid.sums(force)
        return (law, climbed), np.asarray(grid.unresolved(force) > allowed)

    refined = refine(start, judge)
    grid, (law, climbed) = refined.grid, refined.result
    response = -k * climbed.above
    weights = np.exp(response + grid.log_jacobian)
    response -= np.log(grid.integral(weights))
    own = policy.tilt.log_density(grid.points) - np.log(law.total)
    ratio = np.exp(response + grid.log_jacobian)
    distance = 0.5 * grid.integral(np.abs(np.exp(own + grid.log_jacobian) - ratio))
    difference = own - response
    divergence = grid.integral(entropy_terms(difference, response + grid.log_jacobian))
    return distance, divergence


def fixed_point_step(
    policy: ContinuousPolicy, ours: Procedure, theirs: Procedure
) -> tuple[float, float]:
    """Distance of a policy from its best response: total variation, and KL(policy || response).

    The response tilts the base by the derivative of the win rate at the policy, computed by
    quadrature from F alone.
    """

    def force(grid: Grid, law: Running) -> Array:
        opponent = theirs.pdf(grid.points.u, grid.points.v)
        return np.asarray(ours.pdf(*law.fractions) * opponent * grid.jacobian)

    start = policy.grid.with_edges(kinks(policy, ours, None, theirs))
    return response_step(policy, force, start)
