"""Acceptance of `validate` where the base goes through a procedure of its own."""

from __future__ import annotations

import json
import math
import pickle
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

import infalign_theory as it
from infalign_theory import validate
from infalign_theory.cli import app as cli
from infalign_theory.cli.printing import json_text
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.report.page import render
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics import estimators
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, PromptOptima
from infalign_theory.empirical.validation.standing import DiscreteStanding, optimal_kl
from infalign_theory.errors import InputError
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.procedures.names import as_procedure

PAIRS = [
    ("bon:3", "standard"),
    ("standard", "won:2"),
    ("bon:2", "bon:3"),
    ("won:3", "won:2"),
    ("bon:2", "won:3"),
    ("won:2", "bon:2"),
]


def frame(tuned, base, **columns):
    """A long table from arrays of shape (prompts, samples)."""
    rows = []
    for policy, scores in (("tuned", tuned), ("base", base)):
        scores = np.asarray(scores, dtype=float)
        part = {
            "prompt": np.indices(scores.shape)[0].ravel(),
            "policy": policy,
            "reward": scores.ravel(),
        }
        part |= {name: np.asarray(both[policy]).ravel() for name, both in columns.items()}
        rows.append(pd.DataFrame(part))
    return pd.concat(rows, ignore_index=True)


def judged(table, *procedures, against=None, **options):
    found = validate(
        table, policy="policy", procedure=list(procedures), against_procedure=against, **options
    )
    return found.policies["tuned"]


# ------------------------------------------------------------------------- what was observed
def sides(name):
    kind, _, n = name.partition(":")
    return (max if kind != "won" else min), int(n or 1)


def picks(samples, name):
    """Every (weight, reward, truth) that inference may return: subsets, ties broken evenly."""
    keep, n = sides(name)
    found, subsets = [], list(combinations(samples, n))
    for subset in subsets:
        top = keep(reward for reward, _ in subset)
        tied = [truth for reward, truth in subset if reward == top]
        found += [(1 / len(tied) / len(subsets), top, truth) for truth in tied]
    return found


def beats(ours, theirs, at):
    return math.fsum(
        a[0] * b[0] * ((a[at] > b[at]) + 0.5 * (a[at] == b[at])) for a in ours for b in theirs
    )


