"""The closed forms against quadrature at 30 digits, exact identities and a second derivation."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial, prod
from typing import Any

import mpmath as mp
import pytest
import sympy as sp

from infalign_theory import symbolic
from infalign_theory.errors import InputError
from infalign_theory.symbolic import alpha, k, t, u, x

N = sp.Symbol("N", integer=True, positive=True)
TINY = mp.mpf("1e-27")

PHI: dict[str, Callable[[Any], Any]] = {
    "identity": lambda v: v,
    "log": mp.log,
    "exp:3": lambda v: mp.exp(3 * v),
    "exp:-2.5": lambda v: -mp.exp(-mp.mpf(5) / 2 * v),
    "power:2": lambda v: v**2,
    "power:7": lambda v: v**7,
}
STRENGTHS = ["1/1000", "3/2", "12"]


@pytest.fixture(autouse=True)
def _thirty_digits() -> Any:
    with mp.workdps(30):
        yield


def number(text: str) -> Any:
    top, _, bottom = text.partition("/")
    return mp.mpf(top) / mp.mpf(bottom or 1)


def value(expression: sp.Expr, dps: int = 60, **where: Any) -> Any:
    """Evaluate with guard digits, so that cancellation does not blur the comparison."""
    symbols = sorted(expression.free_symbols, key=str)
    assert {s.name for s in symbols} <= set(where)
    with mp.workdps(dps):
        found = sp.lambdify(symbols, expression, "mpmath")(*(where[s.name] for s in symbols))
        assert abs(mp.im(found)) < mp.mpf(10) ** (-dps // 2)
        return mp.re(found)


def close(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= TINY * max(1, abs(b)))


# --- density, cdf, kl ----------------------------------------------------------------------------


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("transform", PHI)
def test_policy_matches_quadrature(transform: str, strength: str) -> None:
    rate, phi = number(strength), PHI[transform]
    cuts = [0, mp.mpf("0.3"), mp.mpf("0.8"), 1]
    pieces = [mp.quad(lambda v: mp.exp(rate * phi(v)), cuts[i : i + 2]) for i in range(3)]
    z = mp.fsum(pieces)
    energy = mp.quad(lambda v: phi(v) * mp.exp(rate * phi(v)), cuts) / z
    here = mp.mpf("0.3")
    assert close(value(symbolic.density(transform), u=here, k=rate), mp.exp(rate * phi(here)) / z)
    assert close(value(symbolic.cdf(transform), u=here, k=rate), pieces[0] / z)
    assert close(value(symbolic.kl(transform), k=rate), rate * energy - mp.log(z))


@pytest.mark.parametrize("strength", ["1/1000", "3/10", "19/20"])
def test_logit_matches_quadrature(strength: str) -> None:
    rate = number(strength)

    def integral(f: Callable[[Any], Any], stop: Any = mp.inf) -> Any:
        """Of f over the reward, in y = logit(u), where the endpoint singularity is a tail."""

        def weight(y: Any) -> Any:
            return f(y) * mp.exp(rate * y) / (2 + mp.exp(y) + mp.exp(-y))

        # beyond this the weight is below 1e-60
        reach = 150 / (1 - rate)
        steps = [-150, -50, -20, -8, -3, 0, 3, 8, 20, 50, 150, 400, 1000]
        grid = [q for q in steps if q < min(stop, reach)] + [min(stop, reach)]
        return mp.quad(weight, grid)

    z = integral(lambda y: 1)
    energy = integral(lambda y: y) / z
    here = mp.mpf("0.3")
    odds = here / (1 - here)
    assert close(value(symbolic.density("logit"), u=here, k=rate), odds**rate / z)
    assert close(value(symbolic.kl("logit"), k=rate), rate * energy - mp.log(z))
    share = integral(lambda y: 1, mp.log(odds)) / z
    assert close(mp.betainc(1 + rate, 1 - rate, 0, here, regularized=True), share)
    assert close(
        symbolic.cdf("logit")
        .subs({u: sp.Rational(3, 10)})
        .evalf(32, subs={k: sp.Rational(strength)}),
        share,
    )


@pytest.mark.slow
def test_logit_is_the_beta_law() -> None:
    beta = sp.gamma(1 + k) * sp.gamma(1 - k)
    assert sp.gammasimp(symbolic.density("logit") * beta / (u / (1 - u)) ** k) == 1
    digamma = k * (sp.digamma(1 + k) - sp.digamma(1 - k)) - sp.log(beta)
    for rate in ("1/7", "1/2", "9/10"):
        q = sp.Rational(rate)
        assert abs((digamma - symbolic.kl("logit")).subs(k, q).evalf(30)) < 1e-28


@pytest.mark.parametrize("transform", [*PHI, "logit", "exp"])
def test_cdf_integrates_density(transform: str) -> None:
    share = symbolic.cdf(transform)
    gap = sp.diff(share, u) - symbolic.density(transform)
    if transform.startswith("power"):  # contiguity of 1F1, which simplify does not know
        where = {"u": mp.mpf("0.37"), "k": mp.mpf("2.5")}
        assert abs(value(gap, **where)) < TINY
    elif transform == "logit":
        # (u/(1-u))^k is one power in the one and two in the other: compare in the odds
        odds = sp.Symbol("odds", positive=True)
        gap = sp.expand_func(gap).rewrite(sp.gamma).subs(u, odds / (1 + odds))
        assert sp.gammasimp(sp.powsimp(sp.expand_power_base(sp.simplify(gap)))) == 0
    else:
        assert sp.simplify(gap) == 0
    if transform != "logit":
        assert sp.simplify(share.subs(u, 1)) == 1
        assert sp.simplify(share.subs(u, 0)) == 0


@pytest.mark.parametrize("transform", [*PHI, "logit", "exp"])
def test_kl_is_the_legendre_transform_of_log_z(transform: str) -> None:
    """KL = k A' - A, and A = k Phi(u) - log f(u) for whatever u."""
    where = {"k": mp.mpf("0.6"), "t": mp.mpf("1.7")}
    spot = sp.Rational(1, 3)
    log_density = sp.log(symbolic.density(transform).subs(u, spot))
    # k A' - A = log f - k d(log f)/dk: the Phi terms drop out
    expected = log_density - k * sp.diff(log_density, k)
    assert close(value(expected, **where), value(symbolic.kl(transform), **where))


