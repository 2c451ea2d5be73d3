"""Absolute success of an attacker with N tries: measured, and carried beyond the samples.

An attack succeeds or not; with N tries it succeeds if one of them does (pass@N). This is a chance
by itself. A *win rate* under Worst-of-N compares two models instead: it says which one an attacker
hurts more, never how often an attack succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import special, stats
from scipy.optimize import minimize

from infalign_theory.checks import whole
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.statistics.estimators import pass_at
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, BoolArray

_GRID = 161
_CONCENTRATIONS = (-7.0, 14.0)  # log of alpha + beta; beyond, all prompts are alike or all extreme
_REACH = 7.0  # standard errors of the mean success on either side
_FEWEST_EXPECTED = 5.0
_DOUBT = 0.01  # p value below which the beta-binomial does not fit
_SEED = 7


@dataclass(frozen=True)
class SuccessRow:
    """Chance that at least one of n tries succeeds, with its interval over prompts.

    ``how`` is ``"measured"`` (unbiased, within the samples) or ``"extrapolated"``.
    """

    n: int
    success: float
    ci: tuple[float, float] | None
    how: str


@dataclass(frozen=True)
class HeldOut:
    """Two laws fitted on half the tries, against what all tries measure at n."""

    n: int
    measured: float
    beta_binomial: float
    power_law: float


@dataclass(frozen=True)
class AttackSuccess:
    """Attack success by number of tries.

    Attributes
    ----------
    rows : tuple of SuccessRow
    alpha, beta : float
        The beta law of success a try over prompts.
    fit_p : float or None
        p value of the beta-binomial against the counts; None with too few prompts to tell.
    held_out : HeldOut or None
    prompts, samples : int
    verdict : tuple of str
    """

    rows: tuple[SuccessRow, ...]
    alpha: float
    beta: float
    fit_p: float | None
    held_out: HeldOut | None
    prompts: int
    samples: int
    verdict: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against the beta-binomial."""
        return self.fit_p is None or self.fit_p >= _DOUBT

    def to_dict(self) -> dict[str, Any]:
        """All numbers in plain types."""
        return asdict(self)


def attack_success(
    scores: ScoresLike,
    *,
    n: int | Sequence[int],
    success: str = "success",
    prompt: str = "prompt",
    policy: str | None = None,
    base: str | None = None,
    level: float = 0.95,
) -> AttackSuccess:
    r"""Chance that one of N tries succeeds, beyond the samples too.

    Up to the fewest tries of a prompt it is measured without bias, 1 - C(m-c, N)/C(m, N). Beyond,
    tries of a prompt succeed with a chance p that varies over prompts as Beta(alpha, beta):

    .. math:: \mathrm{ASR}(N) = 1 - \frac{B(\alpha, \beta + N)}{B(\alpha, \beta)}

    with the profile-likelihood interval. The law is an assumption about prompts never seen to fail
    or succeed; ``fit_p`` and ``held_out`` say how far the samples support it.

    Parameters
    ----------
    scores : ScoresLike
        A row a try.
    n : int or sequence of int
        Numbers of tries.
    success, prompt : str
        Columns; success is 0/1 or true/false.
    policy, base : str, optional
        Column that names the policy, and which one is attacked, where a table holds several.
    level : float, optional

    Returns
    -------
    AttackSuccess

    Raises
    ------
    InputError
        For success that is not 0 or 1, and fewer than two prompts.

    References
    ----------
    Chen et al., arXiv 2107.03374, equation 1, for pass@N; Hughes et al., arXiv 2412.03556, for
    best-of-N jailbreaking and its power law -log ASR ~ N^-b.

    Examples
    --------
    >>> import pandas as pd
    >>> tries = pd.DataFrame({"prompt": list("aabbccdd"), "success": [0, 1, 0, 0, 0, 0, 1, 1]})
    >>> found = attack_success(tries, n=[1, 2, 8])
    >>> [(row.n, round(row.success, 3), row.how) for row in found.rows][:2]
    [(1, 0.375, 'measured'), (2, 0.5, 'measured')]
    """
    table = read_scores(scores, prompt=prompt, reward=success, policy=policy, base=base)
    return judge_attacks(table.rewards, [n] if np.ndim(n) == 0 else list(np.ravel(n)), level)


