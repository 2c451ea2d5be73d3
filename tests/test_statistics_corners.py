"""Formulas of empirical statistics asked directly: derivatives, deletions, exact crossings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

from infalign_theory.empirical.fitting.discrete_fit import (
    fit_discrete,
    fixed_family,
    planned_discrete,
)
from infalign_theory.empirical.fitting.families import fixed_transform
from infalign_theory.empirical.fitting.goodness import goodness_of_fit
from infalign_theory.empirical.fitting.likelihood import Counts, Likelihood
from infalign_theory.empirical.fitting.spread import _Curves, _influence, fit_spread
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.pairs_over_prompts import PairMoments
from infalign_theory.empirical.statistics.truth import TruthPairs, true_win_rate
from infalign_theory.empirical.statistics.turning import peaks, turn, zero_of_slope
from infalign_theory.errors import InputError
from infalign_theory.policies.alignment import align
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.names import as_transform
from tests.ranks import tied_ranks

pytestmark = pytest.mark.slow

# -------------------------------------------------------------------------- pairs over prompts


@pytest.fixture(scope="module")
def moments():
    rng = np.random.default_rng(0)
    aligned = [rng.normal(shift, 1, 6) for shift in rng.normal(0.5, 0.8, 12)]
    base = [rng.normal(0, 1, 7) for _ in aligned]
    aligned[3], base[5] = aligned[3][:1], base[5][:1]  # two prompts that cannot tell
    return PairMoments.of(calibrate(*map(Groups.stack, ([sorted(a) for a in aligned], base))))


def test_the_variance_of_win_rates_is_over_pairs_of_prompts(moments):
    assert moments.known.tolist() == [i not in (3, 5) for i in range(12)]
    assert moments.prompts == 10
    rate, square = moments.rate[moments.known], moments.square[moments.known]
    pairs = [rate[i] * rate[j] for i in range(10) for j in range(10) if i != j]
    assert moments.variance == pytest.approx(square.mean() - np.mean(pairs), abs=1e-14)


def test_influences_are_derivatives_in_a_prompt_s_weight(moments):
    rate, square = moments.rate[moments.known], moments.square[moments.known]

    def found(weights):
        weights = weights / weights.sum()
        return np.array([weights @ rate, weights @ square - (weights @ rate) ** 2])

    assert (moments.influence[~moments.known] == 0).all()
    each = np.flatnonzero(moments.known)
    for i, prompt in enumerate(each):
        step = 1e-6 * np.eye(10)[i]
        slope = (found(np.ones(10) / 10 + step) - found(np.ones(10) / 10 - step)) / 2e-6
        assert moments.influence[prompt] == pytest.approx(slope, abs=1e-8)


def test_the_p_value_of_a_variance_is_student_s(moments):
    influence = moments.influence[moments.known, 1]
    error = stats.sem(influence)
    assert moments.p_value == pytest.approx(stats.t(9).sf(moments.variance / error), rel=1e-12)
    same = dataclasses.replace(moments, rate=np.full(12, 0.5), square=np.full(12, 0.25))
    assert same.p_value == 1.0


# ------------------------------------------------------------------------------- peaks and turns


def two_columns(prompts, t):
    """A curve of two columns whose fall has a given t statistic."""
    wobble = np.linspace(-1.0, 1.0, prompts)
    fall = t * stats.sem(wobble) + wobble
    return np.stack([fall, np.zeros(prompts)], axis=1)


@pytest.mark.parametrize("prompts", [4, 12])
@pytest.mark.parametrize("statements", [1, 5])
def test_a_fall_is_told_from_its_critical_value_on(prompts, statements):
    # of one pair the largest t is normal, its multipliers as wide as P - 1 of P prompts
    heavier = stats.t.ppf(0.975, prompts - 1) / stats.norm.ppf(0.975)
    limit = stats.norm.ppf(1 - 0.05 / statements) * heavier * np.sqrt((prompts - 1) / prompts)
    assert not peaks([two_columns(prompts, 0.92 * limit)], 0.95, statements)[0].falls
    assert peaks([two_columns(prompts, 1.08 * limit)], 0.95, statements)[0].falls
    # a second curve is a second look
    flat = two_columns(prompts, 0.0)[:, ::-1] * np.cos(np.arange(prompts))[:, None]
    both = peaks([two_columns(prompts, 1.02 * limit), flat], 0.95, statements)
    assert not both[0].falls
    assert not both[1].falls


@pytest.mark.parametrize("prompts", [4, 12])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_column_may_be_the_peak_up_to_a_critical_value(prompts, sign):
    heavier = stats.t.ppf(0.975, prompts - 1) / stats.norm.ppf(0.975)
    limit = stats.norm.ppf(0.975) * heavier * np.sqrt((prompts - 1) / prompts)
    unsure = peaks([two_columns(prompts, sign * 0.92 * limit)])[0]
    assert unsure.possible.tolist() == [True, True]
    sure = peaks([two_columns(prompts, sign * 1.08 * limit)])[0]
    assert sure.at == (0 if sign > 0 else 1)
    assert sure.possible.tolist() == [sign > 0, sign < 0]


@pytest.mark.parametrize("scale", [1.0, 1e-15])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_the_interval_of_a_turn_inverts_a_test_of_the_slope(scale, level):
    positions = np.array([0.0, 0.5, 1.5, 2.0, 4.0])
    wobble = np.linspace(-0.3, 0.3, 9)[:, None]
    slopes = scale * (1.3 - positions + wobble)
    low, high = zero_of_slope(positions, slopes, level)
    reach = stats.t.ppf(0.5 + level / 2, 8) * stats.sem(wobble[:, 0])
    # the error is the same everywhere, so that t is linear in the position
    assert (low, high) == pytest.approx((1.3 - reach, 1.3 + reach), abs=1e-12)


def test_turns_need_two_prompts_and_three_columns():
    positions = np.array([0.0, 1.0, 2.0])
    curve = np.array([1.0, 2.0, 0.0]) + np.linspace(-0.01, 0.01, 8)[:, None] * [1.0, -1.0, 2.0]
    found = turn(positions, curve)
    assert found.at is not None
    assert found == turn(positions, curve, 0.95)
    assert found.ci[0] <= found.at <= found.ci[1]
    assert found.ci != turn(positions, curve, 0.5).ci
    assert turn(positions, curve[:1]).at is None
    assert turn(positions[:2], curve[:, :2][:, ::-1]).at is None


# --------------------------------------------------------------------------------------- truth


def tilt(bases):
    """A law that depends on the bases it is asked for, so that leaving a sample out matters."""
    finite = 3.0 * bases.points.u
    normaliser = np.log(bases.sums(bases.mass * np.exp(finite)))
    return finite - bases.spread_out(normaliser)


@pytest.mark.parametrize("procedure", ["standard", "bon:2", "won:3"])
def test_true_win_rates_lose_their_bias_of_first_order(procedure):
    rng = np.random.default_rng(4)
    proxies = [np.sort(rng.integers(0, 4, size)).astype(float) for size in (5, 1, 6)]
    truths = [rng.integers(0, 3, p.size).astype(float) for p in proxies]
    rule = as_procedure(procedure)

    def plain(proxy, truth):
        pairs = TruthPairs.of(Groups.stack([proxy]), truth)
        return float(pairs.win_rates(tilt(pairs.bases), rule)[0])

    expected = []
    for proxy, truth in zip(proxies, truths, strict=True):
        k = proxy.size
        if k == 1:
            expected.append(plain(proxy, truth))
            continue
        less = [plain(np.delete(proxy, i), np.delete(truth, i)) for i in range(k)]
        expected.append(k * plain(proxy, truth) - (k - 1) * np.mean(less))
    pairs = TruthPairs.of(Groups.stack(proxies), np.concatenate(truths))
    found = true_win_rate(pairs, tilt, rule)
    assert found.estimate.value == pytest.approx(np.clip(np.mean(expected), 0, 1), abs=1e-12)
    assert found.estimate.stderr == pytest.approx(stats.sem(expected), abs=1e-12)
    assert found == true_win_rate(pairs, tilt, rule, level=0.95)
    assert found.estimate.ci != true_win_rate(pairs, tilt, rule, level=0.5).estimate.ci
    weights = [np.exp(tilt(TruthPairs.of(Groups.stack([p]), t).bases)) for p, t in
               zip(proxies, truths, strict=True)]  # fmt: skip
    kish = []
    for p, w in zip(proxies, weights, strict=True):
        each = w[np.unique(p, return_inverse=True)[1]]
        kish.append(each.sum() ** 2 / np.sum(each**2))
    assert found.effective_samples == pytest.approx(np.median(kish), rel=1e-12)


def test_a_corrected_true_win_rate_stays_a_probability():
    proxies = Groups.stack([[0, 1, 2, 3]] * 3)
    for truth, end in (([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0)):
        pairs = TruthPairs.of(proxies, truth * 3)

        def hard(bases):  # all mass on the top atom, less where a sample is left out
            top = np.zeros(bases.mass.size)
            top[bases.offsets[1:] - 1] = 1.0
            with np.errstate(divide="ignore"):
                return np.log(top / bases.mass)

        found = true_win_rate(pairs, hard, as_procedure("standard"), as_procedure("won:4"))
        assert 0.0 <= found.estimate.value <= 1.0
        assert abs(found.estimate.value - end) < 0.5


# ------------------------------------------------------------------------------- discrete fits


def graded(prompts, samples=15, seed=1):
    """Aligned and base samples on six grades, each prompt tilted by its own strength."""
    rng = np.random.default_rng(seed)
    base = [np.sort(rng.integers(0, 6, samples)) for _ in range(prompts)]
    aligned = []
    for _ in range(prompts):
        p = np.exp(rng.normal(1.2, 0.4) * np.arange(6) / 5)
        aligned.append(np.sort(rng.choice(6, samples, p=p / p.sum())))
    aligned[2] = aligned[2][:0]  # a prompt that says nothing
    return aligned, base


def without(ranks, prompt):
    kept = np.ones(ranks.prompts, dtype=bool)
    kept[prompt] = False
    return ranks.only(kept)


def test_errors_of_a_fit_are_those_of_leaving_out_a_prompt():
    ranks = tied_ranks(*graded(41))
    transform = as_transform("identity")
    duels = [Duel.of("bon:2"), Duel.of("won:3")]

    def numbers(fit):
        local, _ = fit.outcomes(duels)
        return np.array([fit.k.value, *local[fit.ranks.usable].mean(axis=0)])

    fit = fit_discrete(ranks, transform)
    usable = np.flatnonzero(ranks.usable)
    less = np.array([numbers(fit_discrete(without(ranks, i), transform)) for i in usable])
    count = len(less)
    error = np.sqrt((count - 1) / count * np.sum((less - less.mean(axis=0)) ** 2, axis=0))
    local, influence = fit.outcomes(duels)
    each = (local + influence)[ranks.usable]
    assert fit.prompts == count == 40
    assert fit.k.stderr == pytest.approx(error[0], rel=0.15)
    assert stats.sem(each) == pytest.approx(error[1:], rel=0.15)
    assert fit.kl.value == pytest.approx(local[ranks.usable, 0].mean(), abs=1e-6)
    assert fit.kl.stderr == pytest.approx(stats.sem(each[:, 0]), rel=1e-9)


@pytest.mark.parametrize("name", ["identity", None])
def test_parts_of_a_fit_are_what_they_are_called(name):
    ranks = tied_ranks(*graded(13, 40))
    duels = [Duel.of("bon:2"), Duel.of("won:3")]
    fit = fit_discrete(ranks, name and as_transform(name))
    assert (fit.k.prompts, fit.k.excluded) == (12, 1)
    assert fit.influence.mean(axis=0) == pytest.approx(np.zeros(fit.theta.size), abs=1e-8)
    scatter = fit.influence - fit.influence.mean(axis=0)
    assert fit.covariance == pytest.approx(scatter.T @ scatter / 11 / 12)
    if name is None:
        low, high = fit.t.ci
        assert fit.t.value == fit.theta[1]
        assert low < fit.t.value < high
        assert fit.t.stderr == pytest.approx(np.sqrt(fit.covariance[1, 1]))
    local, influence = fit.outcomes(duels)
    assert (influence[~ranks.usable] == 0).all()
    through = np.zeros((12, 3))
    for i in range(fit.theta.size):
        step = 1e-3 * np.eye(fit.theta.size)[i]
        up, down = (
            ranks.outcomes(fit.eta(fit.theta + s), duels)[ranks.usable].mean(axis=0)
            for s in (step, -step)
        )
        through += np.outer(fit.influence[:, i], (up - down) / 2e-3)
    assert influence[ranks.usable] == pytest.approx(through, rel=0.02, abs=1e-6)
    once = ranks.outcomes(fit.eta(), duels, order=1)[ranks.usable, 1:]
    gap = (local[ranks.usable, 1:] - once).mean(axis=0)
    assert fit.expected(duels).doubt == pytest.approx(abs(gap), abs=1e-15)


def test_goodness_is_hotelling_s_with_what_the_jackknife_leaves_as_an_error():
    ranks = tied_ranks(*graded(30, 6))  # few samples, of which the jackknife leaves much
    fit, _ = planned_discrete(ranks, as_transform("identity"), beta=1.0, kl=None, level=0.95)
    u = ranks.table[1].u
    waves = np.stack([np.polynomial.legendre.legval(2 * u - 1, np.eye(5)[d]) for d in range(1, 5)])
    found, once = (ranks.residuals(fit.eta(), waves, order=o)[ranks.usable, 1:] for o in (2, 1))
    doubt = (found - once).mean(axis=0)
    count = len(found)
    scatter = (found - found.mean(axis=0)).T @ (found - found.mean(axis=0)) / (count - 1)
    values, axes = np.linalg.eigh(scatter)
    axes = axes[:, values > 0.03 * values.max()]
    error = axes.T @ (scatter / count + np.outer(doubt, doubt)) @ axes
    gap = axes.T @ found.mean(axis=0)
    t2 = gap @ np.linalg.inv(error) @ gap
    df = axes.shape[1]
    f = t2 * (count - df) / (df * (count - 1))
    assert fit.goodness.statistic == pytest.approx(t2, rel=1e-9)
    assert fit.goodness.df == df
    assert fit.goodness.p_value == pytest.approx(stats.f(df, count - df).sf(f), rel=1e-9)


def test_a_run_that_lost_has_a_negative_strength():
    aligned, base = graded(20, 12)
    down = fit_discrete(
        tied_ranks([np.sort(5 - a) for a in aligned], base), as_transform("identity")
    )
    assert down.k.value < 0
    assert down.k.ci[1] < 0


def test_transforms_without_a_finite_spread_cannot_be_fitted():
    for u in ([0.0, 0.5], [0.5, 0.5]):
        points = Points.from_pair(np.array(u), 1 - np.array(u))
        with pytest.raises(InputError, match="constant or not finite"):
            fixed_family(as_transform("log"), points)


def test_shares_of_ranks_have_their_errors_over_prompts():
    ranks = tied_ranks(*graded(30))
    shares = fit_discrete(ranks, as_transform("identity")).shares
    bins = 16  # one more than base samples
    each = ranks.calibration.shares(bins)[ranks.usable]
    assert shares.edges == pytest.approx(np.arange(bins + 1) / bins)
    assert shares.observed == pytest.approx(each.mean(axis=0))
    assert shares.stderr == pytest.approx(stats.sem(each), rel=1e-12)
    assert shares.expected.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["identity", "log"])
def test_a_planned_strength_is_kept(name):
    ranks = tied_ranks(*graded(12))
    fit, doubt = planned_discrete(ranks, as_transform(name), beta=0.4, kl=None, level=0.95)
    assert doubt is None
    assert fit.k.value == pytest.approx(2.5, rel=1e-12)
    assert fit.t is None
    spent = ranks.outcomes(fit.eta(), ())[ranks.usable, 0].mean()
    again, doubt = planned_discrete(
        ranks, as_transform(name), beta=None, kl=float(spent), level=0.95
    )
    assert doubt is None
    assert again.k.value == pytest.approx(2.5, rel=1e-8)
    assert (fit.covariance == 0).all()


# --------------------------------------------------------------------------- goodness of a plan


def planned_ranks(rng, sizes):
    """Ranks of twelve samples a prompt of the tilt exp(u) among so many base samples."""
    aligned = [np.log1p(rng.random(12) * np.expm1(1.0)) for _ in sizes]
    base = [rng.random(size) for size in sizes]
    return calibrate(*(Groups.stack([np.sort(s) for s in side]) for side in (aligned, base)))


def judged(ranks):
    """Goodness in four bins of that very tilt, nothing fitted."""
    counts = Counts.of(ranks)
    likelihood = Likelihood.of(counts, correct=True)
    family, scale = fixed_transform(as_transform("identity"), likelihood.points, likelihood.grid)
    value = likelihood.at(family, np.array([scale]))
    nothing = np.zeros((counts.prompts, 1)), np.zeros((1, 1))
    return goodness_of_fit(counts, value, *nothing, largest=4)


@pytest.mark.parametrize("sizes", [[9] * 8, [5] * 4 + [40] * 7])
def test_goodness_is_pearson_s_with_the_prompts_own_spread(sizes):
    ranks = planned_ranks(np.random.default_rng(len(sizes)), sizes)
    goodness, shares = judged(ranks)
    assert shares.edges.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    each = ranks.shares(4)
    # what the law says of a prompt depends on how many base samples it has
    own = [
        judged(planned_ranks(np.random.default_rng(0), [size] * 3))[1].expected for size in sizes
    ]
    share = np.mean(own, axis=0)
    assert shares.expected == pytest.approx(share, rel=1e-9)
    gap = each.mean(axis=0) - share
    left = (each - own) / np.sqrt(share)
    spread = np.cov(left.T, ddof=1)
    df = np.trace(spread) ** 2 / np.sum(spread**2)
    statistic = len(sizes) * np.sum(gap**2 / share) * np.trace(spread) / np.sum(spread**2)
    assert goodness.df == pytest.approx(df, rel=1e-9)
    assert goodness.statistic == pytest.approx(statistic, rel=1e-9)
    law = stats.f(df, df * (len(sizes) - 1))
    assert goodness.p_value == pytest.approx(law.sf(statistic / df), rel=1e-9)


def test_influences_on_mean_and_mean_square_are_derivatives(moments):
    rate, square = moments.rate[moments.known], moments.square[moments.known]
    found = _influence(moments, np.eye(2))[moments.known]
    assert found[:, 0] == pytest.approx(rate - rate.mean())
    assert found[:, 1] == pytest.approx(square - square.mean(), abs=1e-12)


@pytest.mark.parametrize("log_sd", [0.0, 0.6])
def test_the_kl_of_a_spread_is_the_mean_over_strengths(log_sd):
    rng = np.random.default_rng(5)
    strengths = 2.5 * np.exp(log_sd * rng.normal(size=150))
    aligned = [np.log1p(rng.random(15) * np.expm1(k)) / k for k in strengths]
    ranks = calibrate(
        Groups.stack([np.sort(a) for a in aligned]),
        Groups.stack([np.sort(rng.random(15)) for _ in strengths]),
    )
    fit = fit_spread(ranks, as_transform("identity"), [Duel.of("bon:2")], PairMoments.of(ranks))
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    ks = fit.k * np.exp(fit.log_sd * nodes)
    spent = [align("identity", beta=1 / k).kl for k in ks]
    weights = weights / weights.sum()
    mean = weights @ spent
    assert fit.log_sd > 0.3 or log_sd == 0.0
    assert fit.kl == pytest.approx(mean, rel=1e-3)
    deviation = np.sqrt(weights @ (spent - mean) ** 2)
    assert fit.kl_sd == pytest.approx(deviation, rel=0.03)  # a difference of two splines


@pytest.mark.parametrize("log_sd", [0.0, 0.6])
def test_errors_of_a_spread_are_those_of_leaving_out_a_prompt(log_sd):
    rng = np.random.default_rng(6)
    strengths = 2.0 * np.exp(log_sd * rng.normal(size=40))
    aligned = [np.sort(np.log1p(rng.random(15) * np.expm1(k)) / k) for k in strengths]
    base = [np.sort(rng.random(15)) for _ in strengths]
    duels = [Duel.of("bon:2"), Duel.of("won:4")]

    def fitted(kept):
        sides = ([side[i] for i in kept] for side in (aligned, base))
        ranks = calibrate(*map(Groups.stack, sides))
        fit = fit_spread(ranks, as_transform("identity"), duels, PairMoments.of(ranks))
        return fit.expectation

    whole = fitted(range(40))
    assert np.ptp(whole.local, axis=0) == pytest.approx([0.0, 0.0])
    less = np.array([fitted(np.delete(np.arange(40), i)).local[0] for i in range(40)])
    error = np.sqrt(39 / 40 * np.sum((less - less.mean(axis=0)) ** 2, axis=0))
    assert stats.sem(whole.influence) == pytest.approx(error, rel=0.15)


def test_rows_of_the_table_are_mean_ranks_and_their_complements():
    ranks = tied_ranks(*graded(3, 9))
    first, points = ranks.table
    for k in (7, 8, 9):
        rows = slice(first[k], first[k] + 2 * k + 1)
        twice = np.arange(2 * k + 1)  # below and equal, doubled: 2 b + e
        assert points.u[rows] == pytest.approx((twice + 1) / (2 * k + 2))
        assert points.v[rows] == pytest.approx(1 - (twice + 1) / (2 * k + 2))


def test_slopes_of_a_spread_are_derivatives():
    curves = _Curves.of(drawn_by_identity(0.0), as_transform("identity"), [Duel.of("bon:2")])
    step = 1e-3
    for log_sd in (0.2, 0.7):
        wide = curves.mixed(0.9, log_sd + step) - curves.mixed(0.9, log_sd - step)
        first = curves.mixed(0.9 + step, log_sd) - curves.mixed(0.9 - step, log_sd)
        exact = np.stack([first, wide]) / (2 * step)
        assert curves.slopes(0.9, log_sd) == pytest.approx(exact, rel=1e-4, abs=1e-8)


def drawn_by_identity(log_sd, prompts=40, seed=8):
    rng = np.random.default_rng(seed)
    strengths = 2.0 * np.exp(log_sd * rng.normal(size=prompts))
    aligned = [np.sort(np.log1p(rng.random(12) * np.expm1(k)) / k) for k in strengths]
    return calibrate(*map(Groups.stack, (aligned, [np.sort(rng.random(12)) for _ in strengths])))


def test_goodness_without_spread_is_that_of_one_strength_matched_to_the_mean_win_rate():
    ranks = next(
        found
        for found in (drawn_by_identity(0.0, seed=seed) for seed in range(20))
        if PairMoments.of(found).variance < 0.0
    )
    moments = PairMoments.of(ranks)
    fit = fit_spread(ranks, as_transform("identity"), [], moments)
    assert fit.log_sd == 0.0
    counts = Counts.of(ranks)
    likelihood = Likelihood.of(counts, correct=True)
    family, scale = fixed_transform(as_transform("identity"), likelihood.points, likelihood.grid)
    theta = fit.k * scale
    standard = Duel.of("standard")

    def rate(x):
        return likelihood.win_rate(family, np.array([x]), standard.ours, standard.theirs)

    assert rate(theta) == pytest.approx(moments.rate.mean(), abs=1e-5)  # by a spline
    rise = theta * (rate(1.001 * theta) - rate(0.999 * theta)) / (0.002 * theta)
    value = likelihood.at(family, np.array([theta]))
    value = dataclasses.replace(value, scores=theta * value.scores)  # in log k
    by_prompt = moments.influence[:, :1] / rise
    exact, _ = goodness_of_fit(counts, value, by_prompt, np.eye(1))
    assert fit.goodness.df == pytest.approx(exact.df, rel=1e-3)
    assert fit.goodness.statistic == pytest.approx(exact.statistic, rel=1e-3)
    assert fit.goodness.p_value == pytest.approx(exact.p_value, abs=1e-3)


def test_two_prompts_can_tell_a_turn():
    positions = np.linspace(0.0, 1.0, 5)
    curve = positions * (1 - positions) + np.array([[1e-4], [-1e-4]]) * positions
    assert turn(positions, curve).at == pytest.approx(0.5, abs=0.01)
