"""The empirical laws of many prompts as discrete bases, tilted and judged together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.kernels import segments, shooting
from infalign_theory.policies.bracketing import root_between
from infalign_theory.policies.families import Family
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, IntArray


@dataclass(frozen=True)
class PromptBases:
    """The discrete base of every prompt: masses of its atoms, from the lowest reward up.

    ``atoms`` holds the masses, which sum to 1 within each prompt; no prompt is empty.
    """

    atoms: Groups

    @classmethod
    def of(cls, rewards: Groups) -> PromptBases:
        """From sorted samples: equal rewards merged, every sample the same weight."""
        return cls(Groups(*segments.merge_ties(rewards.values, rewards.offsets)))

    @property
    def mass(self) -> Array:
        """Mass of each atom."""
        return self.atoms.values

    @property
    def offsets(self) -> IntArray:
        """Where each prompt's atoms begin, and where the last ones end."""
        return self.atoms.offsets

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return self.atoms.prompts

    @cached_property
    def edges(self) -> tuple[Array, Array]:
        """Mass below and above each edge; prompt i has one edge more than atoms."""
        return segments.running_masses(self.mass, self.offsets)

    @cached_property
    def _upper_edge(self) -> IntArray:
        """Position, among edges, of the edge above each atom."""
        group = np.repeat(np.arange(self.prompts), np.diff(self.offsets))
        return np.arange(self.mass.size) + group + 1

    @cached_property
    def points(self) -> Points:
        """Calibrated reward of each atom, ties counted half."""
        below, above = self.edges
        at = self._upper_edge
        return Points.from_pair(below[at - 1] + self.mass / 2, above[at] + self.mass / 2)

    def sums(self, values: Array) -> Array:
        """Sum over the atoms of each prompt."""
        return np.asarray(np.add.reduceat(values, self.offsets[:-1]))

    def spread_out(self, values: Array) -> Array:
        """A value a prompt, repeated for its atoms."""
        return self.atoms.spread(values)

    def increments(self, procedure: Procedure) -> Array:
        """Mass that a procedure gives each atom under the base."""
        below, above = procedure.cdf(*self.edges)
        at = self._upper_edge
        return np.where(below[at] <= 0.5, below[at] - below[at - 1], above[at - 1] - above[at])

    def picked(self, log_ratio: Array, procedure: Procedure) -> Array:
        """Mass that a procedure gives each atom under the prompts' policies."""
        edges = segments.running_masses(self.mass * np.exp(log_ratio), self.offsets)
        below, above = procedure.cdf(*edges)
        at = self._upper_edge
        return np.where(below[at] <= 0.5, below[at] - below[at - 1], above[at - 1] - above[at])

    def win_rates(
        self, log_ratio: Array, procedure: Procedure, against: Procedure | None = None
    ) -> Array:
        """Win rate of each prompt's policy against its base, both after inference."""
        edges = segments.running_masses(self.mass * np.exp(log_ratio), self.offsets)
        _, lost = procedure.cdf(*edges)
        at = self._upper_edge
        theirs = self.increments(procedure if against is None else against)
        return self.sums(theirs * (lost[at] + lost[at - 1]) / 2)

    def kls(self, log_ratio: Array) -> Array:
        """KL of each prompt's policy, in nats."""
        return self.sums(entropy_terms(log_ratio, np.log(self.mass)))

    def normalised(self, exponent: Array) -> Array:
        """Exponents turned into log density ratios."""
        peak = np.maximum.reduceat(exponent, self.offsets[:-1])
        exponent = exponent - self.spread_out(peak)
        totals = self.sums(self.mass * np.exp(exponent))
        return np.asarray(exponent - self.spread_out(np.log(totals)))


@dataclass(frozen=True)
class PromptTilt:
    """Every prompt tilted by one transform at one k = 1/beta; KL is the mean over prompts."""

    bases: PromptBases
    k: float
    log_ratio: Array

    @cached_property
    def kl(self) -> float:
        """Mean KL over prompts, in nats."""
        return float(np.mean(self.bases.kls(self.log_ratio)))

    @cached_property
    def growth(self) -> float:
        """dKL / dlog k: mean over prompts of the variance of the exponent."""
        mass = self.bases.mass * np.exp(self.log_ratio)
        held = np.where(mass > 0.0, self.log_ratio, 0.0)
        centred = held - self.bases.spread_out(self.bases.sums(mass * held))
        return float(np.mean(self.bases.sums(mass * centred**2)))