@pytest.mark.parametrize("exponent", ["3", "-2.5"])
def test_symbolic_exponent_agrees_with_number(exponent: str) -> None:
    for make in (symbolic.density, symbolic.cdf, symbolic.kl):
        where = {"u": mp.mpf("0.4"), "k": mp.mpf("0.9"), "t": mp.mpf(exponent)}
        assert close(value(make("exp"), **where), value(make(f"exp:{exponent}"), **where))


@pytest.mark.parametrize("transform", [*PHI, "logit"])
def test_small_strength_kl_is_half_the_variance(transform: str) -> None:
    rate = mp.mpf("1e-15")
    if transform == "logit":
        variance = mp.pi**2 / 3
    else:
        phi = PHI[transform]
        mean = mp.quad(phi, [0, 1])
        variance = mp.quad(lambda v: (phi(v) - mean) ** 2, [0, 1])
    ratio = value(symbolic.kl(transform), dps=90, k=rate) / (rate**2 * variance / 2)
    assert abs(ratio - 1) < 1e-12


@pytest.mark.slow
def test_power_one_is_the_identity() -> None:
    for make in (symbolic.density, symbolic.cdf, symbolic.kl):
        assert make("power:1") == make("identity")
    assert symbolic.win_rate("power:1", "bon:3") == symbolic.win_rate("identity", "bon:3")
    ratio = symbolic.first_order_efficiency("power:1", N)
    assert ratio == symbolic.first_order_efficiency("identity", N)


# --- win rates -----------------------------------------------------------------------------------

