"""The tilt behind tied scores: each prompt's own discrete law is the base, not a continuous one.

A policy trained on rewards with few grades tilts the law of grades: the aligned law of a prompt is
p_j exp(eta(u_j)) / Z over its own grades j. Masses and calibrated rewards of grades are known from
K base samples only; log-likelihood, gradient, KL and win rates are corrected for that by the
jackknife over base samples, to order 1/K^2 (Quenouille 1956; Schucany, Gray and Owen 1971).
Prompts are the independent unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import special

from infalign_theory.empirical.fitting.families import LARGEST_T, FixedTransform, FreeExponential
from infalign_theory.empirical.fitting.laws import Expectation, Goodness, RankShares
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.fitting.tilt_fit import exponential_k, known
from infalign_theory.empirical.statistics.calibration import rank_covers
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.prompt_bases import tilted
from infalign_theory.empirical.statistics.uncertainty import (
    Bounds,
    Estimate,
    mean_over_prompts,
    student_interval,
)
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.kernels import jackknife
from infalign_theory.policies.bracketing import root_between
from infalign_theory.policies.families import solve
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.typing import Array

BINS = 20
_STARTS = (-20.0, -8.0, -3.0, 0.0, 3.0, 8.0, 20.0)
_DEGREES = (1, 2, 3, 4)
_LEAST_SPREAD = 0.03
_ENOUGH = 2000  # prompts that find where to start
_REACHES = (1.5, 4.0)  # of the search for a strength, around that of the laws as sampled, in logs


@dataclass(frozen=True)
class DiscreteFit:
    """A tilt of each prompt's own law, its parameters theta and each prompt's influence on them.

    ``scale`` turns theta into k = 1/beta: k = theta[0] / scale. ``influence``, shape (usable
    prompts, parameters), is 0 for a law named beforehand. ``log_likelihood`` is the mean over
    prompts, ``criterion`` that less its optimism, to compare laws by.
    """

    ranks: TiedRanks
    transform: Transform
    family: FixedTransform | FreeExponential
    theta: Array
    influence: Array
    scale: float
    level: float
    log_likelihood: float = float("nan")
    criterion: float = float("nan")

    @property
    def prompts(self) -> int:
        """Prompts used."""
        return int(np.count_nonzero(self.ranks.usable))

    @cached_property
    def covariance(self) -> Array:
        """Sandwich covariance of theta, clustered by prompt; 0 where nothing was fitted."""
        if not self.influence.any():
            return np.zeros((self.theta.size, self.theta.size))
        return np.atleast_2d(np.cov(self.influence.T, ddof=1)) / self.prompts

    @property
    def k(self) -> Estimate:
        """The strength, 1/beta."""
        if self.t is not None:
            excluded = self.ranks.prompts - self.prompts
            return exponential_k(self.theta, self.covariance, self.prompts, excluded, self.level)
        fitted = bool(self.influence.any())
        return self.parameter(0, self.scale) if fitted else known(self.theta[0] / self.scale)

    @property
    def t(self) -> Estimate | None:
        """The exponent, where it was fitted."""
        return self.parameter(1, bounds=(-LARGEST_T, LARGEST_T)) if self.theta.size > 1 else None

    @cached_property
    def kl(self) -> Estimate:
        """Mean KL of the prompts' tilts, never below 0 however few the samples."""
        local, influence = self.outcomes(())
        each = (local + influence)[self.ranks.usable, 0]
        spent = mean_over_prompts(each, level=self.level, bounds=(0.0, np.inf))
        return replace(spent, value=max(spent.value, 0.0))  # a correction may overshoot

    def eta(self, theta: Array | None = None) -> Array:
        """Exponents at every row of the table."""
        return self.family.at(self.theta if theta is None else theta)[0]

    def outcomes(self, duels: Sequence[Duel]) -> tuple[Array, Array]:
        """KL and win rates of each prompt's law, and the prompt's influence on all of them.

        Both have shape (P, 1 + R). The influence is that through theta: where a mean over prompts
        moves because this prompt moved the fit.
        """
        local = self.ranks.outcomes(self.eta(), duels)
        usable = self.ranks.usable
        return local, self._through_theta(
            lambda eta: self.ranks.outcomes(eta, duels)[usable].mean(axis=0), local.shape[1]
        )

    def expected(self, duels: Sequence[Duel]) -> Expectation:
        """What the law says about every prompt, and how far its last correction went.

        What the jackknife leaves of a bias is less than the last term it took away.
        """
        local, influence = self.outcomes(duels)
        once = self.ranks.outcomes(self.eta(), duels, order=1)
        doubt = np.abs((local - once)[self.ranks.usable, 1:].mean(axis=0))
        return Expectation(local[:, 1:], influence[:, 1:], doubt)

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

    @property
    def shares(self) -> RankShares | None:
        """Observed and expected shares of ranks in equal bins; None of a single prompt."""
        if self.prompts < 2:
            return None
        bins = int(min(BINS, self.ranks.base_sizes.max() + 1))
        observed = self.ranks.calibration.shares(bins)[self.ranks.usable]
        error = observed.std(axis=0, ddof=1) / np.sqrt(len(observed))
        edges = np.linspace(0.0, 1.0, bins + 1)
        return RankShares(edges, observed.mean(axis=0), error, self.expected_shares(bins))

    def expected_shares(self, bins: int) -> Array:
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
        mass = (equal + 1) * ranks.looked_up(self.eta()).weight[row]
        mass /= np.bincount(owner, mass, ranks.prompts)[owner]
        covers = rank_covers(below, equal, sizes[owner] - 1, bins)
        return np.array([mass @ cover for cover in covers]) / self.prompts

    def parameter(self, i: int, scale: float = 1.0, bounds: Bounds = (-np.inf, np.inf)) -> Estimate:
        """theta[i] / scale with its error."""
        error = float(np.sqrt(self.covariance[i, i])) / abs(scale)
        value = float(self.theta[i]) / scale
        interval = student_interval(value, error, self.prompts, self.level, bounds)
        return Estimate(value, error, interval, self.prompts, self.ranks.prompts - self.prompts)

    @cached_property
    def goodness(self) -> Goodness | None:
        """Whether grades are where the tilt puts them.

        Mean residuals of Legendre polynomials of u (smooth, so that the jackknife corrects them),
        compared with their spread over prompts (Hotelling): about F-distributed, whatever the
        dependence within a prompt. The last term of the jackknife counts as an error: what is
        left of a bias lies along it.
        """
        usable, prompts = self.ranks.usable, self.prompts
        if prompts < 3:
            return None
        u = self.ranks.table[1].u
        waves: Array = np.stack([np.polynomial.Legendre.basis(d)(2.0 * u - 1.0) for d in _DEGREES])
        found = self.ranks.residuals(self.eta(), waves)[usable, 1:]
        once = self.ranks.residuals(self.eta(), waves, order=1)[usable, 1:]
        doubt = (found - once).mean(axis=0)
        found += self._through_theta(
            lambda eta: self.ranks.residuals(eta, waves)[usable, 1:].mean(axis=0), len(_DEGREES)
        )[usable]
        mean = found.mean(axis=0)
        spread = np.atleast_2d(np.cov(found.T, ddof=1))
        values, axes = np.linalg.eigh(spread)
        # directions that the fit itself has matched have no spread left
        axes = axes[:, values > _LEAST_SPREAD * values[-1]]
        df = axes.shape[1]
        if df == 0 or prompts <= df + 1:
            return None
        error = axes.T @ (spread + prompts * np.outer(doubt, doubt)) @ axes
        gap = axes.T @ mean
        t2 = prompts * float(gap @ np.linalg.solve(error, gap))
        f = t2 * (prompts - df) / (df * (prompts - 1))
        return Goodness(t2, float(df), float(special.fdtrc(df, prompts - df, f)))


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
    few = ranks.spread_over(ranks.usable, _ENOUGH)
    if transform is None:
        free = FreeExponential(few.table[1])
        starts = [(_strength(few, FixedTransform(free.phi(t))), t) for t in _STARTS]
        (a, _), t = max(starts, key=lambda start: start[0][1])
        family = FreeExponential(ranks.table[1])
        found = _solved(ranks, Identity(), family, np.array([a, t]), level=level)
        return replace(found, transform=Exponential(float(found.theta[1])))
    start, scale = fixed_family(transform, few.table[1])
    fixed, spread = fixed_family(transform, ranks.table[1])
    k = _strength(few, start)[0] / scale
    return _solved(ranks, transform, fixed, np.array([k * spread]), scale=spread, level=level)


