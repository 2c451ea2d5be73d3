"""What validation says must be so: verdicts that contradict nothing, on every kind of scores."""

from __future__ import annotations

import json
import os
import pickle
import stat
from dataclasses import FrozenInstanceError, replace
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

import infalign_theory as it
from infalign_theory import output
from infalign_theory.cli import app as cli
from infalign_theory.cli.validation_text import lines
from infalign_theory.empirical.fitting.discrete_fit import planned_discrete
from infalign_theory.empirical.fitting.laws import Law
from infalign_theory.empirical.report import pictures
from infalign_theory.empirical.report.page import render
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.empirical.validation.doubts import least_told
from infalign_theory.empirical.validation.spending import KLSource, spending
from infalign_theory.empirical.validation.standing import LeastKL, optimal_kl
from infalign_theory.empirical.validation.verdicts import hacking
from infalign_theory.kernels import perfect_proxy
from infalign_theory.kernels.perfect_proxy import Judged
from infalign_theory.plotting.style import style_of
from infalign_theory.procedures.names import as_procedure
from tests.ranks import tied_ranks


def stacked(base, tuned, **more):
    """Two tables, prompts by samples, as a long one."""
    sizes = [x.shape for x in (base, tuned)]
    return pd.DataFrame(
        {
            "prompt": np.concatenate([np.repeat(np.arange(p), m) for p, m in sizes]),
            "policy": np.repeat(["base", "tuned"], [p * m for p, m in sizes]),
            "reward": np.concatenate([base.ravel(), tuned.ravel()]),
            **more,
        }
    )


def judged(base, tuned, *names, truth=None, **options):
    more = {} if truth is None else {"truth": truth}
    asked = {} if truth is None else {"truth": "truth"}
    table = stacked(base, tuned, **more)
    found = it.validate(table, policy="policy", procedure=names or "standard", **asked, **options)
    return found.policies["tuned"]


# ------------------------------------------------------------------ the terminal
@pytest.fixture(scope="module")
def several():
    rng = np.random.default_rng(0)
    tables = [stacked(rng.random((12, 6)), rng.random((12, 6)))]
    other = tables[0][tables[0].policy == "tuned"].assign(policy="a policy with a longer name")
    table = pd.concat([*tables, other])
    return it.validate(table, policy="policy", procedure=["bon:1", "bon:2", "won:2", "bon:4"])


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
def test_every_row_can_be_told_apart_at_any_width(several, width):
    shown = list(lines(several, width))
    assert max(map(len, shown)) <= width
    heads = [i for i, line in enumerate(shown) if line.startswith("procedure")]
    for name, policy in several.policies.items():
        start = shown.index(f"{name} against base")
        later = [i for i in heads if i > start]
        block = shown[later[0] : later[0] + 1 + len(policy.win_rates)]
        assert "win rate" in block[0]
        assert [line.split()[0] for line in block[1:]] == [r.procedure for r in policy.win_rates]
        assert [line.split()[1] for line in block[1:]] == [
            f"{row.estimate:.4g}" for row in policy.win_rates
        ]
    # columns that had no room follow with the procedure beside them
    text = "\n".join(shown)
    for head in ("predicted", "prompts", "efficiency"):
        assert head in text
    assert "difference" in text
    assert text.count("a policy with a longer name - tuned") == 4


@pytest.mark.slow
def test_the_verdict_is_on_standard_output_or_in_the_document(tmp_path, capsys):
    rng = np.random.default_rng(1)
    path = tmp_path / "scores.csv"
    stacked(rng.random((12, 6)), rng.random((12, 6)) ** 0.3).to_csv(path, index=False)
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(["validate", str(path), "--policy", "policy", *more])
        assert not stop.value.code
        out, err = capsys.readouterr()
        assert "beats base" in " ".join(out.split())
        assert "beats base" not in err
    assert "beats base" in json.loads(out)["policies"]["tuned"]["verdict"][0]


