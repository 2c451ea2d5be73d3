"""What calibration costs: exact polynomials for fresh samples, spacings for re-used ones."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp
from scipy import stats

import infalign_theory as it
from infalign_theory.errors import OutOfReachError
from infalign_theory.procedures import BestOfN
from infalign_theory.training.cost import calibration_cost, cost_table
from infalign_theory.training.rank_rewards import (
    best_rewards,
    exponential_rewards,
    fresh_transform,
    places,
    power_rewards,
)
from infalign_theory.training.reuse import Steps, outcome, rank_steps
from infalign_theory.transforms.bernstein import Bernstein

U = np.concatenate([[0.0, 1e-12], np.linspace(0.01, 0.99, 21), [1 - 1e-9, 1.0]])


# --------------------------------------------------------------- fresh samples
@pytest.mark.parametrize("samples", [1, 7, 64])
def test_bernstein_transform_is_the_binomial_mean(samples):
    rewards = np.random.default_rng(0).normal(size=samples + 1)
    pmf = stats.binom.pmf(np.arange(samples + 1)[:, None], samples, U)
    np.testing.assert_allclose(Bernstein(rewards)(U), rewards @ pmf, atol=1e-12)


@pytest.mark.slow
def test_win_rate_is_that_of_the_polynomial_in_closed_form():
    """u^2 from its rank rewards: Z, F and the Best-of-2 win rate by mpmath at 30 digits."""
    policy = it.align(Bernstein(power_rewards(2, 5)), beta=0.25)
    with mp.workdps(30):
        z = mp.quad(lambda u: mp.exp(4 * u**2), [0, 1])
        cdf = lambda u: mp.quad(lambda x: mp.exp(4 * x**2), [0, u]) / z  # noqa: E731
        expected = 1 - mp.quad(lambda u: cdf(u) ** 2 * 2 * u, [0, 1])
    assert it.win_rate(policy, "bon:2") == pytest.approx(float(expected), abs=1e-10)


def test_power_rewards_are_unbiased():
    for m, k in ((1, 1), (3, 3), (7, 8), (7, 40)):
        np.testing.assert_allclose(Bernstein(power_rewards(m, k))(U), U**m, atol=1e-12)
    for t, k in ((10, 8), (-5, 9)):
        expected = np.sign(t) * (1 + t * U / k) ** k
        np.testing.assert_allclose(Bernstein(exponential_rewards(t, k))(U), expected, rtol=1e-11)


def test_unbiased_rewards_reach_the_power_exactly():
    by_ranks = it.win_rate(it.align(Bernstein(power_rewards(7, 11)), kl=0.5), "bon:4")
    assert by_ranks == pytest.approx(it.win_rate(it.align("power:7", kl=0.5), "bon:4"), abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "expected"), [(8, 0.01394), (16, 0.00696), (32, 0.00400), (64, 0.00276)]
)
def test_regret_with_fresh_samples(samples, expected):
    """Against an independent quadrature on a fine grid of u."""
    found = calibration_cost("exp:10", "bon:4", kl=0.5, samples=samples)
    assert found.stderr == 0.0
    assert found.regret == pytest.approx(expected, abs=2e-5)
    u = (np.arange(8_000) + 0.5) / 8_000
    a = np.exp(10 * (places(samples) - 1))
    phi = a @ stats.binom.pmf(np.arange(samples + 1)[:, None], samples, u)
    low, high = 0.1, 1e3
    for _ in range(60):
        k = np.sqrt(low * high)
        f = np.exp(k * (phi - phi.max()))
        f /= f.mean()
        low, high = (k, high) if np.mean(f * np.log(f)) < 0.5 else (low, k)
    cdf = np.cumsum(f) / f.size - f / f.size / 2
    won = 1 - np.mean(cdf**4 * 4 * u**3)
    assert found.win_rate == pytest.approx(won, abs=1e-7)


def test_best_rewards_are_better_than_any_other_of_their_degree():
    best = it.optimum("bon:4", kl=0.5).win_rate

    def lost(rewards):
        return best - it.win_rate(it.align(Bernstein(rewards), kl=0.5), "bon:4")

    found = best_rewards("bon:4", kl=0.5, samples=8)
    assert found.min() == 0.0
    assert found.max() == 1.0
    for other in (power_rewards(7, 8), exponential_rewards(10, 8), np.exp(10 * places(8))):
        assert lost(found) < lost(other) / 10
    assert lost(best_rewards("bon:4", kl=0.5, samples=16)) < lost(found)


@pytest.mark.slow
def test_best_rewards_match_moments_of_the_optimum():
    """The condition of the convex problem: means of all Bernstein polynomials agree."""
    target = it.optimum("bon:4", kl=0.5).policy
    rewards = best_rewards("bon:4", kl=0.5, samples=5)
    fitted = it.align(Bernstein(rewards), kl=0.5)
    u = (np.arange(100_000) + 0.5) / 100_000
    for m in range(1, 6):
        ours, theirs = (np.mean(p.pdf(u) * u**m) for p in (fitted, target))
        assert ours == pytest.approx(theirs, abs=2e-3)  # scaled from its own KL to the budget


# --------------------------------------------------------------- re-used samples
@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "expected"), [(8, 0.0641), (16, 0.0422), (32, 0.0254), (64, 0.0140)]
)
def test_regret_with_reused_samples(samples, expected):
    """Independent simulations gave these, with an error of .0013 at most."""
    found = calibration_cost("exp:10", "bon:4", kl=0.5, samples=samples, reuse=True)
    assert 0.0 < found.stderr < 5e-4
    assert found.regret == pytest.approx(expected, abs=3 * 0.0013)


@pytest.mark.simulation
def test_stated_error_is_the_spread_over_seeds():
    runs = [
        calibration_cost("exp:10", "bon:4", kl=0.5, samples=8, reuse=True, prompts=400, seed=seed)
        for seed in range(40)
    ]
    spread = np.std([run.regret for run in runs], ddof=1)
    assert spread == pytest.approx(np.mean([run.stderr for run in runs]), rel=0.4)


def test_steps_are_exact_for_one_partition():
    """Two halves: the density, the KL and the win rate by hand."""
    steps = Steps(np.array([[0.0, 0.5, 1.0]]), np.array([[0.0, 1.0]]))
    k = 1.3
    top = np.exp(k) / (1 + np.exp(k))
    density = steps.densities(k)
    np.testing.assert_allclose(density, [[2 * (1 - top), 2 * top]])
    kl = top * np.log(2 * top) + (1 - top) * np.log(2 * (1 - top))
    assert steps.kl(density)[0] == pytest.approx(kl)
    a, b = 2 * (1 - top), 2 * top  # F = a u below one half, 1 - b (1 - u) above
    lost = a**2 * 2 * 0.5**4 / 4
    u, w = np.polynomial.legendre.leggauss(8)
    u, w = 0.75 + u / 4, w / 4
    lost += np.sum(w * (1 - b * (1 - u)) ** 2 * 2 * u)
    assert steps.win_rates(density, BestOfN(2), 8)[0] == pytest.approx(1 - lost, abs=1e-12)


@pytest.mark.simulation
def test_many_samples_cost_nothing_more():
    """K to infinity: the transform's own regret, from above."""
    own = it.optimum("bon:4", kl=0.5).win_rate - it.win_rate(it.align("exp:10", kl=0.5), "bon:4")
    fresh = calibration_cost("exp:10", "bon:4", kl=0.5, samples=4000)
    assert fresh.regret == pytest.approx(own, abs=5e-5)
    reused = calibration_cost("exp:10", "bon:4", kl=0.5, samples=2000, reuse=True, prompts=300)
    assert 0.0 < reused.regret - own < 0.002


