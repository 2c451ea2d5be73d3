"""Estimators against brute force over subsets, exact fractions, simulation and real scores."""

from __future__ import annotations

import inspect
import json
from fractions import Fraction
from itertools import combinations
from math import comb, log

import mpmath as mp
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import infalign_theory as it
from infalign_theory.empirical.scores import groups as grouping
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics import estimators as est
from infalign_theory.empirical.statistics import kl as divergence
from infalign_theory.empirical.statistics import uncertainty
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.kernels import ustatistics

PICKS = {"bon": max, "won": min}
scores = st.lists(st.integers(0, 3), min_size=1, max_size=7)


def names(n):
    return ["standard"] if n == 1 else [f"bon:{n}", f"won:{n}"]


def subsets(values, name):
    """Every value that a procedure can pick, one a subset."""
    kind, _, n = name.partition(":")
    return [PICKS.get(kind, max)(s) for s in combinations(values, int(n or 1))]


def duel(ours, theirs):
    """Average win over all pairs, ties counted half, exactly."""
    won = sum(2 * (a > b) + (a == b) for a in ours for b in theirs)
    return Fraction(won, 2 * len(ours) * len(theirs))


# ------------------------------------------------------------------------------- order is all
@pytest.mark.parametrize("change", [lambda x: np.exp(x) - 3.0, lambda x: 1e-3 * x**3, np.arctan])
def test_an_increasing_map_of_the_scores_changes_no_bit(change):
    rng = np.random.default_rng(7)
    ours, theirs = (np.sort(rng.integers(-4, 5, (30, 8)), axis=1).astype(float) for _ in range(2))
    truth = rng.random(ours.size)

    def found(a, b):
        a, b = Groups.stack(list(a)), Groups.stack(list(b))
        ranks = calibrate(a, b)
        yield from (est.win_rates(a, b, name) for name in ("standard", "bon:4", "won:3"))
        yield from (est.picked_truth(a, truth, name) for name in ("bon:4", "won:3"))
        yield est.picked_win_rates(a, truth, b, truth, "bon:2")
        yield from (est.tie_fractions(a), est.cross_tie_fractions(a, b), ranks.rewards)
        yield divergence.plugin_kl(a, "bon:4")

    for before, after in zip(found(ours, theirs), found(change(ours), change(theirs)), strict=True):
        assert before.tobytes() == after.tobytes()
        assert np.std(before) > 0.0


# ------------------------------------------------------------------------------- win rates, exactly
@pytest.mark.slow
@settings(max_examples=60)
@given(scores, scores)
def test_win_rates_are_the_average_over_all_pairs_of_subsets(a, b):
    aligned, base = Groups.stack([a]), Groups.stack([b])
    for n in range(1, 5):
        for name in names(n):
            found = est.win_rates(aligned, base, name)[0]
            if n > min(len(a), len(b)):
                assert np.isnan(found)
            else:
                assert abs(found - float(duel(subsets(a, name), subsets(b, name)))) <= 1e-12


@settings(max_examples=30)
@given(scores, scores, st.sampled_from(["standard", "bon:2", "won:3"]))
def test_each_side_may_have_its_own_procedure(a, b, theirs):
    for ours in ("standard", "bon:3", "won:2"):
        found = est.win_rates(Groups.stack([a]), Groups.stack([b]), ours, theirs)[0]
        left, right = subsets(a, ours), subsets(b, theirs)
        if left and right:
            assert abs(found - float(duel(left, right))) <= 1e-12
        else:
            assert np.isnan(found)


def test_many_prompts_of_any_size_are_each_prompt_alone():
    rng = np.random.default_rng(0)
    a = [rng.integers(0, 5, rng.integers(0, 8)) for _ in range(60)]
    b = [rng.integers(0, 5, rng.integers(0, 8)) for _ in range(60)]
    both = est.win_rates(Groups.stack(a), Groups.stack(b), "won:2")
    for x, y, found in zip(a, b, both, strict=True):
        if min(len(x), len(y)) < 2:
            assert np.isnan(found)
        else:
            expected = duel(subsets(x.tolist(), "won:2"), subsets(y.tolist(), "won:2"))
            assert found == pytest.approx(float(expected), abs=1e-12)
    mean = uncertainty.mean_over_prompts(both)
    assert mean.excluded == sum(min(len(x), len(y)) < 2 for x, y in zip(a, b, strict=True))
    assert mean.prompts + mean.excluded == 60


