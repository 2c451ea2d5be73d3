"""Formulas with kinks, jumps, narrow features and large constants, and functions of Python.

Oracle: composite quadrature in u at 34 digits with the formula's own breakpoints.
"""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.comparison.efficiency import first_order_efficiency
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.formulas.compiled import compile_expression
from infalign_theory.optima.certificate import fixed_point_step
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.function import FunctionTransform
from tests.composite import best_of, graded, tilt


def clip(x, low, high):
    return min(max(x, low), high)


def step(x):
    return mpf(x > 0)


def held(policy, phi, points, procedure, n, *, win=1e-10, kl=1e-9):
    """Win rate and KL of a policy against the oracle."""
    spent, won = tilt(phi, graded(*points), policy.beta, *best_of(n))
    assert abs(it.win_rate(policy, procedure) - won) <= win
    assert abs(policy.kl - spent) <= kl * abs(spent)


def d(number: float) -> mpf:
    """The float64 nearest to a decimal, as the formula reads it."""
    return mpf(number)


def spike(c, w):
    return [c, *(c + side * w * r for side in (-1, 1) for r in (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 12))]


# ------------------------------------------------------------- the reported seven, to the promise

SEVEN = [
    (
        "clip(u,0.2,0.4)**2-max(0.2,1-u)",
        {"kl": 0.3},
        lambda u: clip(u, d(0.2), d(0.4)) ** 2 - max(d(0.2), 1 - u),
        [d(0.2), d(0.4), 1 - d(0.2)],
    ),
    (
        "exp(5*min(u,0.9))-exp(5*max(1-u,0.2))",
        {"beta": 20.0},
        lambda u: mp.exp(5 * min(u, d(0.9))) - mp.exp(5 * max(1 - u, d(0.2))),
        [d(0.9), 1 - d(0.2)],
    ),
    ("step(u-0.5007)", {"beta": 0.5}, lambda u: step(u - d(0.5007)), [d(0.5007)]),
    (
        "u+20*exp(-((u-0.3712)/1e-3)**2)",
        {"beta": 1.0},
        lambda u: u + 20 * mp.exp(-(((u - d(0.3712)) / d(1e-3)) ** 2)),
        spike(d(0.3712), d(1e-3)),
    ),
    (
        "u+20*exp(-((u-0.5)/1e-4)**2)",
        {"beta": 1.0},
        lambda u: u + 20 * mp.exp(-(((u - d(0.5)) / d(1e-4)) ** 2)),
        spike(d(0.5), d(1e-4)),
    ),
    ("1e16-u", {"beta": 0.03}, lambda u: -u, []),
    ("1e15+u", {"beta": 0.03}, lambda u: u, []),
    ("expm1(50)-u", {"beta": 0.1}, lambda u: -u, []),
    (
        "tanh(sqrt(u+1000))",
        {"kl": 5e-4},
        lambda u: -2 / (mp.exp(2 * mp.sqrt(u + 1000)) + 1),
        [],
    ),
]


@pytest.mark.parametrize(("text", "given", "phi", "points"), SEVEN, ids=[row[0] for row in SEVEN])
@pytest.mark.parametrize(("procedure", "n"), [("bon:4", 4), ("won:3", -3)])
def test_the_reported_cases_hold(text, given, phi, points, procedure, n):
    held(it.align(it.Expression(text), **given), phi, points, procedure, n)


# ---------------------------------------------------------------------------- classes of formulas

PLACES = st.integers(20, 9980).map(lambda i: i / 10000)


@pytest.mark.slow
@given(PLACES, st.sampled_from([0.02, 0.5, 5.0]))
@settings(max_examples=40)
def test_a_jump_anywhere_is_exact(c, beta):
    """Closed form: the density has two values, so W and KL are elementary."""
    policy = it.align(it.Expression(f"step(u-{c!r})"), beta=beta)
    share, ratio = mpf(c), mp.exp(1 / mpf(beta))
    z = share + (1 - share) * ratio
    won = (share**2 / 2 + ratio * (1 - share**2) / 2) / z
    spent = (1 - share) * ratio / z / mpf(beta) - mp.log(z)
    assert abs(it.win_rate(policy) - won) <= 1e-14
    assert abs(policy.kl - spent) <= 1e-12 * spent


