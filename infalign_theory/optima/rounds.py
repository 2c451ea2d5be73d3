"""Self-play round by round: where plain best responses cycle, and the step that makes them settle.

Around an equilibrium the response map acts on log densities like a rotation: its eigenvalues lie
near the imaginary axis. A round that goes a fraction eta of the way multiplies a deviation by
|1 - eta + eta lambda| (eq-critical-step of docs/mathematics/self-play.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.kernels.sums import cumulative_sums
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.procedures import Procedure
from infalign_theory.typing import Array

_CELLS = 128  # that stand for a continuous base, or for a discrete one with more atoms
_SETTLED = 1e-6


@dataclass(frozen=True, eq=False)
class Rounds:
    """How self-play from the base went.

    Attributes
    ----------
    step : float
    distances : ndarray, shape (rounds + 1,)
        Total variation distance to the equilibrium, from the base on.
    """

    step: float
    distances: Array

    @property
    def converged(self) -> bool:
        """Whether the last round is within 1e-6 of the equilibrium."""
        return bool(self.distances[-1] <= _SETTLED)

    def __repr__(self) -> str:
        return (
            f"<{self.distances.size - 1} rounds of step {self.step:g}: distance to the equilibrium "
            f"{self.distances[0]:.3g}, at last {self.distances[-1]:.3g}>"
        )


@dataclass(frozen=True)
class _Cells:
    """The game on at most 128 atoms: masses of the base and of the equilibrium."""

    base: Array
    policy: Array
    k: float
    procedure: Procedure

    @classmethod
    def of(cls, policy: Policy, procedure: Procedure) -> _Cells:
        """Atoms as they are where there are few; else cells of equal mass under the mixture."""
        k = 1.0 / policy.beta if np.isfinite(policy.beta) else 0.0
        if isinstance(policy, DiscretePolicy) and len(policy.base) <= _CELLS:
            return cls(policy.base.probs, policy.probs, k, procedure)
        # half the edges at quantiles of the base, half at those of the policy
        levels = np.arange(1, _CELLS // 2) / (_CELLS // 2)
        edges = np.unique(np.concatenate([[0.0], levels, policy.ppf(levels), [1.0]]))
        mass = np.diff(edges)
        held = np.diff(policy.cdf(edges))
        kept = (mass > 0.0) & (held > 0.0)
        return cls(mass[kept] / mass[kept].sum(), held[kept] / held[kept].sum(), k, procedure)

    def response(self, log_ratio: Array) -> Array:
        """Log density ratios of the first-order best response, normalised."""
        mass = self.base * np.exp(log_ratio)
        below, above = cumulative_sums(mass / mass.sum())
        value = self.procedure.cdf(below, above)[0]
        rise = 0.5 * self.k * self.procedure.pdf(below[1:-1], above[1:-1])
        climbed = np.concatenate([[0.0], np.cumsum(rise * (value[2:] - value[:-2]))])
        return self.normalised(climbed)

    def normalised(self, log_ratio: Array) -> Array:
        """With total mass 1."""
        peak = log_ratio.max()
        return np.asarray(log_ratio - peak - np.log(np.sum(self.base * np.exp(log_ratio - peak))))

    def settled(self) -> Array:
        """The equilibrium of these cells themselves: Newton's method from the exact one."""
        log_ratio = self.normalised(np.log(self.policy / self.base))
        for _ in range(8):
            missed = self.response(log_ratio) - log_ratio
            if np.max(np.abs(missed)) < 1e-10:
                break
            jacobian = self.jacobian(log_ratio)
            step = np.linalg.solve(np.eye(log_ratio.size) - jacobian, missed)
            log_ratio = self.normalised(log_ratio + step)
        return log_ratio

    def jacobian(self, log_ratio: Array) -> Array:
        """Derivative of the response with respect to log ratios, by central differences."""
        out = np.empty((log_ratio.size, log_ratio.size))
        for j in range(log_ratio.size):
            shift = np.zeros(log_ratio.size)
            shift[j] = 1e-5
            up, down = self.response(log_ratio + shift), self.response(log_ratio - shift)
            out[:, j] = (up - down) / 2e-5
        return out


def critical_step(policy: Policy, procedure: Procedure) -> float:
    """The largest step of mirror descent that shrinks every small deviation; infinite if all do.

    0 where a deviation grows however small the step. Continuous bases and long discrete ones are
    replaced by 128 cells, which leaves an error of about 1e-3.
    """
    cells = _Cells.of(policy, procedure)
    if cells.k == 0.0 or cells.base.size == 1:
        return float("inf")
    values = np.linalg.eigvals(cells.jacobian(cells.settled()))
    turned = 1.0 - values
    # |1 - eta (1 - lambda)| < 1 for eta below 2 Re(1 - lambda) / |1 - lambda|^2
    return max(float(np.min(2.0 * turned.real / np.abs(turned) ** 2)), 0.0)


def play(policy: Policy, procedure: Procedure, step: float, rounds: int) -> Rounds:
    """Mirror descent from the base: each round goes a fraction of the way to the response."""
    eta = real(step, "step", "a number in (0, 1], 1 being plain best responses")
    if not 0.0 < eta <= 1.0:
        raise InputError(f"step = {plain_number(eta)}: give a number in (0, 1], 1 being plain.")
    count = whole(rounds, "rounds", "a whole number of at least 1")
    cells = _Cells.of(policy, procedure)
    target = cells.base * np.exp(cells.settled())
    current = np.zeros(cells.base.size)
    distances = [0.5 * float(np.abs(cells.base - target).sum())]
    for _ in range(count):
        current = cells.normalised((1.0 - eta) * current + eta * cells.response(current))
        distances.append(0.5 * float(np.abs(cells.base * np.exp(current) - target).sum()))
    return Rounds(eta, np.array(distances))