@pytest.mark.parametrize("n", [1, 2, 17, 59, 60])
def test_every_subset_size_up_to_all_samples_exactly(n):
    """Without ties W = sum_j P(base pick is j) P(aligned pick is above j), in fractions."""
    rng = np.random.default_rng(1)
    values = rng.permutation(130)
    a, b = np.sort(values[:70]), np.sort(values[70:])
    total = comb(70, n)
    expected = sum(
        Fraction(comb(j, n - 1), comb(60, n)) * (1 - Fraction(comb(int((a < y).sum()), n), total))
        for j, y in enumerate(b)
    )
    found = est.win_rates(Groups.stack([a]), Groups.stack([b]), f"bon:{n}")[0]
    assert found == pytest.approx(float(expected), rel=1e-13, abs=0)
    mirrored = est.win_rates(Groups.stack([-b]), Groups.stack([-a]), f"won:{n}")[0]
    assert mirrored == pytest.approx(float(expected), rel=1e-13, abs=0)


@pytest.mark.parametrize("n", [1, 2, 30, 5000, 99_999, 100_000])
def test_weights_of_a_hundred_thousand_samples(n):
    m = 100_000
    weights = np.empty(m)
    ustatistics.pick_weights(m, n, True, weights)
    assert weights.sum() == pytest.approx(1.0, abs=1e-11)
    for rank in (m, m - 1, m - 37, 60_000):
        with mp.workdps(30):
            exact = mp.binomial(rank - 1, n - 1) / mp.binomial(m, n) if rank >= n else mp.mpf(0)
            exact = float(exact)
        assert weights[rank - 1] == pytest.approx(exact, rel=1e-10, abs=1e-300)
    rng = np.random.default_rng(2)
    a, b = (
        Groups.stack([rng.integers(0, 10**4, m)]),
        Groups.stack([rng.integers(0, 10**4, 120_000)]),
    )
    name = f"won:{n}"
    won, lost = est.win_rates(a, b, name)[0], est.win_rates(b, a, name)[0]
    assert won + lost == pytest.approx(1.0, abs=1e-10)


def test_threads_do_not_change_a_bit(monkeypatch):
    rng = np.random.default_rng(3)
    a, b = (Groups.stack(rng.normal(size=(501, 9)).round(1)) for _ in range(2))
    alone = est.win_rates(a, b, "bon:4"), calibrate(a, b).rewards
    monkeypatch.setattr(grouping, "WORTH_THREADS", 0)
    for count in (2, 3, 8):
        monkeypatch.setattr(grouping.os, "cpu_count", lambda count=count: count)
        assert est.win_rates(a, b, "bon:4").tobytes() == alone[0].tobytes()
        assert calibrate(a, b).rewards.tobytes() == alone[1].tobytes()


# ------------------------------------------------------------------------ truth, ties, calibration
@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), min_size=1, max_size=7))
def test_the_truth_of_the_pick_is_the_average_over_subsets_with_ties_shared(samples):
    samples = sorted(samples, key=lambda pair: pair[0])
    proxy, truth = Groups.stack([[p for p, _ in samples]]), [t for _, t in samples]
    for n in range(1, min(4, len(samples)) + 1):
        for name in names(n):
            pick = PICKS.get(name.partition(":")[0], max)
            each = []
            for chosen in combinations(samples, n):
                kept = pick(p for p, _ in chosen)
                each.append(np.mean([t for p, t in chosen if p == kept]))
            found = est.picked_truth(proxy, truth, name)[0]
            # by symmetry tied samples share alike within a subset and over all subsets
            assert found == pytest.approx(float(np.mean(each)), abs=1e-12)
    assert np.isnan(est.picked_truth(proxy, truth, f"bon:{len(samples) + 1}")[0])