@pytest.mark.slow
@given(PLACES, PLACES, st.sampled_from([0.05, 0.4, 3.0]))
@settings(max_examples=6)
def test_kinks_anywhere(c, e, beta):
    low, high = sorted((c, e))
    text = f"max({low!r},min(u,{high!r}))-0.5*abs(u-{e!r})+0.2*step(u-{c!r})"
    policy = it.align(it.Expression(text), beta=beta)

    def phi(u):
        return max(d(low), min(u, d(high))) - abs(u - d(e)) / 2 + d(0.2) * step(u - d(c))

    held(policy, phi, [d(c), d(e)], "bon:4", 4)


@pytest.mark.slow
@given(PLACES, st.floats(-4, -2), st.floats(-4, 12), st.sampled_from([0.3, 2.0]))
@settings(max_examples=6)
def test_spikes_of_any_width_and_place(c, exponent, height, beta):
    width = float(f"{10**exponent:.3g}")
    policy = it.align(it.Expression(f"u**2+h*exp(-((u-{c!r})/{width!r})**2)", h=height), beta=beta)

    def phi(u):
        return u**2 + mpf(height) * mp.exp(-(((u - d(c)) / d(width)) ** 2))

    held(policy, phi, spike(d(c), d(width)), "bon:4", 4)


@pytest.mark.parametrize("constant", ["1e3", "1e9", "1e14", "1e16", "1e18", "exp(50)"])
@pytest.mark.parametrize("sign", ["+", "-"])
def test_a_constant_changes_nothing(constant, sign):
    plain = it.align("expr:max(u,0.3)+exp(2*u)/5", kl=0.4)
    moved = it.align(f"expr:{constant}{sign}(max(u,0.3)+exp(2*u)/5)", kl=0.4)
    mirrored = it.align("expr:-(max(u,0.3)+exp(2*u)/5)", kl=0.4)
    same = plain if sign == "+" else mirrored
    assert it.win_rate(moved, "bon:4") == pytest.approx(it.win_rate(same, "bon:4"), abs=1e-13)


SAVED = [
    ("exp((1e16+u)/1e16*40)", "identity"),  # exp(40 + 4e-15 u)
    ("log(1e18+u)*1e18", "identity"),
    ("(1e17+log(u))*2", "log"),
    ("1e16+u**2+log(u)", "expr:u**2+log(u)"),
    ("exp((1e16+u)-1e16)", "exp:1"),
    ("max(1e15-u,1e15-0.5)", "expr:-min(u,0.5)"),
]


@pytest.mark.parametrize(("text", "same"), SAVED, ids=[row[0] for row in SAVED])
def test_digits_that_plain_evaluation_loses_are_kept(text, same):
    hidden, plain = it.align(it.Expression(text), kl=0.3), it.align(same, kl=0.3)
    assert it.win_rate(hidden, "bon:4") == pytest.approx(it.win_rate(plain, "bon:4"), abs=1e-12)


@pytest.mark.parametrize(
    "text", ["exp((u+0.1)+1e17-1e17)", "sin(1e9*(1e9+u))", "max(1e16-u,1e16-0.5)"]
)
def test_digits_that_are_lost_are_noticed(text):
    """The anchor's own digits are gone, and the formula magnifies what is left of them."""
    with pytest.raises(PrecisionError, match=r"digits|fast|rounding"):
        it.align(it.Expression(text), kl=0.3)


@pytest.mark.parametrize("text", [row[0] for row in SEVEN])
def test_density_and_transform_agree(text):
    """log f(u) - log f(w) = (Phi(u) - Phi(w)) / beta, by the transform's own plain values."""
    if text in ("1e16-u", "1e15+u", "expm1(50)-u", "tanh(sqrt(u+1000))"):
        pytest.skip("plain values of these have lost the digits that differences keep")
    policy = it.align(it.Expression(text), beta=2.0)
    u = np.linspace(0.013, 0.987, 173)
    by_density = np.log(policy.pdf(u) / policy.pdf(0.5005))
    by_values = (policy.transform(u) - policy.transform(0.5005)) / 2.0
    assert np.allclose(by_density, by_values, rtol=0.0, atol=1e-11)


def test_too_many_kinks_are_refused_with_the_reason():
    with pytest.raises(PrecisionError, match="kinks, jumps or singular points"):
        it.align(it.Expression("step(sin(20/u))"), beta=1.0)


# ------------------------------------------------------------------------------ what is located