# ------------------------------------------------------------------ least KL
@pytest.mark.slow
@pytest.mark.parametrize("law", list(Law))
@pytest.mark.parametrize("name", ["standard", "bon:4", "won:4"])
def test_the_interval_of_the_least_kl_holds_every_value_between(law, name):
    rng = np.random.default_rng(2)
    least = LeastKL(law, tied_ranks(rng.integers(0, 4, (30, 8)), rng.integers(0, 4, (30, 8))))
    duel = Duel.of(name)
    for low, high in ((0.3, 0.45), (0.42, 0.55), (0.47, 0.6), (0.55, 0.6), (0.5, 0.52)):
        bottom, top = least.interval(duel, (low, high), (low + high) / 2)
        inside = [least.of(duel, w) for w in np.linspace(low, high, 9)]
        inside = [np.inf if cost is None else cost for cost in inside]
        top = np.inf if top is None else top  # more than all mass on the top score wins
        assert bottom <= top
        assert bottom <= min(inside) + 1e-12
        assert max(inside) <= top + 1e-12
        if low <= 0.5 <= high:
            assert bottom == 0.0
    assert least.interval(Duel.of("standard"), (0.9, 1.0), 0.95)[1] is None


@pytest.mark.slow
def test_a_losing_run_has_an_ordered_interval_that_holds_its_estimate():
    rng = np.random.default_rng(3)
    found = judged(rng.random((60, 7)), rng.random((60, 9)) ** 1.5, "standard", "bon:3", "won:3")
    for row in found.win_rates:
        low, high = row.optimal_kl_ci
        assert 0.0 <= low <= row.optimal_kl <= high


# ------------------------------------------------------------------ hacking
def perfect_by_hand(ours, theirs, procedure):
    """The mean over all ways to break equal rewards of the win rate by truths dealt out anew."""
    kind, n = procedure.partition(":")[0], int(procedure.partition(":")[2] or 1)
    pool = [(r, 0, i) for i, (r, _) in enumerate(ours)]
    pool += [(r, 1, i) for i, (r, _) in enumerate(theirs)]
    truths = sorted(t for _, t in ours + theirs)
    pool.sort()
    best = max if kind in ("bon", "standard") else min
    groups = {}
    for at, (reward, side, i) in enumerate(pool):
        groups.setdefault(reward, []).append((at, side, i))

    def chances(side, size):
        out = dict.fromkeys(groups, 0.0)
        rewards = [r for r, s, _ in pool if s == side]
        subsets = list(combinations(rewards, n))
        assert len(rewards) == size
        for subset in subsets:
            out[best(subset)] += 1 / len(subsets)
        return out

    a, b = chances(0, len(ours)), chances(1, len(theirs))
    share = {r: [truths[at] for at, _, _ in members] for r, members in groups.items()}
    won = 0.0
    for g, h in [*permutations(groups, 2), *((g, g) for g in groups)]:
        pairs = [(x > y) + (x == y) / 2 for x in share[g] for y in share[h]]
        won += a[g] * b[h] * np.mean(pairs)
    return won


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("procedure", ["standard", "bon:2", "won:3"])
def test_a_perfect_proxy_deals_out_the_same_truths_in_order(seed, procedure):
    rng = np.random.default_rng(seed)
    sides = []
    for size in rng.integers(3, 7, 2):
        rewards = np.sort(rng.integers(0, 5, size).astype(float))
        sides.append([(r, float(rng.integers(0, 3))) for r in rewards])
    kind, n = procedure.partition(":")[0], int(procedure.partition(":")[2] or 1)
    given = [
        Judged(*map(np.array, zip(*s, strict=True)), np.array([0, len(s)]), n, kind != "won")
        for s in sides
    ]
    out = np.empty(1)
    perfect_proxy.win_rates(*given, out=out, span=(0, 1))
    assert out[0] == pytest.approx(perfect_by_hand(*sides, procedure), abs=1e-12)


def test_prompts_under_a_perfect_proxy_are_each_by_itself():
    rng = np.random.default_rng(12)
    sides, found = [], []
    for sizes in ([3, 5, 4], [6, 2, 3]):
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        scores = np.concatenate([np.sort(rng.integers(0, 5, size) / 2.0) for size in sizes])
        sides.append(Judged(scores, rng.integers(0, 3, offsets[-1]) / 1.0, offsets, 2, True))
    together = np.empty(3)
    perfect_proxy.win_rates(*sides, out=together, span=(0, 3))
    for prompt in range(3):
        alone, one = [], np.empty(1)
        for side in sides:
            part = slice(*side.offsets[prompt : prompt + 2])
            size = np.array([0, side.scores[part].size])
            alone.append(Judged(side.scores[part], side.truth[part], size, 2, True))
        perfect_proxy.win_rates(*alone, out=one, span=(0, 1))
        found.append(one[0])
    assert together.tolist() == found
    assert len(set(found)) == 3