PAIRS = [
    [(0, 1.0), (0, 0.0), (2, 0.5), (2, 0.5)],
    [(1, 0.0), (1, 1.0), (1, 0.5)],
    [(-1, 0.2), (0, 0.1), (0, 0.7), (3, 0.1), (3, 0.4)],
    [(5, 1.0), (6, 0.0)],
]


def picked(samples, name):
    """Each truth that a pick can have, with its chance: all subsets, equal proxies alike."""
    kind, _, n = name.partition(":")
    chosen = list(combinations(samples, int(n or 1)))
    for subset in chosen:
        kept = PICKS.get(kind, max)(proxy for proxy, _ in subset)
        truths = [truth for proxy, truth in subset if proxy == kept]
        yield from ((truth, 1.0 / len(truths) / len(chosen)) for truth in truths)


@pytest.mark.parametrize("theirs", ["standard", "bon:2", "won:2"])
@pytest.mark.parametrize("ours", ["standard", "bon:2", "won:2"])
def test_true_win_rates_of_picks_are_the_average_over_all_pairs_of_subsets(ours, theirs):
    sides = [PAIRS, [*PAIRS[1:], PAIRS[0]]]
    groups = [Groups.stack([[proxy for proxy, _ in one] for one in side]) for side in sides]
    truths = [[truth for one in side for _, truth in one] for side in sides]
    found = est.picked_win_rates(
        groups[0], truths[0], groups[1], truths[1], ours, against_procedure=theirs
    )
    for here, a, b in zip(found, *sides, strict=True):
        won = sum(
            p * q * ((x > y) + (x == y) / 2)
            for x, p in picked(a, ours)
            for y, q in picked(b, theirs)
        )
        assert here == pytest.approx(won, abs=1e-14)


def test_true_win_rates_need_samples_and_truths_of_both_sides():
    one, two = Groups.stack([[1, 2], [1, 2], [1, 2]]), Groups.stack([[0, 3], [0], [0, 3]])
    for aligned, base, truths in ((one, two, (6, 5)), (two, one, (5, 6))):
        known = [np.linspace(0.0, 1.0, size) for size in truths]
        known[0][-1] = np.nan
        found = est.picked_win_rates(aligned, known[0], base, known[1], "bon:2")
        assert np.isnan(found).tolist() == [False, True, True]


def test_ties_are_counted_prompt_by_prompt():
    a, b = (
        Groups.stack([[1, 1, 2], [5], [3, 3, 3, 3], [1, 2]]),
        Groups.stack([[1], [5, 5], [4], [1, 3]]),
    )
    assert est.tie_fractions(a) == pytest.approx([1 / 3, np.nan, 1.0, 0.0], nan_ok=True)
    assert est.cross_tie_fractions(a, b) == pytest.approx([2 / 3, 1.0, 0.0, 1 / 4])
    assert est.mean_tie_fraction(a) == pytest.approx((1 / 3 + 1.0) / 4)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(st.integers(0, 1), min_size=1, max_size=7), st.integers(1, 8))
def test_pass_at_n_and_all_at_n_count_subsets(truth, n):
    groups = Groups.stack([truth])
    passed, every = est.pass_at(groups, n)[0], est.all_at(groups, n)[0]
    if n > len(truth):
        assert np.isnan(passed)
        assert np.isnan(every)
        return
    chosen = list(combinations(truth, n))
    assert passed == pytest.approx(np.mean([max(s) for s in chosen]), abs=1e-12)
    assert every == pytest.approx(np.mean([min(s) for s in chosen]), abs=1e-12)
    ordered = Groups.stack([sorted(truth)])
    assert passed == pytest.approx(est.picked_truth(ordered, sorted(truth), f"bon:{n}")[0])
    assert every == pytest.approx(est.picked_truth(ordered, sorted(truth), f"won:{n}")[0])


