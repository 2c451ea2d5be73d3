"""Predictions from scores against the discrete engine prompt by prompt, and simulation."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import Refusals

import infalign_theory as it
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, PromptOptima
from infalign_theory.errors import InfalignError

NAMES = ["standard", "bon:2", "bon:16", "won:2", "won:16"]
TRANSFORMS = ["identity", "log", "logit", "exp:10", "exp:-10", "power:3", "expr:exp(3*u)-u"]


def scores_of(seed=0, prompts=7, size=12, levels=6):
    """A table with ties, prompts of unequal size and rows in no order."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"p{i:02d}", float(r))
        for i in range(prompts)
        for r in rng.integers(0, levels, size - i % 3) * 0.7 + i
    ]
    rng.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["prompt", "reward"])
    return frame.astype({"reward": float})


def bases(frame):
    groups = frame.groupby("prompt", sort=True)["reward"]
    return [it.Discrete.from_scores(group.to_numpy()) for _, group in groups]


def only(frame, **options):
    return it.predict(frame, **options).rows[0]


# --------------------------------------------------------------- prompt by prompt, the same engine
def test_every_prompt_has_its_empirical_law():
    frame = scores_of()
    laws = PromptBases.of(read_scores(frame).rewards)
    expected = bases(frame)
    assert laws.prompts == len(expected)
    for i, base in enumerate(expected):
        part = slice(laws.offsets[i], laws.offsets[i + 1])
        np.testing.assert_allclose(laws.mass[part], base.probs, rtol=1e-15)
        np.testing.assert_allclose(laws.points.u[part], base.u, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("budget", [{"kl": 0.3}, {"beta": 0.4}])
def test_one_prompt_is_the_discrete_engine(name, transform, budget):
    frame = scores_of(prompts=1)
    base = bases(frame)[0]
    row = only(frame, procedure=name, transform=transform, **budget)
    policy = it.align(transform, **budget, base=base)
    assert row.beta == pytest.approx(policy.beta, rel=1e-9)
    assert row.kl == pytest.approx(policy.kl, rel=1e-9)
    assert row.win_rate == pytest.approx(it.win_rate(policy, name), abs=1e-12)
    assert row.ci is None
    assert row.prompts == 1
    if row.kl < -np.log(base.probs[-1]) * (1 - 1e-9):
        best = it.optimum(name, kl=row.kl, base=base)
        hull = best.win_rate if best.hull_win_rate is None else best.hull_win_rate
    else:  # all mass is on the top score
        hull = it.win_rate(it.align("exp:100", beta=1e-10, base=base), name)
    assert row.optimal == pytest.approx(hull, abs=1e-9)
    assert row.regret == pytest.approx(row.optimal - row.win_rate, abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_many_prompts_share_one_beta_and_average(name, transform):
    frame = scores_of(3)
    row = only(frame, procedure=name, transform=transform, kl=0.4)
    policies = [it.align(transform, beta=row.beta, base=base) for base in bases(frame)]
    won = np.array([it.win_rate(policy, name) for policy in policies])
    assert np.mean([policy.kl for policy in policies]) == pytest.approx(0.4, rel=1e-9)
    assert row.kl == pytest.approx(0.4, rel=1e-9)
    assert row.win_rate == pytest.approx(won.mean(), abs=1e-12)
    assert row.ci[0] <= row.win_rate <= row.ci[1]
    assert row.regret >= -1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_optimum_of_many_prompts_is_each_prompts_own(name):
    frame = scores_of(4)
    row = only(frame, procedure=name, transform="optimal", beta=0.3)
    best = [it.optimum(name, beta=0.3, base=base) for base in bases(frame)]
    assert row.win_rate == pytest.approx(np.mean([b.win_rate for b in best]), abs=1e-12)
    assert row.kl == pytest.approx(np.mean([b.kl for b in best]), rel=1e-9)
    assert (row.regret, row.transform) == (0.0, "optimal")

    same = only(frame, procedure=name, transform="optimal", kl=row.kl)
    assert same.beta == pytest.approx(0.3, rel=1e-6)
    assert same.win_rate == pytest.approx(row.win_rate, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bon:4", "won:4", "won:40"])
def test_the_optimum_is_the_largest_of_the_dual(name):
    """W(kl) = min over beta of the mean of max (W - beta KL) + beta kl: here on a grid of betas."""
    frame = scores_of(5)
    for kl in (0.05, 0.5, 1.2):
        row = only(frame, procedure=name, transform="optimal", kl=kl)
        values = []
        for beta in row.beta * np.exp(np.linspace(-1.0, 1.0, 41)):
            best = [it.optimum(name, beta=beta, base=base) for base in bases(frame)]
            values.append(np.mean([b.objective for b in best]) + beta * kl)
        assert row.optimal == pytest.approx(min(values), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["won:64", "won:300"])
def test_worst_of_n_regret_is_never_negative(name):
    """Also where the best policy drops a rare lowest score (a narrow basin for a solver)."""
    scores = [0.0] * 15 + [1.0] * 78 + [2.0] * 7
    frame = pd.DataFrame({"prompt": "a", "reward": scores})
    for beta in (0.5, 0.2, 0.05):
        rows = it.predict(
            frame, procedure=name, transform=["expr:step(u-0.15)", "log", "optimal"], beta=beta
        ).rows
        assert all(row.regret >= -1e-9 for row in rows)
        tops = [row.win_rate - beta * row.kl for row in rows]
        assert tops[2] >= max(tops[:2]) - 1e-9


@pytest.mark.slow
def test_any_scores_give_a_sound_row_or_a_clear_error():
    refusals = Refusals("out of reach of these scores")

    @settings(max_examples=40, deadline=None)
    @given(
        st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), min_size=1, max_size=4),
        st.sampled_from(["standard", "bon:2", "bon:9", "won:3", "won:20"]),
        st.sampled_from(["identity", "log", "exp:5", "exp:-5", "expr:-u", "optimal"]),
        st.one_of(
            st.floats(-4.0, 4.0).map(lambda e: {"beta": 10.0**e}),
            st.floats(-9.0, 0.5).map(lambda e: {"kl": 10.0**e}),
        ),
    )
    def check(groups, name, transform, budget):
        rows = [(i, float(r)) for i, group in enumerate(groups) for r in group]
        frame = pd.DataFrame(rows, columns=["prompt", "reward"])

        def ask():
            return only(frame, procedure=name, transform=transform, **budget)

        # a given beta always trains: only a budget can be out of reach
        row = refusals.ask(ask) if "kl" in budget else ask()
        if row is None:
            return
        assert np.isfinite([row.win_rate, row.kl, row.optimal, row.regret]).all()
        assert row.regret >= -1e-10
        if "kl" in budget:
            assert row.kl == pytest.approx(budget["kl"], rel=1e-9)
        if row.ci is not None:
            assert row.ci[0] <= row.win_rate + 1e-12
            assert row.win_rate <= row.ci[1] + 1e-12

    check()
    refusals.at_most(0.25)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1e-100, 1e-6, 1e-3, 1e3, 1e100])