LOCATED = [
    ("abs(u-0.3)", [0.3]),
    ("clip(u,0.2,0.4)**2-max(0.2,1-u)", [0.2, 0.4, 0.8]),
    ("max(u,min(u,0.5))", [0.5]),
    ("max(exp(u),min(exp(u),1.3))", [math.log(1.3)]),
    (
        "step(exp(-((u-.3)/1e-4)**2)-.5)",
        [0.3 - 1e-4 * math.sqrt(math.log(2)), 0.3 + 1e-4 * math.sqrt(math.log(2))],
    ),
    ("abs(sin(50*u))", [k * math.pi / 50 for k in range(1, 16)]),
    ("sqrt(abs((u-.3)*(u-.7)))", [0.3, 0.7]),
    ("exp(3*u)-u+log(u)+sqrt(1-u)", []),
    ("abs(u-u)+clip(u,0,1)", []),
    ("max(u,1-u)-max(1-u,u)", [0.5]),
    ("step(u-1e-9)", [1e-9]),
]


@pytest.mark.parametrize(("text", "places"), LOCATED, ids=[row[0] for row in LOCATED])
def test_breaks_are_located(text, places):
    found = 1.0 / (1.0 + np.exp(-np.array(compile_expression(text).breaks)))
    assert found.size == len(places)
    assert np.allclose(np.sort(found), places, rtol=1e-13, atol=0)