@pytest.mark.simulation
def test_excess_of_reuse_falls_as_one_over_k():
    own = it.optimum("bon:4", kl=0.1).win_rate - it.win_rate(it.align("exp:5", kl=0.1), "bon:4")
    excess = [
        calibration_cost("exp:5", "bon:4", kl=0.1, samples=k, reuse=True, prompts=1500).regret - own
        for k in (100, 400)
    ]
    assert excess[0] / excess[1] == pytest.approx(4.0, rel=0.15)


@pytest.mark.simulation
def test_pooled_shape_wins_back_half_on_normal_rewards():
    for k in (8, 32):
        by_ranks, pooled = (
            calibration_cost("exp:10", "bon:4", kl=0.5, samples=k, reuse=True, method=method)
            for method in ("ranks", "pooled")
        )
        assert pooled.regret < 0.7 * by_ranks.regret
        fresh = calibration_cost("exp:10", "bon:4", kl=0.5, samples=k, method="pooled")
        assert fresh.regret < pooled.regret


def test_table_says_how_many_samples_are_needed():
    table = cost_table("exp:10", "bon:4", kl=0.5, samples=(8, 32), prompts=300)
    assert table.samples.tolist() == [8, 32]
    assert (table.reused > table.fresh).all()


def test_what_cannot_be_had_is_told(refused):
    options = {"procedure": "bon:4", "kl": 0.5}
    refused(lambda: calibration_cost("exp:10", **options, samples=0), "samples")
    refused(lambda: calibration_cost("exp:10", **options, samples=8, method="x"), "ranks, pooled")
    refused(
        lambda: calibration_cost(
            "exp:10", **options, samples=8, reuse=True, method="pooled", law="cauchy"
        ),
        "normal",
    )
    refused(lambda: power_rewards(7, 6), "at least 7")
    refused(lambda: exponential_rewards(-8, 8), "above -8")
    error = refused(
        lambda: calibration_cost("exp:10", "bon:4", kl=5.0, samples=2, reuse=True), "out of reach"
    )
    assert isinstance(error, OutOfReachError)


def test_outcome_needs_rewards_that_differ(refused):
    refused(lambda: outcome(rank_steps(np.ones(4), 10, 0), BestOfN(2), 0.1), "constant")


def test_fresh_transform_is_the_mean_of_the_transform():
    rng = np.random.default_rng(0)
    ranks = rng.binomial(8, 0.7, 200_000)
    mean, error = np.mean(np.exp(10 * places(8)[ranks])), np.std(np.exp(10 * places(8)[ranks]))
    assert fresh_transform("exp:10", 8)(0.7) == pytest.approx(mean, abs=4 * error / 200_000**0.5)
