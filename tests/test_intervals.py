"""Intervals of predict on graded scores: simulated worlds whose win rates are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from infalign_theory.comparison.choices import as_choice
from infalign_theory.empirical.prediction.discrete import (
    Contest,
    corrected_win_rate,
    trained_tilt,
)
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, tilted
from infalign_theory.empirical.statistics.thinning import ThinnedBases
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts, skewed_interval
from infalign_theory.policies.families import solve
from infalign_theory.procedures.names import as_procedure

PROMPTS = 100
BEST_OF_4 = as_procedure("bon:4")


def laws(rng, grades, prompts):
    """Laws of grades that differ from prompt to prompt, as difficulty does."""
    if grades == 2:
        right = rng.beta(2.0, 2.0, prompts)
        return np.stack([1.0 - right, right], axis=1)
    at = stats.norm.ppf((np.arange(grades) + 0.5) / grades)
    shift = rng.normal(0.0, 0.5, prompts)[:, None]
    mass = np.exp(-0.5 * (at - shift) ** 2 + 0.5 * at**2)
    return mass / mass.sum(axis=1, keepdims=True)


def true_win_rate(grades, transform, kl):
    """Mean win rate of the tilt that spends kl on average over 20,000 prompts."""
    many = laws(np.random.default_rng(9), grades, 20_000)
    bases = PromptBases(Groups(many.ravel(), np.arange(20_001) * grades))
    tilt = solve(tilted(as_choice(transform), bases), kl)
    return float(np.mean(bases.win_rates(tilt.log_ratio, BEST_OF_4)))


def one_run(rng, grades, samples, transform, kl):
    """(plug-in, corrected, interval) of one simulated table."""
    drawn = [rng.choice(grades, samples, p=law).astype(float) for law in laws(rng, grades, PROMPTS)]
    rewards = Groups.stack(drawn)
    contest = Contest(rewards, PromptBases.of(rewards), BEST_OF_4, None)
    choice = as_choice(transform)
    tilt = trained_tilt(choice, contest, None, kl)
    plain = float(np.mean(contest.bases.win_rates(tilt.log_ratio, BEST_OF_4)))
    return plain, *corrected_win_rate(choice, contest, tilt, kl)


def coverage(grades, samples, transform, kl, runs, seed=0):
    """Share of runs whose interval covers the truth, and the mean errors."""
    truth = true_win_rate(grades, transform, kl)
    rng = np.random.default_rng(seed)
    found = [one_run(rng, grades, samples, transform, kl) for _ in range(runs)]
    hits = np.mean([ci[0] <= truth <= ci[1] for _, _, ci in found])
    plain, corrected = (float(np.mean([f[i] for f in found])) - truth for i in (0, 1))
    return float(hits), plain, corrected


@pytest.mark.simulation
@pytest.mark.parametrize("grades", [2, 5, 20])
@pytest.mark.parametrize("samples", [8, 32, 128])
def test_intervals_cover_prompts_and_base_samples(grades, samples):
    """95 %, within three standard errors of 400 runs."""
    hits, plain, corrected = coverage(grades, samples, "identity", 0.15, 400)
    assert 0.95 - 0.033 <= hits <= 0.95 + 0.033
    assert abs(corrected) <= abs(plain) + 0.003


@pytest.mark.slow
def test_the_correction_takes_most_of_the_bias_of_few_samples():
    hits, plain, corrected = coverage(5, 12, "identity", 0.15, 40)
    assert plain < -0.006
    assert abs(corrected) < abs(plain) / 2
    assert hits >= 0.8


@pytest.mark.slow
def test_the_interval_of_a_skewed_mean_covers_where_students_does_not():
    """Minus exponentials, skewness -2, 25 prompts: 8,000 draws, three standard errors."""
    draws = 1.0 - np.random.default_rng(2).exponential(size=(8_000, 25))
    found = [skewed_interval(each) for each in draws]
    hits = np.mean([low <= 0.0 <= high for low, high in found])
    students = [mean_over_prompts(each).ci for each in draws]
    assert np.mean([low <= 0.0 <= high for low, high in students]) < 0.93
    assert abs(hits - 0.95) <= 3 * np.sqrt(0.95 * 0.05 / 8_000) + 0.003  # and a term in 1/n


def test_the_skewed_interval_inverts_halls_transformation():
    values = np.random.default_rng(4).gamma(0.7, size=30)
    n = values.size
    skewness = stats.skew(values)
    for end, sign in zip(skewed_interval(values, 0.9), (1.0, -1.0), strict=True):
        r = (values.mean() - end) / np.std(values, ddof=1)
        turned = r + skewness * r**2 / 3 + skewness**2 * r**3 / 27 + skewness / (6 * n)
        assert turned * np.sqrt(n) == pytest.approx(sign * stats.t.ppf(0.95, n - 1), abs=1e-12)
    flat = skewed_interval(np.array([-1.0, 0.0, 1.0]))
    assert flat == pytest.approx(mean_over_prompts([-1.0, 0.0, 1.0]).ci, abs=1e-12)


def test_the_jackknife_removes_the_bias_of_cubes_exactly():
    """E sum p^3 of K samples has terms in 1/K and 1/K^2 only: summed over all data, none stays."""
    law, samples, total = np.array([0.2, 0.3, 0.5]), 5, 0.0
    for counts in np.ndindex(*([samples + 1] * 3)):
        if sum(counts) == samples:
            thinned = ThinnedBases.of(Groups.stack([np.repeat(np.arange(3.0), counts)]), 10**6)
            cubes = thinned.corrected(thinned.bases.sums(thinned.bases.mass**3))
            total += stats.multinomial.pmf(counts, samples, law) * float(cubes[0])
    assert total == pytest.approx(np.sum(law**3), abs=1e-12)


def test_copies_of_a_prompt_weigh_one_and_leave_out_every_sample_once():
    rewards = Groups.stack([[0, 0, 1, 2], [3], [4, 4, 4], [1, 2]])
    thinned = ThinnedBases.of(rewards, 10**6)
    weights = np.bincount(thinned.owner, thinned.weights)
    np.testing.assert_allclose(weights, 1.0, atol=1e-12)
    np.testing.assert_allclose(thinned.bases.sums(thinned.bases.mass), 1.0, atol=1e-12)
    brute = []
    values = np.array([0.0, 0, 1, 2])
    for gone in [(), *[(i,) for i in range(4)], *[(i, j) for i in range(4) for j in range(i)]]:
        left = np.delete(values, gone)
        brute.append(
            (len(gone), np.sum(np.unique(left, return_counts=True)[1] ** 3 / left.size**3))
        )
    mean = [np.mean([s for n, s in brute if n == k]) for k in range(3)]
    expected = (16 * mean[0] - 2 * 9 * mean[1] + 4 * mean[2]) / 2
    found = thinned.corrected(thinned.bases.sums(thinned.bases.mass**3))
    assert found[0] == pytest.approx(expected, abs=1e-12)
    assert ThinnedBases.of(rewards, 2) is None