def perfect(ours, theirs, pair):
    """The win rate in truth had the rewards put all samples in the order of their truths."""
    pooled = sorted(r for r, _ in ours + theirs)
    truths = sorted(t for _, t in ours + theirs)
    share = {r: [t for t, s in zip(truths, pooled, strict=True) if s == r] for r in pooled}
    chances = []
    for samples, name in zip((ours, theirs), pair, strict=True):
        chance = dict.fromkeys(share, 0.0)
        for weight, reward, _ in picks(samples, name):
            chance[reward] += weight
        chances.append(chance)
    a, b = chances
    return math.fsum(
        a[g] * b[h] * np.mean([(x > y) + (x == y) / 2 for x in share[g] for y in share[h]])
        for g, h in [*permutations(share, 2), *((g, g) for g in share)]
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_observed_numbers_are_those_of_all_pairs_of_subsets(pair):
    rng = np.random.default_rng(5)
    tuned, base = rng.integers(0, 4, (4, 5)) + 1.0, rng.integers(0, 4, (4, 4)) * 1.0
    truth = {"tuned": rng.integers(0, 3, (4, 5)), "base": rng.integers(0, 3, (4, 4))}
    row = judged(frame(tuned, base, truth=truth), pair[0], against=pair[1], truth="truth")
    row = row.win_rates[0]
    samples = [
        [list(zip(*one, strict=True)) for one in zip(scores, truth[name], strict=True)]
        for scores, name in ((tuned, "tuned"), (base, "base"))
    ]
    mine, other = ([picks(one, name) for one in s] for s, name in zip(samples, pair, strict=True))
    duels = list(zip(mine, other, strict=True))
    won = [beats(a, b, 1) for a, b in duels]
    true = [beats(a, b, 2) for a, b in duels]
    ideal = [perfect(a, b, pair) for a, b in zip(*samples, strict=True)]
    assert row.estimate == pytest.approx(np.mean(won), abs=1e-12)
    assert row.stderr == pytest.approx(np.std(won, ddof=1) / 2, rel=1e-9)
    assert row.truth.win_rate.value == pytest.approx(np.mean(true), abs=1e-12)
    assert row.truth.shortfall.value == pytest.approx(np.mean(ideal) - np.mean(true), abs=1e-12)
    for found, at in ((row.reward, 1), (row.truth.picked, 2)):
        expected = [
            [math.fsum(p[0] * p[at] for p in one) for one in side] for side in (mine, other)
        ]
        assert (found.aligned, found.base) == pytest.approx(np.mean(expected, axis=1).tolist())


# ------------------------------------------------------------------------- what was expected
def ranks_of(tuned, base):
    tuned, base = Groups.stack(np.asarray(tuned, float)), Groups.stack(np.asarray(base, float))
    mass, atoms = merge_ties(base.values, base.offsets)
    counts = np.rint(mass * np.repeat(base.sizes, np.diff(atoms))).astype(np.int32)
    found = calibrate(tuned, base)
    return TiedRanks(counts, atoms, found.below, found.equal, tuned.offsets)


def law_win_rate(base, slope, pair):
    """Win rate of the tilt exp(slope u) of a sample's law, atom by atom; u among the sample."""
    values, counts = np.unique(base, return_counts=True)
    p = counts / counts.sum()
    below = np.cumsum(counts) - counts
    q = p * np.exp(slope * (2 * below + counts + 1) / (2 * len(base) + 2))
    laws = []
    for mass, name in ((q / q.sum(), pair[0]), (p, pair[1])):
        keep, n = sides(name)
        edges = np.concatenate([[0.0], np.cumsum(mass)])
        cdf = edges**n if keep is max else 1.0 - (1.0 - edges) ** n
        laws.append(np.diff(cdf))
    ours, theirs = laws
    wins = (values[:, None] > values) + (values[:, None] == values) / 2
    return float(ours @ wins @ theirs)


@pytest.mark.parametrize("pair", PAIRS)
def test_laws_of_grades_are_jackknifed_over_every_sample_and_pair(pair):
    rng = np.random.default_rng(2)
    base = rng.integers(0, 4, (3, 6))
    ranks = ranks_of(rng.integers(0, 4, (3, 3)), base)
    found = ranks.outcomes(1.7 * ranks.table[1].u, [Duel.of(*pair)])[:, 1]
    for prompt, one in enumerate(base):
        total = 0.0
        for less, sign in ((0, 1), (1, -2), (2, 1)):
            left = [law_win_rate(np.array(s), 1.7, pair) for s in combinations(one, 6 - less)]
            total += sign * (6 - less) ** 2 * np.mean(left) / 2
        assert found[prompt] == pytest.approx(total, abs=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_expected_win_rates_are_those_of_win_rate(pair):
    rng = np.random.default_rng(1)
    policy = it.align("exp:5", kl=0.3)
    tuned, base = policy.ppf(rng.random((12, 8))), rng.random((12, 8))
    options = {"against": pair[1], "transform": "exp:5"}
    row = judged(frame(tuned, base), pair[0], kl=0.3, **options).win_rates[0]
    assert row.predicted == pytest.approx(
        it.win_rate(policy, pair[0], against_procedure=pair[1]), abs=1e-10
    )
    fitted = judged(frame(tuned, base), pair[0], **options)
    law = it.align("exp:5", beta=fitted.theory.beta)
    assert fitted.win_rates[0].predicted == pytest.approx(
        it.win_rate(law, pair[0], against_procedure=pair[1]), abs=1e-9
    )
    observed = estimators.win_rates(
        Groups.stack(np.sort(tuned)), Groups.stack(np.sort(base)), *pair
    )
    assert row.estimate == pytest.approx(observed.mean(), abs=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("bon:4", "standard"), ("standard", "bon:4"), ("won:2", "bon:2")])
def test_expected_win_rates_on_graded_scores_are_those_of_predict(pair):
    rng = np.random.default_rng(8)
    base = rng.integers(0, 4, (100, 240))
    tuned = np.minimum(base[:, :8] + (rng.random((100, 8)) < 0.3), 3)
    table = frame(tuned, base)
    plan = {"transform": "identity", "beta": 0.5}
    row = judged(table, pair[0], against=pair[1], **plan).win_rates[0]
    said = it.predict(
        table, procedure=pair[0], against_procedure=pair[1], policy="policy", base="base", **plan
    ).rows[0]
    # a beta is predicted for the laws as sampled, validated with their 240 samples allowed for
    assert row.predicted == pytest.approx(said.win_rate, abs=0.5 / 240)
    policy = it.align("identity", beta=0.5, base=it.Discrete([0.25] * 4, [0, 1, 2, 3]))
    exact = it.win_rate(policy, pair[0], against_procedure=pair[1])
    assert row.predicted == pytest.approx(exact, abs=2e-3)  # five errors of the laws sampled
    assert abs(exact - it.win_rate(policy, pair[0])) > 0.05


@pytest.mark.slow
def test_a_planned_pair_is_not_condemned_and_a_wrong_law_is():
    policy = it.align("exp:5", kl=0.4)
    told = {"exp:5": 0, "exp:-10": 0}
    z = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        table = frame(policy.ppf(rng.random((60, 12))), rng.random((60, 16)))
        for transform in told:
            run = judged(table, "bon:8", "bon:4", against="bon:2", transform=transform, kl=0.4)
            told[transform] += "depart" in " ".join(run.verdict)
            if transform == "exp:5":
                z += [row.z for row in run.win_rates]
    assert told == {"exp:5": 0, "exp:-10": 10}
    assert abs(np.mean(z)) < 4 / math.sqrt(len(z))
    assert 0.6 < np.std(z) < 1.5


# ------------------------------------------------------------------------- what it cost
@pytest.mark.slow
@pytest.mark.parametrize(
    ("pair", "accuracy"),
    [
        (("bon:4", "standard"), 1e-7),
        (("won:4", "standard"), 1e-7),
        (("bon:2", "bon:16"), 1e-7),
        (("standard", "bon:8"), 1e-6),
        (("standard", "won:4"), 1e-6),
        (("bon:4", "won:4"), 1e-3),
    ],
)
def test_the_least_kl_is_the_inverse_of_the_optimum_of_the_pair(pair, accuracy):
    ours, theirs = map(as_procedure, pair)
    duel = Duel.of(*pair)
    base = it.align("identity", kl=0.0)
    even = it.win_rate(base, pair[0], against_procedure=pair[1])
    assert duel.base_win_rate == pytest.approx(even, abs=1e-12)
    assert optimal_kl(ours, duel.base_win_rate, theirs) == 0.0
    for kl in (0.02, 0.7):
        won = it.optimum(pair[0], kl=kl, against_procedure=pair[1]).win_rate
        assert optimal_kl(ours, won, theirs) == pytest.approx(kl, rel=accuracy)
        # to lose on purpose is to win with the rewards turned round
        turned = duel.reversed
        assert optimal_kl(turned.ours, 1.0 - won, turned.theirs) == pytest.approx(
            kl, rel=max(accuracy, 1e-5)
        )
    assert optimal_kl(ours, 1.0, theirs) is None


@pytest.mark.slow
def test_where_the_frontier_jumps_prompts_stand_on_either_side_of_it():
    won = np.array([0.05, 0.2, 0.35])
    costs = [optimal_kl(as_procedure("won:4"), w, as_procedure("bon:4")) for w in won]
    beta = (won[2] - won[0]) / (costs[2] - costs[0])
    assert (won[1] - won[0]) / (costs[1] - costs[0]) == pytest.approx(beta, rel=1e-4)
    # the exact optimum is on one side at a little more regularisation, on the other at less
    near, far = (
        it.optimum("won:4", beta=at * beta, against_procedure="bon:4") for at in (1.01, 0.99)
    )
    assert near.win_rate < won[0]
    assert far.win_rate > won[2]
    between = np.interp(won[1], [near.win_rate, far.win_rate], [near.kl, far.kl])
    assert costs[1] == pytest.approx(between, rel=2e-3)


@pytest.mark.parametrize("pair", [("bon:4", "standard"), ("standard", "won:3"), ("won:2", "bon:3")])
def test_the_standing_of_grades_inverts_the_optimum_of_the_pair(pair):
    counts, atoms = np.array([30, 50, 20, 60, 40]) * 1000, np.array([0, 3, 5])
    ours, theirs = map(as_procedure, pair)
    standing = DiscreteStanding(counts, atoms, ours, theirs)
    optima = PromptOptima(PromptBases(Groups(counts / 1e5, atoms)), ours, theirs)
    _, won = optima.win_rates_at_kl(0.2)
    assert standing.optimal_kl(won) == pytest.approx(0.2, rel=0.02)
    assert standing.optimal_kl(standing.base_win_rate) == 0.0
    _, even = optima.win_rates_at_kl(0.0)
    assert standing.base_win_rate == pytest.approx(even, abs=1e-4)
    assert standing.optimal_kl(0.7 * even) > 0.0


@pytest.mark.slow
def test_efficiency_is_of_what_is_won_beyond_the_base_itself():
    rng = np.random.default_rng(4)
    policy = it.align("exp:16", kl=0.5)
    table = frame(policy.ppf(rng.random((300, 12))), rng.random((300, 12)))
    row = judged(table, "bon:8", against="standard", transform="exp:16", kl=0.5).win_rates[0]
    assert row.base_win_rate == pytest.approx(8 / 9)
    exact = it.win_rate(policy, "bon:8", against_procedure="standard")
    perfect = optimal_kl(as_procedure("bon:8"), exact, as_procedure("standard")) / 0.5
    low, high = row.optimal_kl_ci
    assert low / 0.5 < perfect < high / 0.5
    assert row.efficiency == pytest.approx(row.optimal_kl / 0.5)
    # wins more than half of the time, and yet less than the base itself would
    worse = judged(
        frame(rng.random((80, 12)) ** 1.5, rng.random((80, 12))), "bon:8", against="won:2"
    )
    row = worse.win_rates[0]
    assert row.estimate > 0.5
    assert row.efficiency is None
    assert row.optimal_kl_ci[0] > 0.0
    assert "the base itself" not in worse.verdict[0]
    assert worse.verdict[1].endswith("tuned is worse.")


# ------------------------------------------------------------------------- what is said
@pytest.mark.slow
@pytest.mark.parametrize("grades", [0, 4])
@pytest.mark.parametrize("name", ["standard", "bon:3", "won:2"])
def test_naming_the_same_procedure_changes_no_byte(grades, name):
    rng = np.random.default_rng(3)
    tuned, base = rng.random((12, 6)) ** 0.6, rng.random((12, 6))
    if grades:
        tuned, base = np.floor(grades * tuned), np.floor(grades * base)
    truth = {"tuned": rng.random((12, 6)), "base": rng.random((12, 6))}
    table = frame(tuned, base, truth=truth)
    plain, named = (
        validate(table, policy="policy", truth="truth", procedure=name, against_procedure=against)
        for against in (None, name)
    )
    assert json_text(plain.to_dict()) == json_text(named.to_dict())
    assert render(plain, None) == render(named, None)
    assert plain.to_frame().equals(named.to_frame())
    assert "against_procedure" not in json_text(plain.to_dict())


@pytest.mark.slow
def test_the_pair_is_spoken_of_everywhere():
    rng = np.random.default_rng(6)
    table = frame(rng.random((30, 8)) ** 0.5, rng.random((30, 8)))
    found = validate(
        table, policy="policy", procedure=["bon:8", "standard"], against_procedure="standard"
    )
    run = found.policies["tuned"]
    first, place, others = run.verdict[:3]
    assert first.startswith("Under Best-of-8 against the base's single samples, tuned beats base ")
    assert place.startswith("In its place base itself would win 88.9 %: ")
    assert others.startswith("It is ")
    assert others.endswith(" under single samples.")
    uneven, even = run.to_dict()["win_rates"]
    assert (uneven["procedure"], uneven["against_procedure"]) == ("bon:8", "standard")
    assert uneven["base_win_rate"] == pytest.approx(8 / 9)
    assert "against_procedure" not in even
    assert found.to_frame().against_procedure.tolist() == ["standard", "standard"]
    assert "bon:8 against standard" in repr(found)
    page = render(found, None)
    assert "Best-of-8 against the base&#39;s single samples" in page
    assert "The run takes N samples, the base is under single samples throughout" in page
    curve = run.plot("bon:8").lines[0]  # the optimum
    assert curve.get_ydata()[0] == pytest.approx(8 / 9)
    assert pickle.loads(pickle.dumps(found)).to_dict() == found.to_dict()


@pytest.mark.slow
def test_choosing_by_a_noisy_reward_is_not_called_hacking():
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(size=(200, 8)) for name in ("tuned", "base")}
    truth = {name: each + rng.normal(size=each.shape) for name, each in scores.items()}
    table = frame(scores["tuned"], scores["base"], truth=truth)
    run = judged(table, "bon:8", against="standard", truth="truth")
    text = " ".join(run.verdict)
    assert run.win_rates[0].truth.shortfall.ci[0] > 0.05  # untrained, and yet far below
    assert "being hacked" not in text
    assert "choosing by an imperfect reward alone can lose that" in text
    assert "no difference of tuned from it can be told" in text


