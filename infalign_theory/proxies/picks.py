"""The laws of the two picks by proxy, as densities on a grid of the proxy's logit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Picks:
    """What T(policy) and T'(base) pick by proxy.

    On a discrete base a pick is uniform within its atom's share of the unit interval, as samples
    of equal proxy are.
    """

    policy: Policy
    ours: Procedure
    theirs: Procedure

    def start(self) -> Grid:
        """A grid that resolves the policy."""
        if isinstance(self.policy, ContinuousPolicy):
            return self.policy.grid
        if isinstance(self.policy, DiscretePolicy):
            return Grid.initial().with_edges(_logits(self.policy))
        raise InputError(
            f"policy {self.policy!r:.80} is not a policy; make one with align(...) or take .policy "
            "of an optimum."
        )

    def densities(self, grid: Grid) -> tuple[Array, Array]:
        """Densities in the logit at the nodes, shape (panels, nodes) each."""
        policy = self.policy
        if isinstance(policy, ContinuousPolicy):
            law = policy.law(grid)
            ours = self.ours.pdf(*law.fractions) * policy.tilt.weights(grid) / law.total
            return ours, self.theirs.pdf(grid.points.u, grid.points.v) * grid.jacobian
        assert isinstance(policy, DiscretePolicy)  # as `start` has checked
        base = policy.base
        atom = np.searchsorted(_logits(policy), grid.points.s)
        pairs = ((self.ours, policy.tilt.edges), (self.theirs, (base.below, base.above)))
        ours, theirs = (
            (increments(procedure, edges) / base.probs)[atom] * grid.jacobian
            for procedure, edges in pairs
        )
        return ours, theirs

    def masses(self) -> tuple[Array, Array]:
        """Mass of the two picks at each atom of a discrete base."""
        assert isinstance(self.policy, DiscretePolicy)
        base = self.policy.base
        return (
            increments(self.ours, self.policy.tilt.edges),
            increments(self.theirs, (base.below, base.above)),
        )


def _logits(policy: DiscretePolicy) -> Array:
    """Logits of the edges between atoms."""
    base = policy.base
    return np.asarray(np.log(base.below[1:-1]) - np.log(base.above[1:-1]))
