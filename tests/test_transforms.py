"""Transforms: values, differences from the anchor at full relative accuracy, names, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.exponential import EXPONENT_LIMIT
from infalign_theory.transforms.names import as_transform

# (text, Phi as mpmath knows it, in u and v = 1 - u)
KNOWN = [
    ("identity", lambda u, v: u),
    ("log", lambda u, v: mp.log(u)),
    ("logit", lambda u, v: mp.log(u) - mp.log(v)),
    ("exp:10", lambda u, v: mp.exp(10 * u)),
    ("exp:-10", lambda u, v: -mp.exp(-10 * u)),
    ("exp:0.001", lambda u, v: mp.exp(mpf("0.001") * u)),
    ("power:7", lambda u, v: u**7),
    ("power:0.5", lambda u, v: mp.sqrt(u)),
]
EXPRESSIONS = [
    ("expr:exp(3*u)-u", lambda u, v: mp.exp(3 * u) - u),
    ("expr:u-u**2", lambda u, v: u - u**2),
    ("expr:-log(1-u)", lambda u, v: -mp.log(v)),
    ("expr:log(u)", lambda u, v: mp.log(u)),
    ("expr:u**2+log(u)", lambda u, v: u**2 + mp.log(u)),
    ("expr:sqrt(u)", lambda u, v: mp.sqrt(u)),
]
LOGITS = [-600.0, -200.0, -60.0, -30.0, -10.0, -1.0, 0.0, 1.0, 10.0, 30.0, 60.0, 200.0, 600.0]
GRID = [0.0, 1e-9, 0.25, 0.5, 0.999, 1.0]


@pytest.fixture
def digits():
    with mp.workdps(320):
        yield


def exact_points():
    """u and v = 1 - u at each logit, as exact as 320 digits."""
    small = [mp.exp(-abs(mpf(s))) for s in LOGITS]
    return [
        (x / (1 + x), 1 / (1 + x)) if s < 0 else (1 / (1 + x), x / (1 + x))
        for s, x in zip(LOGITS, small, strict=True)
    ]


@pytest.mark.parametrize(("text", "phi"), KNOWN[:-1] + EXPRESSIONS[:3], ids=lambda x: str(x)[:20])
def test_differences_keep_relative_accuracy_near_the_end_with_the_mass(text, phi, digits):
    transform = as_transform(text)
    got = transform.differences(Points.from_logit(np.array(LOGITS)))
    end = phi(*exact_points()[-1]) if text in ("expr:-log(1-u)", "logit") else phi(mpf(1), mpf(0))
    if text in ("logit", "expr:-log(1-u)"):
        end = mpf(0)  # infinite at u = 1: measured from 0
    elif text == "expr:u-u**2":  # the formula chooses its own anchor
        end = mpf(0)
    for value, (u, v) in zip(got, exact_points(), strict=True):
        exact = phi(u, v) - end
        assert abs(mpf(float(value)) - exact) <= mpf("1e-13") * abs(exact) + mpf("1e-320")


@pytest.mark.parametrize(("text", "phi"), EXPRESSIONS, ids=lambda x: str(x)[:20])
def test_differences_of_a_formula_that_is_singular_at_the_far_end(text, phi, digits):
    """Differences between rewards decide the policy: a formula's must hold at both ends."""
    got = as_transform(text).differences(Points.from_logit(np.array(LOGITS)))
    exact = [phi(u, v) for u, v in exact_points()]
    for i in range(len(LOGITS) - 1):
        step, true = mpf(float(got[i + 1])) - mpf(float(got[i])), exact[i + 1] - exact[i]
        scale = max(abs(exact[i]), abs(exact[i + 1]), 1)
        assert abs(step - true) <= mpf("1e-12") * scale


@pytest.mark.parametrize(("text", "phi"), KNOWN + EXPRESSIONS, ids=lambda x: str(x)[:20])
def test_values(text, phi):
    transform = as_transform(text)
    u = np.array([1e-9, 0.01, 0.25, 0.5, 0.75, 0.999])
    exact = [float(phi(mpf(float(x)), 1 - mpf(float(x)))) for x in u]
    # a formula in 1 - u sees the rounding of 1 - u
    assert np.allclose(transform(u), exact, rtol=1e-13, atol=1e-15)
    assert transform(u.reshape(2, 3)).shape == (2, 3)
    assert float(transform(0.5)) == pytest.approx(float(phi(mpf(0.5), mpf(0.5))), rel=1e-13)


@pytest.mark.parametrize("text", [text for text, _ in KNOWN + EXPRESSIONS])
def test_a_name_reads_back_as_the_same_transform(text):
    transform = as_transform(text)
    again = as_transform(transform.name)
    assert again == transform
    assert hash(again) == hash(transform)
    assert again.name == transform.name
    assert str(transform) == transform.name
    assert as_transform(transform) is transform
    assert as_transform(f"  {text} ") == transform


