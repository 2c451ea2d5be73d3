"""The optimal frontier of Best-of-N and Worst-of-N on a continuous base, along 1/beta.

Every point of one trajectory is the exact optimum at that beta; see
:mod:`infalign_theory.optima.trajectory` for the equation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.optima.trajectory import WIDTH, Equation, march, strengths
from infalign_theory.optima.trajectory_density import Shape
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.quadrature import panels
from infalign_theory.typing import Array, IntArray

_LOG_LIMIT = 690.0


@dataclass(frozen=True)
class Powers:
    """Best-of-n against base Best-of-m (sign +1) or the same with Worst (sign -1); n > 1."""

    sign: float
    n: float
    m: float

    @classmethod
    def of(cls, ours: Procedure, theirs: Procedure) -> Powers | None:
        """The powers of two procedures where the single equation applies, else None."""
        sign, n = power_sides(ours)
        other, m = power_sides(theirs)
        if n > 1 and m >= 1 and other in (0, sign):
            return cls(float(sign), float(n), float(m))
        return None

    @property
    def equation(self) -> Equation:
        """What its trajectory solves."""
        return Equation(sign=self.sign, n=self.n, m=self.m)

    @property
    def base_win_rate(self) -> float:
        """Win rate of the base policy itself: 1/2 when both sides draw the same number."""
        return (self.n if self.sign > 0 else self.m) / (self.n + self.m)

    @property
    def leading(self) -> float:
        """log k at which the density leaves 1 by 1e-17: the leading term is exact below."""
        return float(np.log(1e-17 * (self.n + self.m) / (self.n * self.m)))

    @property
    def limit(self) -> float:
        """Largest log k whose products stay inside float64."""
        return _LOG_LIMIT - float(np.log(self.n * self.m))


@dataclass(frozen=True)
class Trajectory:
    """Solution on panels of kappa = log(1/beta), between the edges ``kappa``."""

    powers: Powers
    kappa: Array
    nodes: Array
    edges: Array

    @classmethod
    def to_kappa(cls, powers: Powers, kappa: float) -> Trajectory:
        """Exactly up to one kappa."""
        path = cls._march(powers, min(powers.leading, kappa - WIDTH), kappa, np.inf)
        if path.last < kappa:
            raise _unsettled(powers, float(np.exp(-kappa)))
        return path

    @classmethod
    def to_kl(cls, powers: Powers, kl: float) -> Trajectory:
        """Up to the first panel edge whose KL is at least ``kl``."""
        # the smallest budgets lie on the leading term, KL = slope k^2 / 2
        first = min(powers.leading, np.log(max(kl, 1e-250)) / 2 - 40.0)
        path = cls._march(powers, first, powers.limit, kl)
        reached = float(path.edges[-1, 3])
        if reached < kl and path.last < powers.limit:
            raise _unsettled(powers, float(np.exp(-path.last)))
        if reached < kl:
            kind = "Best" if powers.sign > 0 else "Worst"
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats: for {kind}-of-{powers.n:.0f} the optimal beta is "
                f"below 1e-{_LOG_LIMIT / np.log(10):.0f} there (its win rate is 1 to rounding), "
                f"beyond float64; give at most {0.999999 * reached:.6g} nats.",
                reached,
            )
        return path

    @classmethod
    def _march(cls, powers: Powers, first: float, last: float, kl: float) -> Trajectory:
        return cls(
            powers,
            *march(powers.equation, first, last, kl),
        )

    @property
    def last(self) -> float:
        """The largest kappa solved."""
        return float(self.kappa[-1])

    @property
    def kl(self) -> float:
        return float(self.edges[-1, 3])

    @property
    def win_rate(self) -> float:
        return float(self._win_rates(self.edges[-1:, 1], self.edges[-1:, 2])[0])

    def _win_rates(self, gain: Array, loss: Array) -> Array:
        """From whichever of gain and loss is the small one."""
        return np.where(gain < loss, self.powers.base_win_rate + gain, 1.0 - loss)

    @cached_property
    def _half(self) -> Array:
        return np.diff(self.kappa) / 2

    def _panel(self, kappa: Array) -> IntArray:
        inside = np.searchsorted(self.kappa, kappa, side="right") - 1
        return np.clip(inside, 0, len(self.nodes) - 1)

    def at(self, kappa: Array) -> tuple[Array, Array]:
        """Win rate and KL at any kappa of the trajectory."""
        panel = self._panel(kappa)
        t = (kappa - self.kappa[panel]) / self._half[panel] - 1.0
        basis = np.polynomial.legendre.legvander(t, panels.NODES - 1)
        coefficients = self.nodes @ panels.ANALYSIS.T
        values = np.einsum("ijk,ik->ji", coefficients[panel], basis)
        return self._win_rates(values[1], values[2]), values[3]

    def kappa_at_kl(self, kl: Array) -> Array:
        """kappa at which each positive KL is spent: chords of log KL over the panel it lies in."""
        log_kl = np.log(self.edges[:, 3])
        kappa = np.interp(np.log(kl), log_kl, self.kappa)
        for _ in range(200):
            panel = self._panel(kappa)
            slope = (log_kl[panel + 1] - log_kl[panel]) / (2.0 * self._half[panel])
            step = np.log(kl / self.at(kappa)[1]) / slope
            kappa = np.clip(kappa + step, self.kappa[0], self.last)
            if np.max(np.abs(step), initial=0.0) < 1e-15 * max(1.0, abs(self.last)):
                break
        return np.asarray(kappa)

    @cached_property
    def _shape(self) -> Shape:
        """What gives the density."""
        p = self.powers
        phi = np.exp(self.nodes[:, 0, :])
        speed = 1.0 / (p.m + (p.n - 1.0) * phi)
        force = p.n * p.m * strengths(self.kappa) * speed
        half = self._half
        speed_sums = panels.panel_sums(speed, half, panels.WEIGHTS)
        force_sums = panels.panel_sums(force, half, panels.WEIGHTS)
        before = p.n * p.m * float(np.exp(self.kappa[0])) / (p.m + p.n - 1.0)
        if p.sign > 0:
            edge = np.concatenate([np.cumsum(force_sums[::-1])[::-1][1:], [0.0]])
        else:
            edge = before + np.cumsum(force_sums)
        return Shape(
            speed=speed @ panels.ANALYSIS.T,
            force=force @ panels.ANALYSIS.T,
            speed_after=np.concatenate([np.cumsum(speed_sums[::-1])[::-1][1:], [0.0]]),
            force_edge=edge,
            half=half,
            from_end=p.sign > 0,
            tail_rate=p.m + p.n - 1.0,
            tail_force=before,
        )

    def turns(self) -> Array:
        """Logits of u at which the density turns sharply: edges of the panels that were halved."""
        after = np.append(self._shape.speed_after, 0.0)
        total = after[0] + 2.0 * self._half[0] / (self.powers.m + self.powers.n - 1.0)
        log_x = -np.concatenate([[total], after[:-1]])
        narrow = self._half < 0.49 * WIDTH
        narrow[-1] = False  # the last panel is cut to length
        chosen = log_x[np.append(narrow, False) | np.append(False, narrow)]
        chosen = chosen[chosen < 0.0]
        s = chosen - np.log(-np.expm1(chosen))
        return np.asarray(s if self.powers.sign > 0 else -s)

    def log_density_drop(self, log_x: Array) -> Array:
        """log f at the end where it is largest, minus log f, at x = u (Best) or 1-u (Worst)."""
        return self._shape.along(-log_x.ravel()).reshape(log_x.shape)


def _unsettled(powers: Powers, beta: float) -> PrecisionError:
    return PrecisionError(
        f"the optimal frontier of N = {powers.n:g} against {powers.m:g} turns too sharply near "
        f"beta = {beta:.3g} to be followed; give a larger beta or a smaller KL.",
        float("nan"),
    )
