"""Recommendations: least regret by an independent search, least worst regret over a range."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import infalign_theory as it
from infalign_theory.advice import exponent_table, recommend
from infalign_theory.procedures.names import as_procedure

BASE = it.Discrete([0.3, 0.2, 0.1, 0.25, 0.15])


def lost(x, sign, procedure, kl, base=None):
    policy = it.align(it.Exponential(sign * float(np.exp(x))), kl=kl, base=base)
    return 1.0 - it.win_rate(policy, procedure)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("procedure", "kl"), [("bon:8", 0.5), ("won:4", 0.5), ("bon:2", 1.5), ("bop:3", 0.3)]
)
def test_the_exponent_is_the_minimum_of_an_independent_search(procedure, kl):
    found = recommend(procedure, kl=kl)
    t = found.transform.t
    around = np.log(abs(t))
    best = minimize_scalar(
        lost, args=(np.sign(t), procedure, kl), bounds=(around - 0.4, around + 0.4),
        method="bounded", options={"xatol": 1e-9},
    )  # fmt: skip
    assert np.exp(best.x) == pytest.approx(abs(t), rel=1e-4)
    assert found.win_rate == pytest.approx(1.0 - best.fun, abs=1e-10)
    other = minimize_scalar(
        lost, args=(-np.sign(t), procedure, kl), bounds=(-3, 6), method="bounded"
    )
    assert other.fun > best.fun  # the other sign is no better
    assert found.regret == pytest.approx(
        it.optimum(procedure, kl=kl).win_rate - found.win_rate, abs=1e-11
    )


@pytest.mark.parametrize("procedure", ["bon:4", "won:4", "mix:0.7*bon:4+0.3*won:4"])
@pytest.mark.parametrize("kl", [1e-12, 1e-3, 0.2, 2.0])
def test_best_exponents_are_flat_points_of_the_win_rate(procedure, kl):
    """Central differences of the win rate at equal KL, by their own scale."""
    t = it.best_exponent(procedure, kl=kl)
    if kl < 1e-6:  # the win rate cannot tell exponents apart: the limit of small KL can
        assert t == pytest.approx(it.best_exponent(procedure, kl=1e-8), rel=1e-2)
        return
    x, step = np.log(abs(t)), 0.02
    down, mid, up = (
        1 - lost(x + s, np.sign(t), procedure, kl) for s in (-step, 0.0, step)
    )  # fmt: skip
    assert mid >= max(down, up)
    curvature = (up - 2 * mid + down) / step**2
    # the first difference is that of a maximum: what is left is the third derivative's
    assert abs((up - down) / (2 * step)) <= 0.5 * abs(curvature) * step + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["won:2", "won:4", "won:8", "mix:0.5*bon:4+0.5*won:4"])
def test_no_exponent_of_a_grid_wins_more_at_two_nats(procedure):
    t = it.best_exponent(procedure, kl=2.0)
    best = lost(np.log(abs(t)), np.sign(t), procedure, 2.0)
    for other in (-90.5, -43, -16, -5, -1, -0.1, 0.1, 1.0, 10.0, 40.0):
        assert lost(np.log(abs(other)), np.sign(other), procedure, 2.0) >= best - 1e-14


def test_by_symmetry_the_median_asks_for_identity_at_small_kl(refused):
    refused(lambda: it.best_exponent("order:2/3", kl=1e-12), "identity")


@pytest.mark.slow
def test_an_unknown_n_costs_least_in_the_worst_case():
    procedures = [f"bon:{n}" for n in (1, 2, 4, 8, 16, 32)]
    found = recommend(procedures, kl=0.5)
    assert found.transform.t == pytest.approx(11.16, abs=0.01)
    assert found.regret == pytest.approx(0.0682, abs=1e-4)
    best = [it.optimum(p, kl=0.5).win_rate for p in procedures]

    def worst(t):
        policy = it.align(it.Exponential(t), kl=0.5)
        return max(b - it.win_rate(policy, p) for b, p in zip(best, procedures, strict=True))

    assert found.regret == pytest.approx(worst(found.transform.t), abs=1e-11)
    for t in (0.99 * found.transform.t, 1.01 * found.transform.t, 5.0, 40.0, -5.0):
        assert worst(t) > found.regret
    ends = {row.procedure: row.regret for row in found.by_procedure}
    assert ends["bon:1"] == pytest.approx(ends["bon:32"], abs=1e-5)  # the same at both ends


@pytest.mark.slow
def test_a_range_is_its_members():
    assert (
        recommend("bon:1-4", kl=0.3).to_dict()
        == recommend(["bon:1", "bon:2", "bon:3", "bon:4"], kl=0.3).to_dict()
    )


def test_beta_and_scaled_beta_spend_the_budget():
    found = recommend("bon:4", kl=0.5)
    assert it.align(found.transform, beta=found.beta).kl == pytest.approx(0.5, rel=1e-9)
    size = float(np.expm1(found.transform.t))
    mapped = it.Expression("(exp(t*u)-1)/s", t=found.transform.t, s=size)
    assert it.align(mapped, beta=found.scaled_beta).kl == pytest.approx(0.5, rel=1e-8)
    assert found.settings["beta"] == pytest.approx(found.scaled_beta)


@pytest.mark.slow
def test_where_no_exponential_is_best():
    assert recommend("standard", kl=0.5).transform == it.Identity()
    far = recommend("bon:16", kl=5.0)
    assert "beyond 600" in far.why
    assert far.regret == min(row.regret for row in (*far.by_procedure, *far.alternatives))
    always = recommend("won:16", kl=2.0)
    assert "win always" in always.why
    assert always.regret < 1e-9


@pytest.mark.slow
def test_atoms_and_scores():
    found = recommend("bon:4", kl=0.5, base=BASE)
    t = found.transform.t
    for other in (0.8 * t, 1.25 * t, -t):
        assert lost(np.log(abs(other)), np.sign(other), "bon:4", 0.5, BASE) >= 1 - found.win_rate
    rng = np.random.default_rng(3)
    import pandas as pd

    table = pd.DataFrame(
        {"q": np.repeat(np.arange(12), 16), "r": rng.integers(0, 5, 192).astype(float)}
    )
    on_scores = recommend("bon:2", kl=0.1, scores=table, prompt="q", reward="r")
    row = it.predict(
        table, procedure="bon:2", transform=on_scores.transform, kl=0.1, prompt="q", reward="r"
    ).rows[0]
    assert on_scores.win_rate == pytest.approx(row.win_rate, abs=1e-12)
    assert on_scores.regret <= min(r.regret for r in on_scores.alternatives) + 1e-12


def test_refusals(refused):
    refused(lambda: recommend("bon:4", kl=0.0), "positive")
    refused(lambda: recommend([], kl=0.5), "procedure")
    refused(lambda: recommend("best:4", kl=0.5), "bon:4")
    refused(lambda: recommend("bon:4", kl=0.5, prompt="q"), "scores")
    refused(lambda: recommend("bon:4", kl=0.5, scores="x.csv", base=BASE), "scores")
    refused(lambda: it.best_exponent("bon:16", kl=5.0), "600", "smaller KL")
    refused(lambda: it.best_exponent("won:8", kl=20.0), "smaller KL")


@pytest.mark.slow
def test_it_shows_itself():
    found = recommend("bon:4", kl=0.5)
    assert repr(found).startswith("<recommendation exp:12.6338 at beta=")
    assert found._repr_html_().count("<tr>") == 2 + len(found.alternatives)
    assert found.to_frame()["transform"].iloc[0] == "exp:12.6338"
    from matplotlib.figure import Figure

    ax = found.plot(Figure().subplots())
    assert len(ax.get_yticklabels()) == 1 + len(found.alternatives)
    assert exponent_table("won", [2], [0.1]).splitlines()[-1].startswith("| 2 | -")


@pytest.mark.slow
def test_a_recommendation_offers_the_policy_that_loses_least(refused):
    found = it.recommend(["standard", "bon:4", "bon:8"], kl=0.4)
    best = found.robust()
    assert best.lower_bound <= best.worst_regret + 1e-12
    assert best.worst_regret < found.regret
    assert [p.name for p in best.procedures] == [p.name for p in found.procedures]
    assert "robust()" in found.why
    refused(replace(found, base=None).robust, "from scores")


@pytest.mark.slow
@pytest.mark.parametrize("law", ["discrete", "continuous"])
@pytest.mark.parametrize("procedure", ["bon:4", "won:2"])
def test_what_a_search_on_scores_sees_is_what_predict_says(law, procedure):
    from infalign_theory.empirical.prediction.plug_in import PlugIn

    rng = np.random.default_rng(6)
    scores = {str(i): rng.integers(0, 5, 12).tolist() for i in range(8)}
    names = ["identity", "exp:5", "optimal"]
    said = it.predict(scores, procedure=procedure, transform=names, kl=0.2, law=law).rows
    found = PlugIn.read(scores, law=law)
    ours = as_procedure(procedure)
    won, beta = found.win_rates([it.Identity(), it.Exponential(5)], ours, 0.2)
    assert won == pytest.approx([row.win_rate for row in said[:2]], abs=1e-12)
    assert beta == pytest.approx([row.beta for row in said[:2]], rel=1e-9)
    assert found.optimal(ours, 0.2) == pytest.approx(said[2].win_rate, abs=1e-12)


@pytest.mark.slow
def test_the_sentence_says_that_the_answer_wins_most():
    found = recommend("bon:8", kl=0.5)
    assert "it wins 92.85 %, more than any other exponential" in found.why
    assert "no policy can win more than 92.99 %" in found.why
    assert "the plain calibrated reward loses 13 points" in found.why
    several = recommend(["bon:1", "bon:4"], kl=0.5).why
    assert "every other exponential loses more somewhere" in several
