"""The prompts of an uploaded score file as what a view stands on: each prompt its own base."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infalign_theory.empirical.statistics.prompt_bases import (
    PromptBases,
    PromptOptima,
    tilted,
)
from infalign_theory.explorer.paths import Path, budgets, level
from infalign_theory.explorer.trained import Trained
from infalign_theory.policies.families import solve
from infalign_theory.procedures import Procedure
from infalign_theory.transforms import Transform
from infalign_theory.typing import Array, IntArray

_SHORT_OF_LIMIT = 0.999


@dataclass(frozen=True)
class PromptsGround:
    """Prompts with ties, trained at one beta as ``predict`` has it: KLs are means over prompts."""

    bases: PromptBases

    def trained(self, phi: Transform, kl: float) -> Trained:
        tilt = solve(tilted(phi, self.bases), kl)
        return self._trained(tilt.k, tilt.kl, tilt.log_ratio, phi)

    def along(self, phi: Transform, rule: Procedure, kl: float) -> tuple[Trained, Path]:
        family = tilted(phi, self.bases)
        nats = self.reachable(phi, kl)
        won, k = np.empty(nats.size), 0.0
        for i, spent in enumerate(nats):
            tilt = solve(family, float(spent), None, k)
            won[i], k = self._mean_win_rate(tilt.log_ratio, rule), tilt.k
        return self.trained(phi, kl), Path(kl=nats, win_rate=won)

    def reachable(self, phi: Transform, kl: float) -> Array:
        """A KL and the budgets of its frontier, as far as a transform can spend them."""
        nats = np.unique(np.append(budgets(level(kl)), kl))
        return nats[nats <= _SHORT_OF_LIMIT * tilted(phi, self.bases).limit]

    def best(self, rule: Procedure, kl: float) -> Trained:
        optima = PromptOptima(self.bases, rule)
        beta, won = optima.win_rates_at_kl(kl)
        k = 1.0 / beta if beta < np.inf else 0.0
        ratio = optima.at(k) if k > 0.0 else np.zeros(self.bases.mass.size)
        # inside a jump of some prompt the budget is met on the concave hull
        known: dict[str, float] = {rule.name: won}
        found = self._trained(k, kl, ratio, None)
        return Trained(
            kl=kl,
            beta=beta,
            win_rate=lambda asked: known.get(asked.name, found.win_rate(asked)),
            density=found.density,
        )

    def best_along(self, rule: Procedure, largest: float) -> Path:
        optima = PromptOptima(self.bases, rule)
        top = self.bases.mass[self.bases.offsets[1:] - 1]
        nats = budgets(largest)
        nats = nats[nats <= _SHORT_OF_LIMIT * abs(float(np.mean(np.log(top))))]
        won = [optima.win_rates_at_kl(float(spent))[1] for spent in nats]
        return Path(kl=nats, win_rate=np.array(won))

    def _trained(self, k: float, kl: float, ratio: Array, phi: Transform | None) -> Trained:
        return Trained(
            kl=kl,
            beta=1.0 / k if k > 0.0 else np.inf,
            win_rate=lambda rule: self._mean_win_rate(ratio, rule),
            density=lambda u: self._mean_density(ratio, u),
            transform=phi,
        )

    def _mean_win_rate(self, ratio: Array, rule: Procedure) -> float:
        return float(np.mean(self.bases.win_rates(ratio, rule)))

    def _mean_density(self, ratio: Array, u: Array) -> Array:
        """Density at u relative to the base, the mean over prompts."""
        return np.asarray(np.mean(np.exp(ratio)[self._atoms(u)], axis=0))

    def _atoms(self, u: Array) -> IntArray:
        """For each prompt, the atom whose share of the unit interval holds u."""
        below, _ = self.bases.edges
        offsets = self.bases.offsets
        return np.stack(
            [
                first + np.searchsorted(below[first + i + 1 : last + i], u, side="left")
                for i, (first, last) in enumerate(pairwise(offsets))
            ]
        )
