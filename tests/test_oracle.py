"""The oracle against itself two ways, against plain simulation, and against the stored table."""

from __future__ import annotations

import itertools
import json
import random
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from reference import make_reference, oracle

C, mpf = oracle.CTX, oracle.mpf
DIGITS_30 = mpf(10) ** -30
NAMED = [("identity", "1e-8"), ("log", "20"), ("logit", "20"), ("exp:-10", "20")]
NAMED += [("exp:100", "1e-8"), ("exp:-100", "0.5"), ("power:7", "0.5")]
TABLE = json.loads(make_reference.PATH.read_text())


def close(a, b, tol=DIGITS_30):
    a, b = mpf(a), mpf(b)
    return abs(a - b) <= tol * max(1, abs(b))


def wins(name, k, mine, theirs=None):
    return oracle._panels(name, k).win_rate(mine, theirs or mine)


# ------------------------------------------------------------------------------------- the tilt


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kl"), NAMED)
def test_closed_normaliser_and_kl_equal_the_panels(name, kl):
    k = oracle.solve_k(name, kl)
    log_z, exact = oracle.transform(name).closed(k)
    panels = oracle.Panels(name, k)
    assert close(panels.log_normaliser(), log_z, mpf(10) ** -40)
    assert abs(panels.kl() / exact - 1) < DIGITS_30
    assert abs(exact / mpf(kl) - 1) < DIGITS_30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["log", "logit", "exp:5", "power:7"])
def test_closed_cdf_equals_the_panels(name):
    k = mpf("0.75")
    panels = oracle.Panels(name, k)
    for u in map(mpf, ("0.001", "0.97")):
        assert close(panels.cdf(u), oracle.transform(name).closed_cdf(k, u), mpf(10) ** -38)


@pytest.mark.slow
def test_expression_tilt_equals_tanh_sinh_quadrature_in_u():
    k = mpf(1) / 5

    def weight(u):
        return C.exp(k * (C.exp(3 * u) - u))

    z = C.quad(weight, [0, 0.5, 1])
    row = oracle.tilt("expr:exp(3*u)-u", "5", ["0.25"])
    kl = C.quad(lambda u: weight(u) * C.log(weight(u)), [0, 0.5, 1]) / z - C.log(z)
    assert close(row["log_normaliser"], C.log(z))
    assert close(row["kl"], kl)
    assert close(row["pdf"][0], weight(mpf("0.25")) / z)
    assert close(row["cdf"][0], C.quad(weight, [0, mpf("0.25")]) / z)


def test_floats_are_refused():
    with pytest.raises(TypeError, match="strings"):
        oracle.tilt("identity", 0.1)


# --------------------------------------------------------------------------------- the win rate


@pytest.mark.slow
@pytest.mark.parametrize("k", ["0.001", "3", "800"])
def test_identity_standard_closed_form(k):
    k = mpf(k)
    assert close(wins("identity", k, "standard"), -1 / C.expm1(-k) - 1 / k)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 4, 1000, 10**6])
def test_log_best_of_n_does_not_depend_on_n(n):
    k = mpf(3)
    assert close(wins("log", k, f"bon:{n}"), (k + 1) / (k + 2))


@pytest.mark.parametrize(("n", "m"), [(4, 4), (8, 2), (1, 16)])
def test_log_worst_of_n_is_a_beta_sum(n, m):
    k = mpf("1.5")
    exact = C.fsum(
        (-1) ** j * C.binomial(n, j) * m * C.beta(j * (k + 1) + 1, m) for j in range(n + 1)
    )
    assert close(wins("log", k, f"won:{n}", f"won:{m}"), exact)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (4, 16), (32, 1)])
def test_identity_best_of_n_by_binomial_expansion(n, m):
    k = mpf("2.5")

    def moment(c):  # integral of m u^(m-1) exp(c u), Kummer's function
        return C.hyp1f1(m, m + 1, c)

    total = C.fsum((-1) ** (n - j) * C.binomial(n, j) * moment(j * k) for j in range(n + 1))
    assert close(wins("identity", k, f"bon:{n}", f"bon:{m}"), 1 - total / C.expm1(k) ** n)


