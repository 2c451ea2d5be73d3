"""How far a policy is from the best response to itself, for a weighted sum of win rates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infalign_theory.kernels.sums import divergence
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.typing import Array

_MAX_PANELS = 8000


def response_kl(
    policy: Policy, sides: Sequence[tuple[Procedure, Procedure]], weights: Array
) -> float:
    """KL(policy || best response) for the weighted sum of win rates, from F alone.

    ``sides`` are the procedures of policy and base of each win rate.
    beta times it bounds what the policy lacks of the largest weighted sum less beta KL, where
    that sum is concave.
    """
    used = [(w, *pair) for w, pair in zip(weights, sides, strict=True) if w > 0.0]
    if isinstance(policy, DiscretePolicy):
        return _response_on_atoms(policy, used)
    assert isinstance(policy, ContinuousPolicy)
    k, grid = policy.tilt.k, policy.grid
    while True:
        law = policy.law(grid)
        u, v = grid.points.u, grid.points.v
        force = grid.jacobian * sum(
            w * one.pdf(*law.fractions) * other.pdf(u, v) for w, one, other in used
        )
        climbed = grid.running(force)
        allowed = 1e-14 / k + 1e-14 * climbed.edge_above[1:] + 4e-15 * grid.sums(force)
        marked = (grid.unresolved(force) > allowed) & grid.splittable()
        if not marked.any() or grid.half.size > _MAX_PANELS:
            break
        grid = grid.split(marked)
    response = -k * climbed.above
    response -= np.log(grid.integral(np.exp(response + grid.log_jacobian)))
    own = policy.tilt.log_density(grid.points) - np.log(law.total)
    return grid.integral(entropy_terms(own - response, response + grid.log_jacobian))


def _response_on_atoms(
    policy: DiscretePolicy, used: list[tuple[float, Procedure, Procedure]]
) -> float:
    base, (below, above) = policy.base, policy.tilt.edges
    force = np.zeros(len(base) - 1)
    for weight, one, other in used:
        b = increments(other, (base.below, base.above))
        force += weight * one.pdf(below[1:-1], above[1:-1]) * (b[:-1] + b[1:]) / 2.0
    response = -policy.tilt.k * np.concatenate([np.cumsum(force[::-1])[::-1], [0.0]])
    mass = base.probs * np.exp(response)
    response -= np.log(mass.sum())
    return divergence(mass / mass.sum(), policy.tilt.log_ratio - response)
