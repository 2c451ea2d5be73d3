"""The equilibrium of self-play on a discrete base, by shooting from the top atom's mass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.kernels import mutual
from infalign_theory.optima.discrete import DiscreteProblem
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.bracketing import Bracket, root_within
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.typing import Array

_FULL = 700.0  # logit of a top atom that holds everything
_SCANNED, _STEP = 45.0, 0.1


@dataclass(frozen=True)
class AtomsAtPlay:
    """Self-play on a discrete base under one procedure."""

    base: Discrete
    procedure: Procedure
    largest_log_k = 690.0

    @cached_property
    def largest_kl(self) -> float:
        """All mass on the top atom."""
        return abs(float(np.log(self.base.probs[-1])))

    @cached_property
    def _terms(self) -> tuple[Array, Array, Array]:
        downward = self.base.probs[::-1].copy()
        return downward, self.procedure.slope_terms, self.procedure.value_terms

    def _march(self, end: float, k: float) -> tuple[float, Array]:
        log_ratio = np.empty(len(self.base))
        excess = mutual.descend_mutual(end, k, *self._terms, log_ratio)
        return float(np.clip(excess, -1e3, 1e3)), log_ratio[::-1].copy()

    def kl(self, k: float) -> float:
        """KL to the base at k = 1/beta."""
        return self.policy(k).kl

    def policy(self, k: float) -> DiscretePolicy:
        """The equilibrium at k = 1/beta; of several stationary laws the hardest to deviate from."""
        if k == 0.0 or len(self.base) == 1:
            return self._policy(k, np.zeros(len(self.base)))
        found = [self._policy(k, self._march(end, k)[1]) for end in self._ends(k)]
        if not found:
            raise PrecisionError(
                f"no equilibrium under {self.procedure.name} at beta = {1.0 / k:.6g} found on this "
                "base; give a larger beta.",
                float("nan"),
            )
        return found[0] if len(found) == 1 else min(found, key=self.deviation_gain)

    def _ends(self, k: float) -> list[float]:
        """Every logit of the top atom's mass at which the march closes."""
        p = self.base.probs
        low = float(np.log(p[-1]) - np.log(np.sum(p[:-1])))
        high = max(_FULL, low + 1.0)
        count = 2 if self.procedure.curvature > 0 else int((_SCANNED - min(low, 0.0)) / _STEP)
        ends = np.append(np.linspace(low, max(_SCANNED, low + 1.0), count), high)
        values = np.array([self._march(float(end), k)[0] for end in ends])
        values[0] = min(values[0], -1e-300)  # no ratio is above 1 there; rounding must not hide it
        changes = np.flatnonzero((values[1:] > 0.0) != (values[:-1] > 0.0))
        if values[-1] <= 0.0:
            return [high]
        return [
            root_within(
                lambda end: self._march(end, k)[0],
                Bracket(*(float(x) for x in (ends[i], ends[i + 1], values[i], values[i + 1]))),
            )
            for i in changes
        ]

    def _policy(self, k: float, log_ratio: Array) -> DiscretePolicy:
        base = self.base
        log_ratio = log_ratio - np.log(np.sum(base.probs * np.exp(log_ratio)))
        values = (log_ratio - log_ratio[-1]) / k if k > 0.0 else np.zeros(log_ratio.size)
        name = f"self-play@{self.procedure.name}"
        transform = AtomTransform(name, base.u, base.below[1:-1], values)
        return DiscretePolicy(DiscreteTilt(transform, base, k, log_ratio))

    def _against(self, policy: DiscretePolicy) -> DiscreteProblem:
        return DiscreteProblem(self.base, self.procedure, self.procedure, policy.tilt.edges)

    def residual(self, policy: Policy) -> float:
        """Total variation distance from the first-order best response to itself."""
        assert isinstance(policy, DiscretePolicy)
        return self._against(policy).fixed_point_step(policy)[0]

    def deviation_gain(self, policy: Policy) -> float:
        """What the best of all responses gains over the policy itself."""
        assert isinstance(policy, DiscretePolicy)
        if policy.tilt.k == 0.0:
            return 0.0
        best = self._against(policy).best(policy.tilt.k)
        return max(best.objective - (0.5 - policy.kl / policy.tilt.k), 0.0)