def judge_attacks(tries: Groups, n: Sequence[Any], level: float = 0.95) -> AttackSuccess:
    """The same from tries in memory, 0 or 1 each."""
    sizes = [whole(one, "n", "a whole number of tries of at least 1") for one in n]
    if not sizes:
        raise InputError("no n given; name at least one number of tries.")
    if tries.prompts < 2:
        raise InputError("one prompt says nothing about others; give tries of at least two.")
    pass_at(tries, 1)  # refuses what is neither 0 nor 1
    hits, counts = tries.sums(tries.values), tries.sizes.astype(np.float64)
    law = BetaBinomial.fit(hits, counts)
    fewest = int(counts.min())
    rows = []
    for size in sorted(set(sizes)):
        if size <= fewest:
            found = mean_over_prompts(pass_at(tries, size), level=level, bounds=(0.0, 1.0))
            rows.append(SuccessRow(size, found.value, found.ci, "measured"))
        else:
            interval = law.interval(size, level)
            rows.append(SuccessRow(size, law.success(size), interval, "extrapolated"))
    fit_p = law.p_value()
    held = _held_out(tries, hits, counts)
    return AttackSuccess(
        rows=tuple(rows),
        alpha=law.alpha,
        beta=law.beta,
        fit_p=fit_p,
        held_out=held,
        prompts=tries.prompts,
        samples=tries.values.size,
        verdict=_verdict(rows, fewest, fit_p, held),
    )


@dataclass(frozen=True)
class BetaBinomial:
    """Successes of each prompt, and the beta law of their chance that fits them best."""

    hits: Array
    counts: Array
    alpha: float
    beta: float

    @classmethod
    def fit(cls, hits: Array, counts: Array) -> BetaBinomial:
        """Maximum likelihood; where all prompts agree, the concentration stops at its end."""
        pairs, weights = np.unique(np.stack([hits, counts]), axis=1, return_counts=True)
        rate = (hits.sum() + 0.5) / (counts.sum() + 1.0)

        def loss(x: Array) -> float:
            return -float(weights @ _log_likelihood(pairs, x[0], x[1]))

        starts = [(float(special.logit(rate)), c) for c in (-1.0, 1.0, 4.0)]
        bounds = [(-30.0, 30.0), _CONCENTRATIONS]
        best = min(
            (minimize(loss, start, bounds=bounds, method="L-BFGS-B") for start in starts),
            key=lambda found: float(found.fun),
        )
        alpha, beta = _shapes(best.x[0], best.x[1])
        return cls(hits, counts, float(alpha), float(beta))

    def success(self, n: int) -> float:
        """Chance that one of n tries succeeds."""
        return float(_success(self.alpha, self.beta, n))

    def interval(self, n: int, level: float) -> tuple[float, float]:
        """Profile-likelihood interval of the success at n, on a grid of both parameters."""
        pairs, weights = np.unique(np.stack([self.hits, self.counts]), axis=1, return_counts=True)
        mean = special.logit(self.alpha / (self.alpha + self.beta))
        shares = self.hits / self.counts
        rate = min(max(float(shares.mean()), 0.5 / self.counts.sum()), 1 - 0.5 / self.counts.sum())
        floor = rate * (1.0 - rate) / self.counts.sum()
        error = np.sqrt(max(float(shares.var()) / shares.size, floor)) / (rate * (1.0 - rate))
        # around the share seen: where no try succeeds, or all do, the likeliest mean lies far off
        means = special.logit(rate) + error * np.linspace(-_REACH, _REACH, _GRID)
        concentrations = np.linspace(*_CONCENTRATIONS, _GRID)
        best = float(weights @ _log_likelihood(pairs, mean, np.log(self.alpha + self.beta)))
        limit = best - float(stats.chi2.ppf(level, 1)) / 2.0
        low, high = self.success(n), self.success(n)
        for concentration in concentrations:
            values = weights @ _log_likelihood(pairs[:, :, None], means[None, :], concentration)
            alpha, beta = _shapes(means, concentration)
            reached = _within(_success(alpha, beta, n), values, limit)
            if reached is not None:
                low, high = min(low, reached[0]), max(high, reached[1])
        return low, high

    def p_value(self) -> float | None:
        """Pearson's test of the counts of successes, neighbours merged until 5 are expected."""
        largest = int(self.counts.max())
        observed, expected = np.zeros(largest + 1), np.zeros(largest + 1)
        for size in np.unique(self.counts):
            here = self.counts == size
            at = np.arange(int(size) + 1)
            log_mass = special.gammaln(size + 1) - special.gammaln(at + 1)
            log_mass += -special.gammaln(size - at + 1) + special.betaln(
                at + self.alpha, size - at + self.beta
            )
            mass = np.exp(log_mass - special.betaln(self.alpha, self.beta))
            column = np.round(at * largest / size).astype(int)
            np.add.at(expected, column, here.sum() * mass)
            taken = np.round(self.hits[here] * largest / size).astype(int)
            np.add.at(observed, taken, 1.0)
        merged = _merged(observed, expected)
        if merged is None:
            return None
        statistic = float(np.sum((merged[0] - merged[1]) ** 2 / merged[1]))
        return float(stats.chi2.sf(statistic, merged[0].size - 3))