def test_one_correct_of_four_is_best_at_four_for_sure():
    """verl resamples with replacement and reports 1 - (3/4)^4 = 0.684 here."""
    truth = Groups.stack([[0, 0, 0, 1]])
    assert est.pass_at(truth, 4).tolist() == [1.0]
    assert est.picked_truth(truth, truth.values, "bon:4").tolist() == [1.0]
    assert est.all_at(truth, 4).tolist() == [0.0]


def test_pass_at_n_of_many_samples_is_exact():
    truth = Groups.stack([np.arange(50_000) < c for c in (0, 1, 7, 49_000, 50_000)])
    for n in (1, 3, 900, 50_000):
        exact = [1 - Fraction(comb(50_000 - c, n), comb(50_000, n)) for c in (0, 1, 7)]
        np.testing.assert_allclose(est.pass_at(truth, n)[:3], [float(x) for x in exact], rtol=1e-10)


@settings(max_examples=40)
@given(scores, scores)
def test_calibrated_rewards_count_ties_half(a, b):
    calibration = calibrate(Groups.stack([a]), Groups.stack([b]))
    expected = [np.mean([(y < x) + (y == x) / 2 for y in b]) for x in sorted(a)]
    np.testing.assert_allclose(calibration.rewards, expected, atol=1e-14)
    # their mean is the standard win rate
    won = est.win_rates(Groups.stack([a]), Groups.stack([b]))[0]
    assert calibration.rewards.mean() == pytest.approx(won, abs=1e-12)
    pairs = list(combinations(a, 2))
    ties = est.tie_fractions(Groups.stack([a]))[0]
    assert (
        np.isnan(ties) if not pairs else ties == pytest.approx(np.mean([x == y for x, y in pairs]))
    )


@settings(max_examples=40)
@given(scores, st.integers(1, 12))
def test_ranks_of_an_exchangeable_sample_are_uniform_whatever_the_ties(values, bins):
    """Under the base each of K + 1 samples is the aligned one with equal chance."""
    rest = [values[:i] + values[i + 1 :] for i in range(len(values))]
    ones = Groups.stack([*([v] for v in values), [7]])
    calibration = calibrate(ones, Groups.stack([*rest, [7]]))
    if len(values) == 1:
        assert np.isnan(calibration.shares(bins)[0]).all()
        assert np.isnan(calibration.rewards[0])
    else:
        np.testing.assert_allclose(calibration.shares(bins)[:-1].mean(axis=0), 1 / bins, atol=1e-14)


# ------------------------------------------------------------------------------------- uncertainty
def test_mean_has_the_jackknife_error_and_the_student_interval():
    x = np.random.default_rng(4).random(23)
    found = uncertainty.mean_over_prompts([*x, np.nan], level=0.9)
    left_out = np.array([np.delete(x, i).mean() for i in range(23)])
    jackknife = np.sqrt(22 / 23 * np.sum((left_out - left_out.mean()) ** 2))
    assert found.stderr == pytest.approx(jackknife, rel=1e-10)
    assert found.ci == pytest.approx(stats.t.interval(0.9, 22, x.mean(), stats.sem(x)), rel=1e-12)
    assert (found.prompts, found.excluded) == (23, 1)
    cut = uncertainty.mean_over_prompts([0.9, 1.0, 1.0], bounds=(0, 1))
    assert cut.ci[1] == 1.0
    assert uncertainty.mean_over_prompts([0.5]) == uncertainty.Estimate(0.5, None, None, 1, 0)


def test_paired_difference_is_the_paired_t_test():
    rng = np.random.default_rng(5)
    a = rng.random(40)
    b = a + rng.normal(0, 0.01, 40)
    a[:2] = np.nan
    found = uncertainty.paired_difference(a, b)
    test = stats.ttest_rel(a[2:], b[2:])
    assert found.value / found.stderr == pytest.approx(test.statistic, rel=1e-9)
    assert found.ci == pytest.approx(tuple(test.confidence_interval()), rel=1e-9)
    assert found.excluded == 2


