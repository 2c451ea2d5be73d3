"""The expression language: what it refuses, what it computes, how accurately."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from infalign_theory.errors import InputError
from infalign_theory.formulas.compiled import CompiledExpression, compile_expression

EPS = 2.0**-52

# -- what is refused, each next to its nearest valid neighbour -----------------------------

REFUSED = [
    # text, a part of the message, the nearest valid text
    ("__import__('os').system('x')", "APOSTROPHE", "u"),
    ("__import__(u)", "'__import__'", "exp(u)"),
    ("eval(u)", "'eval'", "exp(u)"),
    ("().__class__", "'().__class__'", "(u)"),
    ("u.__class__", "'u.__class__'", "u"),
    ("(1).real", "'(1).real'", "(1)"),
    ("1..real", "'1..real'", "1."),
    ("1.real", "operator between", "1."),
    ("np.exp(u)", "write exp(u)", "exp(u)"),
    ("exp(u) if u else 1", "step(x) is 1", "exp(u)*step(u) + 1*step(-u)"),
    ("u < 1", "step(x) is 1", "step(1 - u)"),
    ("u and 1", "step(x) is 1", "u*1"),
    ("not u", "'not u'", "1 - u"),
    ("[u]", "'[u]'", "(u)"),
    ("{u}", "'{u}'", "(u)"),
    ("{u: u}", "'{u: u}'", "(u)"),
    ("()", "'()'", "(u)"),
    ("(u,)", "'(u,)'", "(u)"),
    ("u, u", "'u, u'", "u*u"),
    ("u[0]", "'u[0]'", "u*0"),
    ("[u for u in u]", "'[u for u in u]'", "u"),
    ("(u for u in u)", "'(u for u in u)'", "u"),
    ("lambda: u", "'lambda: u'", "u"),
    ("(u := 1)", "'u := 1'", "(u + 1)"),
    ("await u", "'await u'", "u"),
    ("f'{u}'", "APOSTROPHE", "u"),
    ('"u"', "QUOTATION MARK", "u"),
    ("exp(u, u)", "has 2 arguments, exp takes 1", "exp(u)"),
    ("exp()", "has 0 arguments, exp takes 1", "exp(u)"),
    ("max(u)", "takes at least 2", "max(u, 0)"),
    ("clip(u, 0)", "has 2 arguments, clip takes 3", "clip(u, 0, 1)"),
    ("exp(x=u)", "keyword or starred", "exp(u)"),
    ("exp(u, x=u)", "keyword or starred", "exp(u)"),
    ("max(*u)", "keyword or starred", "max(u, u)"),
    ("max(**u)", "keyword or starred", "max(u, u)"),
    ("exp", "write exp(...)", "exp(u)"),
    ("expp(u)", "did you mean exp", "exp(u)"),
    ("ln(u)", "the natural logarithm is log", "log(u)"),
    ("u(2)", "write u*(...)", "u*(2)"),
    ("e(2)", "write e*(...)", "e*(2)"),
    ("2(u)", "write * to multiply", "2*(u)"),
    ("exp(u)(u)", "write * to multiply", "exp(u)*(u)"),
    ("2u", "2*u", "2*u"),
    ("2 u", "invalid syntax at column 3", "2*u"),
    ("1j", "operator between", "1"),
    ("0x1f", "numbers are decimal", "31"),
    ("1_000", "numbers are decimal", "1000"),
    ("1if u else 2", "operator between", "1"),
    ("1e5e3", "1e5*e3", "1e5"),
    ("1e999", "too large", "1e99"),
    ("9" * 900, "too large", "9" * 300),
    ("9" * 5000, "5000 characters", "9" * 300),
    ("u" + "+u" * 500, "1001 characters", "u" + "+u" * 499),
    ("True", "'True' is not a number", "1"),
    ("None", "'None' is not a number", "0"),
    ("...", "'...' is not a number", "0."),
    ("u ^ 2", "write ** for a power", "u ** 2"),
    ("u % 2", "'u % 2'", "u / 2"),
    ("u // 2", "'u // 2'", "u / 2"),
    ("u @ u", "'u @ u'", "u * u"),
    ("u << 1", "'u << 1'", "u * 2"),
    ("~u", "'~u'", "-u"),
    ("u # + 1", "NUMBER SIGN", "u + 1"),
    ("u \\\n + 1", "REVERSE SOLIDUS", "u \n + 1"),
    ("u; u", "invalid syntax at column 2", "u * u"),
    ("u = 1", "invalid syntax at column 3", "u - 1"),
    ("import os", "cannot read", "u"),
    ("u +", "column 4", "+u"),
    ("**u", "cannot read", "+u"),
    ("a*u", "Expression('a*u', a=5)", "2*u"),
    ("__t*u", "'__t' is not allowed", "2*u"),
    ("", "expression is a text", "u"),
    (" \n", "expression is a text", "u \n"),
    ("u\x00", "U+0000", "u "),
    ("u\x0c+ 1", "U+000C", "u\t+ 1"),
    ("\N{ZERO WIDTH NO-BREAK SPACE}u", "ZERO WIDTH", " u"),
    ("u\N{SUPERSCRIPT TWO}", "write **2", "u**2"),
    ("1 \N{MINUS SIGN} u", "write -", "1 - u"),
    ("2\N{MULTIPLICATION SIGN}u", "write *", "2*u"),
    # These two would be exp and u after the NFKC normalisation of Python's own parser.
    ("\N{FULLWIDTH LATIN SMALL LETTER E}xp(u)", "write e", "exp(u)"),
    ("\N{MATHEMATICAL ITALIC SMALL U}", "write u", "u"),
    ("\N{CYRILLIC SMALL LETTER IE}xp(u)", "CYRILLIC", "exp(u)"),
    ("_\N{FULLWIDTH LOW LINE}class__", "FULLWIDTH LOW LINE", "u"),
    ("(" * 10000, "10000 characters", "(u)"),
    ("(" * 900, "50 levels", "(" * 50 + "u" + ")" * 50),
    ("(" * 51 + "u" + ")" * 51, "50 levels", "(" * 50 + "u" + ")" * 50),
    ("-" * 50 + "u", "50 levels", "-" * 49 + "u"),
    ("-" * 998 + "u", "50 levels", "-" * 49 + "u"),
    ("u**" * 50 + "u", "50 levels", "u**" * 49 + "u"),
    ("u**" * 300 + "u", "50 levels", "u**" * 49 + "u"),
    ("exp(" * 50 + "u+1" + ")" * 50, "50 levels", "exp(" * 48 + "u+1" + ")" * 48),
]


@pytest.mark.parametrize(("text", "part", "neighbour"), REFUSED, ids=lambda x: ascii(x)[:30])
def test_refused_next_to_its_neighbour(text: str, part: str, neighbour: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_expression(text)
    assert part in str(caught.value)
    assert len(str(caught.value)) < 2500
    compile_expression(neighbour).value([0.0, 0.5, 1.0])


def test_messages_name_what_is_allowed() -> None:
    with pytest.raises(InputError) as caught:
        compile_expression("a*p + t", "p", t=1)
    message = str(caught.value)
    for word in (
        "name a ",
        "variable p",
        "parameters t",
        "pi and e",
        "expm1",
        "clip",
        "** and",
        "a=5",
    ):
        assert word in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "column"),
    [("exp(u", 4), ("u u", 3), ("u +", 4), ("(u + 1))", 8), ("exp(u)\n+ 1)", 11)],
)
def test_syntax_errors_point_at_the_column(text: str, column: int) -> None:
    with pytest.raises(InputError) as caught:
        compile_expression(text)
    first, shown, caret = str(caught.value).splitlines()
    assert f"column {column};" in first
    assert shown == "  " + text.replace("\n", " ")
    assert caret == " " * (1 + column) + "^"


PARAMETERS = [
    ("u", {"t": 5}, "t is not used", {}),
    ("t*u", {"t": True}, "real number", {"t": 1}),
    ("t*u", {"t": "5"}, "real number", {"t": 5}),
    ("t*u", {"t": None}, "real number", {"t": 0}),
    ("t*u", {"t": 1j}, "real number", {"t": 1}),
    ("t*u", {"t": np.ones(1)}, "real number", {"t": np.float32(1)}),
    ("t*u", {"t": math.nan}, "finite", {"t": -0.0}),
    ("t*u", {"t": math.inf}, "finite", {"t": 1e308}),
    ("t*u", {"t": 10**400}, "finite", {"t": 10**300}),
    ("t*u", {"t": 1, "u": 2}, "u is the variable", {"t": 1}),
    ("exp(u)", {"exp": 2}, "exp is a function", {}),
    ("clip(u, 0, 1)", {"clip": 2}, "clip is a function", {}),
    ("e*u", {"e": 2}, "e is a constant", {}),
    ("u", {"__t": 2}, "cannot be the name", {}),
    ("u", {"a b": 2}, "cannot be the name", {}),
    ("u", {"if": 2}, "cannot be the name", {}),
    ("u", {"\N{GREEK SMALL LETTER BETA}": 2}, "cannot be the name", {}),
    ("t*u", {}, "Expression('t*u', t=5)", {"t": 5}),
]


@pytest.mark.parametrize(("text", "wrong", "part", "right"), PARAMETERS)
def test_parameters(text: str, wrong: dict[str, Any], part: str, right: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        compile_expression(text, **wrong)
    assert part in str(caught.value)
    compile_expression(text, **right)


@pytest.mark.parametrize("variable", ["pi", "exp", "", "a b", "__u", "lambda", "2u", 3, None])
def test_variable_names(variable: Any) -> None:
    with pytest.raises(InputError, match="variable"):
        compile_expression("1", variable)
    assert compile_expression("p_2 + 1", "p_2").value(1.0) == 2.0


@pytest.mark.parametrize("text", [3, None, b"u", ["u"]])
def test_text_must_be_text(text: Any) -> None:
    with pytest.raises(InputError, match="expression is a text"):
        compile_expression(text)


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError])
def test_limits_of_the_parser_are_input_errors(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("infalign_theory.formulas.reader.ast.parse", fail)
    with pytest.raises(InputError, match="50 levels"):
        compile_expression("u")


@pytest.mark.slow
@given(st.text(max_size=60) | st.text("u()+-*/.,e1 exp_'[]:=", max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        compile_expression(text).value([0.0, 0.5])


# -- the object ----------------------------------------------------------------------------


def test_object_is_a_frozen_value() -> None:
    f = compile_expression(" a*u + b\n", b=2, a=np.float64(3.0))
    assert f == compile_expression("a*u + b", a=3, b=2.0)
    assert f == CompiledExpression("a*u + b", "u", (("b", 2), ("a", 3)))
    assert f != compile_expression("a*u + b", a=3, b=1)
    assert len({f, compile_expression("a*u + b", a=3, b=2)}) == 1
    assert (f.text, f.variable, f.parameters) == ("a*u + b", "u", (("a", 3.0), ("b", 2.0)))
    copy = pickle.loads(pickle.dumps(f))
    assert copy == f
    assert hash(copy) == hash(f)
    assert copy.value(2.0) == 8.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        f.text = "u"  # type: ignore[misc]


def test_the_constructor_checks_too() -> None:
    with pytest.raises(InputError, match="'eval'"):
        CompiledExpression("eval(u)")


@pytest.mark.parametrize("text", ["u", "3", "exp(u)*log(u)", "max(u, 1/2)", "10**10**10"])
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 3)])
def test_shapes(text: str, shape: tuple[int, ...]) -> None:
    f = compile_expression(text)
    x = np.linspace(0.1, 0.9, math.prod(shape)).reshape(shape)
    for result in (
        f.value(x),
        f.near(0.0, x)[1],
        f.near(0.3, x)[1],
        f.at(x, 1 - x),
        f.derivative(x),
    ):
        assert isinstance(result, np.ndarray)
        assert result.shape == shape
        assert result.dtype == np.float64
        assert not np.shares_memory(result, x)


def test_infinities_and_nans_pass_in_silence() -> None:
    x = np.array([-1.0, 0.0, 1.0, np.inf, np.nan, 1e308])
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for text in ("log(u)", "1/u", "u**u", "u**-0.5", "exp(u*u)", "logit(u)", "1/(1 - u)"):
            f = compile_expression(text)
            for anchor in (0.0, 0.3, 1.0, math.inf, math.nan):
                f.near(anchor, x)
            f.at(x, 1 - np.where(np.isfinite(x), x, 0.0))
            f.derivative(x)
            f.value(x)
    np.testing.assert_array_equal(
        compile_expression("log(u)").value(x[:4]), [np.nan, -np.inf, 0.0, np.inf]
    )
    assert compile_expression("10**10**10").value(0.5) == math.inf
    first, second = compile_expression("10**10**10").near(0.0, 0.5)
    assert (first, float(second)) == (0.0, math.inf)
    assert compile_expression("0*10**10**10").near(0.0, 0.5)[0] == 0.0


# -- values --------------------------------------------------------------------------------

VALUES = [
    ("1 + 2*3 - 4/8", 0.5, 6.5),
    ("2 - 3 - 4", 0.5, -5.0),
    ("8/4/2", 0.5, 1.0),
    ("2**3**2", 0.5, 512.0),
    ("-u**2", 0.5, -0.25),
    ("2**-u", 1.0, 0.5),
    ("+(-(-u))", 0.25, 0.25),
    ("u**0 + 0**0", 0.0, 2.0),
    ("e - pi", 0.5, math.e - math.pi),
    (".5 + 1. + 1e-2 + 2E+1", 0.5, 21.51),
    ("u\n + 1", 0.5, 1.5),
    ("max(u, 2, 3)", 0.5, 3.0),
    ("min(u, 2, 3)", 0.5, 0.5),
    ("clip(u, 0.25, 0.75)", 0.0, 0.25),
    ("clip(u, 0.25, 0.75)", 0.5, 0.5),
    ("clip(u, 0.25, 0.75)", 1.0, 0.75),
    ("step(u)", -0.5, 0.0),
    ("step(u)", 0.0, 0.5),
    ("step(u)", 1e-300, 1.0),
    ("abs(u)", -0.5, 0.5),
    ("sqrt(u)", 4.0, 2.0),
    ("exp(u)", 1.0, math.e),
    ("expm1(u)", 1e-20, 1e-20),
    ("log(u)", math.e, 1.0),
    ("log1p(u)", 1e-20, 1e-20),
    ("sin(u)", 1.0, math.sin(1.0)),
    ("cos(u)", 1.0, math.cos(1.0)),
    ("tanh(u)", 1.0, math.tanh(1.0)),
    ("sigmoid(u)", 1.0, 1 / (1 + math.exp(-1))),
    ("sigmoid(u)", -700.0, math.exp(-700)),
    ("sigmoid(u)", 1000.0, 1.0),
    ("logit(u)", 0.25, -math.log(3)),
    ("logit(u)", 0.5 + 1e-5, 2 * math.atanh(2 * (0.5 + 1e-5) - 1)),
    ("logit(u)", 0.5 - 3e-9, 2 * math.atanh(2 * (0.5 - 3e-9) - 1)),
]


@pytest.mark.parametrize(("text", "x", "expected"), VALUES)
def test_values(text: str, x: float, expected: float) -> None:
    assert compile_expression(text).value(x) == pytest.approx(expected, rel=4 * EPS, abs=0)


# -- accuracy against mpmath ---------------------------------------------------------------

Exact = Callable[[Any], Any]


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _logit(x: Any) -> Any:
    return mp.log(x / (1 - x))


SMOOTH: list[tuple[str, Exact]] = [
    ("3*u - 1", lambda u: 3 * u - 1),
    ("exp(5*u) - u**2", lambda u: mp.exp(5 * u) - u**2),
    ("exp(-50*u)", lambda u: mp.exp(-50 * u)),
    ("-exp(-u*8)", lambda u: -mp.exp(-8 * u)),
    ("expm1(2*u)/expm1(2)", lambda u: mp.expm1(2 * u) / mpf(math.expm1(2))),
    ("1/(1 + u)", lambda u: 1 / (1 + u)),
    ("(1 + u**2)/(2 - u)", lambda u: (1 + u**2) / (2 - u)),
    ("u**2", lambda u: u**2),
    ("u**7", lambda u: u**7),
    ("u**64", lambda u: u**64),
    ("(2*u - 1)**3", lambda u: (2 * u - 1) ** 3),
    ("(2*u - 3)**-4", lambda u: 1 / (2 * u - 3) ** 4),
    ("(u - 1.5)**6", lambda u: (u - 1.5) ** 6),
    ("(1 - u)**2", lambda u: (1 - u) ** 2),
    ("(1 - u)**0.25", lambda u: (1 - u) ** mpf(0.25)),
    ("u**1.5", lambda u: u ** mpf(1.5)),
    ("(u + 1)**0.001", lambda u: (u + 1) ** mpf(0.001)),
    ("(1 + u)**(2*u)", lambda u: (1 + u) ** (2 * u)),
    ("3**u", lambda u: mpf(3) ** u),
    ("sqrt(u)", mp.sqrt),
    ("sqrt(1 - u)", lambda u: mp.sqrt(1 - u)),
    ("sqrt(2 - u)", lambda u: mp.sqrt(2 - u)),
    ("log(u)", mp.log),
    ("log(1 - u)", lambda u: mp.log(1 - u)),
    ("log(-u + 1)", lambda u: mp.log(1 - u)),
    ("log1p(-u)", lambda u: mp.log(1 - u)),
    ("log1p(u)", lambda u: mp.log(1 + u)),
    ("log(1 - u**2)", lambda u: mp.log(1 - u**2)),
    ("log(1 - exp(u - 1))", lambda u: mp.log(-mp.expm1(u - 1))),
    ("logit(u)", _logit),
    ("logit(1 - u)", lambda u: -_logit(u)),
    ("1/(1 - u)", lambda u: 1 / (1 - u)),
    ("logit(u/2)", lambda u: _logit(u / 2)),
    ("logit((1 + u)/4)", lambda u: _logit((1 + u) / 4)),
    ("sigmoid(4*u - 2)", lambda u: _sigmoid(4 * u - 2)),
    ("sigmoid(-50*u)", lambda u: _sigmoid(-50 * u)),
    ("tanh(3*u)", lambda u: mp.tanh(3 * u)),
    ("tanh(60*u - 30)", lambda u: mp.tanh(60 * u - 30)),
    ("sin(3*u)", lambda u: mp.sin(3 * u)),
    ("sin(pi*u/2)", lambda u: mp.sin(mpf(math.pi) * u / 2)),
    ("cos(2*u)", lambda u: mp.cos(2 * u)),
    ("cos(u + 1)", lambda u: mp.cos(u + 1)),
    ("(1 - u)**20", lambda u: (1 - u) ** 20),
    ("u + u**40", lambda u: u + u**40),
    ("(1 - exp(-3*u))/(1 + u**2)", lambda u: -mp.expm1(-3 * u) / (1 + u**2)),
    ("step(u - 0.5)*u + 2*u", lambda u: u * ((u > 0.5) + mpf(u == 0.5) / 2) + 2 * u),
]
KINKED: list[tuple[str, Exact]] = [
    ("abs(u)", abs),
    ("abs(u - 1)", lambda u: abs(u - 1)),
    ("abs(2*u - 1)", lambda u: abs(2 * u - 1)),
    ("abs(u - 0.3)", lambda u: abs(u - mpf(0.3))),
    ("max(u, 1 - u)", lambda u: max(u, 1 - u)),
    ("max(exp(u), 1 + 3*u)", lambda u: max(mp.exp(u), 1 + 3 * u)),
    ("min(exp(u), 1 + 3*u, 2)", lambda u: min(mp.exp(u), 1 + 3 * u, mpf(2))),
    ("max(u, u**2)", lambda u: max(u, u**2)),
    ("min(u, u**2)", lambda u: min(u, u**2)),
    ("min(2*u - 1, 1)", lambda u: min(2 * u - 1, mpf(1))),
    ("clip(3*u, 0, 1.5)", lambda u: min(max(3 * u, mpf(0)), mpf(1.5))),
    ("clip(u, 0.3, 1) - 0.3", lambda u: min(max(u, mpf(0.3)), mpf(1)) - mpf(0.3)),
]
# The terms of first order (or more) cancel at the anchor named.
FLAT: list[tuple[str, float, Exact]] = [
    ("exp(u) - u", 0.0, lambda u: mp.exp(u) - u),
    ("(1 - u)*exp(u)", 0.0, lambda u: (1 - u) * mp.exp(u)),
    ("u*exp(1 - u)", 1.0, lambda u: u * mp.exp(1 - u)),
    ("u*exp(-u)", 1.0, lambda u: u * mp.exp(-u)),
    ("log(u) - u", 1.0, lambda u: mp.log(u) - u),
    ("log1p(u) - u", 0.0, lambda u: mp.log1p(u) - u),
    ("u**2*(3 - 2*u)", 1.0, lambda u: u**2 * (3 - 2 * u)),
    ("10*u**3 - 15*u**4 + 6*u**5", 1.0, lambda u: 10 * u**3 - 15 * u**4 + 6 * u**5),
    ("cos(2*u) + 2*u**2", 0.0, lambda u: mp.cos(2 * u) + 2 * u**2),
    ("sin(u) - u", 0.0, lambda u: mp.sin(u) - u),
    ("tanh(u) - u", 0.0, lambda u: mp.tanh(u) - u),
    ("sigmoid(4*u) - u", 0.0, lambda u: _sigmoid(4 * u) - u),
    ("sqrt(1 + 2*u) - u", 0.0, lambda u: mp.sqrt(1 + 2 * u) - u),
    ("u**3/3 - u", 1.0, lambda u: u**3 / 3 - u),
    ("exp(exp(u) - u)", 0.0, lambda u: mp.exp(mp.exp(u) - u)),
    ("2*(exp(u) - u)", 0.0, lambda u: 2 * (mp.exp(u) - u)),
    ("1/(exp(u) - u)", 0.0, lambda u: 1 / (mp.exp(u) - u)),
    ("(exp(u) - u)/(2 - 1)", 0.0, lambda u: mp.exp(u) - u),
    ("1/u + u", 1.0, lambda u: 1 / u + u),
    ("u**u - u", 1.0, lambda u: u**u - u),
    ("logit(u/2 + 0.5) - 2*u", 0.0, lambda u: _logit(u / 2 + mpf(0.5)) - 2 * u),
    ("max(exp(u), u) - u", 0.0, lambda u: mp.exp(u) - u),
]
SIZES = [1e-300, 3e-200, 1e-100, 7e-31, 1e-17, 1e-15, 3e-9, 1e-5, 1e-3, 0.01, 0.07, 0.2]
STEPS = {
    0.0: [*SIZES, 0.5, 0.7, 0.9],
    1.0: [-s for s in (*SIZES, 0.5, 0.7, 0.9)],
    0.3: [*SIZES, *(-s for s in SIZES), -0.29, 0.5, 0.69],
}
DIGITS = 700  # 40 digits of a change of relative size 1e-600
TINY = 5e-324  # half of it is how far a correct rounding may be off below the normal range


def _finite_at(exact: Exact, anchor: float) -> bool:
    try:
        return bool(mp.isfinite(exact(mpf(anchor))))
    except (ZeroDivisionError, ValueError):
        return False


@pytest.mark.parametrize("anchor", [0.0, 1.0, 0.3])
@pytest.mark.parametrize(
    ("text", "exact"), SMOOTH + KINKED, ids=lambda x: x if isinstance(x, str) else ""
)
def test_near_is_accurate_relative_to_the_change(text: str, exact: Exact, anchor: float) -> None:
    first, second = compile_expression(text).near(anchor, STEPS[anchor])
    with mp.workdps(DIGITS):
        finite = _finite_at(exact, anchor)
        start = exact(mpf(anchor)) if finite else mpf(0)
        assert abs(first - start) <= 16 * EPS * abs(start)
        for step, change in zip(STEPS[anchor], second.tolist(), strict=True):
            expected = exact(mpf(anchor) + mpf(step)) - start
            assert abs(mpf(change) - expected) <= 32 * EPS * abs(expected) + TINY, step


@pytest.mark.parametrize(("text", "anchor", "exact"), FLAT, ids=[row[0] for row in FLAT])
def test_near_where_low_orders_cancel(text: str, anchor: float, exact: Exact) -> None:
    sizes = [1e-300, 1e-150, 1e-60, 1e-15, 1e-8, 1e-4, 1e-3, 0.01, 0.04, 0.0625]
    steps = [s * side for s in sizes for side in ((1, -1) if anchor else (1,))]
    _, second = compile_expression(text).near(anchor, steps)
    with mp.workdps(1000):  # the changes are of third order at most
        for step, change in zip(steps, second.tolist(), strict=True):
            expected = exact(mpf(anchor) + mpf(step)) - exact(mpf(anchor))
            assert abs(mpf(change) - expected) <= 32 * EPS * abs(expected) + TINY, step


def test_series_does_not_hide_high_powers() -> None:
    steps = np.array([1e-3, 0.0101, 0.02, 0.05, 0.0625])
    # The first 24 coefficients say u + u**2 and u**2; the terms of first order cancel here.
    change = compile_expression("u + u**2 + (40*u)**26 - u").near(0.0, steps)[1]
    np.testing.assert_allclose(change, steps**2 + (40 * steps) ** 26, rtol=1e-12, atol=0)
    change = compile_expression("u - u + u**30").near(0.0, steps)[1]
    np.testing.assert_allclose(change, steps**30, rtol=1e-14, atol=0)


def test_even_powers_between_opposite_points() -> None:
    short = 2.0**-40  # (2u - 1)**4 is 1 at 0 and at 1
    change = compile_expression("(2*u - 1)**4").near(0.0, 1 - short)[1]
    with mp.workdps(60):
        expected = float((1 - 2 * mpf(short)) ** 4 - 1)
    assert change == pytest.approx(expected, rel=8 * EPS, abs=0)


def test_at_goes_around_a_large_term() -> None:
    # Plain evaluation loses three digits to the 1000.
    x = 0.2499
    value = compile_expression("u + 1000 - 1000.25").at(x, 1 - x)
    assert value == pytest.approx(x - 0.25, rel=4 * EPS, abs=0)


def test_overflow_inside_does_not_reach_the_result() -> None:
    first, second = compile_expression("1/(1 + exp(1000*u))").near(0.0, [1e-300, 1e-3, 1.0])
    assert first == 0.5
    expected = [-250e-300, 1 / (1 + math.e) - 0.5, -0.5]
    np.testing.assert_allclose(second, expected, rtol=8 * EPS, atol=0)
    first, second = compile_expression("exp(-800 + 780*u)").near(0.0, [1.0])
    assert first == 0.0
    np.testing.assert_allclose(second, [math.exp(-20)], rtol=8 * EPS, atol=0)
    steps = np.array([1e-300, 1e-10, 0.3, 0.9, 1.0])
    second = compile_expression("log(exp(-50*u))").near(0.0, steps)[1]
    np.testing.assert_allclose(second, -50 * steps, rtol=8 * EPS, atol=0)
    first, second = compile_expression("exp(-700 + 730*u)").near(0.0, [1.0])
    assert first == pytest.approx(math.exp(-700), rel=8 * EPS, abs=0)
    np.testing.assert_allclose(second, [math.exp(30)], rtol=8 * EPS, atol=0)


@pytest.mark.parametrize(
    ("text", "exact"), SMOOTH + KINKED, ids=lambda x: x if isinstance(x, str) else ""
)
def test_at_keeps_the_complement(text: str, exact: Exact) -> None:
    f = compile_expression(text)
    tails = np.array([1e-300, 1e-200, 1e-100, 1e-30, 1e-17, 1e-10, 1e-4, 0.1, 0.3, 0.49])
    for x, rest in ((tails, 1 - tails), (1 - tails, tails)):
        for low, high, value in zip(x, rest, f.at(x, rest).tolist(), strict=True):
            with mp.workdps(DIGITS):
                u = mpf(float(low)) if low < high else 1 - mpf(float(high))
                expected = exact(u)
                # what one rounding of the smaller of u and 1 - u does to the value, and one of
                # the formula's terms, which are of size 1
                shift = 1 + mpf(EPS)
                moved = u * shift if low < high else 1 - (1 - u) * shift
                slack = abs(exact(moved) - expected)
                slack += 4 * EPS * (abs(expected) > 1e-3) + TINY
                assert abs(mpf(value) - expected) <= 16 * EPS * abs(expected) + 8 * slack, (
                    low,
                    high,
                )


def test_singular_anchor_gives_the_plain_value() -> None:
    for text, anchor, step, expected in [
        ("log(u)", 0.0, 1e-300, math.log(1e-300)),
        ("log(1 - u)", 1.0, -1e-300, math.log(1e-300)),
        ("sqrt(1/(1 - u))", 1.0, -1e-300, 1e150),
        ("u*log(u)", 0.0, 1e-300, 1e-300 * math.log(1e-300)),
        ("1/(1 - u)", 1.0, -1e-300, 1e300),
        ("logit(u)", 1.0, -1e-300, -math.log(1e-300)),
        ("logit(u)", 0.0, 1e-300, math.log(1e-300)),
        ("sin(u)/u", 0.0, 1e-300, 1.0),
        ("(exp(u) - 1)/u", 0.0, 1e-300, 1.0),
        ("exp(-1/u)", 0.0, 0.5, math.exp(-2)),
        ("max(-1, log(u))", 0.0, 0.9, math.log(0.9)),
        ("log(u - 0.3)", 0.3, 1e-300, math.log(1e-300)),
        ("u**u", 0.0, 1e-300, 1.0),
        ("exp(1000*u)", 1.0, -0.5, math.exp(500)),
    ]:
        f = compile_expression(text)
        first, second = f.near(anchor, step)
        assert first == 0.0, text
        assert second == pytest.approx(expected, rel=8 * EPS, abs=0), text
        if anchor in (0.0, 1.0):
            x, rest = (step, 1 - step) if anchor == 0 else (1 + step, -step)
            assert f.at(x, rest) == pytest.approx(expected, rel=8 * EPS, abs=0), text


@pytest.mark.parametrize(("text", "exact"), SMOOTH, ids=[row[0] for row in SMOOTH])
def test_derivative(text: str, exact: Exact) -> None:
    f = compile_expression(text)
    for x in (0.03125, 0.3, 0.4375, 0.75, 0.96875):
        with mp.workdps(40):
            expected = mp.diff(exact, mpf(x))
            # what one rounding of x does to the derivative
            slack = abs(mp.diff(exact, mpf(x), 2)) * x * EPS
            assert (
                abs(mpf(float(f.derivative(x))) - expected) <= 32 * EPS * abs(expected) + 8 * slack
            )


@pytest.mark.parametrize(
    ("text", "x", "expected"),
    [
        ("abs(u)", -1.0, -1.0),
        ("abs(u)", 0.0, 0.0),
        ("max(u, 3*u)", 0.0, 2.0),
        ("max(u, 3*u)", 1.0, 3.0),
        ("min(u, 3*u)", 1.0, 1.0),
        ("clip(2*u, 0, 1)", 0.25, 2.0),
        ("clip(2*u, 0, 1)", 0.75, 0.0),
        ("step(u)", 1.0, 0.0),
        ("step(u)", 0.0, math.inf),
        ("step(-u)", 0.0, -math.inf),
        ("u**3", 0.0, 0.0),
        ("u**1", 0.0, 1.0),
        ("u**0", 0.0, 0.0),
        ("sqrt(u)", 0.0, math.inf),
        ("u**(1 + u)", 0.0, 1.0),
        ("7", 0.5, 0.0),
    ],
)
def test_derivative_at_special_points(text: str, x: float, expected: float) -> None:
    assert compile_expression(text).derivative(x) == expected


# -- random expressions --------------------------------------------------------------------
# A tree evaluates itself at a few points with mpmath and carries a first-order bound on what
# float64 rounding may do, taken at the largest magnitudes over those points.


class _Undefined(Exception):
    """Outside the domain, the range of float64, or too close to a jump to say."""


class Bounded:
    def __init__(self, values: list[Any], error: Any) -> None:
        self.values, self.error = values, error
        for value in values:
            if not isinstance(value, mpf) or not mp.isfinite(value) or abs(value) > 1e250:
                raise _Undefined
            if value != 0 and abs(value) < 1e-250:
                raise _Undefined
        if error > 1e-6 * min(1, *(abs(v) for v in values), 1):
            raise _Undefined  # the bound is of first order only
        self.size = max(abs(v) for v in values)


def _apply(function: Exact, slope: Exact, a: Bounded) -> Bounded:
    try:
        values = [mpf(function(v)) for v in a.values]
        steepest = max(abs(mpf(slope(v))) for v in a.values)
    except (ZeroDivisionError, TypeError, ValueError, OverflowError):
        raise _Undefined from None
    return Bounded(values, steepest * a.error + 4 * EPS * max(abs(v) for v in values))


def _add(a: Bounded, b: Bounded) -> Bounded:
    values = [x + y for x, y in zip(a.values, b.values, strict=True)]
    return Bounded(values, a.error + b.error + EPS * (a.size + b.size))


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    values = [x * y for x, y in zip(a.values, b.values, strict=True)]
    return Bounded(values, a.error * b.size + a.size * b.error + 2 * EPS * a.size * b.size)


def _negate(a: Bounded) -> Bounded:
    return Bounded([-v for v in a.values], a.error)


def _invert(a: Bounded) -> Bounded:
    return _apply(lambda v: 1 / v, lambda v: 1 / v**2, a)


def _pick(pick: Callable[..., Any]) -> Callable[[Bounded, Bounded], Bounded]:
    def rule(a: Bounded, b: Bounded) -> Bounded:
        values = [pick(x, y) for x, y in zip(a.values, b.values, strict=True)]
        return Bounded(values, max(a.error, b.error) + EPS * (a.size + b.size))

    return rule


def _jump(a: Bounded) -> Bounded:
    if any(abs(v) <= 16 * a.error for v in a.values):
        raise _Undefined
    return Bounded([mpf(v > 0) for v in a.values], mpf(0))


def _power(exponent: float) -> Callable[[Bounded], Bounded]:
    c = mpf(exponent)
    return lambda a: _apply(lambda v: v**c, lambda v: c * v ** (c - 1), a)


FUNCTIONS: dict[str, Callable[[Bounded], Bounded]] = {
    "exp": lambda a: _apply(mp.exp, mp.exp, a),
    "expm1": lambda a: _apply(mp.expm1, mp.exp, a),
    "log": lambda a: _apply(mp.log, lambda v: 1 / v, a),
    "log1p": lambda a: _apply(mp.log1p, lambda v: 1 / (1 + v), a),
    "sqrt": lambda a: _apply(mp.sqrt, lambda v: 0.5 / mp.sqrt(v), a),
    "sin": lambda a: _apply(mp.sin, lambda v: mpf(1), a),
    "cos": lambda a: _apply(mp.cos, lambda v: mpf(1), a),
    "tanh": lambda a: _apply(mp.tanh, lambda v: mpf(1), a),
    "sigmoid": lambda a: _apply(_sigmoid, lambda v: mpf(1), a),
    "logit": lambda a: _apply(_logit, lambda v: 1 / (v * (1 - v)), a),
    "abs": lambda a: _apply(abs, lambda v: mpf(1), a),
    "step": _jump,
}
BINARY: dict[str, Callable[[Bounded, Bounded], Bounded]] = {
    "({} + {})": _add,
    "({} - {})": lambda a, b: _add(a, _negate(b)),
    "{}*{}": _multiply,
    "({}/{})": lambda a, b: _multiply(a, _invert(b)),
    "min({}, {})": _pick(min),
    "max({}, {})": _pick(max),
}
Tree = tuple[str, Callable[[list[Any]], Bounded]]


def _leaf(text: str, number: float | None) -> Tree:
    if number is None:
        return text, lambda points: Bounded(points, EPS * max(abs(p) for p in points))
    return text, lambda points: Bounded([mpf(number)] * len(points), mpf(0))


def _unary_tree(name: str, a: Tree) -> Tree:
    return f"{name}({a[0]})", lambda points: FUNCTIONS[name](a[1](points))


def _binary_tree(form: str, a: Tree, b: Tree) -> Tree:
    return f"({form.format(a[0], b[0])})", lambda points: BINARY[form](a[1](points), b[1](points))


def _power_tree(a: Tree, exponent: float) -> Tree:
    return f"({a[0]})**{exponent}", lambda points: _power(exponent)(a[1](points))


LEAVES = st.one_of(
    st.just(_leaf("u", None)),
    st.sampled_from([_leaf("t", 2.5), _leaf("pi", math.pi), _leaf("e", math.e)]),
    st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 7.5]).map(lambda c: _leaf(repr(c), c)),
)
TREES = st.recursive(
    LEAVES,
    lambda trees: st.one_of(
        st.builds(_unary_tree, st.sampled_from(sorted(FUNCTIONS)), trees),
        st.builds(_binary_tree, st.sampled_from(sorted(BINARY)), trees, trees),
        st.builds(_power_tree, trees, st.sampled_from([2, 3, 4, -1, -2, 0.5, 1.5, -0.25])),
        trees.map(lambda a: (f"(-{a[0]})", lambda points: _negate(a[1](points)))),
    ),
    max_leaves=8,
)


def _compiled(text: str) -> CompiledExpression:
    needs = {"t": 2.5} if re.search(r"\bt\b", text) else {}
    return compile_expression(text, "u", **needs)


@pytest.mark.slow
@given(TREES, st.floats(0.0, 1.0, allow_subnormal=False))
@settings(deadline=None, max_examples=400)
def test_random_values(tree: Tree, x: float) -> None:
    text, exact = tree
    assume(len(text) <= 1000)
    f = _compiled(text)
    with mp.workdps(60):
        try:
            result = exact([mpf(x)])
        except _Undefined:
            assume(False)
        expected = result.values[0]
        for got in (f.value(x), f.at(x, 1 - x)):
            off = abs(mpf(float(got)) - expected)
            assert off <= 4 * result.error
            if result.error <= 1e-13 * abs(expected):
                assert off <= 1e-12 * abs(expected)


@pytest.mark.slow
@given(TREES, st.sampled_from([0.0, 0.3, 1.0]), st.floats(-300, 0), st.floats(-1.0, 1.0))
@settings(deadline=None, max_examples=400)
def test_random_near_sums_to_the_value(
    tree: Tree, anchor: float, exponent: float, part: float
) -> None:
    text, exact = tree
    reach = anchor if anchor == 1.0 or part < 0 else 1.0 - anchor
    step = (-abs(part) if anchor == 1.0 else abs(part) if anchor == 0.0 else part) * reach
    step *= 10.0**exponent if exponent < -1 else 1.0
    assume(len(text) <= 1000)
    f = _compiled(text)
    first, second = f.near(anchor, step)
    with mp.workdps(360):
        try:
            result = exact([mpf(anchor) + mpf(step), mpf(anchor)])
        except _Undefined:
            assume(False)
        end, start = result.values
        assert abs(mpf(first) + mpf(float(second)) - end) <= 8 * result.error + TINY
        assert first == 0.0 or abs(first - start) <= 4 * result.error


def test_mpmath_is_left_alone() -> None:
    assert mpmath.mp.dps == 15