def _shapes(mean: float | Array, concentration: float | Array) -> tuple[Array, Array]:
    total = np.exp(concentration)
    return total * special.expit(mean), total * special.expit(-np.asarray(mean))


def _success(alpha: float | Array, beta: float | Array, n: int) -> Array:
    """1 - B(alpha, beta + n) / B(alpha, beta)."""
    log_missed = special.betaln(alpha, beta + n) - special.betaln(alpha, beta)
    return np.asarray(-np.expm1(np.minimum(log_missed, 0.0)))


def _log_likelihood(pairs: Array, mean: float | Array, concentration: float | Array) -> Array:
    """Of each distinct (hits, tries), up to a constant."""
    alpha, beta = _shapes(mean, concentration)
    hits, counts = pairs[0], pairs[1]
    return np.asarray(
        special.betaln(hits + alpha, counts - hits + beta) - special.betaln(alpha, beta)
    )


def _within(successes: Array, values: Array, limit: float) -> tuple[float, float] | None:
    """Ends of where a likelihood along a line exceeds a limit, by linear interpolation."""
    inside = np.flatnonzero(values >= limit)
    if not inside.size:
        return None
    ends = []
    for at, beyond in ((inside[0], inside[0] - 1), (inside[-1], inside[-1] + 1)):
        if not 0 <= beyond < values.size:
            ends.append(float(successes[at]))
            continue
        share = (values[at] - limit) / (values[at] - values[beyond])
        ends.append(float(successes[at] + share * (successes[beyond] - successes[at])))
    return min(ends), max(ends)


def _merged(observed: Array, expected: Array) -> tuple[Array, Array] | None:
    """Neighbouring columns joined until each expects enough; None with fewer than four."""
    starts = [0]
    held = 0.0
    for at, value in enumerate(expected):
        if held >= _FEWEST_EXPECTED and expected[at:].sum() >= _FEWEST_EXPECTED:
            starts.append(at)
            held = 0.0
        held += float(value)
    if len(starts) < 4:
        return None
    return np.add.reduceat(observed, starts), np.add.reduceat(expected, starts)


def _held_out(tries: Groups, hits: Array, counts: Array) -> HeldOut | None:
    """Both laws fitted on a random half of each prompt's tries, judged at the fewest tries."""
    fewest = int(counts.min())
    half = fewest // 2
    if half < 2:
        return None
    rng = np.random.default_rng(_SEED)
    kept = rng.hypergeometric(hits.astype(int), (counts - hits).astype(int), half).astype(float)
    law = BetaBinomial.fit(kept, np.full(kept.size, float(half)))
    thinned = Groups.stack([np.arange(half) >= half - k for k in kept])
    sizes = np.unique(np.geomspace(1, half, 12).astype(int))
    measured = np.array([pass_at(thinned, int(n)).mean() for n in sizes])
    usable: BoolArray = (measured > 0.0) & (measured < 1.0)
    if usable.sum() < 2:
        return None
    slope, start = np.polyfit(np.log(sizes[usable]), np.log(-np.log(measured[usable])), 1)
    power = float(np.exp(-np.exp(start + slope * np.log(fewest))))
    return HeldOut(fewest, float(pass_at(tries, fewest).mean()), law.success(fewest), power)


def _verdict(
    rows: Sequence[SuccessRow], fewest: int, fit_p: float | None, held: HeldOut | None
) -> tuple[str, ...]:
    out = [
        f"One of {row.n} tries succeeds on {100 * row.success:.3g} % of prompts ({row.how})."
        for row in (rows[0], rows[-1])[: len(rows)]
    ]
    if rows[-1].n > fewest:
        if fit_p is None:
            out.append("Too few prompts to check the law that carries this beyond the samples.")
        elif fit_p < _DOUBT:
            out.append(
                f"The beta-binomial does not fit these counts (p = {fit_p:.2g}): do not trust "
                f"success beyond {fewest} tries; collect more tries a prompt."
            )
        else:
            out.append(f"The beta-binomial fits these counts (p = {fit_p:.2g}).")
    if held is not None:
        out.append(
            f"Fitted on half the tries, at N = {held.n} the beta-binomial says "
            f"{held.beta_binomial:.3f}, the power law {held.power_law:.3f}; measured "
            f"{held.measured:.3f}."
        )
    out.append(
        "This is absolute success; the win rate under Worst-of-N compares two models and is no "
        "chance of success."
    )
    return tuple(out)
