"""The tilt behind tied scores: each prompt's own discrete law is the base, not a continuous one.

A policy trained on rewards with few grades tilts the law of grades: the aligned law of a prompt is
p_j exp(eta(u_j)) / Z over its own grades j. Masses and calibrated rewards of grades are known from
K base samples only; log-likelihood, gradient, KL and win rates are corrected for that by the
jackknife over base samples, to order 1/K^2 (Quenouille 1956; Schucany, Gray and Owen 1971).
Prompts are the independent unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import optimize, special

from infalign_theory.empirical.fitting.families import FixedTransform, FreeExponential
from infalign_theory.empirical.scores.groups import share_out
from infalign_theory.empirical.statistics.calibration import rank_covers
from infalign_theory.empirical.statistics.uncertainty import Bounds, Estimate, student_interval
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.kernels import jackknife
from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, BoolArray, IntArray

_LARGEST_RANGE = 600.0  # of exponents: their exponentials must stay inside float64
_STARTS = (-20.0, -8.0, -3.0, 0.0, 3.0, 8.0, 20.0)
_DEGREES = (1, 2, 3, 4)
_LEAST_SPREAD = 0.03
_ENOUGH = 2000  # prompts that find where to start


@dataclass(frozen=True)
class TiedRanks:
    """Ranks of aligned samples among tied base samples: what a discrete fit looks at.

    ``counts`` are base samples of each grade, ``atoms`` (P + 1) their offsets; ``below`` and
    ``equal`` rank the aligned samples, ``offsets`` (P + 1) are theirs.
    """

    counts: IntArray
    atoms: IntArray
    below: IntArray
    equal: IntArray
    offsets: IntArray

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return self.offsets.size - 1

    @cached_property
    def base_sizes(self) -> IntArray:
        """K of each prompt."""
        running = np.concatenate([[0], np.cumsum(self.counts)])
        return np.asarray(np.diff(running[self.atoms]))

    @cached_property
    def usable(self) -> BoolArray:
        """Prompts with aligned samples and enough base samples for the jackknife."""
        return (np.diff(self.offsets) > 0) & (self.base_sizes >= jackknife.LEAST)

    @cached_property
    def places(self) -> tuple[IntArray, IntArray, IntArray, IntArray]:
        """Different (below, equal) of each prompt, how many samples stand there, and offsets."""
        new = np.ones(self.below.size, dtype=bool)
        new[1:] = (np.diff(self.below) != 0) | (np.diff(self.equal) != 0)
        new[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        at = np.flatnonzero(new)
        times = np.diff(np.append(at, self.below.size)).astype(np.int32)
        return self.below[at], self.equal[at], times, np.searchsorted(at, self.offsets)

    def only(self, chosen: BoolArray) -> TiedRanks:
        """The same of some prompts."""
        samples, each = np.diff(self.offsets), np.diff(self.atoms)
        kept, held = np.repeat(chosen, samples), np.repeat(chosen, each)
        cuts = [np.concatenate([[0], np.cumsum(x[chosen])]).astype(np.intp)
                for x in (each, samples)]  # fmt: skip
        return TiedRanks(self.counts[held], cuts[0], self.below[kept], self.equal[kept], cuts[1])

    @cached_property
    def table(self) -> tuple[IntArray, Points]:
        """First table row of each K, and u of all rows."""
        distinct = np.unique(self.base_sizes[self.base_sizes >= jackknife.LEAST])
        needed = np.unique(np.concatenate([distinct - less for less in range(3)]))
        first = np.zeros(int(needed[-1]) + 1, dtype=np.intp)
        first[needed] = np.concatenate([[0], np.cumsum(2 * needed + 1)[:-1]])
        row = np.concatenate([np.arange(2 * k + 1) for k in needed])
        size = np.repeat(2.0 * needed + 2.0, 2 * needed + 1)
        return first, Points.from_pair((row + 1) / size, (size - 1 - row) / size)

    def weight(self, eta: Array) -> Array:
        """exp(eta) in a scale that keeps it finite."""
        high = float(np.max(eta))
        if not high - float(np.min(eta)) < _LARGEST_RANGE:
            raise OutOfReachError(
                "the aligned samples are as extreme as the base samples can tell: the likelihood "
                "rises without end; give more base samples.",
                float(np.log(self.base_sizes.max() + 1.0)),
            )
        return np.exp(eta - high)

    def residuals(self, eta: Array, features: Array) -> Array:
        """Log-likelihood and, for each feature (rows of u), mean less expectation: (P, 1 + q)."""
        out = np.empty((self.prompts, 1 + features.shape[0]))
        weight, columns = self.weight(eta), np.ascontiguousarray(features.T)
        # the scale of the weights is that of exp(eta - max eta)
        shifted = eta - float(np.max(eta))
        below, equal, times, offsets = self.places

        def run(first: int, last: int) -> None:
            jackknife.residuals(
                self.counts, self.atoms, below, equal, times, offsets, self.table[0],
                shifted, weight, columns, out, first, last,
            )  # fmt: skip

        share_out(run, self.prompts, 50 * self.below.size)
        return out

    def outcomes(self, eta: Array, procedures: Sequence[str]) -> Array:
        """KL and win rates of the tilt in each prompt: (P, 1 + R)."""
        sides = [power_sides(as_procedure(name)) for name in procedures]
        sizes = np.array([n for _, n in sides], dtype=np.intp)
        best = np.array([sign >= 0 for sign, _ in sides], dtype=np.intp)
        out = np.empty((self.prompts, 1 + sizes.size))
        weight, shifted = self.weight(eta), eta - float(np.max(eta))

        def run(first: int, last: int) -> None:
            jackknife.outcomes(
                self.counts, self.atoms, self.table[0], shifted, weight, sizes, best,
                out, first, last,
            )  # fmt: skip

        share_out(run, self.prompts, 50 * self.counts.size)
        return out


@dataclass(frozen=True)
class DiscreteFit:
    """A tilt of each prompt's own law, its parameters theta and each prompt's influence on them.

    ``scale`` turns theta into k = 1/beta: k = theta[0] / scale. ``log_likelihood`` is the mean
    over prompts, ``criterion`` that less its optimism, to compare laws by.
    """

    ranks: TiedRanks
    family: FixedTransform | FreeExponential
    theta: Array
    influence: Array
    scale: float
    log_likelihood: float
    criterion: float
    level: float

    @property
    def prompts(self) -> int:
        """Prompts used."""
        return int(np.count_nonzero(self.ranks.usable))

    @cached_property
    def covariance(self) -> Array:
        """Sandwich covariance of theta, clustered by prompt."""
        return np.atleast_2d(np.cov(self.influence.T, ddof=1)) / self.prompts

    def eta(self, theta: Array | None = None) -> Array:
        """Exponents at every row of the table."""
        return self.family.at(self.theta if theta is None else theta)[0]

    def outcomes(self, procedures: Sequence[str]) -> tuple[Array, Array]:
        """KL and win rates of each prompt's law, and the prompt's influence on all of them.

        Both have shape (P, 1 + R). The influence is that through theta: where a mean over prompts
        moves because this prompt moved the fit.
        """
        local = self.ranks.outcomes(self.eta(), procedures)
        usable = self.ranks.usable
        return local, self._through_theta(
            lambda eta: self.ranks.outcomes(eta, procedures)[usable].mean(axis=0), local.shape[1]
        )

    def _through_theta(self, mean: Callable[[Array], Array], size: int) -> Array:
        """Influence of each prompt on ``size`` means, through theta; 0 for prompts not used."""
        moved = np.zeros((self.ranks.prompts, size))
        for i, spread in enumerate(np.sqrt(np.diag(self.covariance)).tolist()):
            if spread > 0.0:
                step = np.zeros(self.theta.size)
                step[i] = 0.05 * spread
                up, down = (mean(self.eta(self.theta + s)) for s in (step, -step))
                slope = (up - down) / (2 * step[i])
                moved[self.ranks.usable] += np.outer(self.influence[:, i], slope)
        return moved

    def shares(self, bins: int) -> Array:
        """Expected share of aligned ranks in equal bins, the mean over usable prompts.

        A base sample ranked among the others of its prompt is what an aligned sample would be
        with its tilt as weight.
        """
        ranks, usable = self.ranks, self.ranks.usable
        each, sizes = np.diff(ranks.atoms), ranks.base_sizes
        owner = np.repeat(np.arange(ranks.prompts), each)
        running = np.concatenate([[0], np.cumsum(ranks.counts)])
        below = running[:-1] - running[ranks.atoms[:-1]][owner]
        kept = usable[owner]
        below, equal, owner = below[kept], ranks.counts[kept] - 1, owner[kept]
        row = ranks.table[0][sizes[owner] - 1] + 2 * below + equal
        mass = (equal + 1) * ranks.weight(self.eta())[row]
        mass /= np.bincount(owner, mass, ranks.prompts)[owner]
        covers = rank_covers(below, equal, sizes[owner] - 1, bins)
        return np.array([mass @ cover for cover in covers]) / self.prompts

    def parameter(self, i: int, scale: float = 1.0, bounds: Bounds = (-np.inf, np.inf)) -> Estimate:
        """theta[i] / scale with its error."""
        error = float(np.sqrt(self.covariance[i, i])) / abs(scale)
        value = float(self.theta[i]) / scale
        interval = student_interval(value, error, self.prompts, self.level, bounds)
        return Estimate(value, error, interval, self.prompts, self.ranks.prompts - self.prompts)

    def goodness(self) -> tuple[float, float, float] | None:
        """Whether grades are where the tilt puts them: (statistic, degrees of freedom, p-value).

        Mean residuals of Legendre polynomials of u (smooth, so that the jackknife corrects them),
        compared with their spread over prompts (Hotelling): about F-distributed, whatever the
        dependence within a prompt.
        """
        u = self.ranks.table[1].u
        waves: Array = np.stack([np.polynomial.Legendre.basis(d)(2.0 * u - 1.0) for d in _DEGREES])
        usable = self.ranks.usable
        found = self.ranks.residuals(self.eta(), waves)[usable, 1:]
        found = (
            found
            + self._through_theta(
                lambda eta: self.ranks.residuals(eta, waves)[usable, 1:].mean(axis=0), len(_DEGREES)
            )[usable]
        )
        mean, prompts = found.mean(axis=0), self.prompts
        values, axes = np.linalg.eigh(np.cov(found.T, ddof=1))
        # directions that the fit itself has matched have no spread left
        kept = values > _LEAST_SPREAD * values[-1]
        df = int(np.count_nonzero(kept))
        if df == 0 or prompts <= df + 1:
            return None
        t2 = prompts * float(np.sum((axes[:, kept].T @ mean) ** 2 / values[kept]))
        f = t2 * (prompts - df) / (df * (prompts - 1))
        return t2, float(df), float(special.fdtrc(df, prompts - df, f))


def fit_discrete(
    ranks: TiedRanks, transform: Transform | None = None, *, level: float = 0.95
) -> DiscreteFit:
    """Fit k, or with no transform k and the exponent of exp(k sign(t) e^(tu)), to tied ranks.

    Raises
    ------
    InputError
        With fewer than 2 usable prompts, and for transforms that are constant or not finite.
    OutOfReachError
        Where the samples are as extreme as the base samples can tell.
    PrecisionError
        Where the samples do not determine the parameters.
    """
    used = int(np.count_nonzero(ranks.usable))
    if used < 2:
        raise InputError(
            f"{used} prompts have aligned samples and at least {jackknife.LEAST} base samples; a "
            "fit with standard errors by prompt needs at least 2."
        )
    chosen = np.flatnonzero(ranks.usable)
    few = np.zeros(ranks.prompts, dtype=bool)
    few[chosen[np.linspace(0, chosen.size - 1, min(chosen.size, _ENOUGH)).astype(int)]] = True
    some = ranks.only(few)
    if transform is None:
        free = FreeExponential(some.table[1])
        starts = [(_strength(some, FixedTransform(free.phi(t))), t) for t in _STARTS]
        (a, _), t = max(starts, key=lambda start: start[0][1])
        return _solved(ranks, FreeExponential(ranks.table[1]), np.array([a, t]), 1.0, level)
    start, scale = fixed_family(transform, some.table[1])
    family, spread = fixed_family(transform, ranks.table[1])
    k = _strength(some, start)[0] / scale
    return _solved(ranks, family, np.array([k * spread]), spread, level)


def fixed_family(transform: Transform, points: Points) -> tuple[FixedTransform, float]:
    """The family theta Phi / scale at the points, and its scale."""
    with np.errstate(over="ignore", under="ignore", divide="ignore"):
        phi = transform.differences(points)
    spread = float(np.std(phi)) if np.isfinite(phi).all() else 0.0
    if not 0.0 < spread < np.inf:
        raise InputError(
            f"transform {transform.name} is constant or not finite at the calibrated rewards of "
            "these scores; give one that is finite inside (0, 1) and not constant."
        )
    return FixedTransform(phi / spread), spread


def _strength(ranks: TiedRanks, family: FixedTransform) -> tuple[float, float]:
    """The strength where the mean score is 0, and the log-likelihood there."""

    def score(k: float) -> float:
        return float(ranks.residuals(k * family.phi, family.phi[None])[:, 1].mean())

    here = score(0.0)
    step = 1.0 if here > 0.0 else -1.0
    while score(step) * here > 0.0:  # ends in OutOfReachError where nothing stops it
        step *= 2.0
    k = float(optimize.brentq(score, 0.0, step, xtol=1e-6, rtol=1e-6)) if here else 0.0
    return k, float(ranks.residuals(k * family.phi, family.phi[None])[:, 0].mean())


def _solved(
    ranks: TiedRanks, family: FixedTransform | FreeExponential, theta: Array, scale: float,
    level: float,
) -> DiscreteFit:  # fmt: skip
    """The root of the mean score near a start, with influences by prompt."""
    usable = ranks.usable

    def scores(at: Array) -> Array:
        eta, first, _ = family.at(at)
        return ranks.residuals(eta, first)[usable]

    def mean(at: Array) -> Array:
        if not family.allowed(at):
            return np.full(at.size, 1e3)
        found: Array = scores(at)[:, 1:].mean(axis=0)
        return found

    found = optimize.root(mean, theta, method="hybr", options={"xtol": 1e-11})
    theta = np.asarray(found.x)
    if not family.allowed(theta) or not np.max(np.abs(found.fun)) < 1e-9:
        raise _undetermined(theta)
    here = scores(theta)
    jacobian = np.empty((theta.size, theta.size))
    for i in range(theta.size):
        step = np.zeros(theta.size)
        step[i] = 1e-4 * (1.0 + abs(theta[i]))
        up, down = scores(theta + step), scores(theta - step)
        jacobian[:, i] = (up - down)[:, 1:].mean(axis=0) / (2 * step[i])
    size = 1.0 + np.abs(theta)
    curvature = np.linalg.eigvalsh(-(jacobian + jacobian.T) / 2 * np.outer(size, size))
    if not curvature[0] > 1e-6:
        raise _undetermined(theta)
    inverse = np.linalg.inv(-jacobian)
    influence = here[:, 1:] @ inverse.T
    value = float(here[:, 0].mean())
    optimism = float(np.trace(inverse @ np.atleast_2d(np.cov(here[:, 1:].T)))) / len(here)
    return DiscreteFit(ranks, family, theta, influence, scale, value, value - optimism, level)


def _undetermined(theta: Array) -> PrecisionError:
    what = ", ".join(f"{x:.6g}" for x in theta)
    return PrecisionError(
        f"the calibrated rewards do not determine the tilt (stopped at {what}); name the "
        "transform instead of fitting its exponent, or give more samples.",
        float("nan"),
    )