SHARE: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "identity": lambda v, q: (
        mp.expm1(q * v) / mp.expm1(q),
        mp.expm1(-q * (1 - v)) / mp.expm1(-q),
    ),
    "log": lambda v, q: (v ** (q + 1), 1 - v ** (q + 1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("strength", ["1/100", "20"])
@pytest.mark.parametrize("procedure", ["standard", "bon:5", "bon:12", "won:5", "won:12"])
@pytest.mark.parametrize("transform", SHARE)
def test_win_rate_matches_quadrature(transform: str, procedure: str, strength: str) -> None:
    rate = number(strength)
    kind, _, count = procedure.partition(":")
    n = int(count or 1)

    def loss(v: Any) -> Any:
        below, above = SHARE[transform](v, rate)
        if kind == "won":
            return (1 - above**n) * n * (1 - v) ** (n - 1)
        return below**n * n * v ** (n - 1)

    expected = 1 - mp.quad(loss, [0, 0.5, 0.9, 1])
    assert close(value(symbolic.win_rate(transform, procedure), dps=120, k=rate), expected)


def test_win_rate_identity_standard_is_the_known_form() -> None:
    known = 1 / (1 - sp.exp(-k)) - 1 / k
    assert sp.simplify(symbolic.win_rate("identity", "standard") - known) == 0
    tilt = k * known - sp.log((sp.exp(k) - 1) / k)
    assert sp.simplify(sp.expand_log(symbolic.kl("identity") - tilt, force=True)) == 0


@pytest.mark.parametrize("n", range(1, 13))
def test_log_best_of_n_does_not_depend_on_n(n: int) -> None:
    assert symbolic.win_rate("log", f"bon:{n}") == (k + 1) / (k + 2)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, 2, 3, 5, 12])
def test_log_worst_of_n_is_exact_and_free_of_cancellation(n: int) -> None:
    form = symbolic.win_rate("log", f"won:{n}")
    for rate in (Fraction(0), Fraction(1, 10**9), Fraction(7, 3), Fraction(50)):
        exact = Fraction(0)
        for i in range(n + 1):
            rising = prod((i * (rate + 1) + j for j in range(1, n + 1)), start=Fraction(1))
            exact += (-1) ** i * comb(n, i) * factorial(n) / rising
        got = form.subs(k, sp.Rational(rate.numerator, rate.denominator))
        assert got == sp.Rational(exact.numerator, exact.denominator)
    for part in sp.Mul.make_args(form):
        base, _ = part.as_base_exp()
        assert all(c > 0 for c in sp.Poly(base, k).all_coeffs())


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["bon:2", "won:2"])
def test_win_rate_limits(procedure: str) -> None:
    large = mp.mpf(10) ** 5
    for transform in ("identity", "log"):
        form = symbolic.win_rate(transform, procedure)
        assert sp.limit(form, k, 0, "+") == sp.Rational(1, 2)
        assert 0 < 1 - value(form, k=large) < 2 / large


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["bon:12", "won:5"])
def test_identity_at_tiny_strength(procedure: str) -> None:
    """W = 1/2 + k N/(4(2N+1)) + O(k^2), by symmetry the same for Best- and Worst-of-N."""
    step = sp.Rational(1, 10**12)
    found = symbolic.win_rate("identity", procedure).subs(k, step).evalf(40, maxn=1500)
    n = sp.Integer(procedure[4:])
    assert abs((found - sp.Rational(1, 2)) / step - n / (4 * (2 * n + 1))) < 1e-10


@pytest.mark.slow
def test_envelope_theorem_for_standard_sampling() -> None:
    gain = sp.diff(symbolic.win_rate("identity", "standard"), k)
    assert sp.simplify(sp.diff(symbolic.kl("identity"), k) - k * gain) == 0


# --- named policies ------------------------------------------------------------------------------


