"""The continuous optimum: exact numbers, identities it must obey, certificates that must hold."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mpf
from refusals import Refusals
from rows import ROWS, folded, transform_and_procedure
from scipy import integrate

import infalign_theory as it
from infalign_theory.errors import OutOfReachError
from infalign_theory.optima.certificate import fixed_point_step
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.points import Points

OPTIMA = [r for r in ROWS if r["kind"] == "optimum"]
PAIRS = [("standard", "standard"), ("bon:4", "bon:4"), ("won:4", "won:4"), ("bon:32", "bon:32")]
PAIRS += [("won:32", "won:32"), ("bon:4", "bon:16"), ("won:8", "won:2"), ("bon:4", "standard")]


@cache
def best_at(ours, theirs, which, number):
    return it.optimum(ours, against_procedure=theirs, **{which: number})


def number_of(text):
    return 1 if text == "standard" else int(text.partition(":")[2])


# ------------------------------------------------------------------------------- exact numbers


@pytest.mark.slow
@pytest.mark.parametrize("which", ["beta", "kl"])
@folded(OPTIMA, transform_and_procedure)
def test_reference(row, which):
    best = best_at(row["procedure"], row["against"], which, float(row[which]))
    core = max(number_of(row["procedure"]), number_of(row["against"])) <= 32
    assert abs(mpf(best.win_rate) - mpf(row["win_rate"])) <= (1e-12 if core else 1e-10)
    assert abs(mpf(best.kl) / mpf(row["kl"]) - 1) <= 1e-9
    assert abs(mpf(best.beta) / mpf(row["beta"]) - 1) <= 1e-9
    # the policy says the same by its own quadrature
    assert best.policy.kl == pytest.approx(best.kl, rel=1e-9)
    again = it.win_rate(best.policy, row["procedure"], against_procedure=row["against"])
    assert again == pytest.approx(best.win_rate, abs=1e-10)


@pytest.mark.parametrize("which", ["beta", "kl"])
@folded(OPTIMA, transform_and_procedure)
def test_reference_density(row, which):
    best = best_at(row["procedure"], row["against"], which, float(row[which]))
    exact = {mpf(u): mpf(value) for u, value in row["log_density"].items()}
    points = Points.from_pair(
        np.array([float(u) for u in exact]), np.array([float(1 - u) for u in exact])
    )
    got = best.policy.tilt.log_density(points)
    core = max(number_of(row["procedure"]), number_of(row["against"])) <= 32
    for value, true in zip(got, exact.values(), strict=True):
        assert abs(mpf(float(value)) - true) <= (1e-11 if core else 1e-9) * max(1, abs(true))


@folded(OPTIMA, transform_and_procedure)
def test_evidence_comes_with_every_optimum(row):
    best = best_at(row["procedure"], row["against"], "kl", float(row["kl"]))
    # at N = 1000 a relative rounding of F is multiplied by N and by log f (up to 200)
    core = max(number_of(row["procedure"]), number_of(row["against"])) <= 32
    assert 0.0 <= best.residual <= (1e-10 if core else 1e-8)
    if row["procedure"].startswith("won"):
        assert best.gap is None
    else:
        assert 0.0 <= best.gap <= 1e-10
    assert best.maximum
    assert best.alternatives == ()
    assert best.objective == pytest.approx(best.win_rate - best.beta * best.kl, abs=1e-15)


# ---------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_kl_in_terms_of_an_end_density(ours, theirs, beta):
    """Along the optimum: BoN KL = log f(1) - (n/beta)(1-W), WoN KL = log f(0) + (n/beta) W."""
    best = best_at(ours, theirs, "beta", beta)
    n = number_of(ours)
    worst = ours.startswith("won")
    end = Points.from_logit(np.array([-700.0 if worst else 700.0]))
    log_f = float(best.policy.tilt.log_density(end)[0])
    by_end = log_f + n / beta * best.win_rate if worst else log_f - n / beta * (1 - best.win_rate)
    assert by_end == pytest.approx(best.kl, rel=1e-10, abs=1e-12 * n / beta)


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-3, 0.1, 0.7, 3.0])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_the_frontier_climbs_at_rate_beta(ours, theirs, kl):
    """Envelope theorem dW/dKL = beta, by central differences of two sizes."""
    beta = best_at(ours, theirs, "kl", kl).beta

    def slope(step):
        up = best_at(ours, theirs, "kl", kl * (1 + step)).win_rate
        down = best_at(ours, theirs, "kl", kl * (1 - step)).win_rate
        return (up - down) / (2 * kl * step)

    coarse, fine = slope(2e-3), slope(1e-3)
    better = fine + (fine - coarse) / 3  # Richardson; its error is far below |fine - coarse|
    rounding = 4e-13 / (2 * kl * 1e-3)
    assert abs(better - beta) <= 0.05 * abs(fine - coarse) + rounding


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-4, 0.3, 2.0])
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4", "bon:32", "won:32"])
def test_the_transform_is_the_gradient_of_the_win_rate(procedure, kl):
    """(eq-coupled): Phi*(v) = -int_v^1 g'(F) g_ref'(u) du, by scipy from F alone."""
    best = best_at(procedure, procedure, "kl", kl)
    g = as_procedure(procedure)

    def force(u):
        low, high = best.policy.cdf(u), best.policy.sf(u)
        return float(g.pdf(low, high) * g.pdf(np.asarray(u), np.asarray(1 - u)))

    offset = float(best.transform(1.0))
    for v in (0.05, 0.4, 0.8, 0.95):
        cuts = sorted({v, *(c for c in (0.5, 0.9, 0.99) if c > v)})
        pieces = [
            integrate.quad(force, a, b, epsabs=1e-12, limit=200)[0]
            for a, b in zip(cuts, [*cuts[1:], 1.0], strict=True)
        ]
        assert float(best.transform(v)) - offset == pytest.approx(-sum(pieces), abs=1e-9)


@pytest.mark.parametrize("beta", [3.0, 0.05, 1e-3])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_training_with_the_transform_gives_the_policy_back(ours, theirs, beta):
    best = best_at(ours, theirs, "beta", beta)
    assert best.beta == pytest.approx(beta, rel=1e-13)
    again = it.align(best.transform, beta=best.beta)
    u = np.array([0.001, 0.3, 0.7, 0.99, 1 - 1e-6])
    assert again.kl == pytest.approx(best.kl, rel=1e-10)
    assert again.cdf(u) == pytest.approx(best.policy.cdf(u), rel=1e-11)
    by_budget = it.align(best.transform, kl=best.kl)
    assert by_budget.beta == pytest.approx(beta, rel=1e-8)


@pytest.mark.parametrize("kl", [1e-8, 0.01, 0.5, 10.0])
def test_one_sample_needs_the_identity(kl):
    for one in ("standard", "bon:1", "won:1"):
        best = it.optimum(one, kl=kl)
        plain = it.align("identity", kl=kl)
        assert best.beta == pytest.approx(plain.beta, rel=1e-12)
        assert best.win_rate == pytest.approx(it.win_rate(plain), abs=1e-14)
        assert best.transform == it.Identity()


@pytest.mark.parametrize("against", ["bon:4", "won:16"])
def test_one_sample_against_many_needs_their_cdf(against):
    best = it.optimum("standard", beta=0.2, against_procedure=against)
    g = as_procedure(against)
    u = np.linspace(0.1, 0.9, 9)
    phi = best.transform(u) - best.transform(0.5)
    expected = g.cdf(u, 1 - u)[0] - g.cdf(np.array(0.5), np.array(0.5))[0]
    assert phi == pytest.approx(expected, abs=1e-13)
    assert best.residual < 1e-12


def test_no_budget_is_the_base():
    for ours, theirs, won in [
        ("bon:4", None, 0.5),
        ("won:4", None, 0.5),
        ("bon:4", "bon:2", 2 / 3),
    ]:
        best = it.optimum(ours, kl=0, against_procedure=theirs)
        assert best.kl == 0.0
        assert best.win_rate == pytest.approx(won, abs=1e-15)
        assert float(best.policy.cdf(0.3)) == pytest.approx(0.3, rel=1e-13)
        assert best.beta == np.inf
        assert np.isfinite(best.objective)


# nats beyond which the optimal beta is below 1e-300
WON_FOR_SURE = {("bon", 10**6, 1000): 0.2, ("won", 4, 1000): 0.6, ("won", 10**6, 1000): 0.6}


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-3, 0.3, 2.0])
@pytest.mark.parametrize(
    ("n", "m"),
    [(16, 1), (32, 1), (128, 1), (1000, 1), (128, 8), (1000, 100), (4, 1000), (10**6, 1000)],
)
@pytest.mark.parametrize("kind", ["bon", "won"])
def test_very_different_numbers_on_the_two_sides(kind, n, m, kl, refused):
    """No case of the promised range may be quietly wrong, however stiff."""
    ours, theirs = f"{kind}:{n}", f"{kind}:{m}"
    if kl > WON_FOR_SURE.get((kind, n, m), np.inf):
        error = refused(
            lambda: it.optimum(ours, kl=kl, against_procedure=theirs),
            "its win rate is 1 to rounding",
            kind=OutOfReachError,
        )
        assert error.limit < kl
        return
    best = it.optimum(ours, kl=kl, against_procedure=theirs)
    assert best.kl == pytest.approx(kl, rel=1e-9)
    assert best.policy.kl == pytest.approx(kl, rel=1e-9)
    won = it.win_rate(best.policy, ours, against_procedure=theirs)
    assert best.win_rate == pytest.approx(won, abs=1e-10)
    assert best.residual <= 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("beta", [2.0, 0.5, 0.05])
@pytest.mark.parametrize(("n", "m"), [(8, 2), (2, 64), (64, 1), (128, 1), (1000, 1)])
def test_worst_of_many_against_few_by_a_stiff_solver(n, m, beta):
    """(eq-single-ode) with h = log(x G'/G) over kappa = log(1/beta), by scipy's implicit Radau."""

    def rates(kappa, y):
        phi = np.exp(y[0])
        speed = 1 / (m + (n - 1) * phi)
        climb = ((1 - y[1]) * (m + n * phi) - n * phi) * speed  # dW/dkappa, y[1] = W
        return [(1 - phi - n * m * np.exp(kappa)) * speed, climb, np.exp(kappa) * climb]

    k = 1e-9 / (n * m)  # there the optimum is its leading term
    rise = n * m / (n + m)
    slope = rise**2 / (2 * (n + m) - 1)
    start = [-rise * k, m / (n + m) + slope * k, slope * k**2 / 2]
    done = integrate.solve_ivp(
        rates, (np.log(k), -np.log(beta)), start, method="Radau", rtol=1e-10, atol=1e-13
    )
    _, won, kl = done.y[:, -1]
    best = it.optimum(f"won:{n}", beta=beta, against_procedure=f"won:{m}")
    assert best.win_rate == pytest.approx(won, abs=1e-9)
    assert best.kl == pytest.approx(kl, rel=1e-8)


# --------------------------------------------------------------------------------- certificates


def step_by_hand(policy, n):
    """KL(pi || pi+) for Best-of-N by dense Gauss-Legendre in u, 2.4."""
    x, w = np.polynomial.legendre.leggauss(40)
    edges = np.linspace(0, 1, 201)
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    u = middle[:, None] + half[:, None] * x
    weight = half[:, None] * w
    force = n * policy.cdf(u) ** (n - 1) * n * u ** (n - 1)
    running = np.polynomial.legendre.legvander(x, 39)
    panel = (weight * force).sum(axis=1)
    after = np.concatenate([np.cumsum(panel[::-1])[::-1][1:], [0.0]])
    # integral from each node to the right end of its panel, through the interpolating polynomial
    coefficients = np.linalg.solve(running, force.T)
    primitive = np.polynomial.legendre.legint(coefficients)
    rest = np.polynomial.legendre.legval(1.0, primitive)[:, None] - np.polynomial.legendre.legval(
        x, primitive
    )
    log_plus = -(after[:, None] + half[:, None] * rest) / policy.beta
    log_plus -= np.log(np.sum(weight * np.exp(log_plus)))
    f = policy.pdf(u)
    return float(np.sum(weight * f * (np.log(f) - log_plus)))


@pytest.mark.parametrize("text", ["identity", "power:3", "exp:5", "log", "expr:u-u**2"])
@pytest.mark.parametrize(("n", "beta"), [(2, 0.3), (4, 0.1), (4, 1.0)])
def test_the_certificate_bounds_what_a_policy_leaves_on_the_table(text, n, beta):
    scaled = {"exp:5": "expr:exp(5*u)/exp(5)"}.get(text, text)
    procedure = it.BestOfN(n)
    policy = it.align(scaled, beta=beta)
    distance, divergence = fixed_point_step(policy, procedure, procedure)
    best = it.optimum(procedure, beta=beta)
    lost = best.objective - (it.win_rate(policy, procedure) - beta * policy.kl)
    assert 0 < lost <= beta * divergence
    assert divergence == pytest.approx(step_by_hand(policy, n), rel=1e-7, abs=1e-10)
    # Pinsker ties the two measures of distance together
    assert 2 * distance**2 <= divergence + 1e-15


@pytest.mark.slow
@given(
    st.integers(2, 64),
    st.floats(-3, 0.5),
    st.sampled_from(["identity", "log", "power:7", "exp:3", "exp:-3", "expr:-u", "expr:u-u**2"]),
)
@settings(max_examples=25)
def test_the_certificate_holds_for_anything(n, log_beta, text):
    beta = float(10.0**log_beta)
    procedure = it.BestOfN(n)
    policy = it.align(text, beta=beta)
    bound = beta * fixed_point_step(policy, procedure, procedure)[1]
    best = it.optimum(procedure, beta=beta)
    lost = best.objective - (it.win_rate(policy, procedure) - beta * policy.kl)
    assert -1e-12 <= lost <= bound + 1e-12


@pytest.mark.slow
def test_no_transform_beats_the_optimum():
    # constant, or a budget this transform cannot spend; and where the optimum wins for sure
    refusals = Refusals("the largest KL is 0 nats", "its win rate is 1 to rounding")

    @given(
        st.sampled_from(["bon", "won"]),
        st.integers(2, 200),
        st.floats(-4, 0.7),
        st.one_of(
            st.floats(-60, 60).filter(lambda t: abs(t) > 0.1).map(it.Exponential),
            st.floats(0.2, 60).map(it.Power),
            st.sampled_from(["identity", "log", "logit"]),
            st.builds(
                lambda a, b, c: it.Expression("a*u + b*u**2 + exp(c*u)", a=a, b=b, c=c),
                *(st.floats(-5, 5).map(lambda x: round(x, 3)) for _ in range(3)),
            ),
        ),
    )
    @settings(max_examples=60)
    def check(kind, n, log_kl, transform):
        procedure, kl = f"{kind}:{n}", float(10.0**log_kl)
        policy = refusals.ask(lambda: it.align(transform, kl=kl))
        best = refusals.ask(lambda: it.optimum(procedure, kl=kl))
        if policy is not None and best is not None:
            assert it.win_rate(policy, procedure) <= best.win_rate + 1e-11

    check()
    refusals.at_most(0.1)


@pytest.mark.slow
def test_above_the_identity_and_what_its_own_policy_wins():
    refusals = Refusals("its win rate is 1 to rounding")

    @given(st.integers(2, 10**6), st.floats(-8, 1.3), st.sampled_from([it.BestOfN, it.WorstOfN]))
    @settings(max_examples=40)
    def check(n, log_kl, kind):
        kl, procedure = float(10.0**log_kl), kind(n)
        best = refusals.ask(lambda: it.optimum(procedure, kl=kl))
        if best is None:
            return
        assert it.win_rate(it.align("identity", kl=kl), procedure) - 1e-11 <= best.win_rate
        assert best.win_rate == pytest.approx(it.win_rate(best.policy, procedure), abs=1e-10)
        assert best.residual < 1e-7

    check()
    refusals.at_most(0.35)


# ------------------------------------------------------------------------------------- refusals

HUGE = pytest.param(10**400, id="huge")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "x", None, [0.5], 1j, HUGE])
@pytest.mark.parametrize("which", ["beta", "kl"])
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
@pytest.mark.parametrize("base", [None, it.Discrete([0.5, 0.5])], ids=["continuous", "discrete"])
def test_bad_numbers(procedure, which, value, base, refused):
    says = {"None": "neither", repr(10**400): which}.get(repr(value), value)
    refused(lambda: it.optimum(procedure, **{which: value}, base=base), says)


@pytest.mark.parametrize("base", [None, it.Discrete([0.5, 0.5])], ids=["continuous", "discrete"])
def test_budgets(base, refused):
    refused(lambda: it.optimum("bon:4", base=base), "neither")
    refused(lambda: it.optimum("bon:4", beta=1, kl=1, base=base), "both")
    refused(lambda: it.optimum("bon:4", kl=-0.5, base=base), "-0.5")
    for beta in (0, -2):
        refused(lambda b=beta: it.optimum("bon:4", beta=b, base=base), f"beta = {beta}")


@pytest.mark.parametrize("procedure", [None, 4, "bon", "bon:0", "optimal", it.Identity(), 2.5])
def test_no_procedure(procedure, refused):
    refused(lambda: it.optimum(procedure, kl=0.5), "N")
    if procedure is not None:
        refused(lambda: it.optimum("bon:4", kl=0.5, against_procedure=procedure), "N")


@pytest.mark.parametrize("base", [3, "discrete", [0.5, 0.5]])
def test_no_base(base, refused):
    refused(lambda: it.optimum("bon:4", kl=0.5, base=base), repr(base))


@pytest.mark.slow
def test_a_budget_whose_beta_underflows_names_the_largest(refused):
    error = refused(
        lambda: it.optimum("won:1000", kl=20.0), "20", "Worst-of-1000", kind=OutOfReachError
    )
    best = it.optimum("won:1000", kl=0.9 * error.limit)
    assert best.win_rate == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("beta", [1e-299, 1e-200, 1e-30, 1e6, 1e100, 1e300])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("bon:4", None), ("won:4", None), ("bon:1000000", None), ("won:2", "won:16")],
)
def test_extreme_beta(ours, theirs, beta, refused):
    if beta < 1e-290:
        refused(lambda: it.optimum(ours, beta=beta, against_procedure=theirs), "give a larger beta")
        return
    best = it.optimum(ours, beta=beta, against_procedure=theirs)
    numbers = [best.kl, best.win_rate, best.residual, best.gap or 0.0, best.beta]
    assert np.isfinite(numbers).all()
    assert best.beta == pytest.approx(beta, rel=1e-12)
    assert best.kl >= 0.0


@pytest.mark.slow
@pytest.mark.parametrize("kl", [5e-324, 1e-300, 1e-100, 1e-12, 100.0, 1e5, 1e300])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("bon:4", None), ("won:4", None), ("bon:4", "bon:1000"), ("standard", None)],
)
def test_extreme_budgets(ours, theirs, kl, refused):
    if not 1e-100 <= kl <= 100.0:
        said = "too small to be told from 0" if kl < 1e-100 else "give a"
        refused(lambda: it.optimum(ours, kl=kl, against_procedure=theirs), said)
        return
    best = it.optimum(ours, kl=kl, against_procedure=theirs)
    assert best.kl == pytest.approx(kl, rel=1e-9, abs=1e-12)
    won = it.win_rate(best.policy, ours, against_procedure=theirs or ours)
    assert best.win_rate == pytest.approx(won, abs=1e-10)