@pytest.mark.parametrize(
    "text",
    [
        "exp(3*u)-u**2", "tanh((u-.3)/0.01)", "u+5*exp(-((u-.4)/0.01)**2)", "sin(30*u)/(u+0.2)",
        "sigmoid(40*u-20)*log(u+0.1)", "(u+0.3)**(2*u)", "logit(0.1+0.8*u)**3", "log1p(u)**-2",
        "expm1(2*u)/cos(u)",
    ],
)  # fmt: skip
def test_enclosures_hold_on_the_disc(text):
    """|f(s) - f(c)| on the complex disc, sampled with mpmath, never exceeds its bound."""
    f = compile_expression(text)
    names = {n: getattr(mp, n) for n in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh")}
    names |= {"sigmoid": lambda x: 1 / (1 + mp.exp(-x)), "logit": lambda x: mp.log(x / (1 - x))}
    code = compile(text, "formula", "eval")
    middle = np.linspace(-6.0, 6.0, 13)
    for half in (0.002, 0.02, 0.15):
        disc, panel = f.variation(middle, np.full(13, half)).T
        assert np.all(panel <= disc)
        for c, bound, on_panel in zip(middle, disc, panel, strict=True):
            at = [eval(code, {**names, "u": 1 / (1 + mp.exp(-mpf(c)))})]  # noqa: S307
            for angle in range(12):
                s = mpf(c) + mpf(2.125) * mpf(half) * mp.expjpi(mpf(angle) / 6)
                at.append(eval(code, {**names, "u": 1 / (1 + mp.exp(-s))}))  # noqa: S307
            assert max(abs(v - at[0]) for v in at[1:]) <= bound * (1 + 1e-12) + 1e-13
            for s in (c - half, c + half / 3, c + half):
                there = eval(code, {**names, "u": 1 / (1 + mp.exp(-mpf(s)))})  # noqa: S307
                assert abs(there - at[0]) <= on_panel * (1 + 1e-12) + 1e-13


ROUNDED = [
    ("exp(3*u)-u", lambda u: mp.exp(3 * u) - u),
    ("u-0.1*sin(9*u)", lambda u: u - d(0.1) * mp.sin(9 * u)),
    ("(1e8+u)-1e8", lambda u: u),
    ("tanh(3*u)*u", lambda u: mp.tanh(3 * u) * u),
]


@pytest.mark.parametrize(("text", "exact"), ROUNDED, ids=[row[0] for row in ROUNDED])
def test_rounding_bounds_hold(text, exact):
    """|computed - exact| never exceeds the bound that goes with a change."""
    f = compile_expression(text)
    u = np.concatenate([10.0 ** np.linspace(-12, -1, 12), np.linspace(0.15, 0.99, 12)])
    for anchor, steps in ((0.0, u), (1.0, -u)):
        found = f.measure(anchor, steps, anchor + steps)
        for s, change, error in zip(steps, found.change, found.error, strict=True):
            with mp.workdps(60):
                moved = exact(mpf(anchor) + mpf(s)) - exact(mpf(anchor))
                assert abs(mpf(change) - moved) <= mpf(error) + mpf(5e-324)


# --------------------------------------------------------------------------- distortions with kinks

DISTORTIONS = [
    ("g:max(0,2*p-1)", lambda p: max(mpf(0), 2 * p - 1), lambda p: 2 * step(p - mpf(0.5)), [0.5]),
    (
        "g:clip((p-0.237)/0.5,0,1)",
        lambda p: clip((p - d(0.237)) / d(0.5), mpf(0), mpf(1)),
        lambda p: 2 * step(p - d(0.237)) * step(d(0.237) + d(0.5) - p),
        [d(0.237), d(0.237) + d(0.5)],
    ),
    (
        "g:0.5*p+0.5*max(0,(p-0.9)/0.1)**2",
        lambda p: p / 2 + max(mpf(0), (p - d(0.9)) / d(0.1)) ** 2 / 2,
        lambda p: mpf(0.5) + max(mpf(0), (p - d(0.9)) / d(0.1)) / d(0.1),
        [d(0.9)],
    ),
]


def _reached(beta, level):
    """u with F(u) = level under the tilt by u."""
    k = 1 / mpf(beta)
    return mp.log1p(level * mp.expm1(k)) / k


@pytest.mark.parametrize(
    ("text", "g", "slope", "levels"), DISTORTIONS, ids=[text for text, *_ in DISTORTIONS]
)
def test_distortions_with_kinks(text, g, slope, levels):
    beta = 0.7
    policy = it.align("identity", beta=beta)
    points = [*levels, *(_reached(beta, level) for level in levels)]
    _, won = tilt(lambda u: u, graded(*points), beta, g, slope)
    assert abs(it.win_rate(policy, text) - won) <= 1e-10


@pytest.mark.parametrize("text", [row[0] for row in DISTORTIONS])
def test_tables_of_kinked_distortions_are_exact(text):
    """g as tabulated for the solvers against g itself, also next to its kinks."""
    from infalign_theory.kernels.terms import evaluate

    procedure = as_procedure(text)
    p = np.unique(np.concatenate([np.linspace(0.0, 1.0, 301), 0.9 + np.array([-1e-9, 1e-9])]))
    tabled = [evaluate(float(x), float(1.0 - x), procedure.value_terms) for x in p]
    assert np.allclose(tabled, procedure.cdf(p, 1.0 - p)[0], rtol=0.0, atol=1e-13)


@pytest.mark.slow
def test_a_narrow_rise_of_g_is_seen():
    """Almost a threshold of p at 0.3712: g rises within 1e-4."""
    rise = "(tanh((p-0.3712)/1e-4)-tanh(-3712))/(tanh(6288)-tanh(-3712))"
    policy = it.align("identity", beta=0.5)
    got = it.win_rate(policy, f"g:{rise}", against_procedure="standard")
    k = mpf(2)
    at = [mpf(0), mpf(1)]

    def g(p):
        return (mp.tanh((p - d(0.3712)) / d(1e-4)) + 1) / 2

    at = spike(_reached(0.5, d(0.3712)), d(1e-4))
    _, won = tilt(lambda u: u, graded(*at), 1 / k, g, lambda u: mpf(1))
    assert abs(got - won) <= 1e-10


def test_jumps_of_g_are_refused(refused):
    refused(lambda: as_procedure("g:step(p-0.4)"), "jumps", kind=InputError)
    refused(lambda: as_procedure("g:p+0.1*sin(2*pi*p*20)"), "decrease", kind=InputError)


# ------------------------------------------------------------------- the rest of the quadrature


def test_certificate_of_a_kinked_pair_vanishes_at_its_optimum():
    """Against one sample of the base, g = max(0, 2p - 1) has the optimum's own force."""
    policy = it.align("identity", beta=0.5)
    distance, divergence = fixed_point_step(
        policy, as_procedure("standard"), as_procedure("standard")
    )
    assert distance <= 1e-12
    assert abs(divergence) <= 1e-13


@pytest.mark.parametrize("c", [0.1, 0.3712, 0.5007, 0.9])
def test_first_order_efficiency_of_a_jump(c):
    """corr(step(U - c), U) = sqrt(3 c (1 - c))."""
    got = first_order_efficiency(it.Expression(f"step(u-{c})"), "standard")
    assert got == pytest.approx(math.sqrt(3 * c * (1 - c)), rel=1e-12)


def test_first_order_efficiency_of_a_spike():
    """A narrow spike has its own share of the variance, however narrow."""
    w = 1e-4
    got = first_order_efficiency(it.Expression("u+3*exp(-((u-0.3712)/1e-4)**2)"), "standard")
    mass, square = 3 * w * math.sqrt(math.pi), 9 * w * math.sqrt(math.pi / 2)
    variance = 1 / 12 + square - mass**2 + 2 * mass * (0.3712 - 0.5)
    covariance = 1 / 12 + mass * (0.3712 - 0.5)
    assert got == pytest.approx(covariance / math.sqrt(variance / 12), rel=1e-12)


def test_atoms_see_the_same_kinks_and_constants():
    base = it.Discrete([0.1, 0.2, 0.3, 0.4])
    plain = it.align("expr:max(u,0.4)", beta=0.3, base=base)
    moved = it.align("expr:1e16+max(u,0.4)", beta=0.3, base=base)
    weights = base.probs * np.exp(np.maximum(base.u, 0.4) / 0.3)
    assert np.allclose(plain.probs, weights / weights.sum(), rtol=1e-14)
    assert np.allclose(moved.probs, plain.probs, rtol=1e-13)


# ------------------------------------------------------------------------------ Python functions


def wave(u):
    return np.sin(3 * u) + u**2


def test_a_function_is_the_formula_it_computes():
    for kl in (1e-4, 0.5, 4.0):
        by_function = it.align(FunctionTransform(wave), kl=kl)
        by_formula = it.align("expr:sin(3*u)+u**2", kl=kl)
        assert it.win_rate(by_function, "bon:4") == pytest.approx(
            it.win_rate(by_formula, "bon:4"), abs=1e-10
        )


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (lambda u: math.exp(u), "array"),
        (lambda u: 1 / (1 - u), "u = 1"),
        (lambda u: np.sqrt(u - 0.5), "0 < u < 1"),
        (lambda u: np.ones(3), "array"),
        (3.0, "not a function"),
        (it.Log, "not a function"),
    ],
)
def test_functions_that_are_no_transform(function, part, refused):
    refused(lambda: FunctionTransform(function), part, kind=InputError)