@pytest.mark.slow
def test_several_policies_are_compared_in_the_pair():
    rng = np.random.default_rng(9)
    table = frame(rng.random((20, 6)) ** 0.5, rng.random((20, 6)))
    other = table[table.policy == "tuned"].assign(policy="other", reward=lambda t: t.reward**0.5)
    found = validate(
        pd.concat([table, other]), policy="policy", procedure="bon:2", against_procedure="bon:4"
    )
    (difference,) = found.differences
    assert (difference.procedure, difference.against_procedure) == ("bon:2", "bon:4")
    rows = [found.policies[name].win_rates[0].estimate for name in ("other", "tuned")]
    assert difference.difference.value == pytest.approx(rows[0] - rows[1], abs=1e-12)
    assert found.to_dict()["differences"][0]["against_procedure"] == "bon:4"


# ------------------------------------------------------------------------- command line, errors
@pytest.mark.slow
def test_the_command_takes_it_end_to_end(tmp_path, capsys):
    rng = np.random.default_rng(1)
    path, page = tmp_path / "scores.csv", tmp_path / "report.html"
    frame(rng.random((15, 6)) ** 0.4, rng.random((15, 6))).to_csv(path, index=False)
    given = ["validate", str(path), "--policy", "policy", "-p", "bon:2", "-p", "standard"]
    given += ["--against-procedure", "best-of-4"]
    for more in (["--report", str(page)], ["--json"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*given, *more])
        assert not stop.value.code
        out, _ = capsys.readouterr()
        if more[0] == "--report":
            assert "bon:2 against bon:4" in out
            assert "base itself" in out
            assert "Best-of-4" in page.read_text()
    rows = json.loads(out)["policies"]["tuned"]["win_rates"]
    assert [row["against_procedure"] for row in rows] == ["bon:4", "bon:4"]
    assert rows[0]["base_win_rate"] == pytest.approx(1 / 3)
    assert rows[1]["base_win_rate"] == pytest.approx(1 / 5)
    table = pd.read_csv(path)
    expected = judged(table, "bon:2", "standard", against="bon:4")
    assert [row["estimate"] for row in rows] == [row.estimate for row in expected.win_rates]


