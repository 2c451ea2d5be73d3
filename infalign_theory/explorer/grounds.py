"""Continuous bases and typed atoms as what a view stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.divergences import Divergence, ReverseKL
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.errors import InfalignError
from infalign_theory.explorer.paths import POINTS, Path, above, below, budgets, stepping
from infalign_theory.explorer.prompts import PromptsGround
from infalign_theory.explorer.trained import Trained
from infalign_theory.optima.powers import Powers
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.core import Policy
from infalign_theory.policies.families import continuous_family, solve
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.transforms import Expression, Transform
from infalign_theory.transforms.remembered import Remembered

_FINE = 121  # points of an optimum that one march gives


def trained_policy(policy: Policy) -> Trained:
    """A single policy as what training ends with."""
    return Trained(
        kl=policy.kl,
        beta=policy.beta,
        win_rate=lambda rule: win_rate(policy, rule),
        density=policy.pdf,
        transform=policy.transform,
    )


@dataclass(frozen=True)
class ContinuousGround:
    """A continuous base under any divergence."""

    divergence: Divergence

    def trained(self, phi: Transform, kl: float) -> Trained:
        return trained_policy(align(phi, kl=kl, divergence=self.divergence))

    def along(self, phi: Transform, rule: Procedure, kl: float) -> tuple[Trained, Path]:
        phi = Remembered(phi) if isinstance(phi, Expression) else phi
        if self.divergence != ReverseKL():
            policy = align(phi, kl=kl, divergence=self.divergence)
            policies = [policy, *self._penalised(policy, phi)]
        else:
            tilts = continuous_family(phi)
            start = solve(tilts, kl)
            policy = ContinuousPolicy(start)
            policies = [policy]
            for nats in (below(kl), above(kl)):
                policies += self._tilted(stepping(tilts, start, nats))
        return trained_policy(policy), through(policies, rule)

    @staticmethod
    def _tilted(tilts: Iterator[ContinuousTilt]) -> Iterator[ContinuousPolicy]:
        """Their policies, as far as float64 follows them."""
        try:
            for tilt in tilts:
                yield ContinuousPolicy(tilt)
        except InfalignError:
            return

    def _penalised(self, start: ContinuousPolicy, phi: Transform) -> Iterator[ContinuousPolicy]:
        """Policies close to the budgets, by secants of log KL against log beta."""
        if not start.kl > 0.0:
            return
        for nats in (below(start.kl), above(start.kl)):
            at, spent, rate = np.log(start.beta), np.log(start.kl), -2.0
            for aim in np.log(nats):
                step = float(np.clip((aim - spent) / rate, -3.0, 3.0))
                try:
                    policy = align(phi, beta=np.exp(at + step), divergence=self.divergence)
                except InfalignError:  # no density at that beta: the curve ends
                    break
                yield policy
                moved = np.log(policy.kl) - spent
                rate = min(moved / step, -0.1) if step else rate
                at, spent = at + step, spent + moved

    def best(self, rule: Procedure, kl: float) -> Trained:
        found = optimum(rule, kl=kl)
        return trained_policy(found.policy)

    def best_along(self, rule: Procedure, largest: float) -> Path:
        one_march = Powers.of(rule, rule) is not None
        found = frontier(OPTIMAL, rule, kl=budgets(largest, _FINE if one_march else POINTS))
        return Path(kl=found.kl, win_rate=found.win_rate, slope=found.beta)


@dataclass(frozen=True)
class AtomsGround:
    """Typed atoms under any divergence; every path has the same budgets."""

    base: Discrete
    divergence: Divergence

    def trained(self, phi: Transform, kl: float) -> Trained:
        return trained_policy(align(phi, kl=kl, base=self.base, divergence=self.divergence))

    def along(self, phi: Transform, rule: Procedure, kl: float) -> tuple[Trained, Path]:
        if self.divergence == ReverseKL():
            return self.trained(phi, kl), self._prompt.along(phi, rule, kl)[1]
        nats = self._prompt.reachable(phi, kl)
        found = frontier(phi, rule, kl=nats, base=self.base, divergence=self.divergence)
        return self.trained(phi, kl), Path(kl=nats, win_rate=found.win_rate)

    def best(self, rule: Procedure, kl: float) -> Trained:
        return trained_policy(optimum(rule, kl=kl, base=self.base).policy)

    def best_along(self, rule: Procedure, largest: float) -> Path:
        return self._prompt.best_along(rule, largest)

    @cached_property
    def _prompt(self) -> PromptsGround:
        """The same atoms as the only prompt, whose tilts ask for the transform once."""
        return PromptsGround(PromptBases(Groups.stack([self.base.probs], sort=False)))


def through(policies: list[ContinuousPolicy], rule: Procedure) -> Path:
    """The path through some policies, and through the base."""
    policies = sorted(policies, key=lambda policy: policy.kl)
    start = align("identity", kl=0.0)
    return Path(
        kl=np.array([0.0, *(policy.kl for policy in policies)]),
        win_rate=np.array([win_rate(policy, rule) for policy in (start, *policies)]),
    )