@pytest.mark.parametrize("transform", ["identity", "exp:10", "expr:-u", "optimal"])
def test_any_beta_trains_even_to_the_top_score(beta, transform):
    frame = scores_of()
    row = only(frame, procedure="bon:4", transform=transform, beta=beta)
    assert row.win_rate + row.regret == pytest.approx(row.optimal, abs=1e-12)
    assert row.regret >= -1e-12
    if transform != "expr:-u" and (beta > 1e50 or beta < 1e-50):
        assert row.regret == pytest.approx(0.0, abs=1e-9)


# --------------------------------------------------------------------------------------- budgets
@pytest.mark.slow
def test_a_budget_out_of_reach_names_the_largest():
    frame = scores_of()
    limit = np.mean([-np.log(base.probs[-1]) for base in bases(frame)])
    for transform in ("identity", "optimal"):
        with pytest.raises(InfalignError, match=f"{limit:.8f}"[:9]) as caught:
            it.predict(frame, procedure="bon:4", transform=transform, kl=1.01 * limit)
        assert caught.value.limit == pytest.approx(limit, rel=1e-9)
    assert only(frame, procedure="bon:4", transform="identity", kl=0.99 * limit).kl > 0


def test_scores_all_tied_allow_no_kl():
    frame = pd.DataFrame({"prompt": ["a"] * 3 + ["b"] * 2, "reward": 1.0})
    row = only(frame, procedure="bon:4", transform="exp:10", beta=0.1)
    assert (row.win_rate, row.kl, row.regret) == (0.5, 0.0, 0.0)
    with pytest.raises(InfalignError, match="0 nats") as caught:
        it.predict(frame, procedure="bon:4", transform="exp:10", kl=0.1)
    assert "-0 nats" not in str(caught.value)


@pytest.mark.parametrize("transform", ["identity", "optimal"])
def test_no_budget_is_the_base(transform):
    row = only(scores_of(), procedure="won:4", transform=transform, kl=0)
    assert row.win_rate == pytest.approx(0.5, abs=1e-15)
    assert row.beta == np.inf
    assert row.regret == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("name", ["bon:4000", "won:4000", "bon:1e18", "won:1e18", "bon:1e30"])
