"""Fitted, planned and predicted laws asked directly: bounds, deletions, budgets met again."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import infalign_theory as it
from infalign_theory.comparison.choices import as_choice
from infalign_theory.empirical.fitting.families import FreeExponential
from infalign_theory.empirical.fitting.goodness import calibrated_kl
from infalign_theory.empirical.fitting.tilt_fit import PlannedTilt, fit_tilt
from infalign_theory.empirical.prediction.continuous import continuous_row
from infalign_theory.empirical.prediction.discrete import (
    Contest,
    _influences,
    _reaching,
    corrected_win_rate,
    discrete_row,
    ratios_of,
    trained_tilt,
)
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.thinning import ThinnedBases
from infalign_theory.errors import OutOfReachError
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.points import Points

pytestmark = pytest.mark.slow

DUELS = [Duel.of("bon:2"), Duel.of("won:3")]


def ranks_of(aligned, base):
    return calibrate(*(Groups.stack([np.sort(s) for s in side]) for side in (aligned, base)))


def drawn(prompts, samples, k, seed=0):
    """Ranks of samples of the tilt exp(k u) among as many base samples."""
    rng = np.random.default_rng(seed)
    aligned = [np.log1p(rng.random(samples) * np.expm1(k)) / k for _ in range(prompts)]
    return ranks_of(aligned, [rng.random(samples) for _ in range(prompts)])


# ------------------------------------------------------------------------------------ fits, plans


@pytest.mark.parametrize("transform", ["identity", "exp"])
def test_win_rates_of_a_fit_stay_in_bounds_that_they_reach(transform):
    fit = fit_tilt(drawn(30, 12, 2.0), transform)
    for name, exact in (("standard", it.win_rate(it.align("identity", beta=0.5))), ("bon:4", None)):
        found = fit.win_rate(name)
        assert 0.0 < found.ci[0] < found.value < found.ci[1] < 1.0
        assert exact is None or abs(found.value - exact) < 5 * found.stderr
    strong = fit_tilt(drawn(2, 12, 9.0), "identity").win_rate("bon:16")  # one degree of freedom
    assert strong.ci[1] == 1.0
    assert strong.ci[0] < strong.value <= 1.0
    if transform == "exp":
        assert fit.t.ci[0] < fit.t.value < fit.t.ci[1]
    expectation = fit.expected(DUELS)
    assert expectation.doubt.tolist() == [0.0, 0.0]
    assert np.ptp(expectation.local, axis=0).tolist() == [0.0, 0.0]


def test_a_fitted_exponent_is_the_best_wherever_it_lies():
    rng = np.random.default_rng(2)
    for t in (-6.0, 6.0):
        policy = it.align(it.Exponential(t), kl=0.6)
        aligned = [policy.rvs(40, rng) for _ in range(60)]
        ranks = ranks_of(aligned, [rng.random(40) for _ in aligned])
        free = fit_tilt(ranks, "exp")
        assert abs(free.t.value - t) < 4 * free.t.stderr
        for other in (-8, -3, 2, 9):
            assert free.log_likelihood >= fit_tilt(ranks, f"exp:{other}").log_likelihood - 1e-9


def test_samples_beyond_all_base_samples_are_refused_with_what_they_can_tell():
    ranks = ranks_of([[2.0, 3.0]] * 4, [np.arange(9) / 9] * 4)
    with pytest.raises(OutOfReachError, match="9 base samples") as refused:
        fit_tilt(ranks, "identity")
    assert refused.value.limit == pytest.approx(np.log(10.0))


def test_a_plan_is_what_it_names_and_is_tested_as_itself():
    policy = it.align("identity", beta=0.5)
    right, wrong = drawn(80, 30, 2.0), drawn(80, 30, 4.0)
    plan = PlannedTilt(policy.transform, policy, right)
    assert (plan.k.value, plan.k.stderr, plan.k.ci) == (2.0, None, None)
    assert (plan.k.prompts, plan.k.excluded) == (0, 0)
    assert plan.kl.value == policy.kl
    assert plan.goodness.p_value > 1e-3
    assert PlannedTilt(policy.transform, policy, wrong).goodness.p_value < 1e-6
    assert plan.shares.expected.sum() == pytest.approx(1.0)
    # the law's shares of ranks are those that its samples have
    assert abs(plan.shares.observed - plan.shares.expected).max() < 4 * plan.shares.stderr.max()


def test_a_plan_is_tested_on_prompts_with_both_sides_only():
    rng = np.random.default_rng(1)
    aligned = [rng.random(1), rng.random(3), [], rng.random(2)]
    base = [rng.random(4), [], rng.random(4), rng.random(4)]
    policy = it.align("identity", beta=0.5)
    plan = PlannedTilt(policy.transform, policy, ranks_of(aligned, base))
    local = plan.expected(DUELS).local
    assert np.isnan(local[:, 0]).tolist() == [False, True, True, False]
    assert local[0] == pytest.approx([it.win_rate(policy, "bon:2"), it.win_rate(policy, "won:3")])


# ------------------------------------------------------------------------------------ predictions


@pytest.mark.parametrize("choice", ["exp:5", "identity", "optimal", "optimal@bon:2"])
def test_rows_of_a_continuous_base_are_the_engine_s(choice):
    procedure = as_procedure("bon:4")
    what = as_choice(choice)
    row = continuous_row(what, procedure, None, 7, beta=None, kl=0.4)
    best = it.optimum("bon:4", kl=0.4).win_rate
    assert row.kl == pytest.approx(0.4)
    assert row.optimal == pytest.approx(best, abs=1e-10)
    assert row.regret == pytest.approx(best - row.win_rate, abs=1e-10)
    assert row.corrected == row.win_rate
    assert row.prompts == 7
    if choice in ("exp:5", "identity"):
        policy = it.align(choice, kl=0.4)
        assert row.win_rate == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-12)
        assert row.scaled_beta == pytest.approx(scaled_beta(policy.transform, policy.beta))


def contest_of(rewards, procedure="bon:4"):
    groups = Groups.stack([np.sort(r) for r in rewards])
    return Contest(groups, PromptBases.of(groups), as_procedure(procedure), None)


def graded(prompts, samples=14, seed=3):
    rng = np.random.default_rng(seed)
    laws = rng.dirichlet(2.0 * np.ones(4), prompts)
    return [rng.choice(4, samples, p=law).astype(float) for law in laws]


@pytest.mark.parametrize("beta", [0.05, 0.3, 2.0])
def test_an_optimum_by_beta_is_that_of_each_prompt_s_own_atoms(beta):
    rewards = graded(4)
    contest = contest_of(rewards)
    tilt = trained_tilt(as_choice("optimal"), contest, beta, 0.0)
    row = discrete_row(as_choice("optimal"), contest, beta, 0.0, None)
    spent, won = [], []
    for reward in rewards:
        _, counts = np.unique(reward, return_counts=True)
        exact = it.optimum("bon:4", beta=beta, base=it.Discrete(counts / counts.sum()))
        spent.append(exact.kl)
        won.append(exact.win_rate)
    assert tilt.kl == pytest.approx(np.mean(spent), abs=1e-10)
    assert row.win_rate == pytest.approx(np.mean(won), abs=1e-10)
    assert row.regret == 0.0


@pytest.mark.parametrize("choice", ["identity", "exp:4"])
def test_influences_of_a_prediction_are_those_of_leaving_out_a_prompt(choice):
    """The budget is met again without the prompt: W moves by its own part less its KL's."""
    rewards, kl = graded(40), 0.3
    what = as_choice(choice)

    def predicted(kept):
        contest = contest_of([rewards[i] for i in kept])
        tilt = trained_tilt(what, contest, None, kl)
        return corrected_win_rate(what, contest, tilt, kl)

    less = np.array([predicted(np.delete(np.arange(40), i))[0] for i in range(40)])
    contest = contest_of(rewards)
    tilt = trained_tilt(what, contest, None, kl)
    thinned = ThinnedBases.of(contest.rewards, 10**6)
    copies = ratios_of(what, contest, thinned.bases)
    each = _influences(copies, thinned.bases, thinned.corrected, contest, tilt.k, kl)
    value, ci = predicted(range(40))
    assert value == pytest.approx(each.mean(), abs=1e-12)
    assert ci[0] < value < ci[1]
    pseudo = 40 * value - 39 * less
    assert np.corrcoef(pseudo, each)[0, 1] > 0.99
    assert stats.sem(each) == pytest.approx(stats.sem(pseudo), rel=0.1)