@pytest.mark.slow
def test_a_truth_that_is_a_threshold_of_the_reward_is_not_hacked():
    rng = np.random.default_rng(4)
    base, tuned = rng.random((150, 8)), rng.random((150, 8)) ** 0.4
    pooled = np.concatenate([base.ravel(), tuned.ravel()])
    found = judged(base, tuned, "standard", "bon:4", "won:4", truth=(pooled > 0.6) * 1.0)
    for row in found.win_rates:
        assert row.truth.gap.ci[0] > 0.02  # ties of the truth alone
        assert row.truth.shortfall.value == pytest.approx(0.0, abs=1e-12)
    text, hacked = hacking(found.win_rates)
    assert not hacked
    assert "hacked" not in " ".join(found.verdict)
    assert text in found.verdict
    random = (rng.random(pooled.size) > 0.6) * 1.0
    found = judged(base, tuned, "standard", "bon:4", truth=random)
    assert "hacked" in found.verdict[2]  # told before what theory says


# ------------------------------------------------------------------ KL that was not spent
def test_a_planned_kl_that_the_run_departs_from_was_not_spent():
    rng = np.random.default_rng(5)
    found = judged(
        rng.random((100, 8)), rng.random((100, 8)) ** 0.2, "bon:4", transform="exp:5", kl=0.001
    )
    assert (found.kl_spent, found.kl_source) == (None, "none")
    assert found.win_rates[0].efficiency is None
    assert any("is not what the run spent" in note for note in found.notes)
    assert not any("It spent" in sentence for sentence in found.verdict)
    assert found.theory.kl.value == pytest.approx(0.001)
    assert json.loads(json.dumps(found.to_dict()))["kl_source"] == "none"


def test_what_was_spent():
    rate = Estimate(0.8, 0.01, (0.78, 0.82), 50, 0)
    measured = Estimate(0.5, 0.1, (0.3, 0.7), 50, 0)
    assert spending(measured, None, rate, departs=False).source is KLSource.LOG_RATIOS
    assert spending(None, None, rate, departs=False).kl is None
    tokens = spending(replace(measured, value=0.01, ci=(0.0, 0.02)), None, rate, departs=False)
    assert (tokens.kl, tokens.trusted, len(tokens.notes)) == (0.01, False, 1)
    assert least_told(rate) == pytest.approx(optimal_kl(as_procedure("standard"), 0.78), rel=1e-6)
    assert least_told(replace(rate, ci=(0.4, 0.9))) == 0.0


@pytest.mark.slow
def test_what_stands_above_the_optimum_is_within_noise_or_explained():
    rng = np.random.default_rng(6)
    base, tuned = rng.random((60, 8)), rng.random((60, 8)) ** 0.6
    kls = np.concatenate([np.zeros(base.size), rng.normal(0.12, 0.02, tuned.size)])
    table = stacked(base, tuned, ratio=kls)
    names = ["standard", "won:2", "bon:2"]
    found = it.validate(table, policy="policy", procedure=names, log_ratio="ratio")
    policy = found.policies["tuned"]
    told = next(s for s in policy.verdict if "It spent" in s)
    assert "more than that" not in told
    for row in policy.win_rates:
        if row.efficiency > 1.0 and row.efficiency == max(r.efficiency for r in policy.win_rates):
            assert "within noise" in told or "no policy can undercut" in told


# ------------------------------------------------------------------ samples that cannot tell
def graded(rng, grades, prompts, base, samples, transform="exp:5", kl=0.2):
    policy = it.align(transform, kl=kl)
    u = (np.arange(grades) + 0.5) / grades
    weight = np.exp((policy.transform(u) - policy.transform(1.0)) / policy.beta)
    tuned = rng.choice(grades, (prompts, samples), p=weight / weight.sum())
    return rng.integers(0, grades, (prompts, base)).astype(float), tuned.astype(float)