def test_an_enormous_n_is_refused(name, refused):
    """Its optimum needs a beta beyond float64, or it is no number of samples at all."""
    refused(
        lambda: only(scores_of(), procedure=name, transform="identity", kl=0.3),
        "needs a beta below 1e-299" if name.endswith("4000") else "whole number N",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"kl": 0.1, "beta": 1.0}, {}, {"kl": -1}, {"kl": np.nan}, {"kl": np.inf}, {"beta": 0},
        {"beta": -1}, {"beta": np.inf}, {"kl": "x"}, {"kl": True}, {"kl": 0.1, "procedure": []},
        {"kl": 0.1, "transform": []}, {"kl": 0.1, "procedure": None}, {"kl": 0.1, "procedure": 4},
        {"kl": 0.1, "transform": 5}, {"kl": 0.1, "transform": [None]}, {"kl": 0.1, "procedure": ""},
        {"kl": 0.1, "transform": "exp:nan"}, {"kl": 0.1, "procedure": "bon:2.5"},
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(options):
    with pytest.raises(InfalignError):
        it.predict(scores_of(), **{"procedure": "bon:4", "transform": "identity", **options})


def test_tie_fraction_is_that_of_pairs():
    frame = scores_of()
    fractions = []
    for _, group in frame.groupby("prompt"):
        r = group["reward"].to_numpy()
        same = (r[:, None] == r[None, :]).sum() - r.size
        fractions.append(same / (r.size * (r.size - 1)))
    found = it.predict(frame, procedure="bon:2", transform="identity", kl=0.1)
    assert found.tie_fraction == pytest.approx(np.mean(fractions), abs=1e-14)
    assert found.samples == len(frame)


def test_rows_come_in_the_order_asked_and_as_a_frame():
    found = it.predict(
        scores_of(), procedure=["bon:2", it.WorstOfN(3)], transform=["log", it.Identity()], kl=0.2
    )
    assert [(r.procedure, r.transform) for r in found.rows] == [
        ("bon:2", "log"),
        ("bon:2", "identity"),
        ("won:3", "log"),
        ("won:3", "identity"),
    ]
    columns = "transform procedure beta scaled_beta kl win_rate ci optimal regret prompts law"
    columns += " corrected"
    assert list(found.to_frame().columns) == columns.split()
    assert len(found.to_frame()) == 4


@pytest.mark.slow
def test_an_increasing_map_of_the_scores_changes_nothing():
    frame = scores_of()
    other = frame.assign(reward=np.exp(frame["reward"]) - 3)
    options = {"procedure": ["bon:4", "won:4"], "transform": ["exp:10", "optimal"], "kl": 0.3}
    assert it.predict(frame, **options) == it.predict(other, **options)


# ------------------------------------------------------------------------------------ simulation
@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 4])
@pytest.mark.parametrize("kind", ["bon", "won"])
def test_simulated_contests_agree(kind, n):
    frame = scores_of(6, prompts=3)
    row = only(frame, procedure=f"{kind}:{n}", transform="exp:5", beta=2.0)
    rng = np.random.default_rng(11)
    draws, pick = 200_000, np.max if kind == "bon" else np.min
    means, variances = [], []
    for _, group in frame.groupby("prompt"):
        r = np.sort(group["reward"].to_numpy())
        u = np.array([(r < x).mean() + (r == x).mean() / 2 for x in r])
        tilt = np.exp(np.exp(5 * u) / 2.0 - np.exp(5.0) / 2.0)
        ours = pick(rng.choice(r, (draws, n), p=tilt / tilt.sum()), axis=1)
        theirs = pick(rng.choice(r, (draws, n)), axis=1)
        won = (ours > theirs) + 0.5 * (ours == theirs)
        means.append(won.mean())
        variances.append(won.var() / draws)
    error = np.sqrt(np.sum(variances)) / len(means)
    assert abs(np.mean(means) - row.win_rate) <= 4 * error


# ------------------------------------------------------------------------------------- real data
def real(path, **columns):
    return PromptBases.of(read_scores(path, **columns).rewards)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "expected"), [(2, 0.127), (4, 0.401), (16, 1.049)])