@pytest.mark.slow
def test_crossed_procedures_equal_quadrature_of_the_closed_cdf():
    k, cdf = mpf("0.4"), oracle.transform("power:7").closed_cdf
    with C.workdps(30):
        lost = C.quad(lambda u: (1 - (1 - cdf(k, u)) ** 4) * 4 * u**3, [0, 0.5, 1])
    assert close(wins("power:7", k, "won:4", "bon:4"), 1 - lost, mpf(10) ** -27)


@pytest.mark.slow
def test_reflection():
    k = mpf(2)
    assert close(wins("identity", k, "won:1000"), 1 - wins("identity", -k, "bon:1000"))
    mirrored = -k * C.exp(-10)  # -exp(-10 (1 - u)) is -exp(-10) exp(10 u)
    assert close(wins("exp:-10", k, "won:4"), 1 - wins("exp:10", mirrored, "bon:4"))


@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
def test_simulation_agrees_within_four_standard_errors(procedure):
    rng, trials, k = np.random.default_rng(20), 200_000, 2.0
    kind, n = oracle._parse(procedure)
    base = rng.random((trials, n))
    policy = np.log1p(rng.random((trials, n)) * np.expm1(k)) / k  # inverse of expm1(ku)/expm1(k)
    pick = np.max if kind == "bon" else np.min
    mean = np.mean(pick(policy, axis=1) > pick(base, axis=1))
    exact = float(wins("identity", mpf(2), procedure))
    assert abs(mean - exact) < 4 * np.sqrt(exact * (1 - exact) / trials)


# ----------------------------------------------------------------------------------- the optimum


def series_optimum(n, m, sign, lam, terms=110):
    """(eq-coupled) as it stands: the power series of G at 0, G = x H(s), s = x^(n+m-1)."""
    p = n + m - 1
    h = [mpf(1)]

    # G'' = sign m (G^n)' x^(m-1); Miller's recurrence for H^n keeps it quadratic.
    hn = [mpf(1)]
    for j in range(1, terms):
        # G^n = x^n sum hn_i s^i, so (G^n)' x^(m-1) = sum (n + i p) hn_i x^(n+m-2+ip)
        h.append(sign * m * (n + (j - 1) * p) * hn[j - 1] / ((1 + j * p) * (j * p)))
        hn.append(C.fsum((n * i - (j - i)) * h[i] * hn[j - i] for i in range(1, j + 1)) / j)
    s = lam**p
    g = lam * C.polyval(h[::-1], s)
    slope = C.polyval([(1 + j * p) * c for j, c in enumerate(h)][::-1], s)
    area = lam ** (n + m) * C.polyval([c / (n + m + j * p) for j, c in enumerate(hn)][::-1], s)
    part = m * area / (g**n * lam**m)
    kl = C.log(lam * slope / g) - sign * n * m * area / g
    return {
        "beta": 1 / (lam**m * g ** (n - 1)),
        "win_rate": 1 - part if sign > 0 else part,
        "kl": kl,
        "steep": C.log(lam * slope / g),
        "flat": C.log(lam / g),
    }