@pytest.mark.parametrize(("method", "theirs"), [("bca", "BCa"), ("percentile", "percentile")])
def test_bootstrap_is_the_one_of_scipy(method, theirs):
    x = np.random.default_rng(6).exponential(size=37)
    named = "rng" if "rng" in inspect.signature(stats.bootstrap).parameters else "random_state"
    found = uncertainty.bootstrap_over_prompts(x, rng=7, resamples=999, method=method, level=0.9)
    other = stats.bootstrap(
        (x,),
        np.mean,
        n_resamples=999,
        confidence_level=0.9,
        method=theirs,
        **{named: np.random.default_rng(7)},
    )
    assert found.ci == pytest.approx(tuple(other.confidence_interval), rel=1e-12)
    assert found.stderr == pytest.approx(float(other.standard_error), rel=1e-12)
    assert found == uncertainty.bootstrap_over_prompts(
        x, rng=7, resamples=999, method=method, level=0.9
    )


def test_bootstrap_of_equal_prompts_is_a_point():
    assert uncertainty.bootstrap_over_prompts([1.0, 1.0, 1.0, np.nan], rng=0).ci == (1.0, 1.0)


# -------------------------------------------------------------------------------------- simulation
@pytest.fixture(scope="module")
def runs():
    """400 runs of 60 prompts: aligned by exp:5 at KL 0.4, 6 and 9 samples, base shared inside."""
    rng = np.random.default_rng(8)
    policy = it.align("exp:5", kl=0.4)
    grid = np.linspace(0, 1, 4001)
    u = np.interp(rng.random((400 * 60, 6)), policy.cdf(grid), grid)
    return policy, Groups.stack(u), Groups.stack(rng.random((400 * 60, 9)))


@pytest.mark.parametrize("name", ["standard", "bon:2", "bon:6", "won:4"])
def test_win_rates_are_unbiased_and_intervals_cover(runs, name):
    policy, aligned, base = runs
    truth = it.win_rate(policy, name)
    each = est.win_rates(aligned, base, name)
    assert abs(each.mean() - truth) < 4 * each.std() / np.sqrt(each.size)
    found = [uncertainty.mean_over_prompts(run, bounds=(0, 1)) for run in each.reshape(400, 60)]
    covered = np.mean([f.ci[0] <= truth <= f.ci[1] for f in found])
    assert abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 400)
    z = np.array([(f.value - truth) / f.stderr for f in found])
    assert abs(z.mean()) < 4 / np.sqrt(400)
    assert abs(z.std() - 1) < 0.16


@pytest.mark.slow
def test_bootstrap_intervals_cover(runs):
    policy, aligned, base = runs
    truth = it.win_rate(policy, "bon:2")
    each = est.win_rates(aligned, base, "bon:2").reshape(400, 60)
    found = [
        uncertainty.bootstrap_over_prompts(x, rng=i, resamples=600) for i, x in enumerate(each)
    ]
    covered = np.mean([f.ci[0] <= truth <= f.ci[1] for f in found])
    assert abs(covered - 0.94) < 0.04  # a bootstrap of 60 prompts lacks Student's correction


@pytest.mark.slow
def test_win_rates_on_tied_scores_are_unbiased():
    rng = np.random.default_rng(9)
    base = it.Discrete(probs=[0.2, 0.5, 0.3])
    policy = it.align("identity", kl=0.2, base=base)
    a = rng.choice(3, (20_000, 5), p=policy.tilt.probs)
    b = rng.choice(3, (20_000, 4), p=base.probs)
    for name in ("standard", "bon:3", "won:3"):
        each = est.win_rates(Groups.stack(a), Groups.stack(b), name)
        error = each.std() / np.sqrt(each.size)
        assert abs(each.mean() - it.win_rate(policy, name)) < 4 * error


