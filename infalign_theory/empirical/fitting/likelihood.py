"""Composite likelihood of base-sample counts under a tilt, with finite-K correction.

A sample whose exact calibrated reward is u has c ~ Binomial(K, u) of its prompt's K base samples
below it, so its count has probability P_c = integral of f(u) Binom(c; K, u) du, never the
density at c / K. Integrals run over the logit grid; the binomial table is computed once.

Samples of a prompt share base samples and prompts differ in size, hence: every prompt weighs the
same, the likelihood is composite, and uncertainty comes from scores summed by prompt. A sample
with e base samples at its own score enters as the mean log-likelihood of the e + 1 counts that a
random breaking of ties could give: the estimate of the randomised count without its noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from infalign_theory.empirical.fitting.families import Exponents
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.errors import InputError
from infalign_theory.kernels import ustatistics
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import REACH, Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array, BoolArray, IntArray

LARGEST_KL = 35.0
MAX_ROWS, MAX_K = 3000, 1000
# where base samples are too many or too varied for one table, K falls to a step of this ladder
LADDER = np.array([*range(1, 33), 45, 64, 91, 128, 181, 256, 362, 512, 724, MAX_K])


def _grid_for(largest: int) -> Grid:
    """Panels that resolve tilted densities (unit logits) and binomials of up to K trials."""
    reach = max(np.log(largest) + 3.0, 3.0)
    fine = np.linspace(0.0, reach, int(np.ceil(reach * max(np.sqrt(largest) / 8.0, 2.0))) + 1)
    right = np.concatenate(
        [fine, np.arange(np.ceil(reach) + 1.0, 65.0), [100.0, 180.0, 360.0, REACH]]
    )
    return Grid(np.concatenate([-right[:0:-1], right]))


@dataclass(frozen=True)
class Counts:
    """Counts of the usable prompts, and the table rows they read.

    A block is (K, K', first full row, first table row): full rows are c = 0 ... K, table rows
    c' = 0 ... K', the same unless K is thinned to K'. ``used`` marks the usable among all prompts.
    """

    owner: IntArray
    start: IntArray
    stop: IntArray
    size: Array
    blocks: tuple[tuple[int, int, int, int], ...]
    block_of: IntArray
    used: BoolArray

    @classmethod
    def of(cls, calibration: Calibration) -> Counts:
        """Counts of calibrated samples; refuses fewer than two usable prompts."""
        sizes, trials = calibration.groups.sizes, calibration.base_sizes
        used = (sizes > 0) & (trials > 0)
        if np.count_nonzero(used) < 2:
            raise InputError(
                f"{np.count_nonzero(used)} prompts have both aligned and base samples; a fit with "
                "standard errors by prompt needs at least 2."
            )
        kept = used[calibration.groups.owner]
        distinct, block_of = np.unique(trials[used], return_inverse=True)
        thin = distinct.max() > MAX_K or np.sum(distinct + 1) > MAX_ROWS
        smaller = LADDER[np.searchsorted(LADDER, distinct, "right") - 1] if thin else distinct
        rows, inverse = np.unique(smaller, return_inverse=True)
        table_first = np.cumsum([0, *(rows[:-1] + 1)])[inverse]
        full_first = np.cumsum([0, *(distinct[:-1] + 1)])
        blocks = zip(
            *(x.tolist() for x in (distinct, smaller, full_first, table_first)), strict=True
        )
        owner = (np.cumsum(used) - 1)[calibration.groups.owner[kept]]
        start = full_first[block_of][owner] + calibration.below[kept]
        stop = start + calibration.equal[kept] + 1
        size = sizes[used].astype(np.float64)
        return cls(owner, start, stop, size, blocks=tuple(blocks), block_of=block_of, used=used)

    @property
    def prompts(self) -> int:
        """Number of usable prompts."""
        return self.size.size

    @property
    def excluded(self) -> int:
        """Number of prompts without samples on a side."""
        return int(np.count_nonzero(~self.used))

    @property
    def full_rows(self) -> int:
        """Number of rows before thinning."""
        k, _, first, _ = self.blocks[-1]
        return first + k + 1

    @cached_property
    def trials(self) -> IntArray:
        """K' of the table, block after block, without repetition."""
        return np.unique([block[1] for block in self.blocks])

    def weights(self) -> Array:
        """Weight of each table row: a mean over prompts of means over samples."""
        full = ustatistics.range_weights(
            self.full_rows, self.start, self.stop, self.owner, self.size
        )
        out = np.zeros(int(np.sum(self.trials + 1)))
        for k, smaller, full_first, first in self.blocks:
            part = full[full_first : full_first + k + 1]
            out[first : first + smaller + 1] += ustatistics.thinned_weights(part, k, smaller)
        return out

    def prompt_means(self, values: Array) -> Array:
        """Mean over each prompt's samples of values (R, q) of table rows, shape (P, q)."""
        full = [
            ustatistics.averaged_over_thinning(values[first : first + smaller + 1], k, smaller)
            for k, smaller, _, first in self.blocks
        ]
        return ustatistics.range_means(
            np.concatenate(full), self.start, self.stop, self.owner, self.size
        )


@dataclass(frozen=True)
class Value:
    """Mean log-likelihood at theta, its gradient and Hessian, and the rows they come from."""

    log_likelihood: float
    gradient: Array
    hessian: Array
    probability: Array
    scores: Array


@dataclass(frozen=True)
class Likelihood:
    """Composite likelihood of counts; ``table`` is None for the naive density at c / K."""

    grid: Grid
    weights: Array
    table: Array | None
    points: Points

    @classmethod
    def of(cls, counts: Counts, correct: bool) -> Likelihood:
        """The likelihood of counts, with or without the correction for a finite K."""
        grid = _grid_for(int(counts.trials.max()))
        s = grid.points.s.ravel()
        log_weight = grid.log_jacobian + np.log(grid.half[:, None] * panels.WEIGHTS)
        blocks, naive = [], []
        for k in counts.trials.tolist():
            c = np.arange(k + 1.0)[:, None]
            naive.append(c[:, 0] / k)
            log_choose = -np.log(k + 1.0) - special.betaln(c + 1.0, k - c + 1.0)
            exponent = c * grid.points.log_u.ravel() + (k - c) * grid.points.log_v.ravel()
            if correct:
                blocks.append(np.exp(log_choose + exponent + log_weight.ravel()))
        if correct:
            return cls(grid, counts.weights(), np.concatenate(blocks), Points.from_logit(s))
        u = np.concatenate([grid.points.u.ravel(), *naive])
        v = np.concatenate([grid.points.v.ravel(), *(x[::-1] for x in naive)])
        with np.errstate(divide="ignore"):
            log_odds = np.concatenate([s, *(np.log(x) - np.log(x[::-1]) for x in naive)])
        return cls(grid, counts.weights(), None, Points(u, v, log_odds))

    @cached_property
    def base(self) -> Array:
        """Weight of each node under the base."""
        return np.asarray((self.grid.jacobian * self.grid.half[:, None] * panels.WEIGHTS).ravel())

    def log_density(self, eta: Array) -> Array:
        """log f at all points, normalised on the grid."""
        nodes = slice(0, self.base.size)
        peak = float(np.max(eta[nodes] + self.grid.log_jacobian.ravel()))
        return np.asarray(eta - peak - np.log(self.base @ np.exp(eta[nodes] - peak)))

    def at(self, family: Exponents, theta: Array) -> Value:
        """Log-likelihood, gradient and Hessian at theta."""
        eta, first, second = family.at(theta)
        log_f = self.log_density(eta)
        curved = second + first[:, None] * first[None]
        nodes, p = slice(0, self.base.size), theta.size
        f = np.exp(log_f[nodes])
        features = np.concatenate([first[:, nodes], curved[..., nodes].reshape(p * p, -1)])
        mean = features @ (self.base * f)
        if self.table is None:
            rows = slice(self.base.size, None)
            log_p = log_f[rows]
            probability, each = (
                np.exp(log_p),
                np.concatenate([first[:, rows], curved[..., rows].reshape(p * p, -1)]).T,
            )
        else:
            # one order of summation, which a matrix product would leave to library and threads
            sums = np.einsum("rn,qn->rq", self.table, np.concatenate([f[None], features * f]))
            probability = sums[:, 0]
            with np.errstate(divide="ignore", invalid="ignore"):
                log_p, each = np.log(probability), sums[:, 1:] / probability[:, None]
            each = np.where(np.isfinite(each), each, 0.0)
        seen = self.weights > 0.0
        centre, spread = each[:, :p], each[:, p:].reshape(-1, p, p)
        per_row = (
            spread
            - centre[:, :, None] * centre[:, None]
            - (mean[p:].reshape(p, p) - np.outer(mean[:p], mean[:p]))
        )
        scores = centre - mean[:p]
        return Value(
            float(self.weights[seen] @ log_p[seen]),
            self.weights @ scores,
            np.einsum("r,rij->ij", self.weights, per_row),
            probability,
            scores,
        )

    def kl(self, family: Exponents, theta: Array) -> float:
        """KL of the tilt in nats."""
        nodes = slice(0, self.base.size)
        log_f = self.log_density(family.at(theta)[0])[nodes]
        weight = np.log(self.grid.half[:, None] * panels.WEIGHTS) + self.grid.log_jacobian
        return float(entropy_terms(log_f, weight.ravel()).sum())

    def win_rate(
        self, family: Exponents, theta: Array, ours: Procedure, theirs: Procedure
    ) -> float:
        """Win rate of the tilt: the integral of 1 - g(F) against the base's law under its own g."""
        shape = self.grid.points.u.shape
        log_f = self.log_density(family.at(theta)[0])[: self.base.size].reshape(shape)
        running = self.grid.running(np.exp(log_f + self.grid.log_jacobian))
        _, lost = ours.cdf(*running.fractions)
        slope = theirs.pdf(self.grid.points.u, self.grid.points.v)
        return self.grid.integral(lost * slope * self.grid.jacobian)


def maximise(
    likelihood: Likelihood, family: Exponents, theta: Array, rounds: int = 200
) -> tuple[Array, Value]:
    """Newton with the exact Hessian, made definite and backtracked."""
    value = likelihood.at(family, theta)
    for _ in range(rounds):
        step, gain = newton_step(value)
        step *= min(1.0, float(np.min((2.0 + np.abs(theta)) / np.maximum(np.abs(step), 1e-300))))
        size = 1.0
        while not family.allowed(theta + size * step):
            size /= 2
        new = likelihood.at(family, theta + size * step)
        # near the top, rounding hides the gain of a last step that is still worth taking
        while not new.log_likelihood >= value.log_likelihood - 1e-14 and size > 1e-9:
            size /= 2
            new = likelihood.at(family, theta + size * step)
        theta, value = theta + size * step, new
        if gain <= 1e-13 or size <= 1e-9 or likelihood.kl(family, theta) > LARGEST_KL:
            break
    return theta, value


def newton_step(value: Value) -> tuple[Array, float]:
    """Uphill step, and twice the gain in log-likelihood it foresees."""
    curvature, axes = np.linalg.eigh(-value.hessian)
    floor = 1e-10 * float(np.max(np.abs(curvature))) + 1e-300
    step = axes @ ((axes.T @ value.gradient) / np.maximum(np.abs(curvature), floor))
    return step, float(value.gradient @ step)
