"""Acceptance of `validate`: every number against brute force, every refusal in one line."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

import infalign_theory as it
from infalign_theory import validate
from infalign_theory.cli import app as cli
from infalign_theory.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
SIDES = ["bon:1", "bon:2", "bon:3", "bon:4", "won:1", "won:2", "won:3", "won:4", "standard"]
COLUMNS = ["prompt", "policy", "reward", "truth", "log_ratio", "sample"]


# -------------------------------------------------------------------------------- the slow truth
def parts(procedure):
    """("bon" or "won", N)."""
    kind, _, n = procedure.partition(":")
    return ("bon", 1) if kind == "standard" else (kind, int(n))


def picks(samples, procedure):
    """Every (weight, reward, truth) that inference may return: subsets, ties broken evenly."""
    kind, n = parts(procedure)
    best = max if kind == "bon" else min
    found = []
    for subset in combinations(samples, n):
        top = best(reward for reward, _ in subset)
        tied = [truth for reward, truth in subset if reward == top]
        found += [(1 / len(tied), top, truth) for truth in tied]
    total = math.fsum(weight for weight, _, _ in found)
    return [(weight / total, reward, truth) for weight, reward, truth in found]


def beats(ours, theirs, at):
    """Chance that a pick of ours beats one of theirs in reward (at = 1) or truth (at = 2)."""
    return math.fsum(
        a[0] * b[0] * ((a[at] > b[at]) + 0.5 * (a[at] == b[at])) for a in ours for b in theirs
    )


def mean_of(chosen, at):
    return math.fsum(pick[0] * pick[at] for pick in chosen)


def oracle(samples, procedure):
    return mean_of(picks([(truth, truth) for _, truth in samples], procedure), 2)


def by_prompt(table, policy):
    """Prompt -> [(reward, truth)] of one policy."""
    groups = {}
    for row in table[table.policy == policy].itertuples():
        groups.setdefault(row.prompt, []).append((row.reward, getattr(row, "truth", 0.0)))
    return groups


def slow(table, procedure, policy="tuned", base="base"):
    """Per prompt that has N on both sides: a dictionary of everything about the picks."""
    n = parts(procedure)[1]
    ours, theirs = by_prompt(table, policy), by_prompt(table, base)
    found = {}
    for prompt in sorted(set(ours) & set(theirs)):
        if min(len(ours[prompt]), len(theirs[prompt])) < n:
            continue
        a, b = picks(ours[prompt], procedure), picks(theirs[prompt], procedure)
        found[prompt] = {
            "win": beats(a, b, 1),
            "true": beats(a, b, 2),
            "reward": (mean_of(a, 1), mean_of(b, 1)),
            "picked": (mean_of(a, 2), mean_of(b, 2)),
            "oracle": (oracle(ours[prompt], procedure), oracle(theirs[prompt], procedure)),
        }
    return found


def summary(values, level=0.95, low=-math.inf, high=math.inf):
    """(mean, standard error, Student interval) of one number a prompt."""
    mean = fmean(values)
    if len(values) == 1:
        return mean, None, None
    error = stdev(values) / math.sqrt(len(values))
    reach = stats.t.ppf(0.5 + level / 2, len(values) - 1) * error
    return mean, error, (max(mean - reach, low), min(mean + reach, high))


def agree(found, expected, tolerance=1e-12):
    """An Estimate (or a row) against a summary."""
    value = getattr(found, "value", getattr(found, "estimate", None))
    mean, error, interval = expected
    assert value == pytest.approx(mean, abs=tolerance, rel=tolerance)
    if error is None:
        assert (found.stderr, found.ci) == (None, None)
        return
    # a spread that is zero but for rounding has no digits of its own
    assert found.stderr == pytest.approx(error, abs=tolerance, rel=1e-9)
    assert found.ci == pytest.approx(interval, abs=1e-10, rel=1e-9)


def scores(seed, prompts=6, sizes=(1, 7), policies=("base", "tuned"), grades=4, real_truth=False):
    """A long table with ties (or none, with grades=0) and unequal numbers of samples."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        for at, policy in enumerate(policies):
            for sample in range(rng.integers(sizes[0], sizes[1] + 1)):
                reward = rng.integers(0, grades) + at if grades else rng.normal(at, 1)
                truth = rng.normal() if real_truth else float(rng.random() < 0.4 + 0.1 * at)
                rows.append(
                    (f"p{prompt:02d}", policy, float(reward), truth, rng.normal(at, 1), sample)
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def plain(table, **options):
    return validate(table, policy="policy", **options)


def outcome(call):
    """(result, None), or (None, message) of an input that was refused."""
    try:
        return call(), None
    except InputError as error:
        return None, str(error)


def numbers(result):
    """Everything a result says, as text: equal texts are equal bit for bit."""
    return json.dumps(result.to_dict(), default=str)


# ------------------------------------------------------------------------------------ win rates
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_win_rates_are_averages_over_all_pairs_of_subsets(seed):
    table = scores(seed, grades=(0, 2, 4, 9)[seed % 4])
    found = plain(table, procedure=SIDES).policies["tuned"]
    both = len(slow(table, "bon:1"))
    assert [row.procedure for row in found.win_rates] == SIDES
    assert found.prompts == both
    assert found.samples == (table.policy == "tuned").sum()
    for row in found.win_rates:
        expected = [numbers["win"] for numbers in slow(table, row.procedure).values()]
        agree(row, summary(expected, low=0.0, high=1.0))
        assert (row.prompts, row.excluded) == (len(expected), both - len(expected))
    first = found.win_rates[0]
    for same in (found.win_rates[4], found.win_rates[8]):
        assert (same.estimate, same.stderr, same.ci) == (first.estimate, first.stderr, first.ci)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([-1.5, 0.0, 0.1, 3.0, 1e9]), min_size=4, max_size=7),
            st.lists(st.sampled_from([-1.5, 0.0, 0.1, 3.0, 1e9]), min_size=4, max_size=7),
        ),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_win_rates_of_any_samples(groups):
    rows = [(i, "base", x, 0.0) for i, (_, b) in enumerate(groups) for x in b]
    rows += [(i, "tuned", x, 0.0) for i, (a, _) in enumerate(groups) for x in a]
    table = pd.DataFrame(rows, columns=["prompt", "policy", "reward", "truth"])
    found = plain(table, procedure=["bon:4", "won:3"]).policies["tuned"]
    for row in found.win_rates:
        expected = [numbers["win"] for numbers in slow(table, row.procedure).values()]
        agree(row, summary(expected, low=0.0, high=1.0))
        assert row.excluded == 0


@pytest.mark.parametrize("level", [0.5, 0.9, 0.999])
def test_the_level_of_intervals(level):
    table = scores(3, sizes=(2, 6))
    row = plain(table, procedure="bon:2", level=level).policies["tuned"].win_rates[0]
    agree(row, summary([n["win"] for n in slow(table, "bon:2").values()], level, 0.0, 1.0))