def test_best_of_n_divergences_are_integrals() -> None:
    policy = symbolic.best_of_n(N)
    f = policy.density
    assert sp.simplify(sp.diff(policy.cdf, u) - f) == 0
    assert sp.simplify(sp.integrate(sp.powsimp(f**2), (u, 0, 1)) - 1 - policy.chi2) == 0
    order_two = policy.renyi.subs(alpha, 2)
    assert sp.simplify(sp.exp(order_two) - 1 - policy.chi2) == 0
    assert sp.simplify(sp.integrate(sp.powsimp(u * f), (u, 0, 1)) - policy.win_rate) == 0
    as_log = symbolic.kl("log").subs(k, N - 1)
    assert sp.simplify(as_log - policy.kl) == 0


@pytest.mark.parametrize("n", [1, 2, 9])
def test_best_of_n_matches_quadrature(n: int) -> None:
    policy = symbolic.best_of_n(n)

    def f(v: Any) -> Any:
        return n * v ** (n - 1)

    assert close(value(policy.kl), mp.quad(lambda v: f(v) * mp.log(f(v)), [0, 1]))
    order = mp.mpf("0.7")
    moment = mp.quad(lambda v: f(v) ** order, [0, 1])
    assert close(value(policy.renyi, alpha=order), mp.log(moment) / (order - 1))
    assert sp.simplify(sp.limit(policy.renyi, alpha, 1) - policy.kl) == 0


@pytest.mark.slow
def test_optimal_standard_is_the_identity_tilt() -> None:
    best = symbolic.optimal_standard()
    growth = sp.Function("G")
    at_start = {growth(0): 0, growth(x).diff(x).subs(x, 0): 1}
    ode = sp.Eq(growth(x).diff(x, 2), growth(x).diff(x))
    assert sp.simplify(sp.dsolve(ode, growth(x), ics=at_start).rhs - best.growth) == 0
    assert sp.simplify(best.cdf - symbolic.cdf("identity")) == 0
    assert sp.simplify(best.density - symbolic.density("identity")) == 0
    assert sp.simplify(best.win_rate - symbolic.win_rate("identity", "standard")) == 0
    assert sp.simplify(sp.expand_log(best.kl - symbolic.kl("identity"), force=True)) == 0


# --- small KL ------------------------------------------------------------------------------------


def correlation(phi: Callable[[Any], Any], power: int) -> Any:
    def mean(f: Callable[[Any], Any]) -> Any:
        return mp.quad(f, [0, 0.5, 1])

    a, b = mean(phi), mp.mpf(1) / (power + 1)
    both = mean(lambda v: (phi(v) - a) * (v**power - b))
    var_a = mean(lambda v: (phi(v) - a) ** 2)
    return both / mp.sqrt(var_a * (mp.mpf(1) / (2 * power + 1) - b**2))


@pytest.mark.parametrize("n", [4, 15])
@pytest.mark.parametrize("transform", PHI)
def test_efficiency_is_the_correlation(transform: str, n: int) -> None:
    expected = correlation(PHI[transform], 2 * n - 1)
    assert close(value(symbolic.first_order_efficiency(transform, n)), expected)
    general = symbolic.first_order_efficiency(transform, N)
    assert close(value(general, N=n), expected)


def test_efficiency_is_one_for_the_matching_power() -> None:
    for n in (1, 2, 5):
        assert symbolic.first_order_efficiency(f"power:{2 * n - 1}", n) == 1


@pytest.mark.parametrize(("n", "best"), [(4, 7.825), (8, 15.94), (16, 31.97)])
def test_best_exponent_is_near_twice_n(n: int, best: float) -> None:
    form = sp.lambdify(t, symbolic.first_order_efficiency("exp", n), "mpmath")
    with mp.workdps(40):
        found = mp.findroot(lambda q: mp.diff(form, q), 2 * n)
        assert abs(found - best) < 0.006
        assert 0.9989 < form(found) < 1


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("transform", ["identity", "log"])
def test_efficiency_governs_the_win_rate_at_small_kl(transform: str, n: int) -> None:
    rate = mp.mpf("1e-18")
    root = mp.sqrt(value(symbolic.kl(transform), dps=200, k=rate))
    reflected = {"identity": PHI["identity"], "log": lambda v: -mp.log(1 - v)}[transform]
    for kind, rho in (
        ("bon", value(symbolic.first_order_efficiency(transform, n))),
        ("won", correlation(reflected, 2 * n - 1)),
    ):
        win = value(symbolic.win_rate(transform, f"{kind}:{n}"), dps=400, k=rate)
        slope = (win - mp.mpf(1) / 2) / root
        assert abs(slope / (rho * value(symbolic.small_kl_slope(n))) - 1) < 1e-14