@pytest.mark.parametrize(
    ("against", "message"),
    [
        ("bom:4", "bom:4"),
        ("soft:4@5", "against_procedure soft:4@5 has no unbiased estimator here"),
        ("bon:2,4", "bon:2,4"),
        ("bon:9", "bon:2 against bon:9: no prompt has enough samples of both 'base' and 'tuned'"),
        (4, "4"),
    ],
)
def test_what_cannot_be_told_is_one_clear_message(against, message):
    table = frame(np.arange(24.0).reshape(3, 8), np.arange(24.0).reshape(3, 8) + 0.5)
    with pytest.raises(InputError) as refused:
        judged(table, "bon:2", against=against)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_prompts_with_too_few_samples_of_a_side_are_told():
    rng = np.random.default_rng(2)
    table = frame(rng.random((12, 4)), rng.random((12, 8)))
    kept = table[~((table.policy == "base") & (table.prompt == 0) & (table.index % 8 > 2))]
    found = validate(kept, policy="policy", procedure="bon:4", against_procedure="bon:6")
    row = found.policies["tuned"].win_rates[0]
    assert (row.prompts, row.excluded) == (11, 1)
    (finding,) = [one for one in found.findings if one.kind == "too_few"]
    assert finding.text.endswith("left out of bon:4 against bon:6")
