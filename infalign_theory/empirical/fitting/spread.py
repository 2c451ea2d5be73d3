r"""Prompts that are tilted by different strengths: a log-normal law of k, one number more.

Every prompt has the same transform, and k of its own, log k normal over prompts. Its two numbers
are those at which mean and variance over prompts of the standard win rate are the observed ones,
the variance freed of what finite samples add (eq-spread of docs/mathematics/fitting.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.empirical.fitting.families import fixed_transform
from infalign_theory.empirical.fitting.goodness import goodness_of_fit
from infalign_theory.empirical.fitting.laws import Expectation, Goodness
from infalign_theory.empirical.fitting.likelihood import Counts, Likelihood, Value
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.pairs_over_prompts import PairMoments
from infalign_theory.errors import InfalignError, OutOfReachError
from infalign_theory.policies.bracketing import root_between
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

WIDEST = 1.5  # of log k
_STEPS = np.linspace(-5.0, 4.0, 28)
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class SpreadFit:
    """A law of k over prompts.

    ``k`` is the median, ``log_sd`` the standard deviation of log k; ``kl`` the mean KL over
    prompts in nats and ``kl_sd`` its standard deviation over prompts, by this law.
    """

    k: float
    log_sd: float
    kl: float
    kl_sd: float
    expectation: Expectation
    goodness: Goodness | None


def fit_spread(
    ranks: Calibration, transform: Transform, duels: Sequence[Duel], moments: PairMoments
) -> SpreadFit:
    """Fit a law of k over prompts to a transform's ranks.

    Raises
    ------
    OutOfReachError
        Where no log-normal law of k has the win rates observed: a policy that does not win, or
        prompts that differ by more than any strength makes them.
    """
    curves = _Curves.of(ranks, transform, duels)
    mean = float(moments.rate[moments.known].mean())
    centre, log_sd = curves.matched(mean, max(moments.variance, 0.0))
    slopes = curves.slopes(centre, log_sd)
    influence = _influence(moments, slopes[:, :2])
    found = curves.mixed(centre, log_sd)
    rates = found[curves.rates]
    used = moments.known
    effect = influence @ slopes[:, curves.rates]
    mean_kl, mean_square = found[2], found[3]
    return SpreadFit(
        k=float(np.exp(centre)),
        log_sd=log_sd,
        kl=float(mean_kl),
        kl_sd=float(np.sqrt(max(mean_square - mean_kl**2, 0.0))),
        expectation=Expectation(
            np.where(used[:, None], rates, np.nan), effect, np.zeros(rates.size)
        ),
        goodness=curves.goodness(centre, log_sd, influence),
    )


def _influence(moments: PairMoments, slope: Array) -> Array:
    """Of each prompt on (mean of log k, its deviation), from that on mean and square of rates."""
    both = moments.influence
    rate = float(moments.rate[moments.known].mean())
    both[:, 1] += 2.0 * rate * both[:, 0]  # of the mean square
    if np.abs(slope[1]).max() == 0.0:  # no spread: only the strength is fitted
        return np.stack([both[:, 0] / slope[0, 0], np.zeros(both.shape[0])], axis=1)
    return np.asarray(both @ np.linalg.inv(slope))


@dataclass(frozen=True)
class _Curves:
    """Numbers of the tilt along log k, as splines: rate, its square, KL, its square, the rest."""

    counts: Counts
    start: float
    spline: CubicSpline
    duels: int

    @classmethod
    def of(cls, ranks: Calibration, transform: Transform, duels: Sequence[Duel]) -> _Curves:
        counts = Counts.of(ranks)
        likelihood = Likelihood.of(counts, correct=True)
        family, scale = fixed_transform(transform, likelihood.points, likelihood.grid)
        standard = as_procedure("standard")
        start = -float(np.log(scale))
        rows, at = [], []
        for step in _STEPS:
            theta = np.array([np.exp(step)])
            if not family.allowed(theta):
                break
            rate = likelihood.win_rate(family, theta, standard, standard)
            nats = likelihood.kl(family, theta)
            rates = [likelihood.win_rate(family, theta, one.ours, one.theirs) for one in duels]
            chances = likelihood.at(family, theta).probability
            rows.append(np.concatenate([[rate, rate**2, nats, nats**2], rates, chances]))
            at.append(step)
        from scipy.interpolate import CubicSpline  # here: its import takes longer than this

        return cls(counts, start, CubicSpline(np.array(at), np.array(rows)), len(duels))

    @property
    def rates(self) -> slice:
        """Where win rates of the duels stand."""
        return slice(4, 4 + self.duels)

    def mixed(self, centre: float, log_sd: float) -> Array:
        """Everything's mean over prompts."""
        low, high = self.spline.x[0], self.spline.x[-1]
        at = np.clip(centre - self.start + log_sd * _NODES, low, high)
        return np.asarray(_WEIGHTS @ self.spline(at))

    def slopes(self, centre: float, log_sd: float) -> Array:
        """Derivatives in the two numbers; 0 in the second where there is no spread."""
        step = 1e-4
        first = (self.mixed(centre + step, log_sd) - self.mixed(centre - step, log_sd)) / (2 * step)
        if log_sd < 2 * step:
            return np.stack([first, 0.0 * first])
        wide = self.mixed(centre, log_sd + step) - self.mixed(centre, log_sd - step)
        return np.stack([first, wide / (2 * step)])

    def matched(self, mean: float, variance: float) -> tuple[float, float]:
        """Centre and deviation of log k with this mean and variance of win rates."""
        low, high = self.spline.x[0] + self.start, self.spline.x[-1] + self.start

        def centre(log_sd: float) -> float:
            ends = [self.mixed(end, log_sd)[0] - mean for end in (low, high)]
            if not ends[0] < 0.0 < ends[1]:
                raise OutOfReachError(
                    f"no strengths of this transform have the mean win rate {mean:.4g}.", mean
                )
            return root_between(
                lambda at: float(self.mixed(at, log_sd)[0]) - mean, low, high, 2e-12
            )

        def excess(log_sd: float) -> float:
            found = self.mixed(centre(log_sd), log_sd)
            return float(found[1] - mean**2 - variance)

        if variance <= 0.0 or excess(0.0) >= 0.0:
            return centre(0.0), 0.0
        if excess(WIDEST) < 0.0:
            raise OutOfReachError(
                f"win rates differ by {np.sqrt(variance):.3g} over prompts, more than a log-normal "
                f"spread of {WIDEST} makes them.",
                WIDEST,
            )
        log_sd = root_between(excess, 0.0, WIDEST, 2e-12)
        return centre(log_sd), log_sd

    def goodness(self, centre: float, log_sd: float, influence: Array) -> Goodness | None:
        """Whether ranks are where the mixture puts them."""
        chances = self.mixed(centre, log_sd)[4 + self.duels :]
        slopes = self.slopes(centre, log_sd)[:, 4 + self.duels :]
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = np.where(chances > 0.0, slopes / chances, 0.0).T
        kept = 1 if log_sd == 0.0 else 2
        value = Value(0.0, np.zeros(kept), np.zeros((kept, kept)), chances, scores[:, :kept])
        return goodness_of_fit(
            self.counts, value, influence[self.counts.used, :kept], np.eye(kept)
        )[0]


def spread_or_none(
    ranks: Calibration, transform: Transform, duels: Sequence[Duel], moments: PairMoments
) -> SpreadFit | None:
    """The same, None where no law of k describes these win rates."""
    try:
        return fit_spread(ranks, transform, duels, moments)
    except InfalignError:
        return None