# --- the optimum as a series ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("s", [1, -1])
def test_scalar_ode_follows_from_the_second_order_one(s: int) -> None:
    """With phi = x G'/G, L = m I/(G^n x^m), k = x^m G^(n-1) for a G that solves the ODE."""
    n, m = sp.symbols("n m", positive=True)
    g, area = sp.Function("G", positive=True)(x), sp.Function("I", positive=True)(x)
    slope = sp.Symbol("Gp", positive=True)
    phi, loss, strength = x * g.diff(x) / g, m * area / (g**n * x**m), x**m * g ** (n - 1)
    win = 1 - loss if s == 1 else loss
    cost = sp.log(phi) - s * n * m * area / g

    def along(f: sp.Expr) -> sp.Expr:
        bent = s * n * m * g.diff(x) * g ** (n - 1) * x ** (m - 1)
        f = f.diff(x).subs(g.diff(x, 2), bent).subs(area.diff(x), g**n * x ** (m - 1))
        return f.subs(g.diff(x), slope)

    here = {g.diff(x): slope}
    rate = along(strength)
    below = strength * (m + (n - 1) * phi)
    dphi = phi * (1 - phi + s * n * m * strength) / below
    dloss = (m - loss * (m + n * phi)) / below
    for left, right in ((along(phi) / rate, dphi), (along(loss) / rate, dloss)):
        assert sp.simplify(left - right.subs(here)) == 0
    # d(G' x - G - s m (G^n x^m - m I))/dx = 0 is phi = 1 + s m k (1 - L), cleared of denominators
    first_integral = x * g.diff(x) - g - s * m * (g**n * x**m - m * area)
    assert sp.simplify(along(first_integral)) == 0
    assert sp.simplify(first_integral / g - (phi - 1 - s * m * strength * (1 - loss))) == 0
    # the envelope theorem then needs that integral: eliminate I through it
    envelope = along(cost) / rate - strength * along(win) / rate
    held = (g - x * slope) / (s * m**2) + g**n * x**m / m
    assert sp.simplify(envelope.subs(area, held)) == 0