def test_parameters_of_a_formula_travel_in_its_name():
    phi = it.Expression("exp(t*u) - c*u**2", t=5, c=0.25)
    again = as_transform(phi.name)
    assert again == phi
    assert float(again(0.5)) == pytest.approx(np.exp(2.5) - 0.0625, rel=1e-15)
    assert as_transform("expr:exp(t*u);t=3") != as_transform("expr:exp(t*u);t=4")
    assert repr(phi).startswith("Expression(")


@given(st.floats(-EXPONENT_LIMIT, EXPONENT_LIMIT).filter(lambda t: abs(t) > 1e-99))
def test_any_exponent_reads_back_and_increases(t):
    phi = it.Exponential(t)
    assert as_transform(phi.name) == phi
    values = phi(np.array(GRID))
    assert np.isfinite(values).all()
    assert (np.diff(values) >= 0).all()
    assert (np.diff(phi.differences(Points.from_logit(np.array(LOGITS)))) >= 0).all()


@given(st.floats(1e-6, 1e6))
def test_any_power_reads_back_and_increases(p):
    phi = it.Power(p)
    assert as_transform(phi.name) == phi
    assert (np.diff(phi(np.array(GRID))) >= 0).all()


def test_slopes_say_which_tilts_exist():
    assert max(it.Logit().slopes) == 1.0
    assert max(it.Log().slopes) == 0.0
    assert max(it.Expression("-2.5*log(1-u)").slopes) == pytest.approx(2.5, rel=1e-12)
    assert max(it.Expression("-2.5*log(u)").slopes) == pytest.approx(2.5, rel=1e-12)
    assert max(it.Expression("u**2").slopes) == 0.0


# ----------------------------------------------------------------------------------- refusals

NOT_NUMBERS = [float("nan"), float("inf"), -float("inf"), True, "x", None, 1 + 2j, [1.0], 10**400]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda v: repr(v)[:12])
@pytest.mark.parametrize("kind", [it.Exponential, it.Power])
def test_numbers_that_are_none(kind, value, refused):
    refused(lambda: kind(value), "give", "" if value == 10**400 else value)


@pytest.mark.parametrize("t", [0, 0.0, -0.0, 600.001, -1e9, 1e300])
def test_exponents_out_of_range(t, refused):
    refused(lambda: it.Exponential(t), "exponent", "600", "non-zero")


@pytest.mark.parametrize("p", [0, -1, -0.5])
def test_powers_out_of_range(p, refused):
    refused(lambda: it.Power(p), f"{p:g}", "positive")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "exp",
        "exp:",
        "exp:x",
        "exp:nan",
        "exp:0",
        "exp:1e4",
        "power",
        "power:-1",
        "identity:3",
        "log:2",
        "power:7:8",
        "exp:10,20",
        "optimal",
        "expr",
        "expr:",
        "expr:1/(1-u)*",
        "expr:__import__('os')",
        "expr:u.real",
        "expr:t*u",
        "expr:t*u;t",
        "expr:t*u;t=x",
        "expr:t*u;t=1;t=2",
        "expr:u;pi=3",
        "expr:u;u=3",
        "expr:log(u-2)",
    ],
)
def test_texts_that_are_no_transform(text, refused):
    refused(lambda: as_transform(text))


@pytest.mark.parametrize("thing", [None, 3, 2.5, ["identity"], b"log", it.BestOfN(4), it.Log])
def test_things_that_are_no_transform(thing, refused):
    refused(lambda: as_transform(thing), repr(thing), "identity, log")


def test_a_formula_undefined_inside_the_interval_says_where(refused):
    error = refused(lambda: it.Expression("sqrt(u - 0.5)"), "sqrt(u - 0.5)", "u = ")
    assert "0 < u < 1" in str(error)


@pytest.mark.parametrize("text", ["1/abs(u-0.5)", "1/abs(u-0.3)", "1/(u-0.3)", "log(u)**2"])
def test_a_formula_without_any_normaliser_is_refused_when_made_or_when_used(text, refused):
    """exp(Phi/beta) is not integrable for any beta: a number would be a quiet wrong one."""
    refused(lambda: it.align(it.Expression(text), beta=1e5), text)
    refused(lambda: it.align(it.Expression(text), kl=1e-8), text)


def test_minus_infinity_refuses_a_reward():
    phi = it.Expression("log(max(u - 0.25, 0))")
    assert phi(0.1) == -np.inf
    assert float(phi(0.75)) == pytest.approx(np.log(0.5), rel=1e-15)


@pytest.mark.parametrize("u", [-1e-9, 1.0000001, np.nan, np.inf, [0.5, 2.0], "x", None])
def test_rewards_outside_the_interval(u, refused):
    refused(lambda: it.Log()(u), "[0, 1]")


def test_unbounded_ends_are_infinite_and_silent():
    assert it.Log()(0.0) == -np.inf
    assert it.Logit()(0.0) == -np.inf
    assert it.Logit()(1.0) == np.inf
