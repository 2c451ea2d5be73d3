"""Soft and sequential choices from scores: brute force over subsets, unbiasedness, bias."""

from itertools import combinations, permutations

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.choices import soft_chances, subset_means
from infalign_theory.empirical.statistics.estimators import win_rates
from infalign_theory.empirical.statistics.whole_laws import answer_chances, law_win_rates
from infalign_theory.procedures.names import as_procedure


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("strength", [-4.0, 5.0, 60.0])
def test_soft_choices_are_the_mean_over_subsets(n, strength):
    u = np.random.default_rng(n).random(7)
    exact = np.zeros(7)
    subsets = list(combinations(range(7), n))
    for chosen in map(list, subsets):
        weights = np.exp(strength * (u[chosen] - u[chosen].max()))
        exact[chosen] += weights / weights.sum() / len(subsets)
    found = answer_chances(u, as_procedure(f"soft:{n}@{strength:g}"))
    assert found == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("n", [1, 3, 5])
@pytest.mark.parametrize("threshold", [0.001, 0.4, 0.999])
def test_rewinding_is_the_mean_over_orders(n, threshold):
    u = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    exact = np.zeros(5)
    orders = list(permutations(range(5), n))
    for order in orders:
        good = [i for i in order if u[i] >= threshold]
        exact[good[0] if good else order[-1]] += 1 / len(orders)
    found = answer_chances(u, as_procedure(f"rewind:{n}@{threshold}"))
    assert found == pytest.approx(exact, abs=1e-14)


def test_subset_means_by_definition():
    x = np.random.default_rng(0).random(5)
    means = subset_means(x, 3)
    for j in range(4):
        exact = np.mean([np.prod(x[list(s)]) for s in combinations(range(5), j)])
        assert means[j] == pytest.approx(exact, rel=1e-14)


def test_many_samples_keep_the_sum():
    """The quick way of leaving one out, at sizes where subsets cannot be listed."""
    u = np.random.default_rng(1).random(200)
    soft = answer_chances(u, as_procedure("soft:64@8"))
    assert soft.sum() == pytest.approx(1.0, abs=1e-11)
    quick = soft_chances(8 * u[:9], 5)  # 2 (n - 1) <= 9
    exact = np.zeros(9)
    for chosen in map(list, combinations(range(9), 5)):
        weights = np.exp(8 * u[:9][chosen])
        exact[chosen] += weights / weights.sum() / 126
    assert quick == pytest.approx(exact, abs=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["soft:4@5", "rewind:4@0.8"])
def test_unbiased_where_rewards_are_calibrated(name):
    """Mean over many prompts of samples of the policy itself: within 4 standard errors."""
    policy = it.align("identity", kl=0.3)
    rng = np.random.default_rng(11)
    ours, theirs = np.sort(policy.rvs((100, 12), rng)), np.sort(rng.random((100, 12)))
    groups = Groups.stack(ours), Groups.stack(theirs)
    chosen = as_procedure(name)
    found = law_win_rates(*groups, chosen, chosen, (ours.ravel(), theirs.ravel()))
    error = 4 * found.std() / np.sqrt(found.size)
    assert abs(found.mean() - it.win_rate(policy, name)) <= error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["soft:4@5", "rewind:4@0.8"])
def test_ranks_leave_a_bias_that_halves_with_the_samples(name):
    """Against the exact win rate, ranks among m = 16 and 64 base samples: the bias is O(1/m)."""
    policy = it.align("identity", kl=0.3)
    exact = it.win_rate(policy, name)
    bias = {}
    for m, prompts in ((16, 800), (64, 250)):
        rng = np.random.default_rng(m)
        ours = Groups.stack(np.sort(policy.rvs((prompts, m), rng)))
        theirs = Groups.stack(np.sort(rng.random((prompts, m))))
        found = win_rates(ours, theirs, name)
        bias[m] = abs(found.mean() - exact), 4 * found.std() / np.sqrt(prompts)
    assert bias[16][0] <= 1.0 / 16 + bias[16][1]
    assert bias[64][0] <= bias[16][0] / 2 + bias[64][1]


@pytest.mark.slow
def test_ties_and_missing_samples(refused):
    ours, theirs = Groups.stack([[1, 1, 1], [2], [3, 3]]), Groups.stack([[1, 1, 1], [1], []])
    found = win_rates(ours, theirs, "soft:2@3")
    assert found[0] == pytest.approx(0.5, abs=1e-14)
    assert np.isnan(found[1:]).all()
    refused(lambda: answer_chances(np.array([0.2]), as_procedure("reject:5")), "no estimator")
    refused(lambda: answer_chances(np.array([0.2, 0.9]), as_procedure("soft:2@9*exp:20")), "bon:2")
    refused(lambda: win_rates(ours, theirs, "soft:2@3", "bon:2"), "their own kind")