@pytest.mark.parametrize(
    ("mine", "theirs", "lam"),
    [
        ("bon:2", "bon:2", "0.6"),
        ("bon:4", "bon:4", "0.7"),
        ("won:4", "won:4", "0.7"),
        ("bon:4", "bon:16", "0.75"),
        ("won:8", "won:2", "0.7"),
        ("bon:4", "standard", "0.4"),
        ("standard", "bon:4", "0.5"),
        ("bon:32", "bon:32", "0.9"),
    ],
)
def test_optimum_equals_the_power_series_of_the_one_ode(mine, theirs, lam):
    n, m = oracle._parse(mine)[1], oracle._parse(theirs)[1]
    sign = -1 if "won" in mine else 1
    exact = series_optimum(n, m, sign, mpf(lam))
    curve = oracle.frontier(mine, theirs)
    log_q = -C.log(exact["beta"])
    assert close(curve.win_rate(log_q), exact["win_rate"])
    assert close(curve.kl(log_q), exact["kl"])
    ends = [curve.log_density(log_q, mpf(u)) for u in (0, 1)]
    expected = [exact["flat"], exact["steep"]][::sign]
    assert all(close(a, b) for a, b in zip(ends, expected, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["bon:4", "won:4"])
def test_optimum_density_has_its_mass_kl_and_win_rate(procedure):
    """f is sampled; F, KL and W are recomputed from the samples alone."""
    curve, log_q = oracle.frontier(procedure, procedure), C.log(mpf("1.5"))
    # f of Best-of-N has its pole beyond u = 1
    edges = [
        mpf(x) for x in (("0", "0.5", "0.8", "1") if "bon" in procedure else ("0", "0.5", "1"))
    ]
    rule = oracle._rule()
    miss, slope = oracle._miss(procedure), oracle._slope(procedure)
    mass = kl = win = mpf(0)
    for a, b in itertools.pairwise(edges):
        half = (b - a) / 2
        us = [a + half * (1 + x) for x in rule.x]
        logs = [curve.log_density(log_q, u) for u in us]
        fixed = [oracle._fix(C.exp(x)) for x in logs]
        weights = [oracle._unfix(w) * half for w in rule.w]
        for u, x, w, row in zip(us, logs, weights, rule.cumulative, strict=True):
            cdf = mass + half * oracle._unfix(oracle._dot(row, fixed))
            kl += w * C.exp(x) * x
            win += w * miss(cdf, 1 - cdf) * slope(u, 1 - u)
        mass += C.fdot(weights, [C.exp(x) for x in logs])
    assert close(mass, 1)
    assert close(kl, curve.kl(log_q))
    assert close(win, curve.win_rate(log_q))


@pytest.mark.slow
@pytest.mark.parametrize("pair", [("bon:4", "bon:4"), ("won:4", "won:4"), ("bon:4", "bon:16")])
@pytest.mark.parametrize("beta", ["50", "0.2"])
def test_envelope_slope_of_the_frontier_is_beta(pair, beta):
    curve, x, d = oracle.frontier(*pair), -C.log(mpf(beta)), mpf(10) ** -10
    # Richardson on central differences: error d^4
    rates = []
    for step in (d, 2 * d):
        gain = curve.win_rate(x + step) - curve.win_rate(x - step)
        rates.append(gain / (curve.kl(x + step) - curve.kl(x - step)))
    assert abs((4 * rates[0] - rates[1]) / 3 / mpf(beta) - 1) < mpf(10) ** -30


@pytest.mark.slow
def test_standard_optimum_is_the_identity_tilt():
    for kl in ("1e-8", "20"):
        best = oracle.optimum_at_kl("standard", kl)
        assert close(mpf(best["beta"]) / mpf(oracle.kl_to_beta("identity", kl)), 1)
        assert close(best["win_rate"], oracle.win_rate("identity", kl=kl))


@pytest.mark.slow
def test_taylor_steps_agree_with_the_elementary_standard_frontier():
    curve = oracle.Frontier(1, 1, 1)
    for q in map(mpf, ("0.9", "7")):
        while not curve.steps or curve.steps[-1].end < C.log(q):
            curve._advance()
        step = next(s for s in curve.steps if s.end >= C.log(q))
        stepped, exact = curve._eval(step, C.log(q)), curve.state(C.log(q))
        assert all(close(a, b, mpf(10) ** -45) for a, b in zip(stepped, exact, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "procedure", "expected"),
    [("exp:10", "bon:4", "0.0017"), ("identity", "bon:4", "0.073"), ("exp:-10", "won:4", "0.0003")],
)
def test_regrets_at_kl_one_half(name, procedure, expected):
    digits = len(expected) - 2
    assert round(float(oracle.regret(name, procedure, "0.5")), digits) == float(expected)


# ---------------------------------------------------------------------------------- discrete bases


@pytest.mark.parametrize(
    ("mine", "theirs"), [("standard", "standard"), ("bon:4", "bon:4"), ("won:3", "bon:2")]
)
def test_brute_force_equals_the_formula_on_merged_atoms(mine, theirs):
    rewards = [0, 1, 1, 2]
    base = [Fraction(1, 8), Fraction(1, 4), Fraction(1, 8), Fraction(1, 2)]
    policy = [Fraction(1, 16), Fraction(1, 8), Fraction(3, 16), Fraction(5, 8)]
    brute = oracle.discrete_win_rate(policy, base, rewards, mine, theirs)
    g, g_ref = oracle._distort(mine), oracle._distort(theirs)
    total = f0 = p0 = Fraction(0)
    for reward in (0, 1, 2):
        f1 = f0 + sum(x for x, r in zip(policy, rewards, strict=True) if r == reward)
        p1 = p0 + sum(x for x, r in zip(base, rewards, strict=True) if r == reward)
        total += (g_ref(p1) - g_ref(p0)) * (1 - (g(f1) + g(f0)) / 2)
        f0, p0 = f1, p1
    assert brute == total


def test_discrete_simulation():
    rng, trials = np.random.default_rng(8), 200_000
    probs = [Fraction(1, 8), Fraction(1, 4), Fraction(1, 8), Fraction(1, 2)]
    rewards = [0, 1, 1, 2]
    policy, _ = oracle.discrete_tilt("exp:5", "20", probs, rewards)
    exact = float(
        oracle.discrete_win_rate(policy, [oracle.num(p) for p in probs], rewards, "won:3")
    )
    masses = np.array([float(p) for p in policy])
    ours = rng.choice(rewards, (trials, 3), p=masses / masses.sum()).min(axis=1)
    theirs = rng.choice(rewards, (trials, 3), p=[float(p) for p in probs]).min(axis=1)
    scores = (ours > theirs) + 0.5 * (ours == theirs)
    assert abs(scores.mean() - exact) < 4 * scores.std() / np.sqrt(trials)


# ------------------------------------------------------------------------------------- the table


def agrees(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(agrees(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(agrees, a, b))
    try:
        return abs(mpf(a) - mpf(b)) <= DIGITS_30 * abs(mpf(b))
    except (ValueError, TypeError):
        return a == b


def test_table_holds_every_case_of_the_maker():
    kept = {json.dumps({k: row[k] for k in row if k in spec}) for row, spec in _paired()}
    assert len(kept) == len(TABLE["rows"])
    assert len(TABLE["rows"]) + len(TABLE["dropped"]) == len(make_reference.specs())


def _paired():
    dropped = [json.dumps(spec) for spec in TABLE["dropped"]]
    cases = [s for s in make_reference.specs() if json.dumps(s) not in dropped]
    pairs = list(zip(TABLE["rows"], cases, strict=True))
    assert all(row[key] == spec[key] for row, spec in pairs for key in spec)
    return pairs


@pytest.mark.slow
def test_sampled_rows_are_what_the_maker_makes():
    def quick(spec):
        slow = spec["kind"] == "tilt" and "expr" in spec["transform"] and "kl" in spec
        return not slow and not (spec["kind"] == "optimum" and "000" in spec["procedure"])

    pairs = [pair for pair in _paired() if quick(pair[1])]
    for row, spec in random.Random(4).sample(pairs, 6):
        assert agrees(make_reference.evaluate(spec), row), spec


def test_optimum_rows_satisfy_the_exact_identity():
    """KL = log f(1) - (n/beta)(1 - W), Best-of; KL = log f(0) + (n/beta) W, Worst-of."""
    for row in TABLE["rows"]:
        if row["kind"] != "optimum":
            continue
        kind, n = oracle._parse(row["procedure"])
        pull = n / mpf(row["beta"])
        if kind == "won":
            got, scale = mpf(row["log_f0"]) + pull * mpf(row["win_rate"]), pull
        else:
            got, scale = mpf(row["log_f1"]) - pull * (1 - mpf(row["win_rate"])), pull
        assert abs(got - mpf(row["kl"])) < mpf(10) ** -29 * (1 + scale), row


def test_no_transform_beats_the_optimum_of_the_same_kl():
    best = {
        (row["procedure"], row["against"], row["kl"]): mpf(row["win_rate"])
        for row in TABLE["rows"]
        if row["kind"] == "optimum" and row["given"] == "kl"
    }
    rows = [
        row
        for row in TABLE["rows"]
        if row["kind"] == "tilt"
        and row["given"] == "kl"
        and (row["procedure"], row["against"], row["kl"]) in best
    ]
    assert len(rows) > 200
    for row in rows:
        top = best[row["procedure"], row["against"], row["kl"]]
        assert 0 < mpf(row["win_rate"]) <= top + DIGITS_30, row