def planned_discrete(
    ranks: TiedRanks, transform: Transform, *, beta: float | None, kl: float | None, level: float
) -> tuple[DiscreteFit, str | None]:
    """The tilt of the prompts' laws that its maker names, nothing fitted, and a doubt about it.

    A KL is met by the corrected mean over prompts; where no strength does that, the strength that
    spends it on the laws as they were sampled is taken, and the second part says so.
    """
    family, size = fixed_family(transform, ranks.table[1])
    nothing = np.zeros((int(np.count_nonzero(ranks.usable)), 1))

    def at(k: float) -> DiscreteFit:
        return DiscreteFit(
            ranks,
            transform,
            family,
            theta=np.array([k * size]),
            influence=nothing,
            scale=size,
            level=level,
        )

    if beta is not None:
        return at(1.0 / beta), None
    if not kl:
        return at(0.0), None

    def excess(log_k: float) -> float:
        spent = ranks.outcomes(at(float(np.exp(log_k))).eta(), ())[ranks.usable, 0]
        return float(spent.mean()) - kl

    # the laws as they were sampled tell what can be spent at all
    near = float(np.log(solve(tilted(transform, ranks.empirical_laws()), kl).k))
    for reach in _REACHES:
        if excess(near - reach) < 0.0 < excess(near + reach):
            k = root_between(excess, near - reach, near + reach, 1e-10)
            return at(float(np.exp(k))), None
    return at(float(np.exp(near))), (
        f"no strength spends {kl:g} nats once the few base samples are allowed for: the one that "
        f"spends them on the laws as sampled was taken, which is about {kl + excess(near):.3g} nats"
    )


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
    k = root_between(score, 0.0, step, 1e-6) if here else 0.0
    return k, float(ranks.residuals(k * family.phi, family.phi[None])[:, 0].mean())


def _solved(
    ranks: TiedRanks,
    transform: Transform,
    family: FixedTransform | FreeExponential,
    theta: Array,
    *,
    scale: float = 1.0,
    level: float,
) -> DiscreteFit:
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

    from scipy import optimize  # here: its import takes longer than most commands

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
    return DiscreteFit(
        ranks,
        transform,
        family,
        theta=theta,
        influence=influence,
        scale=scale,
        level=level,
        log_likelihood=value,
        criterion=value - optimism,
    )


def _undetermined(theta: Array) -> PrecisionError:
    what = ", ".join(f"{x:.6g}" for x in theta)
    return PrecisionError(
        f"the calibrated rewards do not determine the tilt (stopped at {what}); name the "
        "transform instead of fitting its exponent, or give more samples.",
        float("nan"),
    )