def test_plug_in_kl_of_best_of_n_on_the_judge_scores(n, expected, judge_scores):
    laws = real(judge_scores, prompt="task_id", reward="judge_score")
    assert laws.prompts == 120
    picked = laws.increments(it.BestOfN(n))  # the law of the best of N: F_i^N - F_{i-1}^N
    kls = laws.kls(np.log(picked / laws.mass))
    assert kls.mean() == pytest.approx(expected, abs=5e-4)
    assert kls.max() <= np.log(n) - (n - 1) / n + 1e-12  # an upper bound once there are ties
    # best-of-N distillation itself, by pandas and the definition
    frame = pd.read_csv(judge_scores)
    again = []
    for _, group in frame.groupby("task_id"):
        share = group["judge_score"].value_counts(normalize=True).sort_index().to_numpy()
        edges = np.concatenate([[0.0], np.cumsum(share)]) ** n
        again.append(np.sum(np.diff(edges) * np.log(np.diff(edges) / share)))
    assert kls.mean() == pytest.approx(np.mean(again), rel=1e-12)


@pytest.mark.slow
def test_prediction_on_the_judge_scores(judge_scores):
    columns = {"prompt": "task_id", "reward": "judge_score"}
    found = it.predict(
        judge_scores,
        procedure=["bon:4", "won:4"],
        transform=["identity", "log", "exp:10", "optimal"],
        kl=0.2,
        **columns,
    )
    assert found.samples == 2880
    frame = pd.read_csv(judge_scores).rename(columns={"task_id": "prompt", "judge_score": "reward"})
    for row in found.rows:
        assert row.prompts == 120
        assert row.kl == pytest.approx(0.2, rel=1e-9)
        assert row.regret >= -1e-12
        if row.transform != "optimal":
            policies = [it.align(row.transform, beta=row.beta, base=b) for b in bases(frame)]
            won = np.mean([it.win_rate(p, row.procedure) for p in policies])
            assert row.win_rate == pytest.approx(won, abs=1e-12)
    options = {"procedure": "bon:4", "transform": "exp:10", "kl": 0.2}
    assert it.predict(frame, **options).rows[0] == found.rows[2]


@pytest.mark.slow
def test_prediction_on_the_reward_model_scores(maths_scores):
    columns = {"prompt": "problem", "reward": "rm_score"}
    found = it.predict(
        maths_scores, procedure=["bon:2", "bon:8"], transform=["log", "optimal"], kl=0.5, **columns
    )
    assert found.samples == 800
    raw = [json.loads(line) for line in maths_scores.read_text().splitlines()]
    groups = {}
    for row in raw:
        groups.setdefault(row["problem"], []).append(row["rm_score"])
    repeated = sum(len(set(scores)) < len(scores) for scores in groups.values())
    assert repeated == 59
    laws = real(maths_scores, **columns)
    assert int(np.sum(np.diff(laws.offsets) < 8)) == repeated
    for row in found.rows:
        assert row.prompts == 100
        assert row.kl == pytest.approx(0.5, rel=1e-9)
        assert row.regret >= -1e-12


def test_the_optimum_of_every_judge_prompt_is_stationary(judge_scores):
    laws = real(judge_scores, prompt="task_id", reward="judge_score")
    for name, n in (("bon", 4), ("won", 16)):
        procedure = it.BestOfN(n) if name == "bon" else it.WorstOfN(n)
        ratio = PromptOptima(laws, procedure).at(1 / 0.05)
        for i in range(0, laws.prompts, 10):
            part = slice(laws.offsets[i], laws.offsets[i + 1])
            best = it.optimum(procedure, beta=0.05, base=it.Discrete(laws.mass[part]))
            mine = laws.mass[part] * np.exp(ratio[part])
            np.testing.assert_allclose(mine, best.policy.probs, atol=1e-10)
            assert best.residual < 1e-10


@pytest.mark.slow
def test_few_samples_for_a_large_n_are_told():
    """On a continuous reward few samples bias Best-of-N towards 1/2; the note says so."""
    rng = np.random.default_rng(5)
    exact = it.optimum("bon:4", kl=0.3).win_rate
    errors = []
    for samples in (8, 64):
        frame = pd.DataFrame(
            {"prompt": np.repeat(np.arange(60), samples), "reward": rng.normal(size=60 * samples)}
        )
        found = it.predict(frame, procedure="bon:4", transform="optimal", kl=0.3, law="discrete")
        assert len(found.notes) == (1 if samples < 32 else 0)
        errors.append(exact - found.rows[0].win_rate)
    assert errors[0] > 0.03
    assert 0.0 < errors[1] < 0.01