class Series:
    """Power series in x with rational coefficients, cut at a fixed length."""

    LENGTH = 26

    def __init__(self, coefficients: list[Fraction]) -> None:
        short = coefficients[: self.LENGTH]
        self.c = short + [Fraction(0)] * (self.LENGTH - len(short))

    def __mul__(self, other: Series) -> Series:
        return Series(
            [
                sum((self.c[i] * other.c[j - i] for i in range(j + 1)), Fraction(0))
                for j in range(self.LENGTH)
            ]
        )

    def __add__(self, other: Series) -> Series:
        return Series([a + b for a, b in zip(self.c, other.c, strict=True)])

    def __neg__(self) -> Series:
        return Series([-a for a in self.c])

    def power(self, n: int) -> Series:
        out = Series([Fraction(1)])
        for _ in range(n):
            out = out * self
        return out

    def shift(self, n: int) -> Series:
        return Series([Fraction(0)] * n + self.c)

    def drop(self, n: int) -> Series:
        assert not any(self.c[:n])
        return Series(self.c[n:])

    def inverse(self) -> Series:
        out = [1 / self.c[0]]
        for j in range(1, self.LENGTH):
            out.append(-sum(self.c[i] * out[j - i] for i in range(1, j + 1)) / self.c[0])
        return Series(out)

    def slope(self) -> Series:
        return Series([j * a for j, a in enumerate(self.c)][1:])

    def integral(self) -> Series:
        return Series([Fraction(0)] + [a / (j + 1) for j, a in enumerate(self.c)])

    def log(self) -> Series:
        assert self.c[0] == 1
        return (self.slope() * self.inverse()).integral()

    def into(self, polynomial: sp.Expr) -> Series:
        """The polynomial in k with this series put in for k."""
        total = Series([Fraction(0)])
        for a in sp.Poly(polynomial, k).all_coeffs():
            total = total * self + Series([Fraction(int(a.p), int(a.q))])
        return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m", "kind"),
    [(1, 1, "bon"), (2, 2, "bon"), (2, 2, "won"), (3, 3, "won"), (3, 1, "bon"), (1, 3, "won")],
)
def test_series_agrees_with_the_ode_of_the_optimum(n: int, m: int, kind: str) -> None:
    """Solve G'' = +-n m G' G^(n-1) x^(m-1) by exact power series; W and KL from their integrals."""
    s = 1 if kind == "bon" else -1
    growth = Series([Fraction(0), Fraction(1)])
    for _ in range(Series.LENGTH // (n + m - 1) + 1):  # each pass gains n + m - 1 exact terms
        rate = growth.power(n - 1).shift(m - 1) * Series([Fraction(s * n * m)])
        slope = [Fraction(1)]
        for j in range(1, Series.LENGTH):  # G'' = rate G'
            slope.append(sum((rate.c[i] * slope[j - 1 - i] for i in range(j)), Fraction(0)) / j)
        growth = Series(slope).integral()
    strength = growth.power(n - 1).shift(m)
    unit = growth.drop(1)  # G/x
    phi = Series(slope) * unit.inverse()
    area = (growth.power(n).shift(m - 1)).integral()
    loss = area.drop(n + m) * unit.power(n).inverse() * Series([Fraction(m)])
    log_slope = Series(slope).log()
    mixed = (Series(slope) * log_slope).integral().drop(1) * unit.inverse()
    cost = phi.log() + -log_slope + mixed  # int f log f with f(u) = x G'(xu)/G(x)
    win = Series([Fraction(1)]) + -loss if s == 1 else loss

    found = symbolic.series_optimum(n, 24, m, kind=kind)
    safe = Series.LENGTH - n - m - 1  # dropped factors of x cost top terms
    assert safe >= 17
    for polynomial, expected in (
        (found.edge_density, phi),
        (found.win_rate, win),
        (found.kl, cost),
    ):
        assert strength.into(polynomial).c[:safe] == expected.c[:safe]
        assert any(expected.c[1:safe])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bon", "won"])
def test_series_first_terms_for_any_n_and_m(kind: str) -> None:
    m = sp.Symbol("M", integer=True, positive=True)
    s = 1 if kind == "bon" else -1
    found = symbolic.series_optimum(N, 3, m, kind=kind)
    edge, win, cost = (sp.Poly(row, k) for row in found)
    assert sp.simplify(edge.coeff_monomial(k) - s * N * m / (N + m)) == 0
    start = N / (N + m) if kind == "bon" else m / (N + m)
    assert sp.simplify(win.coeff_monomial(1) - start) == 0
    assert cost.coeff_monomial(1) == 0
    assert cost.coeff_monomial(k) == 0
    # W = W0 + w k and KL = w k^2/2, so the slope in sqrt(KL) is sqrt(2 w)
    equal = sp.Poly(symbolic.series_optimum(N, 2, kind=kind).win_rate, k)
    squared = 2 * equal.coeff_monomial(k)
    assert sp.simplify(squared - symbolic.small_kl_slope(N) ** 2) == 0


def test_series_for_standard_sampling_is_the_identity() -> None:
    """f(1) = k/(1 - e^-k) generates the Bernoulli numbers, and W = 1/(1 - e^-k) - 1/k too."""
    found = symbolic.series_optimum(1, 30)
    terms = [sp.bernoulli(j) / sp.factorial(j) for j in range(32)]
    assert terms[1] == sp.Rational(1, 2)
    assert found.edge_density == sum(terms[j] * k**j for j in range(31))
    assert found.win_rate == sum(terms[j + 1] * k**j for j in range(31))
    spot = mp.mpf("0.01")
    gap = value(symbolic.kl("identity"), k=spot) - value(found.kl, k=spot)
    assert abs(gap) < mp.mpf("1e-50")


@pytest.mark.parametrize("kind", ["bon", "won"])
def test_series_optimum_beats_transforms_at_equal_kl(kind: str) -> None:
    best = symbolic.series_optimum(4, 40, kind=kind)
    strength = mp.mpf("0.4")
    budget, win = value(best.kl, k=strength), value(best.win_rate, k=strength)
    for transform in ("identity", "log"):
        form = sp.lambdify(k, symbolic.kl(transform), "mpmath")
        rate = mp.findroot(lambda q, form=form: form(q) - budget, (0.2, 3), solver="anderson")
        assert close(form(rate), budget)
        other = value(symbolic.win_rate(transform, f"{kind}:4"), k=rate)
        assert 0.5 < other < win < 1


# --- what people type ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("", " log", "LOG", "log:", "log:2", "identity:1", "sqrt", "optimal", "expr:u"),
        *("exp:", "exp:0", "exp:-0.0", "exp:1e3", "exp:+2", "exp:.5", "exp:2\n", "exp:\u0662"),
        *("exp:nan", "exp:" + "9" * 5000, "power", "power:0", "power:-3", "power:2.5"),
        *("power:02", "power:" + "1" * 5000, None, 3, b"log"),
    ],
)
def test_unknown_transforms_are_refused(text: Any) -> None:
    for make in (symbolic.density, symbolic.cdf, symbolic.kl):
        with pytest.raises(
            InputError, match=r"Allowed: 'identity'; 'log'; 'logit'; 'exp' .*power:P"
        ):
            make(text)
    with pytest.raises(InputError, match="has no closed form"):
        symbolic.first_order_efficiency(text, 2)


