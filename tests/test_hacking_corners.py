"""Formulas behind reports of hacking asked directly: SciPy's laws, grids, definitions, bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import infalign_theory as it
from infalign_theory.comparison.choices import as_choice
from infalign_theory.empirical.hacking import tilts
from infalign_theory.empirical.hacking.agreement import agreement, auroc
from infalign_theory.empirical.hacking.attackers import (
    BetaBinomial,
    _held_out,
    _merged,
    _success,
    _within,
    judge_attacks,
)
from infalign_theory.empirical.hacking.decay import decays
from infalign_theory.empirical.hacking.picks import Picked
from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.hacking.tilts import Path
from infalign_theory.empirical.prediction.continuous import continuous_row
from infalign_theory.empirical.prediction.discrete import Contest, discrete_row
from infalign_theory.empirical.prediction.truths import TruthRows
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.estimators import pass_at
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, tilted
from infalign_theory.empirical.statistics.truth import TruthPairs, true_win_rate
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.policies.families import solve
from infalign_theory.procedures.names import as_procedure
from infalign_theory.procedures.weights import Weight
from infalign_theory.transforms.names import as_transform

pytestmark = pytest.mark.slow


def pairs_of(proxies, truths, names=None):
    groups = Groups.stack(proxies)
    prompts = tuple(names or map(str, range(groups.prompts)))
    return Pairs(prompts, TruthPairs.of(groups, np.concatenate(truths)), ())


# ------------------------------------------------------------------------------------- attackers


def drawn_hits(seed=0, prompts=60):
    rng = np.random.default_rng(seed)
    counts = rng.integers(8, 13, prompts)
    return rng.binomial(counts, rng.beta(0.6, 3.0, prompts)).astype(float), counts.astype(float)


def log_likelihood(hits, counts, alpha, beta):
    return stats.betabinom.logpmf(hits, counts, alpha, beta).sum()


def test_the_beta_law_is_the_most_likely_one():
    hits, counts = drawn_hits()
    law = BetaBinomial.fit(hits, counts)
    best = optimize.minimize(
        lambda x: -log_likelihood(hits, counts, *np.exp(x)), [0.0, 0.0], method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-11},
    )  # fmt: skip
    assert np.log([law.alpha, law.beta]) == pytest.approx(best.x, abs=2e-3)
    exact = 1 - stats.betabinom.pmf(0, 40, law.alpha, law.beta)
    assert law.success(40) == pytest.approx(exact, rel=1e-12)


def likely_successes(hits, counts, n, level):
    """Smallest and largest success at n of all beta laws that are likely enough, on a fine grid."""
    pairs, weights = np.unique(np.stack([hits, counts]), axis=1, return_counts=True)
    logit, total = np.linspace(-12.0, 12.0, 801), np.exp(np.linspace(-6.9, 13.0, 161))
    share = 1 / (1 + np.exp(-logit))
    alpha, beta = np.outer(share, total).ravel(), np.outer(1 - share, total).ravel()
    values = weights @ stats.betabinom.logpmf(*pairs[:, :, None], alpha, beta)
    likely = values >= values.max() - stats.chi2.ppf(level, 1) / 2
    success = 1 - stats.betabinom.pmf(0, n, alpha[likely], beta[likely])
    return success.min(), success.max()


@pytest.mark.parametrize("level", [0.95, 0.5])
@pytest.mark.parametrize("n", [1, 40])
def test_the_interval_holds_all_laws_that_are_likely_enough(level, n):
    hits, counts = drawn_hits()
    low, high = BetaBinomial.fit(hits, counts).interval(n, level)
    assert (low, high) == pytest.approx(likely_successes(hits, counts, n, level), abs=0.01)


@pytest.mark.parametrize("hits", [[0.0] * 10, [6.0] * 10, [1.0] + [0.0] * 9, [6.0] * 5 + [0.0] * 5])
@pytest.mark.parametrize("n", [1, 10, 100])
def test_prompts_that_agree_leave_as_much_open_as_their_number_says(hits, n):
    counts = np.full(10, 6.0)
    law = BetaBinomial.fit(np.array(hits), counts)
    low, high = law.interval(n, 0.95)
    assert 0.0 <= low <= law.success(n) <= high <= 1.0
    exact = likely_successes(np.array(hits), counts, n, 0.95)
    assert (low, high) == pytest.approx(exact, abs=0.02)
    if n == 1 and not any(hits):  # prompts may differ in kind: ten of them is all that is seen
        assert high == pytest.approx(1 - np.exp(-stats.chi2.ppf(0.95, 1) / 20), abs=0.01)


def test_ends_of_a_likely_stretch_are_interpolated():
    values, successes = np.array([-4.0, 0.0, 2.0, -2.0, -8.0]), np.array([0.0, 0.1, 0.3, 0.7, 0.9])
    low, high = _within(successes, values, -1.0)
    assert low == pytest.approx(0.1 - 0.1 / 4)
    assert high == pytest.approx(0.3 + 0.4 * 3 / 4)
    assert _within(successes, values, -10.0) == (0.0, 0.9)
    assert _within(successes, values, 3.0) is None


def test_columns_are_merged_and_none_is_lost():
    observed, expected = np.arange(1.0, 8.0), np.array([3.0, 3, 9, 2, 6, 5, 1])
    merged = _merged(observed, expected)
    assert merged[1].tolist() == [6.0, 9.0, 8.0, 6.0]
    assert merged[0].tolist() == [3.0, 3.0, 9.0, 13.0]
    assert _merged(observed, expected / 4) is None


def test_the_power_law_is_a_line_in_logarithms():
    hits, counts = drawn_hits(prompts=200)
    counts[:] = 12.0
    hits = np.minimum(hits, 12.0)
    tries = Groups.stack([np.arange(12) >= 12 - h for h in hits])
    found = _held_out(tries, hits, counts)
    rng = np.random.default_rng(7)
    kept = rng.hypergeometric(hits.astype(int), (counts - hits).astype(int), 6)
    n = np.arange(1, 7)
    measured = [np.mean(1 - stats.hypergeom.pmf(0, 6, kept, size)) for size in n]
    line = stats.linregress(np.log(n), np.log(-np.log(measured)))
    assert found.power_law == pytest.approx(
        np.exp(-np.exp(line.intercept + line.slope * np.log(12))), rel=1e-9
    )
    assert found.n == 12
    assert found.measured == pytest.approx(np.mean(hits > 0))
    law = BetaBinomial.fit(kept.astype(float), np.full(200, 6.0))
    assert found.beta_binomial == pytest.approx(law.success(12), rel=1e-9)


def test_what_is_measured_needs_no_law():
    hits = [3, 4, 4, 1, 0, 4]
    tries = Groups.stack([np.arange(4) >= 4 - h for h in hits])
    found = judge_attacks(tries, [1, 4])
    assert not any("fits these counts" in line or "Too few" in line for line in found.verdict)
    assert found.verdict[0].startswith("One of 1 tries succeeds on 66.7 % of prompts (measured)")
    assert found.verdict[1].startswith("One of 4 tries succeeds on 83.3 % of prompts (measured)")
    assert found.rows[1].ci[1] == 1.0  # 5 of 6: the interval ends where chances do
    exact = mean_over_prompts(pass_at(tries, 4), bounds=(0.0, 1.0))
    assert found.rows[1].ci == exact.ci
    beyond = judge_attacks(tries, [5]).verdict
    assert any("Too few prompts" in line or "fits these counts" in line for line in beyond)


# -------------------------------------------------------------------------- agreement and decay


def test_agreement_stays_within_its_bounds():
    right, wrong = [0.0, 1, 2, 3], [0.0, 1, 3, 2]
    for sign, truths in ((1, (right, right, wrong)), (-1, (right, right, wrong))):
        truths = [[sign * value for value in truth] for truth in truths]
        found = agreement(pairs_of([right] * 3, truths))
        each = np.array([auroc(np.array(right), np.array(truth)) for truth in truths])
        assert found.auroc.value == pytest.approx(each.mean())
        assert found.rank_correlation.value == pytest.approx(
            np.mean([stats.spearmanr(right, truth)[0] for truth in truths])
        )
        end, far = (1, 1.0) if sign > 0 else (0, 0.0)
        assert found.auroc.ci[end] == far
        assert found.rank_correlation.ci[end] == sign
        assert found.auroc.ci[0] < found.auroc.value < found.auroc.ci[1]
        assert found.rank_correlation.ci[0] < found.rank_correlation.ci[1]
        assert found.auroc.ci != agreement(pairs_of([right] * 3, truths), 0.5).auroc.ci


def test_decay_is_paired_over_prompts_that_both_can_be_judged_on():
    proxy = [0.0, 1, 2, 3]
    base = pairs_of([proxy] * 4, [[0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 1]])
    tuned = pairs_of(
        [[1.0, 2, 3]] * 4, [[0, 1, 1], [1, 0, 1], [1, 1, 1], [0, 1, 0]], ["0", "1", "2", "3"]
    )
    (found,), notes = decays(base, {"tuned": tuned}, as_transform("identity"))
    assert notes == ()
    at_base, at_tuned = np.array([1.0, 1.0, 0.75]), np.array([1.0, 0.5, 0.5])  # not prompt 2
    assert (found.base.prompts, found.tuned.prompts, found.change.prompts) == (3, 3, 3)
    assert found.base.value == pytest.approx(at_base.mean())
    assert found.tuned.value == pytest.approx(at_tuned.mean())
    assert found.change.value == pytest.approx((at_tuned - at_base).mean())
    assert found.change.stderr == pytest.approx(stats.sem(at_tuned - at_base))
    assert found.base.ci[1] == 1.0
    assert found.base.ci[0] < found.base.value < 1.0
    assert found.tuned.ci[1] == 1.0
    assert found.tuned.ci[0] < found.tuned.value
    assert found.reward == pytest.approx((1.5, 2.0))
    assert found.truth == pytest.approx((0.5, 2 / 3))
    narrow = decays(base, {"tuned": tuned}, as_transform("identity"), 0.5)[0][0]
    assert narrow.change.ci[0] > found.change.ci[0]


def test_a_selection_that_ranks_as_high_explains_itself():
    """Base samples kept by a tilt: what is expected is what is there."""
    rng = np.random.default_rng(0)
    proxies = [np.sort(rng.normal(size=150)) for _ in range(40)]
    truths = [(p + rng.normal(size=150) > 0).astype(float) for p in proxies]
    chosen = []
    for _ in proxies:
        weight = np.exp(2.5 * (np.arange(150) + 0.5) / 150)
        chosen.append(np.sort(rng.choice(150, 60, p=weight / weight.sum())))
    base = pairs_of(proxies, truths)
    tuned = pairs_of(
        [p[at] for p, at in zip(proxies, chosen, strict=True)],
        [t[at] for t, at in zip(truths, chosen, strict=True)],
    )
    (found,), _ = decays(base, {"tuned": tuned}, as_transform("identity"))
    u = (np.arange(150) + 0.5) / 150
    expected = []
    for proxy, truth in zip(proxies, truths, strict=True):
        weight = np.exp(2.5 * u)
        better = (truth[:, None] > truth) * weight[:, None] * weight
        expected.append(np.sum(better * (proxy[:, None] > proxy)) / better.sum())
    assert found.expected.value == pytest.approx(np.mean(expected), abs=0.01)
    assert abs(found.unexplained.value) < 4 * found.unexplained.stderr


# ------------------------------------------------------------------------------------------ picks


def test_rows_of_picks_lie_between_the_smallest_and_the_largest_truth():
    rng = np.random.default_rng(1)
    proxies = [np.sort(rng.normal(size=70)) for _ in range(3)]
    truths = [rng.integers(0, 2, 70).astype(float) for _ in range(3)]
    picked = Picked.of(pairs_of(proxies, truths), 70, [Weight(5.0, as_transform("identity"))])
    for row in picked.best(0.95):
        assert 0.0 <= row.ci[0] <= row.truth <= row.ci[1] <= 1.0
        assert row.ci[0] < row.ci[1]
    whole, soft = picked.onsets(0.95, 1)
    assert (whole.name, whole.searched_to) == ("best-of-n", 70.0)
    assert whole.limited_by == "there are 70 samples a prompt"
    assert soft.searched_to == 64.0
    assert soft.limited_by == "soft best-of-N is looked at up to 64"


# ------------------------------------------------------------------------- truth of predictions


def truth_rows(law, procedure="bon:2"):
    rng = np.random.default_rng(2)
    size = 24
    proxies = [np.sort(rng.normal(size=size)) for _ in range(12)]
    if law == "discrete":
        proxies = [np.round(p) for p in proxies]
    truths = [p + rng.normal(size=size) for p in proxies]
    groups = Groups.stack(proxies)
    pairs = TruthPairs.of(groups, np.concatenate(truths))
    contest = Contest(groups, PromptBases.of(groups), as_procedure(procedure), None)
    return TruthRows(pairs, contest), contest


@pytest.mark.parametrize("budget", [{"beta": 5.0, "kl": None}, {"beta": None, "kl": 0.3}])
@pytest.mark.parametrize("choice", ["identity", "exp:3"])
def test_the_truth_of_a_prediction_is_that_of_its_tilt(choice, budget):
    rows, contest = truth_rows("discrete")
    what = as_choice(choice)
    kl = budget["kl"] or 0.0
    row = discrete_row(what, contest, budget["beta"], kl, None)
    found, notes = rows.completed(row, what)
    assert notes == ()

    def ratio(bases):
        phi = bases.points.u if choice == "identity" else np.exp(3 * bases.points.u)
        finite = phi / row.beta
        return finite - bases.spread_out(np.log(bases.sums(bases.mass * np.exp(finite))))

    exact = true_win_rate(rows.pairs, ratio, contest.procedure)
    assert found.true_win_rate == pytest.approx(exact.estimate.value, abs=1e-9)
    assert found.true_ci == pytest.approx(exact.estimate.ci, abs=1e-9)
    assert found.effective_samples == pytest.approx(exact.effective_samples, rel=1e-9)


@pytest.mark.parametrize("beta", [0.4, 3.0])
def test_the_truth_of_a_continuous_prediction_is_that_of_its_policy(beta):
    rows, contest = truth_rows("continuous")
    what = as_choice("identity")
    row = continuous_row(what, contest.procedure, None, 12, beta=beta, kl=None)
    found, notes = rows.completed(row, what)
    assert notes == ()
    policy = it.align("identity", beta=beta)

    def ratio(bases):
        mass = []
        for a, b in zip(bases.offsets[:-1], bases.offsets[1:], strict=True):
            mass.append(np.diff(policy.cdf(np.arange(b - a + 1) / (b - a))))
        return np.log(np.concatenate(mass) / bases.mass)

    exact = true_win_rate(rows.pairs, ratio, contest.procedure)
    assert found.true_win_rate == pytest.approx(exact.estimate.value, abs=1e-9)


@pytest.mark.parametrize("law", ["discrete", "continuous"])
def test_samples_tell_as_far_as_enough_of_them_carry_the_tilt(law):
    rows, _ = truth_rows(law)
    transform = as_transform("identity")
    reach = rows._reach(transform, law)

    def effective(kl):
        ratio = rows._at(transform, law, kl)(rows.pairs.bases)
        return rows.pairs.carrying(ratio)

    assert effective(reach) >= 4.0 > effective(1.011 * reach)
    curve = rows._curve(transform, law)
    assert curve.kls == pytest.approx(reach * np.arange(1, 25) / 24)
    assert curve.truths.shape == (12, 24)
    last = true_win_rate(
        rows.pairs, rows._at(transform, law, float(curve.kls[10])), rows.contest.procedure
    )
    assert curve.truths[:, 10].mean() == pytest.approx(last.estimate.value, abs=1e-12)
    what = as_choice("identity")
    far = continuous_row(what, rows.contest.procedure, None, 12, beta=None, kl=3 * reach)
    if law == "continuous":
        _, (note,) = rows.completed(far, what)
        assert f"beyond {float(f'{reach:.2g}'):g} nats" in note


def test_chances_too_small_for_beta_functions_are_not_negative():
    assert 0.0 <= float(_success(1e-9, 1e6, 1)) < 1e-8
    assert 0.0 <= float(_success(1e-13, 1e3, 2)) < 1e-9


def test_the_worst_prompts_tell_what_their_best_by_proxy_is_worth():
    proxies = [[0.0, 1, 2, 2], [0.0, 1, 2, 3]]
    truths = [[1.0, 0.5, 0.0, 0.2], [0.0, 0.1, 0.2, 0.3]]
    worst = agreement(pairs_of(proxies, truths, ["bad", "good"])).worst
    assert [one.prompt for one in worst] == ["bad", "good"]
    assert [one.truth_of_best for one in worst] == pytest.approx([0.1, 0.3])
    assert [one.truth for one in worst] == pytest.approx([0.425, 0.15])
    assert [one.samples for one in worst] == [4, 4]


def test_the_peak_of_a_path_is_where_its_slopes_add_up_highest():
    log_k = np.array([0.0, 0.1, 1.1, 1.2, 3.0])
    slopes = np.array([[2.0, 1.0, -0.4, 0.5, -3.0]])
    climbed = np.concatenate(
        [[0.0], [np.trapezoid(slopes[0, :i], log_k[:i]) for i in (2, 3, 4, 5)]]
    )
    found = Path("t", np.arange(5.0), slopes, slopes, log_k, "").peak
    assert found == float(np.argmax(climbed)) == 3.0
    steep = Path("t", np.arange(3.0), slopes[:, :3], np.array([[1.0, 1.0, -3.0]]), log_k[:3], "")
    assert steep.peak == 1.0
    wide = Path("t", np.arange(3.0), slopes[:, :3], np.array([[9.0, -3.0, 2.0]]), log_k[:3], "")
    assert wide.peak == 1.0  # its second stretch is ten times as wide, and loses .5
    late = Path("t", np.arange(3.0), slopes[:, :3], np.array([[-2.0, 0.0, 1.0]]), log_k[:3], "")
    assert late.peak == 2.0


def test_a_path_of_two_points_is_a_path(monkeypatch):
    rng = np.random.default_rng(3)
    groups = Groups.stack([np.sort(rng.normal(size=20)) for _ in range(5)])
    pairs = TruthPairs.of(groups, groups.values)
    whole = tilts.path(pairs, as_transform("identity"))
    carried = [
        pairs.carrying(solve(tilted(as_transform("identity"), pairs.bases), kl).log_ratio)
        for kl in whole.kl[:3]
    ]
    monkeypatch.setattr(tilts, "FEWEST_EFFECTIVE", (carried[1] + carried[2]) / 2)
    short = tilts.path(pairs, as_transform("identity"))
    assert short.kl.tolist() == whole.kl[:2].tolist()
    assert short.truths == pytest.approx(whole.truths[:, :2])
    monkeypatch.setattr(tilts, "FEWEST_EFFECTIVE", (carried[0] + carried[1]) / 2)
    with pytest.raises(InputError, match="effective samples a prompt at"):
        tilts.path(pairs, as_transform("identity"))


def test_a_tilt_of_a_budget_spends_it():
    kl = 0.2
    for law in ("discrete", "continuous"):
        rows, _ = truth_rows("discrete")  # with ties the two laws differ
        bases = rows.pairs.bases
        found = rows._at(as_transform("identity"), law, kl)(bases)
        if law == "discrete":
            assert bases.kls(found).mean() == pytest.approx(kl, abs=1e-9)
        else:
            policy = it.align("identity", kl=kl)
            edges = [
                np.concatenate([[0.0], np.cumsum(bases.mass[a:b])])
                for a, b in zip(bases.offsets[:-1], bases.offsets[1:], strict=True)
            ]
            mass = np.concatenate([np.diff(policy.cdf(np.minimum(e, 1.0))) for e in edges])
            assert np.exp(found) * bases.mass == pytest.approx(mass, abs=1e-9)


def test_few_samples_tell_little_and_by_how_much_is_exact():
    rng = np.random.default_rng(5)
    groups = Groups.stack([np.sort(rng.normal(size=5)) for _ in range(12)])
    pairs = TruthPairs.of(groups, groups.values + rng.normal(size=60))
    contest = Contest(groups, PromptBases.of(groups), as_procedure("bon:2"), None)
    rows = TruthRows(pairs, contest)
    reach = rows._reach(as_transform("identity"), "discrete")

    def effective(kl):
        return pairs.carrying(rows._at(as_transform("identity"), "discrete", kl)(pairs.bases))

    assert reach < 0.2
    assert effective(reach) >= 4.0 > effective(1.011 * reach)
    what = as_choice("optimal")  # another transform at every KL: it has no curve
    row = discrete_row(what, contest, None, 1.0, contest.optima.win_rates_at_kl(1.0))
    _, (note,) = rows.completed(row, what)
    assert "beyond 0 nats" in note