def test_the_optimum_of_another_procedure_is_judged():
    frame = pd.DataFrame({"prompt": ["a"] * 5, "reward": [0, 1, 1, 2, 3]})
    base = it.Discrete.from_scores([0, 1, 1, 2, 3])
    row = it.predict(frame, procedure="bon:8", transform="optimal@bon:2", kl=0.2).rows[0]
    policy = it.optimum("bon:2", kl=0.2, base=base).policy
    assert row.win_rate == pytest.approx(it.win_rate(policy, "bon:8"), abs=1e-9)
    assert row.kl == pytest.approx(0.2, rel=1e-9)
    assert row.regret > 0.0


# ------------------------------------------------------------------------- laws, choices, results
def tie_free(seed=0, prompts=12, samples=10):
    rng = np.random.default_rng(seed)
    return {str(p): rng.normal(size=samples).tolist() for p in range(prompts)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["standard", "bon:4", "won:4"])
def test_without_ties_the_answer_is_that_of_compare_whatever_the_scores(name):
    names = ["identity", "exp:10", "optimal", "optimal@bon:4|standard"]
    found = it.predict(tie_free(), procedure=name, transform=names, kl=0.3)
    expected = it.compare(names, name, kl=0.3).rows
    for row, other in zip(found.rows, expected, strict=True):
        assert (row.transform, row.law, row.ci) == (other.transform, "continuous", None)
        assert row.win_rate == pytest.approx(other.win_rate, abs=1e-9)
        assert row.optimal == pytest.approx(other.optimal, abs=1e-9)
        assert row.beta == pytest.approx(other.beta, rel=1e-6)
    assert found.rows == it.predict(tie_free(1), procedure=name, transform=names, kl=0.3).rows
    assert "do not depend on the scores" in found.notes[-1]


@pytest.mark.slow
def test_a_law_can_be_asked_for(refused):
    options = {"procedure": "bon:2", "transform": "identity", "kl": 0.2}
    assert only(tie_free(), law="discrete", **options).law == "discrete"
    assert only(scores_of(), law="continuous", **options).law == "continuous"
    assert only(scores_of(), **options).law == "discrete"
    refused(lambda: only(scores_of(), law="both", **options), "'both'", "'auto'")


def test_beta_on_the_continuous_law_is_the_policy_of_that_beta():
    row = only(tie_free(), procedure="bon:4", transform="exp:5", beta=30.0)
    policy = it.align("exp:5", beta=30.0)
    assert (row.beta, row.kl) == (30.0, pytest.approx(policy.kl, rel=1e-9))
    assert row.optimal == pytest.approx(it.optimum("bon:4", kl=policy.kl).win_rate, abs=1e-9)
    assert row.scaled_beta == pytest.approx(30.0 / np.expm1(5.0), rel=1e-12)


def test_the_sides_may_differ_and_optima_are_named_as_in_compare(refused):
    frame = pd.DataFrame({"prompt": ["a"] * 5, "reward": [0, 1, 1, 2, 3]})
    base = it.Discrete.from_scores([0, 1, 1, 2, 3])
    found = it.predict(
        frame,
        procedure="bon:4",
        against_procedure="standard",
        kl=0.2,
        transform=["identity", "optimal@bon:4|standard", "optimal"],
    )
    policies = [
        it.align("identity", kl=0.2, base=base),
        it.optimum("bon:4", kl=0.2, base=base, against_procedure="standard").policy,
    ]
    for row, policy in zip(found.rows, [*policies, policies[1]], strict=True):
        expected = it.win_rate(policy, "bon:4", against_procedure="standard")
        assert row.win_rate == pytest.approx(expected, abs=1e-9)
    assert found.rows[1].regret == pytest.approx(0.0, abs=1e-9)
    options = {"procedure": "bon:4", "kl": 0.2}
    refused(lambda: it.predict(frame, transform="optimally", **options), "transform", "optimally")


def test_procedures_and_transforms_may_be_lists_in_a_text():
    found = it.predict(scores_of(), procedure="bon:2,4", transform="identity,exp:5", kl=0.2)
    assert [(row.procedure, row.transform) for row in found.rows] == [
        ("bon:2", "identity"),
        ("bon:2", "exp:5"),
        ("bon:4", "identity"),
        ("bon:4", "exp:5"),
    ]


def test_a_prediction_shows_itself():
    import pickle

    from matplotlib.figure import Figure

    found = it.predict(scores_of(), procedure="bon:4", transform=["identity", "log"], kl=0.2)
    assert len(repr(found)) < 200
    page = found._repr_html_()
    assert "<li>bon:4 with" in page
    assert "identity" in page
    ax = found.plot(Figure().subplots())
    assert len(ax.patches) == 2
    assert "win rate" in ax.get_xlabel()
    assert "identity" in found.to_latex()
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(AttributeError):
        found.rows = ()
