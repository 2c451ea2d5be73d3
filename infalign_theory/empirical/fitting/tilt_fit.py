"""The tilt behind calibrated rewards: composite maximum likelihood, errors by prompt, refusals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import unit_interval
from infalign_theory.empirical.fitting.families import (
    LARGEST_T,
    Exponents,
    FixedTransform,
    FreeExponential,
    fixed_transform,
)
from infalign_theory.empirical.fitting.goodness import goodness_of_fit
from infalign_theory.empirical.fitting.laws import Expectation, Goodness, RankShares
from infalign_theory.empirical.fitting.likelihood import (
    LARGEST_KL,
    Counts,
    Likelihood,
    Value,
    maximise,
    newton_step,
)
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.uncertainty import (
    ANYWHERE,
    Bounds,
    Estimate,
    mean_over_prompts,
    student_interval,
)
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array, BoolArray

FREE = "exp"
_STARTS = (-50.0, -20.0, -8.0, -3.0, 0.0, 3.0, 8.0, 20.0, 50.0)


@dataclass(frozen=True)
class TiltFit:
    """A tilt exp(k Phi(u)) fitted to calibrated rewards; see :func:`fit_tilt`.

    ``k`` = 1/beta may be negative for a policy worse than its base; ``t`` is None unless the
    exponent was fitted; ``kl`` is the KL of the fitted law in nats; ``goodness`` is None for the
    naive fit and where ranks have too few bins to test anything; ``log_likelihood`` is the mean
    over prompts of the mean over samples, ``criterion`` that less its optimism (composite
    likelihood information criterion, Varin and Vidoni 2005): the larger, the better the law.
    """

    transform: Transform
    k: Estimate
    t: Estimate | None
    kl: Estimate
    goodness: Goodness | None
    shares: RankShares | None
    log_likelihood: float
    criterion: float
    prompts: int
    excluded: int
    level: float
    _solution: _Solution = field(repr=False)

    @property
    def beta(self) -> float:
        """1/k; infinite where k is not positive, which no regularised training gives."""
        return 1.0 / self.k.value if self.k.value > 0.0 else float("inf")

    def win_rate(
        self, procedure: Procedure | str, against_procedure: Procedure | str | None = None
    ) -> Estimate:
        """Win rate of the fitted law under any procedures, error by the delta method."""
        rate = self._rate(procedure, against_procedure)
        return self._solution.implied(rate, (0.0, 1.0), self)

    def _rate(
        self, procedure: Procedure | str, against: Procedure | str | None
    ) -> Callable[[Array], float]:
        """Win rate under procedures as a function of the parameters."""
        ours, solution = as_procedure(procedure), self._solution
        theirs = ours if against is None else as_procedure(against)
        return lambda theta: solution.likelihood.win_rate(solution.family, theta, ours, theirs)

    def expected(self, duels: Sequence[Duel]) -> Expectation:
        """What the law says about every prompt: the same win rates for all that are usable."""
        used = self._solution.used
        rates = np.array([self.win_rate(duel.ours, duel.theirs).value for duel in duels])
        influence = np.zeros((used.size, rates.size))
        for i, duel in enumerate(duels):
            slope = self._solution.slope(self._rate(duel.ours, duel.theirs))
            influence[used, i] = self._solution.influence @ slope
        return Expectation(np.where(used[:, None], rates, np.nan), influence, 0.0 * rates)

    def density(self, u: ArrayLike) -> Array:
        """f(u) of the fitted law at u in [0, 1], shape (n,)."""
        at, nodes = np.atleast_1d(unit_interval(u, "u")), self._solution.likelihood.grid.points
        every = [np.concatenate([a.ravel(), b]) for a, b in ((nodes.u, at), (nodes.v, 1.0 - at))]
        with np.errstate(under="ignore"):
            eta = self.k.value * self.transform.differences(Points.from_pair(*every))
            return np.exp(self._solution.likelihood.log_density(eta)[-at.size :])


@dataclass(frozen=True)
class _Context:
    prompts: int
    excluded: int
    level: float


@dataclass(frozen=True)
class _Solution:
    """What implied numbers need: the family, its parameters and their covariance."""

    likelihood: Likelihood
    family: Exponents
    theta: Array
    covariance: Array
    influence: Array  # of each usable prompt on theta, shape (prompts, parameters)
    used: BoolArray

    def implied(
        self, number: Callable[[Array], float], bounds: Bounds, of: TiltFit | _Context
    ) -> Estimate:
        """A function of theta with its delta-method error."""
        slope = self.slope(number)
        error = float(np.sqrt(np.maximum(slope @ self.covariance @ slope, 0.0)))
        value = number(self.theta)
        interval = student_interval(value, error, of.prompts, of.level, bounds)
        return Estimate(value, error, interval, of.prompts, of.excluded)

    def slope(self, number: Callable[[Array], float]) -> Array:
        """Derivative of a function of theta, by central differences of a fraction of an error."""
        out = np.empty(self.theta.size)
        for i in range(self.theta.size):
            step = np.zeros(self.theta.size)
            # prompts that are all alike leave no error to take a fraction of
            smallest = 1e-6 * max(1.0, abs(float(self.theta[i])))
            step[i] = max(0.02 * float(np.sqrt(self.covariance[i, i])), smallest)
            out[i] = (number(self.theta + step) - number(self.theta - step)) / (2 * step[i])
        return out


def fit_tilt(
    calibration: Calibration,
    transform: Transform | str = FREE,
    *,
    correct: bool = True,
    level: float = 0.95,
) -> TiltFit:
    r"""Fit f(u) proportional to exp(k Phi(u)) to calibrated rewards from K base samples a prompt.

    Maximises the mean over prompts of the mean over samples of

    .. math:: \log P_c(k), \qquad P_c(k) = \int_0^1 f_k(u) \binom{K}{c} u^c (1-u)^{K-c} \, du,

    c being the base samples below a sample (ties: the mean over the counts they leave open).
    Standard errors are the sandwich :math:`A^{-1} J A^{-1} / P`, A the exact negative Hessian and J
    the covariance of scores by prompt.

    Parameters
    ----------
    calibration : Calibration
        From :func:`infalign_theory.empirical.statistics.calibration.calibrate`. Prompts
        without samples on a side are left out and counted; K may differ by prompt. Where K
        exceeds 1000, or takes very many values, counts are those among a random smaller number
        of the base samples, averaged over that choice: consistent, slightly less sharp.
    transform : Transform or str, optional
        The transform training used; k is fitted. By default ``"exp"``: Exponential(t) with t
        fitted too, -100 <= t <= 100.
    correct : bool, optional
        False takes the density at c/K instead of P_c, as if calibrated rewards were exact: biased
        at small K; there for comparison.
    level : float, optional
        Level of the intervals.

    Returns
    -------
    TiltFit

    Raises
    ------
    InputError
        For fewer than two usable prompts, or a transform that is constant or not finite.
    OutOfReachError
        Where the samples are as extreme as K base samples can tell, so that k has no maximum.
    PrecisionError
        Where the samples do not determine the parameters.

    References
    ----------
    Composite likelihood and its sandwich: Varin, Reid and Firth, Statistica Sinica 21 (2011).

    Notes
    -----
    The base is taken as continuous. With frequent ties a policy trained on each prompt's discrete
    law is not of this form: k is then that of the closest tilt of ranks broken at random.

    Examples
    --------
    >>> from infalign_theory.empirical.statistics.calibration import calibrate
    >>> from infalign_theory.empirical.scores.groups import Groups
    >>> rng = np.random.default_rng(0)
    >>> base, aligned = rng.random((200, 8)), np.sqrt(rng.random((200, 4)))  # Best-of-2: k = 1
    >>> fit = fit_tilt(calibrate(Groups.stack(aligned), Groups.stack(base)), "log")
    >>> abs(fit.k.value - 1) < 4 * fit.k.stderr
    True
    """
    free = isinstance(transform, str) and transform.strip() == FREE
    mean_over_prompts([0.0], level=level)  # refuses a bad level
    counts = Counts.of(calibration)
    likelihood = Likelihood.of(counts, correct)
    context = _Context(counts.prompts, counts.excluded, level)
    _refuse_extreme(counts, likelihood.weights)
    if free:
        family: Exponents = FreeExponential(likelihood.points)
        theta, value = _best_exponential(likelihood)
    else:
        chosen = as_transform(transform)
        family, scale = fixed_transform(chosen, likelihood.points, likelihood.grid)
        theta, value = maximise(likelihood, family, np.zeros(1))
    _refuse_unsettled(likelihood, family, theta, value, int(counts.trials.max()))
    by_prompt = counts.prompt_means(value.scores)
    inverse: Array = np.linalg.inv(-value.hessian).astype(np.float64)
    middle = by_prompt.T @ by_prompt / (counts.prompts - 1)
    covariance = inverse @ middle @ inverse / counts.prompts
    light = Likelihood(likelihood.grid, likelihood.weights, None, likelihood.points)
    solution = _Solution(
        light, family, theta, covariance=covariance, influence=by_prompt @ inverse, used=counts.used
    )
    if free:
        t = solution.implied(lambda x: float(x[1]), (-LARGEST_T, LARGEST_T), context)
        k = exponential_k(theta, covariance, counts.prompts, counts.excluded, level)
        chosen = Exponential(t.value)
    else:
        t, k = None, solution.implied(lambda x: float(x[0]) / scale, ANYWHERE, context)
    goodness, shares = goodness_of_fit(counts, value, by_prompt, inverse)
    optimism = float(np.trace(inverse @ middle)) / counts.prompts
    return TiltFit(
        transform=chosen,
        k=k,
        t=t,
        kl=solution.implied(lambda x: light.kl(family, x), (0.0, np.inf), context),
        goodness=goodness if correct else None,
        shares=shares if correct else None,
        log_likelihood=value.log_likelihood,
        criterion=value.log_likelihood - optimism,
        prompts=counts.prompts,
        excluded=counts.excluded,
        level=level,
        _solution=solution,
    )


@dataclass(frozen=True)
class PlannedTilt:
    """A tilt named beforehand, nothing fitted, beside the ranks that it should have made."""

    transform: Transform
    policy: Policy
    calibration: Calibration
    t: None = None
    criterion: float = float("nan")

    @property
    def k(self) -> Estimate:
        """Its strength, as planned."""
        return known(1.0 / self.policy.beta)

    @property
    def kl(self) -> Estimate:
        """Its KL, as planned."""
        return known(self.policy.kl)

    @property
    def _used(self) -> BoolArray:
        """Prompts with samples on both sides."""
        return (self.calibration.groups.sizes > 0) & (self.calibration.base_sizes > 0)

    @cached_property
    def _tested(self) -> tuple[Goodness | None, RankShares | None]:
        if np.count_nonzero(self._used) < 2:
            return None, None
        counts = Counts.of(self.calibration)
        likelihood = Likelihood.of(counts, correct=True)
        family, scale = fixed_transform(self.transform, likelihood.points, likelihood.grid)
        value = likelihood.at(family, np.array([scale / self.policy.beta]))
        nothing = np.zeros((counts.prompts, 1)), np.zeros((1, 1))
        return goodness_of_fit(counts, value, *nothing)

    @property
    def goodness(self) -> Goodness | None:
        """Whether ranks are those of the tilt; finite K corrected."""
        return self._tested[0]

    @property
    def shares(self) -> RankShares | None:
        """Observed and expected shares of ranks."""
        return self._tested[1]

    def expected(self, duels: Sequence[Duel]) -> Expectation:
        """The same exact win rates for every usable prompt."""
        used = self._used
        rates = np.array(
            [win_rate(self.policy, duel.ours, against_procedure=duel.theirs) for duel in duels]
        )
        shape = (used.size, rates.size)
        return Expectation(
            np.where(used[:, None], rates, np.nan), np.zeros(shape), np.zeros(rates.size)
        )


def known(value: float) -> Estimate:
    """A number without uncertainty."""
    return Estimate(float(value), None, None, 0, 0)


def _best_exponential(likelihood: Likelihood) -> tuple[Array, Value]:
    """The best exponent and strength: a ladder of exponents, then Newton in both."""
    family = FreeExponential(likelihood.points)
    tried = []
    for t in _STARTS:
        theta, value = maximise(likelihood, FixedTransform(family.phi(t)), np.zeros(1), rounds=6)
        tried.append((value.log_likelihood, float(theta[0]), t))
    _, a, t = max(tried)
    return maximise(likelihood, family, np.array([a, t]))


def exponential_k(
    theta: Array, covariance: Array, prompts: int, excluded: int, level: float
) -> Estimate:
    """k = a / |expm1(t)| of theta = (a, t); its error is a factor: interval on the log scale."""
    a, t = theta
    k = float(a / abs(np.expm1(t)))
    slope = np.array([1.0 / a, 1.0 / np.expm1(-t)])
    factor = float(np.sqrt(slope @ covariance @ slope))
    low, high = student_interval(0.0, min(factor, 1e2), prompts, level)
    ends = sorted(k * float(np.exp(np.clip(x, -300, 300))) for x in (low, high))
    return Estimate(k, abs(k) * factor, (ends[0], ends[1]), prompts, excluded)


def _refuse_extreme(counts: Counts, weights: Array) -> None:
    """Refuse samples that are all above, or all below, every base sample of their prompt."""
    last = np.cumsum(counts.trials + 1) - 1
    for extreme in (last, last - counts.trials):
        if np.sum(np.delete(weights, extreme)) <= 1e-14:
            raise _too_extreme(int(counts.trials.max()))


def _too_extreme(trials: int) -> OutOfReachError:
    return OutOfReachError(
        f"the aligned samples are as extreme as {trials} base samples a prompt can tell: the "
        "likelihood rises without end; give more base samples.",
        float(np.log(trials + 1.0)),
    )


def _refuse_unsettled(
    likelihood: Likelihood, family: Exponents, theta: Array, value: Value, trials: int
) -> None:
    """Refuse a maximum that is none: at infinity, at a limit, or along a ridge."""
    kl = likelihood.kl(family, theta)
    scale = 1.0 + np.abs(theta)
    least = float(np.linalg.eigvalsh(-value.hessian * np.outer(scale, scale))[0])
    flat = not (newton_step(value)[1] <= 1e-10 and least > 1e-6)
    if kl > LARGEST_KL or (flat and kl > np.log(trials + 1.0) + 2.0):
        raise _too_extreme(trials)
    if flat:
        what = ", ".join(f"{x:.6g}" for x in theta)
        raise PrecisionError(
            f"the calibrated rewards do not determine the tilt (stopped at {what}); name the "
            "transform instead of fitting its exponent, or give more samples.",
            kl,
        )
    nodes = slice(0, likelihood.base.size)
    log_f = likelihood.log_density(family.at(theta)[0])[nodes].reshape(
        likelihood.grid.points.u.shape
    )
    lost = likelihood.grid.unresolved(np.exp(log_f + likelihood.grid.log_jacobian)).sum()
    if not lost < 1e-8:
        raise PrecisionError(
            f"the fitted density varies too fast to be integrated (error {lost:.1g}); take a "
            "smoother transform.",
            kl,
        )