def test_two_prompts_have_an_interval_and_one_has_none():
    what = as_choice("identity")
    for prompts, known in ((1, False), (2, True)):
        contest = contest_of(graded(prompts))
        _, ci = corrected_win_rate(what, contest, trained_tilt(what, contest, None, 0.1), 0.1)
        assert (ci is not None) is known


def test_an_interval_reaches_the_number_it_belongs_to():
    assert _reaching((0.4, 0.6), (0.3, 0.7), 0.5) == (0.4, 0.6)
    assert _reaching((0.4, 0.6), (0.62, 0.7), 0.65) == (0.4, 0.7)
    assert _reaching((0.4, 0.6), (0.5, 0.64), 0.65) == (0.4, 0.65)
    assert _reaching((0.4, 0.6), (0.3, 0.37), 0.35) == (0.3, 0.6)
    assert _reaching((0.4, 0.6), (0.36, 0.5), 0.35) == (0.35, 0.6)
    assert _reaching(None, (0.3, 0.7), 0.5) is None
    assert _reaching((0.4, 0.6), None, 0.5) is None


def test_a_budget_beyond_all_numbers_is_won_always():
    with pytest.raises(OutOfReachError):
        it.optimum("won:64", kl=50.0)
    worst = as_procedure("won:64")
    row = continuous_row(as_choice("identity"), worst, None, 2, beta=None, kl=50.0)
    assert row.optimal == 1.0
    assert row.regret == pytest.approx(1.0 - row.win_rate)


def test_free_exponents_are_bounded_and_strengths_are_not():
    family = FreeExponential(Points.from_logit(np.linspace(-2, 2, 5)))
    assert family.allowed(np.array([500.0, 100.0]))
    assert family.allowed(np.array([-500.0, -99.0]))
    assert not family.allowed(np.array([3.0, 101.0]))


def test_the_kl_of_ranks_loses_half_a_variance_over_its_share():
    ranks = drawn(25, 15, 3.0)
    shares = ranks.shares(5)
    q = shares.mean(axis=0)
    assert (q > 0).all()
    plain = np.sum(q * np.log(5 * q))
    bias = 0.5 * np.sum(shares.var(axis=0, ddof=1) / 25 / q)
    assert calibrated_kl(ranks, 5).value == pytest.approx(plain - bias, rel=1e-12)
