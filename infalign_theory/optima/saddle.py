"""The weights of the worst case: where the procedures that matter have equal regret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from infalign_theory.errors import PrecisionError
from infalign_theory.optima.record import Optimum
from infalign_theory.optima.stages import Stage
from infalign_theory.optima.weighted import Weighted, follow_from_base, solve_weighted
from infalign_theory.typing import Array, BoolArray

_ACTIVE = 1e-6
_EVEN = 1e-13  # spread of the regrets that share the maximum
_ROUNDS = 40


@dataclass
class Game:
    """The procedures against the policy, at one KL.

    ``best`` are the largest win rates, ``starts`` and ``ks`` log f and k of the policies that
    attain them.
    """

    stage: Stage
    best: Array
    kl: float
    starts: Array
    ks: Array
    last: Weighted | None = None

    @classmethod
    def of(cls, stage: Stage, optima: Sequence[Optimum], logs: Sequence[Array]) -> Game:
        """From each procedure's own optimum."""
        return cls(
            stage,
            np.array([one.win_rate for one in optima]),
            optima[0].kl,
            np.stack(logs),
            np.array([1.0 / one.beta for one in optima]),
        )

    def solve(self, prior: Array | None) -> Weighted:
        """The best policy for a prior, or for the weights of the worst case."""
        if prior is not None:
            return self.at(prior)
        count = self.best.size
        if count == 1:
            return self.at(np.ones(1))
        return self._even(self._rough(np.full(count, 1.0 / count)))

    def at(self, weights: Array) -> Weighted:
        """The best policy for given weights, from the last one or from the start."""
        if self.last is not None:
            try:
                self.last = self._from(weights, self.last.log_density, self.last.k)
                return self.last
            except PrecisionError:
                pass
        try:
            self.last = self._from(
                weights, np.tensordot(weights, self.starts, 1), float(weights @ self.ks)
            )
        except PrecisionError:
            self.last = follow_from_base(self.stage, weights, self.kl)
        return self.last

    def _from(self, weights: Array, start: Array, k: float) -> Weighted:
        return solve_weighted(self.stage, weights, self.kl, start, k)

    def _rough(self, weights: Array) -> Array:
        """Weights that nearly maximise the smallest mean regret, which is concave in them."""

        def value(w: Array) -> tuple[float, Array]:
            used = np.maximum(w, 0.0) / np.maximum(w, 0.0).sum()
            regrets = self.best - self.at(used).win_rates
            return -float(used @ regrets), -regrets

        found = minimize(
            value,
            weights,
            jac=True,
            method="SLSQP",
            bounds=[(0.0, 1.0)] * weights.size,
            constraints={
                "type": "eq",
                "fun": lambda w: w.sum() - 1.0,
                "jac": lambda w: np.ones(w.size),
            },
            options={"ftol": 1e-14, "maxiter": 100},
        )
        kept = np.maximum(found.x, 0.0)
        return np.asarray(kept / kept.sum())

    def _even(self, weights: Array) -> Weighted:
        """Newton on the weights until the regrets of the active procedures agree.

        A procedure whose weight would turn negative leaves; one whose regret is larger joins.
        """
        active = weights > _ACTIVE
        for _ in range(_ROUNDS):
            weights = np.where(active, weights, 0.0)
            weights /= weights.sum()
            found = self.at(weights)
            regrets = self.best - found.win_rates
            level = float(weights @ regrets)
            outside = ~active & (regrets > level + 1e-12)
            if np.ptp(regrets[active]) <= _EVEN:
                if not outside.any():
                    return found
                active |= outside
            step = self._step(found, regrets, active)
            falling = step < 0.0
            room = np.min(-weights[falling] / step[falling], initial=np.inf)
            weights = weights + min(1.0, room) * step
            if room <= 1.0:
                active &= weights > 1e-15
        if np.ptp(regrets[active]) <= 1e-10 and not outside.any():
            return found
        raise PrecisionError(
            f"the weights of the worst case did not settle: the regrets that should agree differ "
            f"by {float(np.ptp(regrets[active])):.1g}; give fewer procedures or weights.",
            float(regrets.max()),
        )

    def _step(self, found: Weighted, regrets: Array, active: BoolArray) -> Array:
        """The change of weights that makes the active regrets equal, to first order."""
        at = np.flatnonzero(active)
        system = np.ones((at.size + 1, at.size + 1))
        system[:-1, :-1] = found.sensitivity[np.ix_(at, at)]
        system[-1, -1] = 0.0
        solved = np.linalg.lstsq(system, np.append(regrets[at], 0.0), rcond=1e-14)[0]
        step = np.zeros(regrets.size)
        step[at] = solved[:-1]
        return step