# ---------------------------------------------------------------------------------------------- KL
@pytest.mark.parametrize("kl", [0.02, 0.5])
def test_both_kl_estimators_are_unbiased(kl):
    rng = np.random.default_rng(10)
    policy = it.align("identity", kl=kl)
    r = np.log(policy.pdf(policy.rvs((3000, 5), rng)))
    ratios = Groups.stack(r, sort=False)
    k1, k3 = divergence.sequence_kl(ratios), divergence.sequence_kl(ratios, "k3")
    np.testing.assert_allclose(k1, r.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(k3, (np.exp(-r) - 1 + r).mean(axis=1), rtol=1e-9, atol=1e-12)
    for each in (k1, k3):
        assert abs(each.mean() - kl) < 4 * each.std() / np.sqrt(each.size)
    assert k3.min() >= 0.0
    if kl < 0.1:
        assert k3.std() < k1.std() / 3


@pytest.mark.parametrize("kl", [1e-8, 1e-3, 0.2, 2.0, 12.0, 30.0])
def test_kl_floor_inverts_the_identity_tilt(kl):
    policy = it.align("identity", kl=kl)
    with mp.workdps(60):
        k = mp.mpf(1 / policy.beta)
        won = 1 / (1 - mp.exp(-k)) - 1 / k
        exact = float(k * won - mp.log(mp.expm1(k) / k))
        w, lost = float(won), float(1 - won)
    # w itself is rounded to 1e-16: that much of k = dKL/dw is not in it
    slack = 1e-13 * exact + 2e-16 * float(k) + 1e-20
    assert divergence.kl_floor(w) == pytest.approx(exact, abs=slack)
    assert divergence.kl_floor(lost) == pytest.approx(exact, abs=slack)


def test_kl_floor_is_a_floor_monotone_and_infinite_at_the_ends():
    for transform in ("log", "exp:8", "exp:-8", "power:3", "logit"):
        for kl in (0.01, 0.3, 2.0):
            won = it.win_rate(it.align(transform, kl=kl))
            assert 0.0 < divergence.kl_floor(won) < kl
    floors = [divergence.kl_floor(w) for w in np.linspace(0.5, 1, 101)]
    assert floors[0] == 0.0
    assert np.all(np.diff(floors[:-1]) > 0)
    assert floors[-1] == divergence.kl_floor(0.0) == np.inf


@settings(max_examples=40)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(1, 20))
def test_plugin_kl_of_best_of_n_on_an_empirical_law(values, n):
    _, counts = np.unique(values, return_counts=True)
    p = counts / len(values)
    edges = np.concatenate([[0.0], np.cumsum(p)])
    edges[-1] = 1.0
    b = np.diff(edges**n)
    found = divergence.plugin_kl(Groups.stack([values, []]), f"bon:{n}")
    assert found[0] == pytest.approx(float(np.sum(b * np.log(b / p))), abs=1e-12)
    assert np.isnan(found[1])
    assert found[0] <= log(n) - (n - 1) / n + 1e-12
    mirrored = divergence.plugin_kl(Groups.stack([[-v for v in values]]), f"won:{n}")
    assert mirrored[0] == pytest.approx(found[0], abs=1e-12)


# ------------------------------------------------------------------------------------- real scores
def by_prompt(frame, prompt, score):
    """Sorted scores as Groups, and the truth in the same order."""
    frame = frame.sort_values([prompt, score], kind="stable")
    offsets = np.concatenate([[0], np.cumsum(frame.groupby(prompt, sort=True).size())])
    return Groups(frame[score].to_numpy(float), offsets), frame["correct"].to_numpy(float)


def test_facts_of_the_judge_scores(judge_scores):
    proxy, truth = by_prompt(pd.read_csv(judge_scores), "task_id", "judge_score")
    facts = {1: 0.668, 2: 0.715, 4: 0.767, 8: 0.810, 16: 0.829}
    for n, expected in facts.items():
        found = uncertainty.mean_over_prompts(est.picked_truth(proxy, truth, f"bon:{n}"))
        assert round(found.value, 3) == expected
        assert (found.prompts, found.excluded) == (120, 0)
    assert round(est.picked_truth(proxy, truth, "bon:24").mean(), 4) == 0.8315
    for n, expected in {2: 0.127, 4: 0.401, 16: 1.049}.items():
        assert round(divergence.plugin_kl(proxy, f"bon:{n}").mean(), 3) == expected
    assert uncertainty.mean_over_prompts(est.picked_truth(proxy, truth, "bon:24")).excluded == 0
    with pytest.raises(it.InfalignError, match="none of 120 prompts"):
        uncertainty.mean_over_prompts(est.picked_truth(proxy, truth, "bon:25"))