@pytest.mark.slow
@pytest.mark.parametrize(("grades", "base"), [(3, 10), (2, 3), (5, 5), (20, 8)])
def test_few_base_samples_with_ties_cannot_tell(grades, base):
    """Exact tilts on few base samples: twenty of twenty were condemned."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scores = graded(rng, grades, 60, base, 16)
        for plan in ({}, {"transform": "exp:5", "kl": 0.2}):
            told = " ".join(judged(*scores, **plan).verdict)
            assert "depart" not in told
            assert "do not follow" not in told
            assert "cannot tell" in told or (not plan and "No law" in told)


def test_five_prompts_cannot_tell():
    rng = np.random.default_rng(7)
    found = judged(rng.random((5, 8)), rng.random((5, 8)) ** 0.5, "bon:2", "won:2")
    assert any("cannot tell" in s and "5 prompts are too few" in s for s in found.verdict)


@pytest.mark.parametrize(("grades", "base"), [(3, 16), (20, 16)])
def test_enough_base_samples_still_find_a_wrong_plan(grades, base):
    rng = np.random.default_rng(8)
    scores = graded(rng, grades, 150, base, 16, "identity", 0.02)
    found = judged(*scores, "bon:2", transform="exp:5", kl=0.25)
    assert "depart" in " ".join(found.verdict).lower()


@pytest.mark.simulation
@pytest.mark.parametrize("grades", [2, 3, np.inf])
def test_runs_that_follow_the_law_are_rarely_condemned(grades):
    """A sample of the table that benchmarks/departures.py prints."""
    import runpy
    from pathlib import Path

    script = Path(__file__).parents[1] / "benchmarks" / "departures.py"
    table = runpy.run_path(str(script))
    departed = runs = 0
    for base, prompts in ((12, 30), (32, 10)):
        cell = table["Cell"](grades, base, prompts)
        departed += table["counted"](cell, "exp:5", 40)["departs"]
        runs += 40
    # 2 % of 80 runs, and three of its standard errors
    assert departed <= 0.02 * runs + 3 * np.sqrt(0.02 * 0.98 * runs)


# ------------------------------------------------------------------ degenerate scores
def test_one_prompt_with_ties_and_a_plan():
    rng = np.random.default_rng(9)
    scores = rng.integers(0, 3, (1, 8)) * 1.0, rng.integers(0, 3, (1, 8)) * 1.0
    for plan in ({"kl": 0.1}, {"beta": 1.0}):
        found = judged(*scores, transform="exp:5", **plan)
        assert found.theory.law == "discrete"
        assert found.theory.goodness is None
        assert any("1 prompt is too few" in s for s in found.verdict)


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [1, 20])
def test_all_rewards_equal(prompts):
    same = np.zeros((prompts, 5))
    for plan in ({}, {"transform": "exp:5", "beta": 1.0}):
        found = judged(same, same, "bon:2", "won:3", **plan)
        assert [row.estimate for row in found.win_rates] == [0.5, 0.5]
        assert [row.optimal_kl for row in found.win_rates] == [0.0, 0.0]
    above = judged(same, same + np.arange(5) % 2, "bon:2")
    assert above.win_rates[0].optimal_kl is None  # no tilt of one score wins anything


@pytest.mark.slow
def test_total_separation_is_exactly_one():
    rng = np.random.default_rng(10)
    names = ["standard", *(f"{kind}:{n}" for kind in ("bon", "won") for n in (2, 3, 5, 7))]
    low, high = rng.random((20, 7)), 2 + rng.random((20, 9))
    assert {row.estimate for row in judged(low, high, *names).win_rates} == {1.0}
    assert {row.estimate for row in judged(high, low, *names).win_rates} == {0.0}


def test_a_kl_that_the_corrected_laws_cannot_spend_is_told():
    """One base sample of six stands out: most of what the laws as sampled can spend is noise."""
    rng = np.random.default_rng(11)
    ranks = tied_ranks(rng.integers(0, 2, (12, 4)), rng.integers(0, 2, (12, 3)))
    asked = 0.24
    fit, doubt = planned_discrete(ranks, it.Identity(), beta=None, kl=asked, level=0.95)
    spent = fit.ranks.outcomes(fit.eta(), ())[ranks.usable, 0].mean()
    assert (doubt is None) == (abs(spent - asked) < 1e-6)


# ------------------------------------------------------------------ many grades
@pytest.mark.parametrize("order", [1, 2])
def test_blocks_left_out_remove_the_same_bias_as_single_samples(order):
    """Twenty grades by blocks, and the same law's numbers: unbiased within Monte Carlo error."""
    rng = np.random.default_rng(12)
    grades, base, prompts = 20, 40, 4000
    u = (np.arange(grades) + 0.5) / grades
    weight = np.exp(2.0 * u)
    q = weight / weight.sum()
    kl = float(np.sum(q * np.log(q * grades)))
    ranks = tied_ranks(np.zeros((prompts, 1)), rng.integers(0, grades, (prompts, base)))
    assert ranks.base_laws.step.max() == 5
    eta = 2.0 * ranks.table[1].u
    each = ranks.outcomes(eta, [Duel.of("bon:4")], order=order)
    error = each.std(axis=0, ddof=1) / np.sqrt(prompts)
    top = np.cumsum(np.full(grades, 1 / grades))
    ours = np.cumsum(q)
    before = np.append(0.0, top[:-1]), np.append(0.0, ours[:-1])
    won = np.sum((top**4 - before[0] ** 4) * (1 - (ours**4 + before[1] ** 4) / 2))
    off = np.abs(each.mean(axis=0) - [kl, won])
    assert np.all(off < 4 * error + (2e-4 if order == 2 else 2e-3))