def test_one_prompt_has_no_interval():
    table = scores(1, prompts=1, sizes=(5, 5))
    row = plain(table, procedure="bon:2").policies["tuned"].win_rates[0]
    assert (row.stderr, row.ci, row.prompts) == (None, None, 1)
    assert row.estimate == pytest.approx(slow(table, "bon:2")["p00"]["win"], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_chance_of_a_tie(seed):
    table = scores(seed, sizes=(1, 5))
    ours, theirs = by_prompt(table, "tuned"), by_prompt(table, "base")
    expected = [
        fmean(a == b for a, _ in ours[prompt] for b, _ in theirs[prompt]) for prompt in ours
    ]
    assert plain(table).policies["tuned"].tie_fraction == pytest.approx(fmean(expected), abs=1e-12)


@pytest.mark.slow
def test_mean_reward_of_the_pick():
    table = scores(5, sizes=(2, 7))
    for row in plain(table, procedure=SIDES).policies["tuned"].win_rates:
        expected = [numbers["reward"] for numbers in slow(table, row.procedure).values()]
        assert row.reward.aligned == pytest.approx(fmean(a for a, _ in expected), abs=1e-12)
        assert row.reward.base == pytest.approx(fmean(b for _, b in expected), abs=1e-12)


@pytest.mark.slow
def test_many_samples_and_large_n():
    """No overflow and no cancellation: exact rational counts at m = 300, N up to 300."""
    ours, theirs = list(range(1, 301)), [x + 0.5 for x in range(300)]
    rows = [("p", "base", x) for x in theirs] + [("p", "tuned", float(x)) for x in ours]
    table = pd.DataFrame(rows, columns=COLUMNS[:3])
    names = ["bon:37", "won:150", "bon:300", "won:300", "bon:299"]
    for row in plain(table, procedure=names).policies["tuned"].win_rates:
        kind, n = parts(row.procedure)
        below, total = lambda k, n=n: math.comb(k, n), math.comb(300, n)
        if kind == "bon":  # our maximum is x: subsets with it on top, times theirs all below x
            exact = sum((below(x) - below(x - 1)) * below(x) for x in ours)
        else:  # our minimum is x, theirs is below it unless all are above
            exact = sum((below(301 - x) - below(300 - x)) * (total - below(300 - x)) for x in ours)
        assert row.estimate == pytest.approx(exact / total**2, abs=1e-12)


# ------------------------------------------------------------------------------------- KL
def least_kl(win_rate):
    """Minimum of KL over laws on [0, 1] with that mean: an exponential tilt of the uniform."""
    if win_rate in (0.0, 1.0):
        return math.inf
    if abs(win_rate - 0.5) < 1e-15:
        return 0.0

    def mean(k):
        return 1 / -math.expm1(-k) - 1 / k

    sign = 1 if win_rate > 0.5 else -1
    w = win_rate if sign > 0 else 1 - win_rate
    k = optimize.brentq(lambda k: mean(k) - w, 1e-9, 600, xtol=1e-14, rtol=1e-14)
    return k * w - math.log(math.expm1(k) / k)


@pytest.mark.parametrize("wins", [0, 1, 3, 8, 10, 13, 19, 20])
def test_the_least_kl_of_a_win_rate(wins):
    """One prompt, one base sample at 0: the win rate is the share of positive rewards."""
    rows = [("p", "base", 0.0)] + [("p", "tuned", 1.0 if i < wins else -1.0) for i in range(20)]
    found = plain(pd.DataFrame(rows, columns=COLUMNS[:3])).policies["tuned"]
    assert found.win_rates[0].estimate == pytest.approx(wins / 20, abs=1e-15)
    assert found.kl_floor == pytest.approx(least_kl(wins / 20), rel=1e-9, abs=1e-12)


@pytest.mark.slow
def test_kl_from_log_ratios():
    table = scores(2, sizes=(2, 6))
    found = plain(table, log_ratio="log_ratio").policies["tuned"]
    groups = [g.log_ratio for _, g in table[table.policy == "tuned"].groupby("prompt")]
    agree(found.kl, summary([g.mean() for g in groups]))
    agree(found.kl_k3, summary([(np.exp(-g) - 1 + g).mean() for g in groups]), 1e-11)
    assert plain(table).policies["tuned"].kl is None


# ------------------------------------------------------------------------------------- truth
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_true_reward_of_the_picks(seed):
    table = scores(seed, sizes=(1, 6), grades=3 + seed, real_truth=seed % 2 == 1)
    for row in plain(table, procedure=SIDES, truth="truth").policies["tuned"].win_rates:
        expected = list(slow(table, row.procedure).values())
        agree(row.truth.win_rate, summary([n["true"] for n in expected], low=0.0, high=1.0))
        agree(row.truth.gap, summary([n["win"] - n["true"] for n in expected]))
        for name in ("picked", "oracle"):
            found = getattr(row.truth, name)
            assert found.aligned == pytest.approx(fmean(n[name][0] for n in expected), abs=1e-12)
            assert found.base == pytest.approx(fmean(n[name][1] for n in expected), abs=1e-12)


def test_the_oracle_is_pass_at_n():
    rows = [
        ("p", policy, 0.0, float(i < c))
        for policy, c in (("base", 2), ("tuned", 4))
        for i in range(9)
    ]
    table = pd.DataFrame(rows, columns=COLUMNS[:4])
    names = [f"{kind}:{n}" for kind in ("bon", "won") for n in (1, 3, 6, 9)]
    for row in plain(table, procedure=names, truth="truth").policies["tuned"].win_rates:
        kind, n = parts(row.procedure)
        for found, c in ((row.truth.oracle.aligned, 4), (row.truth.oracle.base, 2)):
            exact = 1 - math.comb(9 - c, n) / math.comb(9, n)
            exact = exact if kind == "bon" else math.comb(c, n) / math.comb(9, n)
            assert found == pytest.approx(exact, abs=1e-12)


def test_a_prompt_without_truth_counts_for_the_reward_only():
    table = scores(4, sizes=(3, 5))
    gone = (table.prompt == "p02") & (table.policy == "base") & (table["sample"] == 1)
    table.loc[gone, "truth"] = np.nan
    result = plain(table, procedure="bon:2", truth="truth")
    row = result.policies["tuned"].win_rates[0]
    rest = slow(table[table.prompt != "p02"], "bon:2").values()
    assert row.prompts == 6
    assert row.truth.win_rate.prompts == 5
    agree(row.truth.win_rate, summary([n["true"] for n in rest], low=0.0, high=1.0))
    agree(row.truth.gap, summary([n["win"] - n["true"] for n in rest]))
    assert row.truth.picked.base == pytest.approx(fmean(n["picked"][1] for n in rest), abs=1e-12)
    assert [(f.kind, f.policy, f.count) for f in result.findings] == [("missing_truth", "base", 1)]


# ------------------------------------------------------------------------------------- policies
@pytest.mark.slow
def test_paired_differences_of_every_pair():
    table = scores(6, policies=("base", "a", "b", "c"), sizes=(1, 5))
    table = table[~((table.policy == "b") & (table.prompt == "p03"))]
    result = plain(table, procedure=["bon:2", "won:1"])
    assert sorted(result.policies) == ["a", "b", "c"]
    pairs = [(d.procedure, d.first, d.second) for d in result.differences]
    assert len(pairs) == len(set(pairs)) == 6
    for row in result.differences:
        first, second = (slow(table, row.procedure, p) for p in (row.first, row.second))
        assert row.first != row.second
        common = sorted(set(first) & set(second))
        expected = [first[p]["win"] - second[p]["win"] for p in common]
        agree(row.difference, summary(expected, low=-1.0, high=1.0))
        assert row.difference.prompts == len(common)
    for name in "abc":
        for row in result.policies[name].win_rates:
            values = [n["win"] for n in slow(table, row.procedure, name).values()]
            agree(row, summary(values, low=0.0, high=1.0))


@pytest.mark.slow
def test_policies_do_not_disturb_one_another():
    table = scores(7, policies=("base", "a", "b"))
    together = plain(table, procedure=["bon:2", "won:2"])
    for name in "ab":
        alone = plain(table[table.policy.isin(["base", name])], procedure=["bon:2", "won:2"])
        mine, other = (json.dumps(r.policies[name].to_dict()) for r in (together, alone))
        assert mine == other


@pytest.mark.slow
def test_which_policy_is_the_base():
    table = scores(8, policies=("base", "tuned"))
    assert plain(table).base == "base"
    turned = plain(table, base="tuned", procedure="bon:2")
    assert (turned.base, list(turned.policies)) == ("tuned", ["base"])
    row = turned.policies["base"].win_rates[0]
    forward = plain(table, procedure="bon:2").policies["tuned"].win_rates[0]
    assert row.estimate == pytest.approx(1 - forward.estimate, abs=1e-12)


# ------------------------------------------------------------------------------------- theory
def drawn(seed, law, prompts=40, size=6):
    """Scores of a base and of exactly that law, on a scale of its own for every prompt."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in range(prompts):
        shift, scale = rng.normal(0, 5), rng.uniform(0.1, 3)
        for policy, u in (("base", rng.random(size)), ("tuned", law.rvs(size, rng))):
            rows += [(prompt, policy, float(x)) for x in shift + scale * np.log(u / (1 - u))]
    return pd.DataFrame(rows, columns=COLUMNS[:3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transform", "budget"),
    [("exp:2", {"beta": 1.0}), ("log", {"kl": 0.3}), ("power:3", {"kl": 0.1}),
     ("identity", {"kl": 0.0})],
)  # fmt: skip
def test_a_planned_law_predicts_its_own_win_rates(transform, budget):
    law = it.align(transform, **budget)
    table = drawn(1, law)
    result = plain(table, procedure=SIDES, transform=transform, **budget)
    theory = result.policies["tuned"].theory
    assert (theory.law, theory.fitted) == ("continuous", False)
    assert theory.kl.value == pytest.approx(law.kl, abs=1e-9)
    for row in result.policies["tuned"].win_rates:
        assert row.predicted == pytest.approx(it.win_rate(law, row.procedure), abs=1e-9)
        assert abs(row.z) < 4


@pytest.mark.simulation
@pytest.mark.parametrize("planned", [True, False])
def test_z_is_near_standard_normal_under_the_law(planned):
    law = it.align("log", beta=2.0)
    options = {"transform": "log", "beta": 2.0} if planned else {}
    names = ["bon:1", "bon:2", "won:2", "bon:4", "won:4"]
    found = []
    for seed in range(12):
        result = plain(drawn(seed, law), procedure=names, **options)
        found.append([row.z for row in result.policies["tuned"].win_rates])
    found = np.array(found)
    assert np.abs(found).max() < 4.5
    # five standard errors of a mean of twelve; a fit leaves less than a unit of spread
    assert np.abs(found.mean(axis=0)).max() < 5 / math.sqrt(12)
    assert found.std(axis=0, ddof=1).max() < 1.9
    if planned:
        assert found.std(axis=0, ddof=1).min() > 0.4


def graded(seed, law, size, grades=5, prompts=60):
    """Scores of equally likely grades and of exactly that law on them."""
    rng = np.random.default_rng(seed)
    chances = np.diff(law.cdf(np.arange(grades + 1) / grades), prepend=0.0)[1:]
    chances[0] += 1 - chances.sum()
    draws = {
        "base": rng.integers(0, grades, (prompts, size)),
        "tuned": rng.choice(grades, (prompts, size), p=chances),
    }
    rows = [
        (prompt, policy, float(x))
        for policy, table in draws.items()
        for prompt, line in enumerate(table)
        for x in line
    ]
    return pd.DataFrame(rows, columns=COLUMNS[:3])


@pytest.mark.simulation
@pytest.mark.parametrize(
    "options", [{"transform": "exp:2", "beta": 2.0}, {"transform": "exp:2"}, {}],
    ids=["planned", "k fitted", "all fitted"],
)  # fmt: skip
def test_z_is_near_standard_normal_under_a_law_on_grades(options):
    law = it.align("exp:2", beta=2.0, base=it.Discrete([0.2] * 5))
    names = ["bon:1", "bon:2"]
    found = []
    for seed in range(12):
        result = plain(graded(seed, law, 16), procedure=names, law="discrete", **options)
        found.append([row.z for row in result.policies["tuned"].win_rates])
    found = np.array(found)
    assert np.abs(found).max() < 4.5
    assert np.abs(found.mean(axis=0)).max() < 5 / math.sqrt(12)


@pytest.mark.slow
def test_z_is_large_where_the_law_is_not_the_planned_one():
    table = drawn(3, it.align("log", beta=2.0))
    for transform, kl, sign in (("log", 1.5, -1), ("log", 0.0, 1)):
        result = plain(table, procedure=["bon:1", "bon:2"], transform=transform, kl=kl)
        for row in result.policies["tuned"].win_rates:
            assert sign * row.z > 4


@pytest.mark.slow
def test_a_transform_alone_is_fitted():
    law = it.align("exp:2", kl=0.4)
    found = plain(drawn(2, law, prompts=150), procedure="bon:2", transform="exp:2")
    theory = found.policies["tuned"].theory
    assert (theory.fitted, theory.transform) == (True, "exp:2")
    assert abs(theory.k.value - 1 / law.beta) < 4 * theory.k.stderr
    assert theory.k.stderr < 0.3 / law.beta


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 5, 10])
def test_what_a_strong_law_predicts_on_graded_scores_is_possible(seed):
    """However few the base samples, a win rate is at most 1 and a KL at least 0."""
    table = scores(seed, prompts=8, sizes=(3, 4), grades=3)
    for transform, beta in (("log", 0.02), ("exp:3", 0.3), ("identity", 0.05)):
        plan = {"transform": transform, "beta": beta, "law": "discrete"}
        found = plain(table, procedure=["bon:2", "won:2"], **plan).policies["tuned"]
        assert found.theory.kl.value >= 0.0
        for row in found.win_rates:
            assert 0.0 <= row.predicted <= 1.0
            assert row.predicted_ci[0] <= row.predicted <= row.predicted_ci[1]


@pytest.mark.slow
def test_a_law_that_cannot_be_had_leaves_the_win_rates():
    """What was observed needs no theory: too few base samples for one are a note, fit or plan."""
    table = scores(1, prompts=8, sizes=(2, 2), grades=3)
    fitted = plain(table).policies["tuned"].win_rates[0]
    planned = plain(table, transform="log", beta=1.0).policies["tuned"].win_rates[0]
    assert (planned.estimate, planned.ci) == (fitted.estimate, fitted.ci)


@pytest.mark.slow
def test_z_where_every_prompt_agrees_is_no_astronomical_number():
    """Ten prompts all won outright: likely under a law with 95 %, no departure at all."""
    law = it.align("log", beta=1 / 19)
    samples = [("base", 0.0), ("base", 0.1), ("tuned", 0.7), ("tuned", 0.8)]
    rows = [(p, policy, p + reward) for p in range(10) for policy, reward in samples]
    table = pd.DataFrame(rows, columns=COLUMNS[:3])
    result = plain(table, procedure=["standard", "won:2"], transform="log", beta=1 / 19)
    for row in result.policies["tuned"].win_rates:
        assert row.estimate == 1.0
        assert row.predicted == pytest.approx(it.win_rate(law, row.procedure), abs=1e-9)
        assert row.z is None or abs(row.z) < 4


@pytest.mark.slow
def test_z_has_no_astronomical_values_under_the_law():
    """A strong law whose Worst-of-4 nearly always wins: spreads of prompts are nearly zero."""
    law = it.align("exp:2", beta=0.5)
    for seed in range(4):
        table = drawn(seed, law, prompts=60, size=5)
        result = plain(table, procedure="won:4", transform="exp:2", beta=0.5)
        z = result.policies["tuned"].win_rates[0].z
        assert z is None or abs(z) < 6


def test_a_budget_needs_a_transform_and_is_one(refused):
    table = scores(1)
    for options in ({"beta": 0.5}, {"kl": 0.5}):
        refused(lambda options=options: plain(table, **options), "transform", kind=InputError)
    both = {"beta": 0.5, "kl": 0.5, "transform": "log"}
    refused(lambda: plain(table, **both), "exactly one", kind=InputError)
    for kl in (-1.0, math.nan, math.inf, "x"):
        refused(lambda kl=kl: plain(table, transform="log", kl=kl), "kl")


@pytest.mark.slow
def test_the_base_of_the_theory_is_chosen_or_forced():
    smooth, graded = scores(1, grades=0, sizes=(4, 6)), scores(1, grades=3, sizes=(4, 6))
    for table, expected in ((smooth, "continuous"), (graded, "discrete")):
        found = {
            law: plain(table, procedure="bon:2", law=law).policies["tuned"]
            for law in ("auto", "continuous", "discrete")
        }
        assert found["auto"].theory.law == expected
        assert found[expected].to_dict() == found["auto"].to_dict()
        for law in ("continuous", "discrete"):
            assert found[law].theory.law == law
            assert found[law].win_rates[0].estimate == found["auto"].win_rates[0].estimate
    for law in ("Continuous", "", "x", None):
        with pytest.raises(InputError, match="'auto', 'continuous' or 'discrete'"):
            plain(smooth, law=law)


# ------------------------------------------------------------------------------------- bootstrap
@pytest.mark.slow
def test_the_bootstrap_repeats_itself():
    table = scores(1, prompts=60, sizes=(3, 6))
    rows = {
        (count, seed): plain(table, procedure="bon:2", bootstrap=count, seed=seed)
        .policies["tuned"]
        .win_rates[0]
        for count, seed in ((500, 1), (500, 2), (0, 1))
    }
    again = plain(table, procedure="bon:2", bootstrap=500, seed=1).policies["tuned"].win_rates[0]
    assert again == rows[500, 1]
    assert rows[500, 1].ci != rows[500, 2].ci
    student = rows[0, 1]
    values = [n["win"] for n in slow(table, "bon:2").values()]
    other = stats.bootstrap((values,), np.mean, n_resamples=9999, method="BCa", rng=0)
    for seed in (1, 2):
        row = rows[500, seed]
        assert row.estimate == student.estimate
        assert 0.0 <= row.ci[0] < row.estimate < row.ci[1] <= 1.0
        # 500 resamples tell a 2.5 % quantile to about 0.15 standard errors
        assert row.ci == pytest.approx(tuple(other.confidence_interval), abs=0.6 * student.stderr)


@pytest.mark.parametrize("count", [1, 2])
def test_a_tiny_bootstrap_is_refused_or_works(count):
    table = scores(1, sizes=(3, 4))
    result, message = outcome(lambda: plain(table, bootstrap=count))
    if result is None:
        assert "bootstrap" in message
    else:
        error = result.policies["tuned"].win_rates[0].stderr
        assert error is None or math.isfinite(error)


# ------------------------------------------------------------------------------------- findings
HEAD = "prompt,policy,reward,name,other\n"
CLEAN = "a,base,1,0,u\na,base,2,1,v\nb,base,3,0,w\na,tuned,1,0,x\na,tuned,2,1,y\nb,tuned,4,0,z\n"


def told(result, *more):
    return [
        tuple(getattr(f, name) for name in ("kind", "policy", "count", *more))
        for f in result.findings
    ]


def from_csv(tmp_path, text, **options):
    path = tmp_path / "s.csv"
    path.write_text(HEAD + text)
    return plain(path, **options)


@pytest.mark.slow
def test_clean_scores_have_no_findings(tmp_path):
    assert told(from_csv(tmp_path, CLEAN, strict=True)) == []


FINDINGS = {
    "prompt": (",tuned,1,9,q\n", {}, ("unnamed_prompt", None, 1), 3),
    "policy": ("a,,1,9,q\n", {}, ("unnamed_policy", None, 1), 3),
    "missing": ("a,tuned,,9,q\na,tuned,,8,r\n", {}, ("bad_reward", "tuned", 2), 3),
    "text": ("a,tuned,good,9,q\n", {}, ("bad_reward", "tuned", 1), 3),
    "nan": ("a,tuned,NaN,9,q\n", {}, ("bad_reward", "tuned", 1), 3),
    "inf": ("b,base,-inf,9,q\n", {}, ("bad_reward", "base", 1), 3),
    "repeated": ("b,tuned,4,0,q\n", {"sample": "name"}, ("repeated_sample", "tuned", 1), 3),
    "conflict": ("b,tuned,5,0,q\n", {"sample": "name"}, ("conflicting_sample", "tuned", 1), 4),
    "row": ("b,tuned,4,0,z\n" * 2, {}, ("repeated_row", "tuned", 2), 5),
    "only base": ("c,base,1,0,q\nd,base,1,0,r\n", {}, ("only_base", "tuned", 2), 3),
    "only policy": ("c,tuned,1,0,q\n", {}, ("only_policy", "tuned", 1), 4),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FINDINGS)
def test_findings_are_counted_and_strict_refuses_them(tmp_path, case):
    more, options, expected, samples = FINDINGS[case]
    result = from_csv(tmp_path, CLEAN + more, **options)
    assert told(result) == [expected]
    assert result.policies["tuned"].samples == samples
    finding = result.findings[0]
    assert str(finding.count) in finding.text
    assert "\n" not in finding.text
    with pytest.raises(InputError, match="strict"):
        from_csv(tmp_path, CLEAN + more, strict=True, **options)


@pytest.mark.slow
def test_findings_name_an_example(tmp_path):
    result = from_csv(tmp_path, CLEAN + "a,tuned,good,9,q\nzz,tuned,1,9,q\nyy,base,1,9,q\n")
    examples = {f.kind: f.example for f in result.findings}
    assert "a" in examples["bad_reward"]
    assert "good" in examples["bad_reward"]
    assert (examples["only_policy"], examples["only_base"]) == ("zz", "yy")
    assert "zz" in next(f.text for f in result.findings if f.kind == "only_policy")


@pytest.mark.slow
def test_too_few_samples_are_told_by_procedure(tmp_path):
    result = from_csv(tmp_path, CLEAN, procedure=["standard", "bon:2", "won:2"])
    assert told(result, "where") == [
        ("too_few", "tuned", 1, "bon:2"),
        ("too_few", "tuned", 1, "won:2"),
    ]
    assert [row.excluded for row in result.policies["tuned"].win_rates] == [0, 1, 1]


def test_a_missing_log_ratio_is_told_and_left_out():
    table = scores(1, sizes=(3, 4))
    lost = table.index[(table.policy == "tuned") & (table.prompt == "p01")][0]
    table.loc[table.policy == "base", "log_ratio"] = np.nan
    table.loc[lost, "log_ratio"] = np.inf
    result = plain(table, log_ratio="log_ratio")
    assert told(result) == [("missing_log_ratio", "tuned", 1)]
    rest = table[(table.policy == "tuned") & (table.index != lost)]
    agree(
        result.policies["tuned"].kl,
        summary([g.log_ratio.mean() for _, g in rest.groupby("prompt")]),
    )
    assert result.policies["tuned"].samples == (table.policy == "tuned").sum()


def test_no_log_ratio_at_all_is_told():
    table = scores(1).assign(log_ratio=np.nan)
    result = plain(table, log_ratio="log_ratio")
    assert result.policies["tuned"].kl is None
    assert told(result) == [("missing_log_ratio", "tuned", (table.policy == "tuned").sum())]


def test_no_truth_at_all_is_told():
    table = scores(1).assign(truth="unknown")
    result = plain(table, truth="truth")
    assert result.policies["tuned"].win_rates[0].truth is None
    assert {f.kind for f in result.findings} == {"missing_truth"}
    assert sum(f.count for f in result.findings) == len(table)


def test_a_very_unlikely_sample_leaves_its_kl():
    """exp(-r) of a long sequence overflows in k3; k1 is an ordinary number."""
    table = scores(1).assign(log_ratio=-800.0)
    found = plain(table, log_ratio="log_ratio").policies["tuned"]
    assert found.kl.value == pytest.approx(-800.0)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_sample_that_differs_in_any_column_is_no_repeated_row(tmp_path, suffix):
    """JSON lines may name a column that the first of them lacks."""
    rows = [{"prompt": "a", "policy": "base", "reward": 1, "note": "first"}]
    rows += [{"prompt": "a", "policy": "tuned", "reward": 1, "id": i} for i in range(3)]
    path = tmp_path / f"s{suffix}"
    if suffix == ".csv":
        pd.DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    assert told(plain(path)) == []


def test_a_policy_without_any_usable_row_is_told():
    """Said by name, whether that is an error or a finding."""
    table = scores(1, policies=("base", "tuned", "other"))
    table.loc[table.policy == "other", "reward"] = np.nan
    result, message = outcome(lambda: plain(table))
    if result is None:
        assert "other" in message
    else:
        assert any(f.policy == "other" for f in result.findings)


def test_a_file_without_rows_is_not_forgotten(tmp_path):
    for name, text in (("base", "a,1\n"), ("tuned", "a,2\n"), ("other", "")):
        (tmp_path / f"{name}.csv").write_text("prompt,reward\n" + text)
    result, message = outcome(lambda: validate(tmp_path / "*.csv"))
    if result is None:
        assert "other" in message
    else:
        assert "other" in result.policies or any(f.policy == "other" for f in result.findings)


@pytest.mark.slow
def test_truth_values_are_numbers_and_do_not_mix(refused):
    table = scores(1, grades=2, policies=("base", "tuned"))
    table["reward"] = table.reward.clip(0, 1)
    expected = numbers(plain(table, procedure="bon:2"))
    assert numbers(plain(table.assign(reward=table.reward == 1), procedure="bon:2")) == expected
    words = table.assign(reward=np.where(table.reward == 1, "True", "false"))
    assert numbers(plain(words, procedure="bon:2")) == expected
    words.loc[0, "reward"] = "0.5"
    refused(lambda: plain(words), "truth values", kind=InputError)


# ------------------------------------------------------------------------------- where from
OPTIONS = {"truth": "truth", "log_ratio": "log_ratio", "sample": "sample"}
NAMES = ["bon:2", "won:3", "standard"]
PLAN = {"transform": "log", "kl": 0.1, "law": "continuous"}  # nothing to fit, which takes longest


def save(table, path):
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True, double_precision=15)
    return path


@pytest.fixture(scope="module")
def table():
    """Rewards of few digits, so that every format holds them exactly."""
    table = scores(11, policies=("base", "tuned", "other"), sizes=(3, 6), grades=12)
    table["log_ratio"] = table.log_ratio.round(6)
    return table


@pytest.fixture(scope="module")
def expected(table):
    return numbers(plain(table, procedure=NAMES, **PLAN, **OPTIONS))


@pytest.mark.slow
@pytest.mark.parametrize(
    "suffix",
    [".csv", ".jsonl", ".ndjson", ".parquet"],
)
def test_files_of_every_kind_and_division(tmp_path, table, expected, suffix):
    def same(given, **options):
        assert numbers(validate(given, procedure=NAMES, **PLAN, **OPTIONS, **options)) == expected

    whole = save(table, tmp_path / f"whole{suffix}")
    same(whole, policy="policy")
    same(str(whole), policy="policy")
    folder = tmp_path / "parts"
    folder.mkdir()
    for i in range(3):
        save(table[i::3], folder / f"{i}{suffix}")
    same(folder, policy="policy")
    same(str(folder / "*"), policy="policy")
    same([folder / f"2{suffix}", folder / f"0{suffix}", folder / f"1{suffix}"], policy="policy")
    split = tmp_path / "split"
    split.mkdir()
    bare = {name: part.drop(columns="policy") for name, part in table.groupby("policy")}
    files = {name: save(part, split / f"{name}{suffix}") for name, part in bare.items()}
    same(list(files.values()))
    same(list(files.values())[::-1])
    same(split / "*")
    same({"tuned": str(files["tuned"]), "base": files["base"], "other": bare["other"]})
    folders = []
    for name, part in bare.items():
        folders.append(tmp_path / "dirs" / name)
        folders[-1].mkdir(parents=True)
        save(part[::2], folders[-1] / f"x{suffix}")
        save(part[1::2], folders[-1] / f"y{suffix}")
    same(folders)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "batches"])
@pytest.mark.parametrize("mapped", [False, True])
def test_tables_of_every_kind(table, expected, kind, mapped):
    def made(frame):
        frame = frame.reset_index(drop=True)
        if kind == "pandas":
            return frame
        pa = pytest.importorskip("pyarrow")
        arrow = pa.Table.from_pandas(frame)
        if kind == "polars":
            return pytest.importorskip("polars").from_arrow(arrow)
        return arrow if kind == "arrow" else arrow.to_batches()[0]

    if mapped:
        groups = table.groupby("policy")
        given = {name: made(part.drop(columns="policy")) for name, part in groups}
        found = validate(given, procedure=NAMES, **PLAN, **OPTIONS)
    else:
        found = plain(made(table), procedure=NAMES, **PLAN, **OPTIONS)
    assert numbers(found) == expected


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_order_never_changes_a_bit(tmp_path, seed):
    rng = np.random.default_rng(seed)
    law = ({}, {"law": "continuous"}, PLAN)[seed]  # fits, and none
    table = scores(seed, prompts=9, policies=("base", "a", "b"), grades=seed * 5, real_truth=True)
    table["reward"] = table.reward / 7
    table = pd.concat(
        [table, table[3:9], table[5:7].assign(reward=0.1), table[:1].assign(reward=np.nan)]
    )
    options = {"procedure": NAMES, "bootstrap": 200, **OPTIONS, **law}
    expected = numbers(plain(table, **options))
    mixed = table.iloc[rng.permutation(len(table))]
    assert numbers(plain(mixed[rng.permutation(COLUMNS)], **options)) == expected
    at = rng.integers(0, 4, len(mixed))
    files = [
        save(mixed[at == i][rng.permutation(COLUMNS)], tmp_path / f"{i}.parquet") for i in range(4)
    ]
    assert numbers(plain([files[i] for i in rng.permutation(4)], **options)) == expected
    assert numbers(plain(table, **{**options, "procedure": NAMES[::-1]})) != expected


@pytest.mark.slow
def test_order_never_changes_a_bit_of_a_large_table():
    """Enough rows for a database to share them among threads."""
    rng = np.random.default_rng(0)
    rows = 300_000
    table = pd.DataFrame(
        {
            "prompt": rng.integers(0, 400, rows),
            "policy": rng.choice(["base", "tuned"], rows),
            "reward": rng.normal(size=rows),
            "log_ratio": rng.normal(size=rows),
        }
    )
    options = {
        "procedure": ["bon:2", "won:64"],
        "log_ratio": "log_ratio",
        "transform": "log",
        "kl": 0.1,
    }
    expected = numbers(plain(table, **options))
    assert numbers(plain(table.sample(frac=1, random_state=1), **options)) == expected


ODD = ['x"; DROP TABLE source; --', "a'b", "[b]", "select", "zwölf ☃", "%s{}", "a\nb", "a;b,c", "?"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_names_may_hold_anything(tmp_path, suffix):
    table = scores(3, policies=("base", "tuned"), sizes=(2, 4))
    renamed = dict(zip(COLUMNS, ODD, strict=False))
    odd = table.rename(columns=renamed)
    prompts = dict(zip(sorted(set(table.prompt)), ODD, strict=False))
    odd[renamed["prompt"]] = table.prompt.map(prompts)
    odd[renamed["policy"]] = table.policy.map({"base": "'b\"; --\n", "tuned": "[/red]*?☃"})
    folder = tmp_path / "a'b; --[1] ü\n"
    folder.mkdir()
    path = save(odd, folder / f'*"?[x]{suffix}')
    options = {role: renamed[role] for role in ("prompt", "policy", "reward", *OPTIONS)}
    found = validate(path, procedure="bon:2", base="'b\"; --\n", **options)
    plainly = plain(table, procedure="bon:2", **OPTIONS)
    row, other = found.policies["[/red]*?☃"].win_rates[0], plainly.policies["tuned"].win_rates[0]
    assert row.estimate == pytest.approx(other.estimate, abs=1e-14)
    assert row.truth.win_rate.value == pytest.approx(other.truth.win_rate.value, abs=1e-14)
    assert row.prompts == other.prompts


@pytest.mark.slow
@settings(max_examples=30)
@given(st.data())
def test_any_small_table_is_judged_or_refused(data):
    """Whatever the numbers, JSON can be made of the answer, and the truth lies in [0, 1]."""
    number = st.sampled_from([0.0, 1.0, -1e300, 1e300, 5e-324, 0.1, math.nan, math.inf])
    row = st.tuples(
        st.sampled_from(["p", "q", "r", None]),
        st.sampled_from(["base", "base", "a", "b", None]),
        number,
        number,
        number,
        st.integers(0, 3),
    )
    table = pd.DataFrame(data.draw(st.lists(row, min_size=1, max_size=25)), columns=COLUMNS)
    law = data.draw(st.sampled_from(["auto", "continuous", "discrete"]))
    options = {"law": law, "truth": "truth", "sample": "sample"}
    result, message = outcome(lambda: plain(table, procedure=["bon:1", "bon:2"], **options))
    if result is None:
        assert "\n" not in message
        return
    result.to_frame()
    for policy in result.policies.values():
        assert policy.kl_floor >= 0.0
        for found in policy.win_rates:
            assert 0.0 <= found.estimate <= 1.0
            assert found.z is None or math.isfinite(found.z)


# ------------------------------------------------------------------------------------- real data
PRINTED = {1: 0.668, 2: 0.715, 4: 0.767, 8: 0.810, 16: 0.829, 24: 0.8315}


def with_itself(table):
    """Every sample twice: as the base's and as a policy's that is the base."""
    return pd.concat([table.assign(policy="base"), table.assign(policy="again")])


@pytest.mark.slow
def test_a_judge_against_itself_is_even_and_its_picks_are_as_published(judge_scores):
    table = with_itself(pd.read_csv(judge_scores))
    names = [f"{kind}:{n}" for kind in ("bon", "won") for n in PRINTED]
    result = plain(
        table,
        prompt="task_id",
        reward="judge_score",
        truth="correct",
        sample="sample",
        procedure=names,
        **PLAN,
    )
    assert (result.findings, result.base_samples) == ((), 2880)
    found = result.policies["again"]
    assert (found.prompts, found.samples) == (120, 2880)
    assert found.kl_floor == pytest.approx(0.0, abs=1e-12)
    for row in found.win_rates:
        kind, n = parts(row.procedure)
        for estimate in (row, row.truth.win_rate):
            value = getattr(estimate, "value", getattr(estimate, "estimate", None))
            assert value == pytest.approx(0.5, abs=1e-12)
        assert row.truth.gap.value == pytest.approx(0.0, abs=1e-12)
        assert row.truth.picked.aligned == row.truth.picked.base
        if kind == "bon":
            digits = 4 if n == 24 else 3
            half = 0.5 * 10.0**-digits + 1e-9
            assert abs(row.truth.picked.base - PRINTED[n]) <= half


@pytest.mark.slow
def test_a_reward_model_against_itself_is_even(maths_scores):
    table = with_itself(pd.read_json(maths_scores, lines=True))
    names = ["standard", "bon:2", "bon:8", "won:3", "won:8"]
    result = plain(
        table,
        prompt="problem",
        reward="rm_score",
        truth="correct",
        sample="sample",
        procedure=names,
        **PLAN,
    )
    assert result.findings == ()
    for row in result.policies["again"].win_rates:
        assert row.estimate == pytest.approx(0.5, abs=1e-12)
        assert row.truth.win_rate.value == pytest.approx(0.5, abs=1e-12)
    rows = {row.procedure: row.truth.picked.base for row in result.policies["again"].win_rates}
    assert rows["standard"] == pytest.approx(0.91, abs=5e-3)
    assert rows["bon:8"] == pytest.approx(0.94, abs=5e-3)
    assert rows["won:8"] == pytest.approx(0.86, abs=5e-3)


def halves(table, prompt, reward, base, group):
    """The first samples of each prompt as base, the best of each group of the others as policy."""
    at = table.groupby(prompt).cumcount()
    rest = table[at >= base].assign(group=(at[at >= base] - base) // group)
    best = rest.groupby([prompt, "group"])[reward].idxmax()
    return pd.concat(
        [table[at < base].assign(policy="base"), table.loc[best].assign(policy="best")]
    )


def agrees_with_theory(result):
    for row in result.policies["best"].win_rates:
        assert row.z is not None
        assert abs(row.z) < 3.5, row.procedure


@pytest.mark.slow
@pytest.mark.parametrize("plan", [{}, {"transform": "log", "beta": 0.5}], ids=["fit", "plan"])
def test_best_of_three_of_real_scores_is_its_law(plan, judge_scores):
    """Best-of-N is the tilt by log u at beta = 1 / (N - 1), where ties are rare."""
    table = halves(pd.read_csv(judge_scores), "task_id", "judge_score", 12, 3)
    names = [f"{kind}:{n}" for kind in ("bon", "won") for n in (1, 2, 4)]
    names = names if not plan else ["bon:4", "won:2"]
    result = plain(table, prompt="task_id", reward="judge_score", procedure=names, **plan)
    found = result.policies["best"]
    assert (found.prompts, found.samples, found.theory.law) == (120, 480, "discrete")
    assert all(row.excluded == 0 for row in found.win_rates)
    agrees_with_theory(result)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [{}, {"transform": "log", "beta": 1.0}], ids=["fit", "plan"])
def test_best_of_two_of_a_reward_model_is_its_law(plan, maths_scores):
    table = halves(pd.read_json(maths_scores, lines=True), "problem", "rm_score", 4, 2)
    names = ["bon:1", "bon:2", "won:2"]
    result = plain(table, prompt="problem", reward="rm_score", procedure=names, **plan)
    agrees_with_theory(result)


# ------------------------------------------------------------------------------------- command
@pytest.fixture
def run(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main(["validate", *map(str, arguments)])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


def one_line(result):
    code, out, err = result
    assert (code, out) == (2, "")
    err = err.strip("\n")  # see test_a_refusal_is_one_line_and_no_blank_one
    assert err.startswith("infalign: ")
    assert err.isprintable()
    assert len(err) < 600
    assert "Traceback" not in err
    return err


@pytest.mark.slow
def test_a_refusal_is_one_line_and_no_blank_one(run, written):
    for arguments in (["--nope"], ["-p", "bon:0"], ["-p", "bon:100"], ["missing.csv"]):
        assert len(run(written, *CONTRACT, *arguments)[2].splitlines()) == 1, arguments


def strictly(text):
    def never(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=never)


@pytest.fixture
def written(tmp_path):
    """Files as a run leaves them: JSON lines with a label, a question and a logit."""
    names = {"prompt": "question", "policy": "label", "reward": "rm_logit"}
    table = scores(21, prompts=12, sizes=(4, 6), grades=0)
    for name, part in table.rename(columns=names).groupby("label"):
        save(part, tmp_path / f"{name}.jsonl")
    return tmp_path


CONTRACT = ["--prompt", "question", "--policy", "label", "--base", "base", "--reward", "rm_logit"]
ASK = ["--procedure", "bon:1,2,4", "--procedure", "won:1,2,4"]


def test_the_document(run, written):
    files = [written / "base.jsonl", written / "tuned.jsonl"]
    code, out, err = run(*files, *CONTRACT, *ASK, "--json")
    assert code == 0
    assert "Traceback" not in err
    document = strictly(out)
    found = document["policies"]["tuned"]
    assert list(document["policies"]) == ["tuned"]
    assert type(found["prompts"]) is type(found["samples"]) is int
    assert type(found["tie_fraction"]) is type(found["kl_floor"]) is float
    assert found["kl"] is None
    rows = found["win_rates"]
    assert [row["procedure"] for row in rows] == [
        f"{k}:{n}" for k in ("bon", "won") for n in (1, 2, 4)
    ]
    for row in rows:
        assert all(type(row[key]) is float for key in ("estimate", "stderr", "predicted", "z"))
        assert len(row["ci"]) == 2
        assert row["ci"][0] < row["estimate"] < row["ci"][1]
    options = {"prompt": "question", "reward": "rm_logit"}
    names = [row["procedure"] for row in rows]
    direct = validate(files, procedure=names, policy="label", **options).policies["tuned"]
    assert [row["estimate"] for row in rows] == [row.estimate for row in direct.win_rates]
    assert found["kl_floor"] == direct.kl_floor
    assert run(*files, *CONTRACT, *ASK, "--json")[1] == out
    assert run(*files[::-1], *CONTRACT, *ASK, "--json")[1] == out
    assert run(*files, "--prompt", "question", "--reward", "rm_logit", *ASK, "--json")[1] == out


@pytest.mark.slow
def test_kl_and_truth_in_the_document(run, written):
    options = ["--log-ratio", "log_ratio", "--truth", "truth", "--sample", "sample"]
    code, out, _ = run(written, *CONTRACT, *options, "--json")
    assert code == 0
    found = strictly(out)["policies"]["tuned"]
    assert type(found["kl"]) is float
    assert 0.0 <= found["win_rates"][0]["truth"]["win_rate"]["value"] <= 1.0


def test_what_is_infinite_or_unknown_is_null(run, tmp_path):
    for name, reward in (("base", 0), ("tuned", 1)):
        (tmp_path / f"{name}.csv").write_text(f"prompt,reward\na,{reward}\n")
    code, out, err = run(tmp_path / "base.csv", tmp_path / "tuned.csv", "--json")
    assert code == 0
    assert "Traceback" not in err
    found = strictly(out)["policies"]["tuned"]
    row = found["win_rates"][0]
    assert found["kl_floor"] is None
    assert (row["estimate"], row["stderr"], row["ci"], row["z"]) == (1.0, None, None, None)


@pytest.mark.slow
def test_tables_for_people_go_to_standard_output(run, written):
    code, out, _ = run(written, *CONTRACT, *ASK)
    assert code == 0
    for text in ("tuned", "bon:4", "won:2"):
        assert text in out
    with pytest.raises(ValueError, match=r"."):
        json.loads(out)


@pytest.mark.slow
def test_the_document_in_a_file(run, written):
    target = written / "out.txt"
    target.write_text("before")
    code, out, _ = run(written, *CONTRACT, *ASK, "--json", "--output", target)
    assert code == 0
    assert json.loads(target.read_text()) == json.loads(out)
    before = target.read_bytes()
    one_line(run(written, *CONTRACT, "-p", "bon:100", "--output", target))
    assert target.read_bytes() == before
    assert sorted(p.name for p in written.iterdir()) == ["base.jsonl", "out.txt", "tuned.jsonl"]


@pytest.mark.parametrize("where", [".", "missing/x.json", "base.jsonl/x.json"])
def test_a_bad_target_is_refused_before_any_work(run, written, monkeypatch, where):
    from infalign_theory.empirical.validation import entry as validation

    def never(*_, **__):
        pytest.fail("worked first")

    monkeypatch.setattr(validation, "validate", never)
    target = f"{written}/{where}"
    message = one_line(run(written, *CONTRACT, "--output", target))
    assert "directory" in message
    assert sorted(p.name for p in written.iterdir()) == ["base.jsonl", "tuned.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-p", "bon:0"], "0"), (["-p", "bon:x"], "bon:x"), (["-p", "bon:-1"], "-1"),
        (["-p", "order:2/3"], "no unbiased estimator"), (["-p", "bop:3"], "no unbiased estimator"),
        (["-p", "bon:7"], "smaller N"), (["-p", "won:1,99"], "smaller N"),
        (["-p", ""], "procedure"), (["-p", "bon:2.5"], "2.5"), (["-p", "bon:1e400"], "N"),
        (["--level", "0"], "level"), (["--level", "1"], "level"), (["--level", "95"], "level"),
        (["--level", "nan"], "level"), (["--level=-0.5"], "level"), (["--level", "x"], "level"),
        (["--bootstrap=-1"], "bootstrap"), (["--bootstrap", "1.5"], "bootstrap"),
        (["--bootstrap", "100", "--seed=-1"], "seed"),
        (["--memory", "lots"], "memory"), (["--memory", ""], "memory"), (["--memory", "0GB"], ""),
        (["--memory", "1GB'; --"], "memory"), (["--memory", "9999999999999TB"], "memory"),
        (["--law", "both"], "law"), (["--beta", "1"], "transform"), (["--kl", "1"], "transform"),
        (["-t", "log", "--kl", "1", "--beta", "1"], "exactly one"), (["-t", "nope"], "nope"),
        (["-t", "log", "--kl", "-1"], "kl"), (["-t", "log", "--beta", "0"], "beta"),
        (["-t", "log", "--kl", "1e9"], "kl"),
        (["--base", "nope"], "'base', 'tuned'"), (["--base", ""], "'base'"),
        (["--base", "x'; DROP TABLE source; --"], "'base'"), (["--reward", "reward"], "rm_logit"),
        (["--prompt", "p\n\"; --"], "question"), (["--policy", "policy"], "label"),
        (["--truth", "gold"], "gold"), (["--log-ratio", "[x]"], "[x]"), (["--sample", "?"], "?"),
        (["--nope"], "nope"), (["missing.jsonl"], "missing.jsonl"), (["*.zip"], "*.zip"),
        (["a\0b.csv"], ""), (["x" * 5000 + ".csv"], ""), ([""], ""), (["a'b[1].csv"], "a'b[1].csv"),
    ],
    ids=lambda value: ascii(" ".join(value))[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_bad_requests_are_refused_in_one_line(run, written, arguments, said):
    assert said in one_line(run(written, *CONTRACT, *arguments, "--json"))


GOOD = b"prompt,policy,reward\na,base,1\na,base,2\na,tuned,3\n"
LINES = b"".join(
    b'{"prompt": "a", "policy": "%s", "reward": 1}\n' % name for name in (b"base", b"tuned")
)
BAD_FILES = {
    "empty.csv": b"", "empty.jsonl": b"", "empty.parquet": b"",
    "header.csv": b"prompt,policy,reward\n",
    "blank.csv": b"\n\n", "blank.jsonl": b"\n \n", "columns.csv": b"a,b,c\n1,2,3\n",
    "semicolons.csv": GOOD.replace(b",", b";"), "binary.csv": bytes(range(256)) * 20,
    "binary.parquet": bytes(range(256)) * 20, "corrupt.parquet": b"PAR1" + b"x" * 200 + b"PAR1",
    "ragged.csv": GOOD + b"a,tuned,3,4,5,6\n" + b"a,tuned,3\n", "quote.csv": GOOD + b'"a,tuned,3\n',
    "utf16.csv": GOOD.decode().encode("utf-16"),
    "broken.jsonl": LINES + b'{"prompt": "a", "pol\n' + LINES,
    "array.jsonl": LINES + b"[1, 2]\n" + LINES, "number.jsonl": LINES + b"7\n",
    "text.jsonl": b"hello\n", "twice.jsonl": LINES + LINES.strip() + LINES,
    "one policy.csv": GOOD.replace(b"tuned", b"base"), "no base.csv": GOOD.replace(b"base", b"old"),
    "no common.csv": GOOD.replace(b"a,tuned", b"b,tuned"),
    "mixed.csv": GOOD + b"a,tuned,true\n", "no reward.csv": GOOD.replace(b"3", b"n/a"),
    "no reward at all.csv": b"prompt,policy,reward\na,base,\na,tuned,\n",
    "type.txt": GOOD, "type.xml": LINES, "case.csv": b"prompt,policy,reward,Reward\na,base,1,2\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused_in_one_line(run, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_FILES[name])
    message = one_line(run(path, "--policy", "policy", "--json"))
    if name.startswith(
        ("empty", "columns", "binary", "corrupt", "ragged", "broken", "text", "type")
    ):
        assert name in message
    if name == "broken.jsonl":
        assert "line" in message
    if name.startswith("no reward"):
        assert "reward" in message.replace(name, "")
    if name == "header.csv":
        assert "--policy" not in message  # it was given


def test_a_bad_row_deep_in_a_large_csv_is_named_by_its_line(run, tmp_path):
    path = tmp_path / "deep.csv"
    row = b"a,base,1\na,tuned,2\n"
    path.write_bytes(b"prompt,policy,reward\n" + row * 20000 + b"a,tuned,3,4,5\n" + row)
    assert "40002" in one_line(run(path, "--policy", "policy"))


@pytest.mark.slow
def test_bad_folders_are_refused_in_one_line(run, tmp_path):
    (tmp_path / "void").mkdir()
    assert "void" in one_line(run(tmp_path / "void"))
    (tmp_path / "odd\nfolder").mkdir()
    one_line(run(tmp_path / "odd\nfolder"))
    (tmp_path / "a.csv").mkdir()
    assert "a.csv" in one_line(run(tmp_path / "a.csv"))
    (tmp_path / "base.csv").write_bytes(b"prompt,reward\na,1\n")
    assert "tuned" in one_line(run(tmp_path / "base.csv", tmp_path / "tuned.csv"))
    assert "twice" in one_line(run(tmp_path / "base.csv", tmp_path / "base.csv"))
    one_line(run(tmp_path / "base.csv"))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(run, tmp_path):
    path = tmp_path / "base.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    assert "base.csv" in one_line(run(path, "--policy", "policy"))


@pytest.mark.slow
def test_strict_refuses_in_one_line(run, tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(GOOD + b"a\n,tuned,4\nb,base,1\n".replace(b"a\n", b""))
    code, _, err = run(path, "--policy", "policy", "--json")
    assert code == 0
    assert "1 row without a prompt" in err
    one_line(run(path, "--policy", "policy", "--strict"))


@pytest.mark.slow
def test_names_reach_a_terminal_tamed(run, tmp_path):
    """No escape sequence and no line break of a policy's name gets through to a terminal."""
    path = tmp_path / "s.csv"
    path.write_bytes(GOOD.replace(b"tuned", b'"\x1b[31mred\nline[/b]\x07"'))
    code, out, err = run(path, "--policy", "policy")
    assert code == 0
    assert "\x1b[31m" not in out + err
    assert "\x07" not in out + err
    assert "red\nline" not in out + err
    code, out, _ = run(path, "--policy", "policy", "--json")
    assert list(strictly(out)["policies"]) == ["\x1b[31mred\nline[/b]\x07"]


# --------------------------------------------------------------------------------- processes
MAIN = "import sys; from infalign_theory.cli.app import main; main(sys.argv[1:])"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_real_processes(written):
    """One document alone on standard output; a closed one, or a reader gone, is no traceback."""
    arguments = ["validate", str(written), *CONTRACT, "--json"]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    options = {"text": True, "timeout": 120, "cwd": ROOT, "env": environment}
    done = subprocess.run([sys.executable, "-c", MAIN, *arguments], capture_output=True, **options)
    assert done.returncode == 0, done.stderr
    assert list(strictly(done.stdout)["policies"]) == ["tuned"]
    target = written / "out.json"
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-c", MAIN, *arguments, "--output", target],
        capture_output=True,
        **options,
    )
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
    assert done.returncode in (0, 2)
    assert list(strictly(target.read_text())["policies"]) == ["tuned"]