def test_facts_of_the_reward_model_scores(maths_scores):
    frame = pd.DataFrame([json.loads(line) for line in maths_scores.read_text().splitlines()])
    proxy, truth = by_prompt(frame, "problem", "rm_score")
    for name, expected in {"standard": 0.91, "bon:8": 0.94, "won:8": 0.86}.items():
        assert est.picked_truth(proxy, truth, name).mean() == pytest.approx(expected, abs=0.005)
    assert np.sum(est.tie_fractions(proxy) > 0) == 59


# ----------------------------------------------------------------------------------- hostile input
def test_bad_input_is_refused(refused):
    good = Groups.stack([[1, 2], [3]])
    refused(lambda: Groups.stack([]), "no prompts")
    assert np.isnan(est.tie_fractions(Groups.stack([[]]))).all()  # no samples are no error
    refused(lambda: Groups.stack([[1, np.nan]]), "finite")
    refused(lambda: Groups(np.ones(3), np.array([0, 2])), "offsets", "3 values")
    refused(lambda: Groups(np.ones(3), np.array([0, 2, 1, 3])), "offsets")
    refused(lambda: Groups(np.ones(3), np.array([1, 3])), "offsets")
    refused(lambda: Groups(np.ones(3), np.array([0, 1.5, 3])), "offsets")
    mixed = Groups(np.array([1.0, 3, 2]), np.array([0, 1, 3]))
    refused(lambda: est.win_rates(mixed, good), "prompt number 1", "increasing order")
    refused(lambda: est.win_rates(good, Groups.stack([[1]])), "2 and 1 prompts")
    refused(lambda: est.win_rates(good, good, "order:2/3"), "order:2/3", "won:N")
    refused(lambda: est.win_rates(good, good, "bon:0"), "Best-of-N")
    refused(lambda: est.picked_truth(good, [1, 0], "bon:1"), "2 entries for 3 samples")
    refused(lambda: est.picked_truth(good, [1, 0, np.inf], "bon:1"), "finite")
    refused(lambda: est.pass_at(good, 1), "0 (wrong) or 1 (correct)")
    refused(lambda: est.pass_at(Groups.stack([[1, 0]]), 1.5), "1.5")
    refused(lambda: uncertainty.mean_over_prompts([np.nan, np.nan]), "none of 2 prompts")
    refused(lambda: uncertainty.mean_over_prompts([np.inf, 1]), "infinite")
    refused(lambda: uncertainty.mean_over_prompts([0.5], level=1), "level = 1")
    refused(lambda: uncertainty.paired_difference([1, 2], [1]), "(2,) and (1,)")
    refused(lambda: uncertainty.bootstrap_over_prompts([1, 2], rng=0, method="x"), "'bca'")
    refused(lambda: uncertainty.bootstrap_over_prompts([1, 2], rng=0, resamples=0), "resamples")
    refused(lambda: divergence.kl_floor(1.2), "1.2", "[0, 1]")
    refused(lambda: divergence.kl_floor(float("nan")), "finite")
    refused(lambda: divergence.sequence_kl(Groups.stack([[1]]), "k2"), "'k1' or 'k3'")
    assert np.isinf(divergence.sequence_kl(Groups.stack([[-800.0]]), "k3")).all()
    refused(lambda: calibrate(good, good).shares(0), "bins")


def test_inputs_are_not_written_to():
    values, offsets = np.array([1.0, 2, 2, 5]), np.array([0, 2, 4])
    values.flags.writeable = offsets.flags.writeable = False
    groups = Groups(values, offsets)
    est.win_rates(groups, groups, "bon:2")
    calibrate(groups, groups)
    divergence.plugin_kl(groups, "won:2")
    assert est.win_rates(groups, groups, "bon:2").tolist() == [0.5, 0.5]