def test_nearest_valid_texts_are_accepted() -> None:
    for text in ("log", "exp:2", "exp:-0.01", "exp:0.5", "power:2", "power:20"):
        assert u in symbolic.density(text).free_symbols


@pytest.mark.parametrize(
    "text",
    [
        *("", "bon", "bon:", "bon:0", "bon:2.5", "bon:-1", "bon:13", "bon:04", "bon: 4", "bon:4,2"),
        *("won:0", "won:1e1", "BoN:4", "best:4", "standard:1", "bon:" + "1" * 5000, None, 4),
    ],
)
def test_unknown_procedures_are_refused(text: Any) -> None:
    with pytest.raises(InputError, match=r"Allowed: 'standard', 'bon:N' or 'won:N'.*from 1 to 12"):
        symbolic.win_rate("log", text)


def test_win_rate_names_the_transforms_it_has() -> None:
    for text in ("logit", "exp:2", "power:2"):
        with pytest.raises(InputError, match="Allowed: 'identity'; 'log'"):
            symbolic.win_rate(text, "standard")


@pytest.mark.parametrize("n", [0, -1, 2.0, True, "4", sp.Rational(3, 2), sp.Symbol("n"), None])
def test_sample_counts_are_checked(n: Any) -> None:
    for make in (
        symbolic.best_of_n,
        symbolic.small_kl_slope,
        lambda q: symbolic.first_order_efficiency("log", q),
        lambda q: symbolic.series_optimum(q, 2),
    ):
        with pytest.raises(InputError, match="not a number of samples"):
            make(n)


def test_series_arguments_are_checked() -> None:
    for order in (0, 61, 2.0, True, "3"):
        with pytest.raises(InputError, match=r"order = .* from 1 to 60"):
            symbolic.series_optimum(2, order)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kind = 'worst': give 'bon'"):
        symbolic.series_optimum(2, 2, kind="worst")
    with pytest.raises(InputError, match="m = 0 is not"):
        symbolic.series_optimum(2, 2, 0)
