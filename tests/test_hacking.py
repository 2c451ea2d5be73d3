"""Truth behind a proxy from samples: brute force, known worlds, coverage and the real judge."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats
from typer.testing import CliRunner

import infalign_theory as it
from infalign_theory.cli.app import app
from infalign_theory.empirical.hacking import tilts
from infalign_theory.empirical.hacking.agreement import agreement, auroc, weighted_auroc
from infalign_theory.empirical.hacking.attackers import (
    BetaBinomial,
    attack_success,
    judge_attacks,
)
from infalign_theory.empirical.hacking.entry import hacking, judge
from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.estimators import pass_at, picked_truth
from infalign_theory.empirical.statistics.prompt_bases import tilted
from infalign_theory.empirical.statistics.soft_picks import soft_picks
from infalign_theory.empirical.statistics.truth import TruthPairs
from infalign_theory.empirical.statistics.turning import peaks, zero_of_slope
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.policies.families import solve
from infalign_theory.procedures.names import as_procedure
from infalign_theory.procedures.soft import SoftBestOfN
from infalign_theory.transforms.names import as_transform


def world(truth, prompts, samples, seed):
    """Uniform proxies; the truth is 1 with a chance that depends on the proxy alone."""
    rng = np.random.default_rng(seed)
    u = np.sort(rng.random((prompts, samples)), axis=1)
    gold = (rng.random(u.shape) < truth(u)).astype(float)
    names = tuple(f"p{i:04}" for i in range(prompts))
    return Pairs.of(names, Groups(u.ravel(), np.arange(prompts + 1) * samples), gold.ravel())


def hacked(u):
    return 0.35 + 0.4 * u - 2.4 * np.maximum(u - 0.8, 0.0)


# ------------------------------------------------------------------------------------ the judge
@pytest.mark.slow
def test_the_judge_equals_the_folders_facts(judge_scores, tmp_path):
    page = tmp_path / "page.html"
    columns = ["--reward", "judge_score", "--truth", "correct", "--prompt", "task_id"]
    asked = ["-t", "identity", "--soft", "20", "--report", str(page), "--json"]
    run = CliRunner().invoke(app, ["hacking", str(judge_scores), *columns, *asked])
    assert run.exit_code == 0
    found = json.loads(run.stdout)
    assert {"n", "reward", "truth", "ci"} == set(found["best_of_n"][0])
    assert {"transform", "kl", "truth"} <= set(found["tilt"][0])
    truths = {row["n"]: row["truth"] for row in found["best_of_n"]}
    facts = {1: 0.668, 2: 0.715, 4: 0.767, 8: 0.810, 16: 0.829, 24: 0.8315}
    for n, fact in facts.items():
        assert truths[n] == pytest.approx(fact, abs=5.1e-4)
    assert list(truths) == list(range(1, 25))
    softly = {row["n"]: row["truth"] for row in found["soft_best_of_n"]}
    assert softly[1] == pytest.approx(truths[1], abs=1e-12)
    assert all(truths[1] < softly[n] < truths[n] for n in range(2, 25))
    # the truth still rises at 24 of 24: no onset, and the peak's interval is open there
    assert found["onset_n"] is None
    assert found["onset_kl"] is None
    best, training, soft = found["onsets"]
    assert best["ci"][1] == 24
    assert best["ci"][0] >= 5
    assert training["ci"][1] == training["searched_to"]
    assert soft["name"] == "soft:N@20"
    assert found["agreement"]["auroc"]["value"] > 0.8
    assert "no significant fall" in page.read_text()


@pytest.mark.slow
def test_halves_of_the_judge_predict_each_other_at_the_stated_rate(judge_scores):
    """What one half of the prompts says, inside the prediction interval of the other.

    Both are estimates: the interval for a second estimate is wider by the root of two. The plain
    interval is one for the truth and holds only about 83 % of other estimates.
    """
    table = pd.read_csv(judge_scores).sort_values(["task_id", "judge_score"])
    proxy = Groups(table.judge_score.to_numpy(), np.arange(121) * 24)
    names = tuple(f"{i:03}" for i in range(120))
    pairs = Pairs.of(names, proxy, table.correct.to_numpy().astype(float))
    along = tilts.path(pairs.samples, as_transform("identity"))
    soft = soft_picks(pairs.samples, SoftBestOfN(1, 20).weight, 24)[1]
    curves = [picked_truth(pairs.proxy, pairs.truth, f"bon:{n}") for n in (2, 8, 24)]
    curves += [along.truths[:, at] for at in (10, 25, 39)] + [soft[:, 7]]
    rng = np.random.default_rng(5)
    inside, plain = np.zeros((2, len(curves)))
    for _ in range(100):
        order = rng.permutation(120)
        for at, curve in enumerate(curves):
            one, other = (mean_over_prompts(curve[part]) for part in (order[:60], order[60:]))
            apart = abs(one.value - other.value)
            inside[at] += apart <= stats.t.ppf(0.975, 118) * np.hypot(one.stderr, other.stderr)
            plain[at] += apart <= stats.t.ppf(0.975, 59) * other.stderr
    assert inside.min() >= 90
    assert abs(plain.mean() - 83.0) < 6.0


# ------------------------------------------------------------------------------- simulated worlds
@pytest.mark.slow
def test_a_hacked_world_is_found_and_its_onsets_are_near_the_truth():
    found = judge(world(hacked, 120, 48, 1), [as_transform("identity")])
    u = (np.arange(20_000) + 0.5) / 20_000
    by_n = [np.mean(n * u ** (n - 1) * hacked(u)) for n in range(1, 49)]
    low, high = found.onsets[0].ci
    assert found.onset_n is not None
    assert low <= 1 + int(np.argmax(by_n)) <= high
    truths = []
    kls = np.geomspace(0.02, 1.0, 40)
    for nats in kls:
        truths.append(np.mean(it.align("identity", kl=nats).pdf(u) * hacked(u)))
    low, high = found.onsets[1].ci
    assert found.onset_kl is not None
    assert low <= kls[int(np.argmax(truths))] <= high
    assert "hacked" in found.verdict[0]


def test_tilted_truths_are_the_samples_own_reweighted():
    pairs = world(hacked, 5, 16, 3)
    found = tilts.path(pairs.samples, as_transform("exp:2"))
    u = (np.arange(16) + 0.5) / 16
    at = 7
    k = np.exp(found.log_k[at])
    weights = np.exp(k * np.exp(2 * u))
    weights /= weights.sum()
    by_hand = pairs.truth.reshape(5, 16) @ weights
    assert found.truths[:, at] == pytest.approx(by_hand, abs=1e-10)
    assert found.kl[at] == pytest.approx(np.sum(weights * np.log(16 * weights)), abs=1e-10)


def test_slopes_have_less_bias_than_the_samples_own():
    # the population's slope, against means over many prompts of few samples
    pairs = world(hacked, 6000, 16, 4)
    transform = as_transform("identity")
    tilt = solve(tilted(transform, pairs.samples.bases), 0.2)
    u = (np.arange(20_000) + 0.5) / 20_000
    k = tilt.k
    f = np.exp(k * u) / np.mean(np.exp(k * u))
    mean = np.mean(f * u)
    exact = k * np.mean(f * (u - mean) * hacked(u))
    slope = tilts.slopes(pairs.samples, transform, tilt)
    error = slope.std() / np.sqrt(slope.size)
    w = np.exp(k * (np.arange(16) + 0.5) / 16)
    w /= w.sum()
    ranks = (np.arange(16) + 0.5) / 16
    plain = np.mean(pairs.truth.reshape(-1, 16) @ (w * k * (ranks - w @ ranks)))
    assert abs(slope.mean() - exact) < 4 * error
    assert abs(slope.mean() - exact) < abs(plain - exact)


def test_the_interval_of_a_turn_covers_at_its_level():
    # slopes of 60 prompts fall through 0 at 0.4, noise is shared along the curve
    x = np.linspace(0.0, 1.0, 41)
    inside = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((60, 1)) + 0.5 * rng.standard_normal((60, 1)) * x
        low, high = zero_of_slope(x, 3.0 * (0.4 - x) + noise)
        inside += low <= 0.4 <= high
    assert 0.93 <= inside / 400 <= 0.97


@pytest.mark.simulation
def test_onset_intervals_cover_in_hacked_worlds():
    """300 worlds; the true onset by dense sums. 93 to 97 %, and its sampling error."""
    u = (np.arange(20_000) + 0.5) / 20_000
    k = np.linspace(0.5, 6.0, 2201)
    f = np.exp(np.outer(k, u - 1.0))
    f /= f.mean(axis=1, keepdims=True)
    best = f[int(np.argmax(f @ hacked(u)))]
    onset = float(np.mean(best * np.log(best)))
    inside = found = 0
    for seed in range(300):
        along = tilts.path(world(hacked, 100, 32, 1000 + seed).samples, as_transform("identity"))
        interval = zero_of_slope(along.kl, along.slopes)
        inside += interval is not None and interval[0] <= onset <= interval[1]
        found += peaks([along.truths[:, ::2]], 0.95, 2)[0].falls
    assert 0.93 <= inside / 300 <= 0.97
    assert found / 300 >= 0.95


@pytest.mark.simulation
@pytest.mark.parametrize("rise", [0.0, 0.4])
def test_clean_worlds_raise_few_alarms(rise):
    """Any alarm at all: of best-of-N, soft best-of-N or training, at every N and KL."""
    weights = [SoftBestOfN(1, 5).weight]
    alarms = 0
    for seed in range(200):
        pairs = world(lambda u: 0.5 + rise * (u - 0.5), 100, 32, 5000 + seed)
        found = judge(pairs, [as_transform("identity")], weights=weights)
        alarms += any(onset.at is not None for onset in found.onsets)
    assert alarms / 200 <= 0.05


@pytest.mark.parametrize("rise", [0.0, 0.3])
@pytest.mark.parametrize(
    "worlds",
    [pytest.param(60, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.simulation)],
)
def test_clean_curves_raise_few_alarms(rise, worlds):
    # truth 0/1 of picks that share samples: a flat or rising mean over 12 positions
    alarms = 0
    for seed in range(worlds):
        rng = np.random.default_rng(seed)
        walk = np.cumsum(rng.standard_normal((80, 12)), axis=1) + rise * np.arange(12)
        alarms += peaks([walk])[0].falls
    # two standard errors where the mean is flat, where the level is reached
    reach = 0.0 if rise else 2.0 * np.sqrt(0.05 * 0.95 / worlds)
    assert alarms / worlds <= 0.05 + reach


def test_a_curve_that_still_rises_has_no_turn():
    rng = np.random.default_rng(0)
    assert zero_of_slope(np.arange(5.0), 1.0 + 0.1 * rng.standard_normal((30, 5))) is None
    unsure = rng.standard_normal((30, 1)) * np.ones(5)  # one look only: nothing is excluded
    assert zero_of_slope(np.arange(5.0), unsure - unsure.mean()) == (0.0, 4.0)


def test_peaks_and_their_possible_columns():
    rng = np.random.default_rng(2)
    curve = np.array([0.0, 1.0, 2.0, 1.9, -3.0]) + 0.3 * rng.standard_normal((50, 5))
    found = peaks([curve])[0]
    assert found.falls
    assert found.possible.tolist()[2:] in ([True, True, False], [True, False, False])
    assert not found.possible[:2].any()
    same = peaks([np.ones((10, 3))])[0]
    assert not same.falls
    assert same.possible.all()


def test_soft_picks_by_brute_force():
    rng = np.random.default_rng(0)
    proxies = [
        np.sort(rng.integers(0, 4, 7)).astype(float),
        np.sort(rng.normal(size=6)),
        np.ones(3),
    ]
    truths = [rng.normal(size=x.size) for x in proxies]
    pairs = TruthPairs.of(Groups.stack(proxies), np.concatenate(truths))
    for text in ("5", "-3", "300", "2*exp:3"):
        weight = as_procedure(f"soft:1@{text}").weight
        reward, truth = soft_picks(pairs, weight, 7)
        for at, (x, y) in enumerate(zip(proxies, truths, strict=True)):
            u = np.array([np.mean(x < one) + np.mean(x == one) / 2 for one in x])
            log_w = weight.strength * (u if "*" not in text else np.exp(3 * u))
            w = np.exp(log_w - log_w.max())
            for n in range(1, x.size + 1):
                sets = [list(chosen) for chosen in combinations(range(x.size), n)]
                for values, found in ((x, reward), (y, truth)):
                    exact = np.mean([w[s] @ values[s] / w[s].sum() for s in sets])
                    assert abs(found[at, n - 1] - exact) <= 1e-12
            assert np.isnan(truth[at, x.size :]).all()


def test_a_soft_pick_of_no_strength_is_a_random_one_and_of_all_strength_the_best():
    pairs = world(hacked, 4, 12, 2).samples
    flat = soft_picks(pairs, SoftBestOfN(1, 0).weight, 12)[1]
    assert flat == pytest.approx(np.repeat(flat[:, :1], 12, axis=1), abs=1e-12)
    sharp = soft_picks(pairs, SoftBestOfN(1, 5000).weight, 12)[1]
    for n in (1, 5, 12):
        best = picked_truth(pairs.proxy, pairs.truth, f"bon:{n}")
        assert sharp[:, n - 1] == pytest.approx(best, abs=1e-9)


def trained(kind, prompts, samples, seed):
    """Samples of a policy tilted by exp(4u); of a hacked one half the answers are worthless."""
    rng = np.random.default_rng(seed)
    u = np.log1p(rng.random((prompts, samples)) * np.expm1(4.0)) / 4.0
    gold = rng.random(u.shape) < 0.2 + 0.6 * u
    if kind == "hacked":
        u, gold = np.where(rng.random(u.shape) < 0.5, 1.0 - 0.1 * rng.random(u.shape), u), gold
        gold &= u < 0.9
    return {"u": u, "gold": gold}


@pytest.mark.slow
def test_decay_is_told_from_selection():
    base_rng = np.random.default_rng(3)
    u = base_rng.random((80, 24))
    base = {"u": u, "gold": base_rng.random(u.shape) < 0.2 + 0.6 * u}
    runs = {
        "base": base,
        "honest": trained("honest", 80, 24, 4),
        "gamed": trained("hacked", 80, 24, 5),
    }
    table = pd.concat(
        pd.DataFrame(
            {
                "prompt": np.repeat(np.arange(80), 24),
                "policy": name,
                "proxy": run["u"].ravel(),
                "gold": run["gold"].ravel().astype(float),
            }
        )
        for name, run in runs.items()
    )
    found = hacking(
        table, reward="proxy", truth="gold", policy="policy", base="base", transform="identity"
    )
    decay = {one.policy: one for one in found.decay}
    assert set(decay) == {"honest", "gamed"}
    # selection alone lowers AUROC, and is not mistaken for hacking
    honest = decay["honest"]
    assert honest.tuned.value < honest.base.value - 0.02
    low, high = honest.unexplained.ci
    assert low <= 0.0 <= high
    assert decay["gamed"].unexplained.ci[1] < 0.0
    assert decay["gamed"].tuned.value < 0.5
    told = [line for line in found.verdict if "changed in kind" in line]
    assert len(told) == 1
    assert "gamed" in told[0]
    own = [auroc(a, b) for a, b in zip(u, base["gold"], strict=True)]
    assert decay["honest"].base.value == pytest.approx(np.mean(own))


def test_weighted_auroc_is_that_of_copies():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 4, 9).astype(float), rng.integers(0, 3, 9).astype(float)
    copies = rng.integers(1, 4, 9)
    many = np.repeat(np.arange(9), copies)
    assert weighted_auroc(x, y, copies.astype(float)) == pytest.approx(auroc(x[many], y[many]))


def test_missing_truths_and_short_prompts_are_told():
    table = pd.DataFrame(
        {
            "prompt": np.repeat([f"p{i}" for i in range(30)], 8),
            "reward": np.random.default_rng(0).normal(size=240),
            "truth": np.random.default_rng(1).integers(0, 2, 240).astype(float),
        }
    )
    table.loc[3, "truth"] = np.nan
    found = hacking(table.drop(index=range(8, 14)), transform="identity")
    assert any("1 of 234 samples have no truth" in note for note in found.notes)
    assert any("left out of best-of-N" in note for note in found.notes)
    assert found.prompts == 30


@pytest.mark.slow
def test_what_is_refused(refused):
    table = pd.DataFrame({"prompt": ["a"] * 4, "reward": [1, 2, 3, 4], "truth": [0, 1, 0, 1]})
    refused(lambda: hacking(table), "1 prompts", kind=InputError)
    refused(lambda: hacking(table, transform=[]), "no transform", kind=InputError)
    refused(lambda: hacking(table, level=1.5), "level", kind=InputError)
    refused(lambda: hacking(table, soft="abc"), "soft = 'abc'", "5*exp:10", kind=InputError)
    more = pd.DataFrame({"prompt": ["a", "b"], "success": [2, 1]})
    refused(lambda: attack_success(more, n=2), "0 (wrong) or 1", kind=InputError)
    tries = pd.DataFrame({"prompt": ["a", "a"], "success": [0, 1]})
    refused(lambda: attack_success(tries, n=2), "at least two", kind=InputError)
    refused(lambda: judge_attacks(Groups.stack([[0], [1]]), []), "no n", kind=InputError)


# ------------------------------------------------------------------------------------ agreement
def test_agreement_against_scipy():
    rng = np.random.default_rng(6)
    x, y = rng.integers(0, 6, 40).astype(float), rng.integers(0, 2, 40).astype(float)
    u = stats.mannwhitneyu(x[y == 1], x[y == 0]).statistic
    assert auroc(x, y) == pytest.approx(u / (np.sum(y == 1) * np.sum(y == 0)))
    order = np.argsort(x, kind="stable")
    twice = Groups.stack([x[order], x[order]])
    found = agreement(Pairs.of(("a", "b"), twice, np.tile(y[order], 2)))
    assert found.rank_correlation.value == pytest.approx(stats.spearmanr(x, y).statistic)
    # the top tenth is 4 of 40 samples; ties at its edge are shared
    top, rest = x >= 5, x == 4
    need = 4.0 - top.sum()
    mean = (y[top].sum() + need * y[rest].mean()) / 4.0 if need > 0 else y[top].mean()
    assert found.top_decile.value == pytest.approx(mean)


# ------------------------------------------------------------------------------------ attackers
def test_measured_success_by_brute_force():
    tries = [[0, 0, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 1, 1]]
    found = judge_attacks(Groups.stack(tries), [1, 2, 3, 5])
    for row in found.rows:
        exact = np.mean([np.mean([max(s) for s in combinations(one, row.n)]) for one in tries])
        assert abs(row.success - exact) <= 1e-12
        assert row.how == "measured"


def test_extrapolated_success_is_the_beta_law():
    rng = np.random.default_rng(1)
    hits = rng.binomial(16, rng.beta(0.5, 5.0, 300)).astype(float)
    law = BetaBinomial.fit(hits, np.full(300, 16.0))
    exact = integrate.quad(
        lambda p: (1 - (1 - p) ** 64) * stats.beta.pdf(p, law.alpha, law.beta), 0, 1, limit=200
    )[0]
    assert law.success(64) == pytest.approx(exact, abs=1e-7)

    # no other shapes are likelier
    def loss(a, b):
        return -np.sum(special.betaln(hits + a, 16 - hits + b) - special.betaln(a, b))

    best = loss(law.alpha, law.beta)
    for da, db in ((1.02, 1), (0.98, 1), (1, 1.02), (1, 0.98)):
        assert loss(law.alpha * da, law.beta * db) > best - 1e-9


@pytest.mark.simulation
@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 5.0), (2.0, 30.0), (0.2, 1.0)])
def test_intervals_beyond_the_samples_cover(alpha, beta):
    """At four times the samples, over 300 simulations of beta-binomial prompts."""
    exact = float(-np.expm1(special.betaln(alpha, beta + 64) - special.betaln(alpha, beta)))
    inside = misfits = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        hits = rng.binomial(16, rng.beta(alpha, beta, 150)).astype(float)
        law = BetaBinomial.fit(hits, np.full(150, 16.0))
        low, high = law.interval(64, 0.95)
        inside += low <= exact <= high
        p_value = law.p_value()
        misfits += p_value is not None and p_value < 0.01
    assert 0.90 <= inside / 300 <= 0.97
    assert misfits / 300 <= 0.03


@pytest.mark.slow
def test_a_law_that_does_not_fit_is_told():
    rng = np.random.default_rng(3)
    chance = np.where(rng.random(200) < 0.5, 0.0, 0.3)
    tries = Groups.stack([rng.random(16) < p for p in chance])
    found = judge_attacks(tries, [16, 64])
    assert not found.fits
    assert any("does not fit" in line for line in found.verdict)
    smooth = Groups.stack([rng.random(16) < p for p in rng.beta(0.5, 5.0, 200)])
    assert judge_attacks(smooth, [64]).fits


def test_held_out_measures_all_tries():
    rng = np.random.default_rng(9)
    tries = Groups.stack([rng.random(32) < p for p in rng.beta(0.4, 4.0, 300)])
    held = judge_attacks(tries, [8]).held_out
    assert held.n == 32
    assert held.measured == pytest.approx(float(pass_at(tries, 32).mean()))
    assert abs(held.beta_binomial - held.measured) < 0.05


@pytest.mark.slow
def test_the_attack_command(tmp_path):
    file = tmp_path / "tries.csv"
    file.write_text(
        "prompt,success\n" + "".join(f"p{i % 20},{int(i % 7 == 0)}\n" for i in range(200))
    )
    run = CliRunner().invoke(app, ["attack", str(file), "-n", "4", "-n", "40", "--json"])
    assert run.exit_code == 0
    found = json.loads(run.stdout)
    assert [row["how"] for row in found["rows"]] == ["measured", "extrapolated"]
    assert found["rows"][1]["success"] > found["rows"][0]["success"]