def tilted(transform: Transform, bases: PromptBases) -> Family[PromptTilt]:
    """All tilts of the prompts' laws by one transform, for one k shared by all prompts."""
    with np.errstate(all="ignore"):
        # increasing but for formulas: the largest value is that of the top score, or is looked for
        tops = bases.points[np.repeat(bases.offsets[1:] - 1, np.diff(bases.offsets))]
        values = transform.changes(bases.points, tops)
        rise = bases.spread_out(np.maximum.reduceat(values, bases.offsets[:-1]))
        drop = np.where(rise > 0.0, values - rise, values)
    if not np.isfinite(rise).all():
        raise InputError(
            f"transform {transform.name} is not finite at some prompt's top score; give one that "
            "is finite inside (0, 1)."
        )
    at_peak = bases.sums(np.where(drop == 0.0, bases.mass, 0.0))
    finite = np.where(np.isfinite(drop), drop, 0.0)
    scale = float(np.max(-finite)) or 1.0
    centred = finite - bases.spread_out(bases.sums(bases.mass * finite))
    variance = float(np.mean(bases.sums(bases.mass * (centred / scale) ** 2)))

    def at(k: float, nearby: PromptTilt | None) -> PromptTilt:
        exponent = k * drop if k > 0.0 else np.where(drop == -np.inf, -np.inf, 0.0)
        return PromptTilt(bases, k, bases.normalised(exponent))

    limit = abs(float(np.mean(np.log(at_peak))))
    return Family(transform.name, at, scale * float(np.sqrt(variance)), 0.0, limit)


@dataclass(frozen=True)
class PromptOptima:
    """Every prompt at its own coupled optimum, for one beta shared by all prompts."""

    bases: PromptBases
    procedure: Procedure
    against: Procedure | None = None

    @property
    def versus(self) -> Procedure:
        """The base's procedure: the policies' own unless another is named."""
        return self.procedure if self.against is None else self.against

    @cached_property
    def _problem(self) -> tuple[Array, Array, Array, IntArray]:
        """Masses, b and half sums of neighbouring b from the top atom down, and offsets."""
        bases = self.bases
        p, b = bases.mass[::-1], bases.increments(self.versus)[::-1]
        half_b = np.append((b[:-1] + b[1:]) / 2, 0.0)
        offsets = bases.offsets[-1] - bases.offsets[::-1]
        return p.copy(), b.copy(), half_b, offsets.astype(np.intp)

    def at(self, k: float) -> Array:
        """Log density ratios of the best solution of every prompt."""
        p, b, half_b, offsets = self._problem
        downward = shooting.best_roots(
            k,
            p,
            b,
            half_b,
            offsets,
            self.procedure.slope_terms,
            self.procedure.value_terms,
            self.procedure.curvature,
        )
        return self.bases.normalised(downward[::-1])

    def _all_on_top(self) -> float:
        """Mean win rate with all mass on every prompt's top score: the largest there is."""
        offsets = self.bases.offsets
        ratio = np.full(self.bases.mass.size, -np.inf)
        ratio[offsets[1:] - 1] = -np.log(self.bases.mass[offsets[1:] - 1])
        return float(np.mean(self.bases.win_rates(ratio, self.procedure, self.against)))

    def win_rates_at_kl(self, kl: float, saturated: bool = False) -> tuple[float, float]:
        """(beta, W): the largest mean win rate that any policies reach at a mean KL.

        It is min over beta of max (W - beta KL) + beta kl. Where some prompt jumps between two
        optima at the critical beta, the budget falls between the two sides and W is the value of
        the concave hull. A budget beyond all mass on the top scores is an error, or with
        ``saturated`` is given that policy.
        """
        if kl == 0.0:
            flat = np.zeros(self.bases.mass.size)
            return np.inf, float(np.mean(self.bases.win_rates(flat, self.procedure, self.against)))
        top = self.bases.mass[self.bases.offsets[1:] - 1]
        limit = abs(float(np.mean(np.log(top))))
        if kl >= limit * (1.0 - 1e-12):
            if saturated:
                return 0.0, self._all_on_top()
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats is out of reach of these scores: all mass on every "
                f"prompt's top score spends {limit:.12g} nats on average; give less.",
                limit,
            )

        def excess(log_k: float) -> float:
            spent = float(np.mean(self.bases.kls(self.at(float(np.exp(log_k))))))
            return float(np.log(max(spent, 1e-300) / kl))

        low, high = 0.0, 0.0
        while excess(low) > 0.0:
            low -= 3.0
        while excess(high) < 0.0:
            high += 3.0
            if high > 690.0:
                if saturated:
                    return 0.0, self._all_on_top()
                raise OutOfReachError(
                    f"kl = {plain_number(kl)} nats: the optimum under {self.procedure.name} needs "
                    f"a beta below 1e-299 on these scores; give less, or a smaller N.",
                    limit,
                )
        log_k = root_between(excess, low, high, 1e-13)
        ratio = self.at(float(np.exp(log_k)))
        beta = float(np.exp(-log_k))
        won = float(np.mean(self.bases.win_rates(ratio, self.procedure, self.against)))
        # either side of a jump gives the same value
        return beta, won + beta * (kl - float(np.mean(self.bases.kls(ratio))))
