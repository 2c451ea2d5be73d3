"""Frontiers, comparisons and the best exponent; the laws of small KL and of large N."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

import infalign_theory as it
from infalign_theory.errors import OutOfReachError
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.remembered import Remembered

KLS = [0.0, 1e-8, 0.01, 0.3, 1.0, 4.0]
BASE = it.Discrete([0.3, 0.2, 0.1, 0.25, 0.15])


# ----------------------------------------------------------------------------------- one curve


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
@pytest.mark.parametrize("text", ["identity", "log", "logit", "exp:10", "exp:-10", "expr:u**2-u/3"])
def test_a_frontier_is_its_points(text, procedure):
    curve = it.frontier(text, procedure, kl=KLS)
    assert curve.name == text
    assert curve.kl.tolist() == KLS
    for kl, beta, won in zip(curve.kl, curve.beta, curve.win_rate, strict=True):
        policy = it.align(text, kl=kl)
        assert beta == pytest.approx(policy.beta, rel=1e-9)
        assert won == pytest.approx(it.win_rate(policy, procedure), abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("standard", None), ("bon:4", None), ("won:4", None), ("bon:8", "bon:2"), ("won:2", "won:8")],
)
def test_the_optimal_frontier_is_its_optima(ours, theirs):
    curve = it.frontier("optimal", ours, kl=KLS, against_procedure=theirs)
    for kl, beta, won in zip(curve.kl, curve.beta, curve.win_rate, strict=True):
        best = it.optimum(ours, kl=kl, against_procedure=theirs)
        assert won == pytest.approx(best.win_rate, abs=1e-11)
        assert beta == pytest.approx(best.beta, rel=1e-8)


@pytest.mark.parametrize("text", ["identity", "optimal"])
def test_budgets_come_in_any_order(text):
    kl = np.array([1.0, 0.0, 0.25, 3.0, 0.25])
    curve = it.frontier(text, "bon:4", kl=kl)
    order = np.argsort(kl, kind="stable")
    tidy = it.frontier(text, "bon:4", kl=kl[order])
    assert np.array_equal(curve.kl, kl)
    assert curve.win_rate[order] == pytest.approx(tidy.win_rate, abs=1e-13)
    assert it.frontier(text, "bon:4", kl=0.25).win_rate == pytest.approx(curve.win_rate[2:3])


@pytest.mark.parametrize("procedure", ["bon:2", "bon:4", "bon:32", "won:2", "won:4", "won:32"])
def test_the_optimal_frontier_climbs_and_bends_down(procedure):
    kl = np.linspace(0, 3, 61)
    curve = it.frontier("optimal", procedure, kl=kl)
    climbed = np.diff(curve.win_rate)
    assert (climbed >= 0).all()
    assert (np.diff(climbed) <= 1e-12).all()
    assert (np.diff(curve.beta) < 0).all()
    # between two budgets it climbs by the integral of beta
    dense = it.frontier("optimal", procedure, kl=np.linspace(0.5, 0.6, 201))
    by_beta = integrate.simpson(dense.beta, x=dense.kl)
    assert dense.win_rate[-1] - dense.win_rate[0] == pytest.approx(by_beta, abs=1e-11)


@pytest.mark.slow
def test_nothing_lies_above_the_optimal_frontier():
    kl = np.geomspace(1e-6, 3, 12)
    for procedure in ("standard", "bon:4", "won:4"):
        best = it.frontier("optimal", procedure, kl=kl).win_rate
        for text in ("identity", "log", "exp:8", "exp:-8", "power:7", "expr:u**3-u"):
            assert (it.frontier(text, procedure, kl=kl).win_rate <= best + 1e-12).all()


def test_beyond_float64_the_optimum_always_wins():
    curve = it.frontier("optimal", "won:1000", kl=[0.01, 20.0])
    assert curve.beta[1] == 0.0
    assert curve.win_rate[1] == 1.0
    best = it.optimum("won:1000", kl=0.01).win_rate
    assert curve.win_rate[0] == pytest.approx(best, abs=1e-10)


def test_frontiers_on_atoms():
    kl = [0.0, 0.1, 0.5, 1.5]
    for text in ("identity", "exp:10", "optimal"):
        curve = it.frontier(text, "bon:4", kl=kl, base=BASE)
        assert (np.diff(curve.win_rate) > 0).all()
        assert curve.win_rate[0] == pytest.approx(0.5, abs=1e-13)
    policy = it.align("exp:10", kl=0.5, base=BASE)
    curve = it.frontier("exp:10", "bon:4", kl=kl, base=BASE)
    assert curve.win_rate[2] == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-12)


def test_a_frontier_as_a_table():
    frame = it.frontier("exp:10", "bon:4", kl=[0.0, 0.5]).to_frame()
    assert list(frame.columns) == [
        "transform", "procedure", "kl", "beta", "scaled_beta", "win_rate",
    ]  # fmt: skip
    assert frame["transform"].tolist() == ["exp:10"] * 2
    assert frame["procedure"].tolist() == ["bon:4"] * 2
    assert frame["kl"].tolist() == [0.0, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:10", "order:2/3"])
@pytest.mark.parametrize("text", ["log", "logit", "exp:-10", "exp:300", "expr:exp(3*u)-u"])
@pytest.mark.parametrize("base", [None, BASE], ids=["continuous", "discrete"])
def test_many_budgets_by_one_march_are_single_solves(text, procedure, base):
    kl = np.concatenate([[0.0], np.geomspace(1e-6, 0.9, 90)])[::-1]
    curve = it.frontier(text, procedure, kl=kl, base=base)
    for i in (0, 17, 45, 89, 90):
        policy = it.align(text, kl=kl[i], base=base)
        assert curve.beta[i] == pytest.approx(policy.beta, rel=1e-9)
        assert curve.win_rate[i] == pytest.approx(it.win_rate(policy, procedure), abs=1e-11)


def test_a_jump_in_the_formula_is_marched_or_walked_alike():
    kl = np.geomspace(1e-3, 0.6, 40)
    curve = it.frontier("step(u-0.5)", "bon:4", kl=kl)
    for i in (0, 20, 39):
        policy = it.align("step(u-0.5)", kl=kl[i])
        assert curve.win_rate[i] == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-10)


SPIKE = "u + 3*exp(-1e7*(u-0.6180339)**2)"  # three times the weight on 2 parts in 10 000


@pytest.mark.parametrize("count", [1, 40])
def test_a_spike_between_the_samples_is_seen_along_a_frontier_too(count):
    """The cache along budgets keeps the proof that nothing hides between samples."""
    phi = it.Expression(SPIKE)
    found = it.frontier(phi, "bon:4", kl=np.linspace(0.02, 0.03, count))
    exact = it.align(phi, kl=0.02)
    assert found.beta[0] == pytest.approx(exact.beta, rel=1e-9)
    assert found.win_rate[0] == pytest.approx(it.win_rate(exact, "bon:4"), abs=1e-10)


def test_a_remembered_transform_is_the_transform():
    """Whatever a transform says of itself, the cache around it says too."""
    phi = it.Expression("abs(u - 0.4) + 3*exp(-1e7*(u-0.6180339)**2)")
    cached = Remembered(phi)
    points = Points.from_logit(np.linspace(-3.0, 3.0, 7))
    middle, half = np.linspace(-2.0, 2.0, 5), np.full(5, 0.5)
    for name in ("name", "anchor", "slopes", "in_logit", "breaks"):
        assert getattr(cached, name) == getattr(phi, name)
    for _ in range(2):
        assert all(map(np.array_equal, cached.measured(points), phi.measured(points)))
    assert np.array_equal(cached.variation(middle, half), phi.variation(middle, half))
    assert np.array_equal(cached.changes(points, points), phi.changes(points, points))
    assert np.array_equal(cached(points.u), phi(points.u))
    own = {name for name in vars(type(cached)) if not name.startswith("__")}
    wanted = {name for name in vars(Transform) if not name.startswith("_")}
    assert wanted <= own


def test_several_frontiers_at_once(refused):
    found = it.frontier(["identity", "exp:5,10", "optimal"], "bon:4", kl=[0.1, 0.5])
    assert [curve.name for curve in found] == ["identity", "exp:5", "exp:10", "optimal"]
    alone = it.frontier("exp:10", "bon:4", kl=[0.1, 0.5])
    assert np.array_equal(found["exp(10u)"].win_rate, alone.win_rate)
    assert found[2].name == found["exp:10"].name
    assert len(found.to_frame()) == 8
    refused(lambda: found["log"], "identity, exp:5")
    refused(lambda: it.frontier("identity,exp:10", "bon:4", kl=0.5), "list of 2")


def test_scaled_beta_stands_beside_beta():
    """Aligning with the transform mapped to [0, 1] at scaled_beta gives the same policy."""
    curve = it.frontier("exp:10", "bon:4", kl=[0.0, 0.5])
    assert curve.scaled_beta[0] == np.inf
    size = float(np.expm1(10.0))
    mapped = it.align(f"(exp(10*u)-1)/{size!r}", beta=curve.scaled_beta[1])
    assert mapped.kl == pytest.approx(0.5, rel=1e-9)
    assert it.frontier("log", "bon:4", kl=0.5).scaled_beta == [None]
    best = it.frontier("optimal", "bon:4", kl=[0.0, 0.5])
    density = it.optimum("bon:4", kl=0.5).policy.pdf([0.0, 1.0])
    # on [0, 1] the transform is scaled_beta log f up to a constant
    assert best.scaled_beta[1] == pytest.approx(1 / np.log(density[1] / density[0]), rel=1e-9)
    frame = it.frontier(["log", "optimal"], "bon:4", kl=0.5).to_frame()
    assert frame["scaled_beta"].isna().tolist() == [True, False]


def test_results_show_themselves():
    found = it.frontier(["identity", "exp:10"], "bon:4", kl=[0.1, 1])
    assert repr(found[1]) == "<frontier of exp:10 under bon:4: 2 budgets from 0.1 to 1 nats>"
    assert repr(found).startswith("<frontiers of identity, exp:10 under bon:4")
    html = found._repr_html_()
    assert html.count("<tr>") == 5
    rows = it.compare(["exp:10", "min(u,0.5)"], "bon:4", kl=[0.1, 0.5])
    assert "min(u,0.5)" in rows._repr_html_()
    assert r"\begin{tabular}{llrrrrrr}" in rows.to_latex()
    assert len(rows.to_latex().splitlines()) == 4 + 4 + 2
    long = it.frontier("log", "bon:4", kl=np.linspace(0.1, 1, 100))
    assert "88 more rows" in long._repr_html_()


# ----------------------------------------------------------------------------------- comparison


def test_regrets_at_half_a_nat():
    """Best-of-4: exp:10 loses .0017 to the optimum, the identity .073; the best exponent .0005."""
    transforms = ["exp:10", "identity", it.Exponential(it.best_exponent("bon:4", kl=0.5))]
    rows = it.compare(transforms, "bon:4", kl=0.5).rows
    assert [round(row.regret, 4) for row in rows] == [0.0017, 0.0734, 0.0005]


@pytest.mark.parametrize("base", [None, BASE], ids=["continuous", "discrete"])
def test_a_comparison_is_made_of_its_parts(base):
    transforms = ["identity", it.Exponential(10), "power:7", "expr:u-u**2"]
    result = it.compare(transforms, "won:4", kl=0.5, base=base)
    best = it.optimum("won:4", kl=0.5, base=base)
    assert [row.transform for row in result.rows] == [str(t) for t in transforms]
    for row, transform in zip(result.rows, transforms, strict=True):
        policy = it.align(transform, kl=0.5, base=base)
        assert row.win_rate == pytest.approx(it.win_rate(policy, "won:4"), abs=1e-12)
        assert row.optimal == pytest.approx(best.win_rate, abs=1e-11)
        assert row.regret == pytest.approx(row.optimal - row.win_rate, abs=1e-15)
        assert row.regret >= -1e-12
        assert (row.procedure, row.kl) == ("won:4", 0.5)
        assert row.beta == pytest.approx(policy.beta, rel=1e-9)
    frame = result.to_frame()
    columns = [
        "transform", "procedure", "beta", "scaled_beta", "kl", "win_rate", "optimal", "regret",
    ]  # fmt: skip
    assert list(frame.columns) == columns
    assert len(frame) == 4


def test_comparisons_at_several_budgets():
    result = it.compare("identity,exp:10", "bon:4", kl=[0.1, 0.5])
    assert [(row.transform, row.kl) for row in result.rows] == [
        ("identity", 0.1), ("exp:10", 0.1), ("identity", 0.5), ("exp:10", 0.5),
    ]  # fmt: skip
    for row in result.rows:
        (alone,) = it.compare(row.transform, "bon:4", kl=row.kl).rows
        assert alone.win_rate == pytest.approx(row.win_rate, abs=1e-13)
        assert alone.scaled_beta == pytest.approx(row.scaled_beta, rel=1e-11)


def test_one_transform_and_the_optimum_itself():
    assert len(it.compare("identity", "bon:4", kl=0.5).rows) == 1
    (row,) = it.compare(["optimal"], "bon:4", kl=0.5).rows
    assert row.regret == 0.0
    (row,) = it.compare([it.Log()], "bon:8", kl=0.5, against_procedure="bon:2").rows
    assert row.optimal == pytest.approx(
        it.optimum("bon:8", kl=0.5, against_procedure="bon:2").win_rate, abs=1e-12
    )


# --------------------------------------------------------------------------------- the laws, 2.7


def correlation(transform, power):
    """corr(Phi(U), U^power) by scipy."""

    def mean(f):
        return integrate.quad(f, 0, 1, epsabs=1e-14, epsrel=1e-13, limit=200)[0]

    def phi(u):
        return float(transform(u))

    m, s = mean(phi), 1 / (power + 1)
    cross = mean(lambda u: (phi(u) - m) * (u**power - s))
    return cross / np.sqrt(mean(lambda u: (phi(u) - m) ** 2) * mean(lambda u: (u**power - s) ** 2))


@pytest.mark.parametrize("n", [1, 2, 4, 16])
@pytest.mark.parametrize("text", ["identity", "power:7", "exp:8", "exp:-3", "expr:u-u**2"])
def test_the_slope_at_small_kl(text, n):
    """W = 1/2 + rho N sqrt(KL / (2 (4N - 1))): the ratio at two budgets, extrapolated."""
    transform = it.align(text, kl=0).transform
    scale = n / np.sqrt(2 * (4 * n - 1))
    rho = correlation(transform, 2 * n - 1)
    mirrored = correlation(lambda u: -transform(1 - u), 2 * n - 1)
    kl = np.array([1e-8, 4e-8])
    for procedure, expected in ((f"bon:{n}", rho), (f"won:{n}", mirrored)):
        won = it.frontier(text, procedure, kl=kl).win_rate
        one, two = (won - 0.5) / np.sqrt(kl)
        # the next term is linear in sqrt(KL): it cancels
        assert 2 * one - two == pytest.approx(expected * scale, abs=5e-7)


@pytest.mark.parametrize("n", [2, 4, 16])
def test_the_optimum_at_small_kl_has_efficiency_one(n):
    for kind in ("bon", "won"):
        won = it.frontier("optimal", f"{kind}:{n}", kl=[1e-8, 4e-8]).win_rate
        one, two = (won - 0.5) / np.sqrt([1e-8, 4e-8])
        assert 2 * one - two == pytest.approx(n / np.sqrt(2 * (4 * n - 1)), abs=5e-7)
    assert correlation(it.Power(2 * n - 1), 2 * n - 1) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.slow
def test_at_large_n_only_their_product_matters():
    for product in (0.5, 2.0):
        for kind in ("bon", "won"):
            won = [it.optimum(f"{kind}:{n}", kl=product / n).win_rate for n in (1000, 2000, 4000)]
            steps = np.diff(won)
            assert abs(steps[0]) < 2e-3
            # the correction falls like 1/N
            assert steps[1] / steps[0] == pytest.approx(0.5, abs=0.02)


# ----------------------------------------------------------------------------- the best exponent


@pytest.mark.parametrize(("n", "t"), [(4, 7.825), (8, 15.94), (16, 31.97)])
@pytest.mark.parametrize("sign", [1, -1])
def test_at_small_kl_the_best_exponent_is_near_2n(n, t, sign):
    procedure = f"{'bon' if sign > 0 else 'won'}:{n}"
    found = it.best_exponent(procedure, kl=1e-7)
    assert found == pytest.approx(sign * t, rel=2e-3)


def test_the_first_order_law_gives_the_same_exponent():
    """Second method: maximise the correlation itself."""
    ts = np.linspace(7.5, 8.1, 25)
    rho = [correlation(it.Exponential(t), 7) for t in ts]
    top = ts[int(np.argmax(rho))]
    curve = np.polyfit(ts - top, rho, 4)
    roots = np.roots(np.polyder(curve))
    best = top + float(np.real(roots[np.argmin(np.abs(roots))]))
    assert best == pytest.approx(7.825, abs=1e-3)
    assert max(rho) > 0.9989
    assert correlation(it.Identity(), 7) == pytest.approx(0.745356, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("procedure", "kl"), [("bon:4", 0.5), ("won:4", 0.5), ("bon:2", 2.0)])
def test_no_exponent_of_a_grid_is_better(procedure, kl):
    best = it.best_exponent(procedure, kl=kl)
    won = it.win_rate(it.align(it.Exponential(best), kl=kl), procedure)
    grid = np.concatenate([-np.geomspace(60, 0.1, 25), np.geomspace(0.1, 60, 25)])
    grid = np.concatenate([grid, best * np.linspace(0.98, 1.02, 9)])
    for t in grid:
        other = it.win_rate(it.align(it.Exponential(float(t)), kl=kl), procedure)
        assert other <= won + 1e-12


def test_a_best_exponent_out_of_range_is_refused(refused):
    error = refused(lambda: it.best_exponent("bon:100000", kl=1e-6), kind=OutOfReachError)
    assert abs(error.limit) == pytest.approx(600.0, rel=1e-9)
    # one sample: the identity, the limit t -> 0
    refused(lambda: it.best_exponent("standard", kl=0.5), "identity", kind=OutOfReachError)


def test_the_best_exponent_on_atoms():
    t = it.best_exponent("bon:4", kl=0.5, base=BASE)
    won = it.win_rate(it.align(it.Exponential(t), kl=0.5, base=BASE), "bon:4")
    for other in (0.9 * t, 1.1 * t, 1.0, 5.0, -5.0):
        assert (
            it.win_rate(it.align(it.Exponential(other), kl=0.5, base=BASE), "bon:4") <= won + 1e-12
        )


# ------------------------------------------------------------------------------------- refusals

CALLS = {
    "frontier": lambda kl: it.frontier("identity", "bon:4", kl=kl),
    "optimal": lambda kl: it.frontier("optimal", "bon:4", kl=kl),
    "compare": lambda kl: it.compare(["identity"], "bon:4", kl=kl),
    "best_exponent": lambda kl: it.best_exponent("bon:4", kl=kl),
}
HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize("kl", [-0.5, float("nan"), float("inf"), True, "x", b"3", None, 1j, HUGE])
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_bad_budgets(call, kl, refused):
    refused(lambda: call(kl), "kl")


@pytest.mark.parametrize("kl", [[], [[0.1, 0.2]], [0.1, -0.2], [0.1, np.nan], [0.1, None], "0.5"])
@pytest.mark.parametrize("text", ["identity", "optimal"])
def test_bad_lists_of_budgets(text, kl, refused):
    refused(lambda: it.frontier(text, "bon:4", kl=kl), "kl")


@pytest.mark.parametrize("transform", [None, 3, 2.5, "nope", ["nope"], it.BestOfN(4), "exp:0"])
def test_bad_transforms(transform, refused):
    refused(lambda: it.frontier(transform, "bon:4", kl=0.5))
    refused(lambda: it.compare([transform], "bon:4", kl=0.5))


@pytest.mark.parametrize("transforms", [[], (), None, 3, 2.5, np.array(3)])
def test_bad_lists_of_transforms(transforms, refused):
    refused(lambda: it.compare(transforms, "bon:4", kl=0.5), "transform")


@pytest.mark.parametrize("procedure", [None, 4, "bon", "bon:0", it.Identity()])
def test_bad_procedures(procedure, refused):
    for call in (
        lambda p: it.frontier("identity", p, kl=0.5),
        lambda p: it.frontier("optimal", p, kl=0.5),
        lambda p: it.compare(["identity"], p, kl=0.5),
        lambda p: it.best_exponent(p, kl=0.5),
    ):
        refused(lambda c=call: c(procedure), "N")


@pytest.mark.parametrize("base", [3, "discrete", [0.5, 0.5]])
def test_bad_bases(base, refused):
    refused(lambda: it.frontier("identity", "bon:4", kl=0.5, base=base), repr(base))
    refused(lambda: it.compare(["identity"], "bon:4", kl=0.5, base=base), repr(base))


def test_budgets_out_of_reach_name_the_largest(refused):
    limit = -np.log(0.15)
    for text in ("identity", "optimal"):
        error = refused(
            lambda t=text: it.frontier(t, "bon:4", kl=[0.1, 2.0], base=BASE),
            "2",
            kind=OutOfReachError,
        )
        assert error.limit == pytest.approx(limit, rel=1e-12)
    refused(lambda: it.best_exponent("bon:4", kl=0.0), "0", "positive")


@pytest.mark.slow
@given(
    st.lists(st.just(0.0) | st.floats(1e-99, 15), min_size=1, max_size=4),
    st.integers(1, 1000),
    st.sampled_from(["bon", "won"]),
)
@settings(max_examples=30)
def test_every_frontier_is_made_of_probabilities(kl, n, kind):
    curve = it.frontier("optimal", f"{kind}:{n}", kl=kl)
    assert ((curve.win_rate >= 0.5 - 1e-12) & (curve.win_rate <= 1.0)).all()
    assert not np.isnan(curve.beta).any()
    order = np.argsort(curve.kl)
    assert (np.diff(curve.win_rate[order]) >= -1e-13).all()