def test_a_function_without_digits_is_refused(refused):
    refused(
        lambda: it.align(FunctionTransform(lambda u: 1e14 + u), kl=0.3),
        "digits",
        kind=PrecisionError,
    )


@pytest.mark.parametrize("transform", [it.Expression("max(t*u,0.4)", t=2), FunctionTransform(wave)])
def test_transforms_are_values(transform):
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert other == transform
        assert hash(other) == hash(transform)
        assert float(other(0.7)) == float(transform(0.7))
    with pytest.raises(AttributeError):
        transform._end = 0.0


@pytest.mark.parametrize("procedure", ["bon:4", "won:4", "order:2/3"])
def test_solved_transforms_are_values(procedure):
    best = it.optimum(procedure, beta=0.2)
    u = np.linspace(0.1, 0.9, 5)
    for other in (pickle.loads(pickle.dumps(best.transform)), copy.deepcopy(best.transform)):
        assert np.array_equal(other(u), best.transform(u))
    with pytest.raises(AttributeError):
        best.transform.anchor = 3.0


# -------------------------------------------------------------------------------- the refinement


def test_samples_are_taken_once_a_panel():
    from infalign_theory.quadrature.refinement import Samples

    asked = []

    def function(grid, new):
        asked.append(int(new.sum()))
        return grid.points.u[new] ** 2

    samples, grid = Samples(function), Grid.initial()
    first = samples.on(grid)
    finer = grid.split(np.arange(grid.half.size) == 3)
    second = samples.on(finer)
    assert asked == [grid.half.size, 2]
    assert np.array_equal(second, finer.points.u**2)
    assert samples.on(finer) is second
    assert np.array_equal(first, grid.points.u**2)


def test_refinement_stops_at_its_limit():
    from infalign_theory.quadrature.refinement import MOST_PANELS, refine

    endless = refine(Grid.initial(), lambda grid: (grid.half.size, np.ones(grid.half.size, bool)))
    assert not endless.settled
    assert endless.grid.half.size <= MOST_PANELS