# ------------------------------------------------------------------ results
def test_results_are_immutable_short_and_drawn(several):
    assert len(repr(several.policies["tuned"])) < 200
    with pytest.raises(TypeError):
        several.policies["x"] = None
    with pytest.raises(FrozenInstanceError):
        several.base = "x"
    again = pickle.loads(pickle.dumps(several))
    assert again.to_dict() == several.to_dict()
    policy = several.policies["tuned"]
    assert list(policy.to_frame()["procedure"]) == ["bon:1", "bon:2", "won:2", "bon:4"]
    assert "beats base" in policy._repr_html_()
    assert "beats base" in several._repr_html_()
    from matplotlib.figure import Figure

    ax = policy.plot("won:2", Figure().subplots())
    assert ax.get_title() == "Worst-of-2"
    assert any(line.get_label() == "optimum" for line in ax.lines)
    with pytest.raises(it.InfalignError, match="was not judged"):
        policy.plot("bon:64")


def test_optima_of_other_procedures_are_drawn_and_named_apart():
    names = ["optimal", "optimal@bon:2", "optimal@bon:16"]
    styles = [style_of(name) for name in names]
    assert len({style.label for style in styles}) == 3
    assert len({(style.color, style.linestyle) for style in styles}) == 3


@pytest.mark.slow
def test_a_law_against_its_transform_is_not_drawn_as_that_transform():
    rng = np.random.default_rng(13)
    found = judged(rng.random((80, 8)), rng.random((80, 8)) ** 2.0, "bon:4", transform="log")
    assert found.theory.k.value < 0.0
    keys = [key.text for key in pictures.frontiers(found).keys]
    assert not any("distillation" in key for key in keys)
    assert any("against log" in key for key in keys)


@pytest.mark.slow
def test_one_thing_has_one_name_in_the_report(several):
    single = it.validate(
        stacked(np.arange(8.0).reshape(2, 4), np.arange(8.0).reshape(2, 4) + 0.5),
        policy="policy",
        procedure=["standard", "bon:1", "won:1", "bon:2"],
    )
    page = render(single, None)
    assert "N = 1" not in page
    assert "bon:1" not in page
    assert page.count('<th scope="row">Single samples</th>') == 2  # in each table once
    assert "Best possible pick" not in page


# ------------------------------------------------------------------ files
@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX")
def test_a_rewritten_file_keeps_its_mode_and_a_new_one_the_umask(tmp_path):
    path = tmp_path / "report.html"
    before = os.umask(0o027)
    try:
        output.write_atomically(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        output.write_atomically(path, b"newer")
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(before)
    assert path.read_bytes() == b"newer"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
