"""A small, safe language for formulas such as ``exp(t*u) - u**2``.

A text is parsed with :mod:`ast`, checked against a whitelist and turned into a flat program
of arithmetic steps; nothing of the text is ever executed. The program can be run in four
arithmetics: plain values, dual numbers (derivatives), *differences* from an anchor, and Taylor
series at the anchor. The last two keep f(anchor + step) - f(anchor) accurate for steps far
below the spacing of float64 numbers around the anchor.
"""

from __future__ import annotations

import ast
import difflib
import functools
import keyword
import math
import numbers
import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from infalign_theory.errors import InputError

__all__ = ["CompiledExpression", "compile_expression"]

Array = npt.NDArray[np.float64]
_T = TypeVar("_T")

_MAX_LENGTH = 1000
_MAX_DEPTH = 50
_CONSTANTS = {"pi": math.pi, "e": math.e}


class _Instruction(NamedTuple):
    """One step of a program: its operands are the results of earlier steps."""

    op: str
    operands: tuple[int, ...] = ()
    number: float = 0.0


_Program = tuple[_Instruction, ...]


def _run(
    program: Sequence[_Instruction],
    number: Callable[[float], _T],
    variable: _T,
    rules: Mapping[str, Callable[..., _T]],
) -> list[_T]:
    """Results of every instruction in the arithmetic that ``rules`` describes."""
    results: list[_T] = []
    for op, operands, constant in program:
        if op == "number":
            results.append(number(constant))
        elif op == "variable":
            results.append(variable)
        else:
            results.append(rules[op](*(results[i] for i in operands)))
    return results


# -- plain values --------------------------------------------------------------------------


def _scalar(number: float) -> Any:
    return np.float64(number)


def _sigmoid(x: Any) -> Any:
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def _logit(x: Any, rest: Any = None) -> Any:
    rest = 1.0 - x if rest is None else rest
    # Around 1/2 the two logarithms cancel; 2x - 1 is exact there.
    middle = np.log1p((2.0 * x - 1.0) / rest)
    return np.where(np.abs(x - 0.5) < 0.25, middle, np.log(x) - np.log(rest))


def _unit_step(x: Any) -> Any:
    return np.heaviside(x, 0.5)


_DIRECT: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "neg": np.negative,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "power": np.power,  # an exponent that does not depend on the variable
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "max": np.maximum,  # abs, min and clip are written with it
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "logit": _logit,
    "step": _unit_step,
}


# -- derivatives: dual numbers -------------------------------------------------------------


class _Dual(NamedTuple):
    value: Any
    slope: Any


def _chain(name: str, slope: Callable[[Any, Any], Any]) -> Callable[[_Dual], _Dual]:
    """Dual rule of a function from ``slope(x, f(x))`` = f'(x)."""

    def rule(a: _Dual) -> _Dual:
        value = _DIRECT[name](a.value)
        return _Dual(value, slope(a.value, value) * a.slope)

    return rule


def _dual_power(a: _Dual, b: _Dual) -> _Dual:
    return _Dual(np.power(a.value, b.value), b.value * np.power(a.value, b.value - 1.0) * a.slope)


def _dual_general_power(a: _Dual, b: _Dual) -> _Dual:
    value = np.power(a.value, b.value)
    # a**b log(a) tends to 0 with a for b > 0, where float64 would say 0 * -inf.
    by_exponent = np.where((a.value == 0) & (b.value > 0), 0.0, value * np.log(a.value))
    return _Dual(value, _dual_power(a, b).slope + by_exponent * b.slope)


def _dual_max(a: _Dual, b: _Dual) -> _Dual:
    value = np.maximum(a.value, b.value)
    slope = np.where(value == a.value, a.slope, b.slope)
    # On a tie the middle of the subdifferential, which is 0 for abs(x) = max(x, -x).
    tie = a.value == b.value
    return _Dual(value, np.where(tie, 0.5 * (a.slope + b.slope), slope))


def _dual_step(a: _Dual) -> _Dual:
    jump = np.where((a.value == 0) & (a.slope != 0), np.copysign(np.inf, a.slope), 0.0)
    return _Dual(_unit_step(a.value), jump)


_SLOPES: dict[str, Callable[..., _Dual]] = {
    "+": lambda a, b: _Dual(a.value + b.value, a.slope + b.slope),
    "neg": lambda a: _Dual(-a.value, -a.slope),
    "*": lambda a, b: _Dual(a.value * b.value, a.slope * b.value + a.value * b.slope),
    "/": lambda a, b: _Dual(a.value / b.value, (a.slope - (a.value / b.value) * b.slope) / b.value),
    "**": _dual_general_power,
    "power": _dual_power,
    "exp": _chain("exp", lambda x, f: f),
    "expm1": _chain("expm1", lambda x, f: np.exp(x)),
    "log": _chain("log", lambda x, f: np.where(x < 0, np.nan, 1.0 / x)),
    "log1p": _chain("log1p", lambda x, f: np.where(x < -1, np.nan, 1.0 / (1.0 + x))),
    "max": _dual_max,
    "sin": _chain("sin", lambda x, f: np.cos(x)),
    "cos": _chain("cos", lambda x, f: -np.sin(x)),
    # 1 - tanh(x)**2 and s (1 - s) without the subtraction
    "tanh": _chain("tanh", lambda x, f: 4.0 * _sigmoid(2.0 * x) * _sigmoid(-2.0 * x)),
    "sigmoid": _chain("sigmoid", lambda x, f: f * _sigmoid(-x)),
    "logit": _chain("logit", lambda x, f: np.where(np.isnan(f), np.nan, 1.0 / (x * (1.0 - x)))),
    "step": _dual_step,
}


# -- differences from an anchor ------------------------------------------------------------


class _Near(NamedTuple):
    """A function at ``anchor point + step``: its value at the anchor, its change, its value.

    ``anchor`` is NaN where the function, or a part of it, has no finite value at the anchor
    point; only ``value`` then means something. ``noise`` bounds, to first order and in units of
    the float64 spacing, the rounding error of ``change``.
    """

    anchor: Any
    change: Any
    value: Any
    noise: Any


_NAN = np.float64(np.nan)
_ZERO = np.float64(0.0)


def _settled(anchor: Any, change: Any, direct: Any, noise: Any, scale: Any = None) -> _Near:
    """Complete a node, taking its value from the more accurate of two sources.

    ``direct`` is computed from the operands' values, with an error in proportion to ``scale``.
    """
    if not np.isfinite(anchor):
        return _Near(_NAN, _NAN, direct, _NAN)
    change = np.where(np.isnan(change), direct - anchor, change)
    total = anchor + change
    scale = np.abs(direct) if scale is None else scale
    clean = np.abs(anchor) + np.abs(change) <= 2.0 * np.maximum(np.abs(total), scale)
    return _Near(anchor, change, np.where(clean, total, direct), noise + np.abs(change))


def _settled_function(a: _Near, anchor: Any, change: Any, direct: Any) -> _Near:
    """The same for a function of one argument, which hands on the relative noise."""
    relative = np.where(a.noise > 0, a.noise / np.abs(a.change), 0.0)
    noise = np.where(np.isinf(relative), np.inf, np.abs(change) * relative)
    return _settled(anchor, change, direct, noise)


def _near_number(number: float) -> _Near:
    value = _scalar(number)
    return _Near(value if np.isfinite(value) else _NAN, _ZERO, value, _ZERO)


def _near_sum(a: _Near, b: _Near) -> _Near:
    anchor, change, direct = a.anchor + b.anchor, a.change + b.change, a.value + b.value
    scale = np.abs(a.value) + np.abs(b.value)
    return _settled(anchor, change, direct, a.noise + b.noise, scale)


def _near_negative(a: _Near) -> _Near:
    return _Near(-a.anchor, -a.change, -a.value, a.noise)


def _near_product(a: _Near, b: _Near) -> _Near:
    change = a.change * b.value + a.anchor * b.change
    noise = (a.noise + np.abs(a.change)) * np.abs(b.value)
    noise = noise + np.abs(a.anchor) * (b.noise + np.abs(b.change))
    return _settled(a.anchor * b.anchor, change, a.value * b.value, noise)


def _near_quotient(a: _Near, b: _Near) -> _Near:
    ratio = a.anchor / b.anchor
    change = (a.change - ratio * b.change) / b.value
    noise = a.noise + np.abs(a.change) + np.abs(ratio) * (b.noise + np.abs(b.change))
    return _settled(ratio, change, a.value / b.value, noise / np.abs(b.value))


def _growth(start: Any, end: Any, log_ratio: Any) -> Any:
    """end - start for positive numbers with end/start = exp(log_ratio); cannot overflow."""
    return np.sign(log_ratio) * np.maximum(start, end) * -np.expm1(-np.abs(log_ratio))


def _log_change(a: _Near) -> Any:
    ratio = a.change / a.anchor
    return np.where(ratio > -0.5, np.log1p(ratio), np.log(a.value / a.anchor))


def _near_exp(a: _Near, function: Callable[[Any], Any] = np.exp) -> _Near:
    change = _growth(np.exp(a.anchor), np.exp(a.value), a.change)
    return _settled_function(a, function(a.anchor), change, function(a.value))


def _near_log(a: _Near) -> _Near:
    return _settled_function(a, np.log(a.anchor), _log_change(a), np.log(a.value))


def _near_log1p(a: _Near) -> _Near:
    one_plus = _near_sum(_near_number(1.0), a)
    direct = np.where(a.value < -0.5, np.log(one_plus.value), np.log1p(a.value))
    return _settled_function(a, np.log1p(a.anchor), _log_change(one_plus), direct)


def _near_logit(a: _Near) -> _Near:
    rest = _near_sum(_near_number(1.0), _near_negative(a))
    change = _log_change(a) - _log_change(rest)
    return _settled_function(a, _logit(a.anchor), change, _logit(a.value, rest.value))


def _near_power(a: _Near, b: _Near) -> _Near:
    exponent = b.value
    start, end = np.power(a.anchor, exponent), np.power(a.value, exponent)
    if a.anchor == 0:
        return _settled_function(a, start, end, end)
    ratio, relative = a.value / a.anchor, a.change / a.anchor
    log_ratio = np.where(relative > -0.5, np.log1p(relative), np.log(ratio))
    if exponent % 2 == 0:
        # Blind to the sign of the base: go through its square, whose change is exact.
        square = relative * (1.0 + ratio)
        log_ratio = np.where(square > -0.5, 0.5 * np.log1p(square), np.log(np.abs(ratio)))
    # An odd power whose base changes sign leaves NaN here and is subtracted plainly.
    change = np.sign(start) * _growth(np.abs(start), np.abs(end), exponent * log_ratio)
    return _settled_function(a, start, change, end)


def _near_general_power(a: _Near, b: _Near) -> _Near:
    log_power = _near_product(b, _near_log(a))
    start = np.where(np.isnan(log_power.anchor), np.nan, np.power(a.anchor, b.anchor))
    end = np.power(a.value, b.value)
    return _settled_function(log_power, start, _growth(start, end, log_power.change), end)


def _near_wave(a: _Near, wave: Callable[[Any], Any], slope: Callable[[Any], Any]) -> _Near:
    # The slope at the midpoint, written out: the sum anchor + half would lose a tiny half.
    start, half = wave(a.anchor), 0.5 * a.change
    middle = slope(a.anchor) * np.cos(half) - start * np.sin(half)
    return _settled_function(a, start, 2.0 * np.sin(half) * middle, wave(a.value))


def _sigmoid_change(start: Any, end: Any, change: Any) -> Any:
    high, low = np.maximum(start, end), np.minimum(start, end)
    return np.sign(change) * _sigmoid(high) * _sigmoid(-low) * -np.expm1(-np.abs(change))


def _near_sigmoid(a: _Near) -> _Near:
    change = _sigmoid_change(a.anchor, a.value, a.change)
    return _settled_function(a, _sigmoid(a.anchor), change, _sigmoid(a.value))


def _near_tanh(a: _Near) -> _Near:
    change = 2.0 * _sigmoid_change(2.0 * a.anchor, 2.0 * a.value, 2.0 * a.change)
    return _settled_function(a, np.tanh(a.anchor), change, np.tanh(a.value))


def _near_max(a: _Near, b: _Near) -> _Near:
    start = np.maximum(a.anchor, b.anchor)
    # Exact on ties: the branch that is largest at the anchor adds 0 to its own change.
    change = np.maximum(a.change + (a.anchor - start), b.change + (b.anchor - start))
    return _settled(start, change, np.maximum(a.value, b.value), a.noise + b.noise)


def _near_step(a: _Near) -> _Near:
    start, end = _unit_step(a.anchor), _unit_step(a.value)
    return _settled(start, end - start, end, _ZERO)


_CHANGES: dict[str, Callable[..., _Near]] = {
    "+": _near_sum,
    "neg": _near_negative,
    "*": _near_product,
    "/": _near_quotient,
    "**": _near_general_power,
    "power": _near_power,
    "exp": _near_exp,
    "expm1": functools.partial(_near_exp, function=np.expm1),
    "log": _near_log,
    "log1p": _near_log1p,
    "max": _near_max,
    "sin": lambda a: _near_wave(a, np.sin, np.cos),
    "cos": lambda a: _near_wave(a, np.cos, lambda x: -np.sin(x)),
    "tanh": _near_tanh,
    "sigmoid": _near_sigmoid,
    "logit": _near_logit,
    "step": _near_step,
}


# -- Taylor series at the anchor -----------------------------------------------------------
# Where first-order terms cancel exactly, as in exp(u) - u at 0, differences leave only their
# rounding errors; the coefficients of the series cancel before they meet the step.

_ORDER = 24
_SPACING = 2.0**-52
_POWERS = np.arange(_ORDER + 1.0)
_INVERSE_FACTORIALS = np.array([1 / math.factorial(k) for k in range(_ORDER + 1)])


def _constant_series(number: Any) -> Array:
    return np.where(_POWERS == 0, number, 0.0)


def _series_product(a: Array, b: Array) -> Array:
    return np.convolve(a, b)[: _ORDER + 1]


def _compose(outer: Array, a: Array) -> Array:
    """Series of f(a) from the Taylor coefficients ``outer`` of f at a[0]."""
    inner = np.where(_POWERS == 0, 0.0, a)
    total = _constant_series(outer[-1])
    for coefficient in outer[-2::-1]:
        total = _series_product(total, inner) + _constant_series(coefficient)
    return total


def _series_exp(a: Array) -> Array:
    return _compose(np.exp(a[0]) * _INVERSE_FACTORIALS, a)


def _series_log(a: Array) -> Array:
    outer = -np.power(-1.0 / a[0], _POWERS) / np.maximum(_POWERS, 1.0)
    outer[0] = np.log(a[0])
    return _compose(outer, a)


def _series_power(a: Array, b: Array) -> Array:
    binomials = np.cumprod(np.append(1.0, (b[0] - _POWERS[:-1]) / _POWERS[1:]))
    outer = np.where(binomials == 0, 0.0, binomials * np.power(a[0], b[0] - _POWERS))
    return _compose(outer, a)


def _series_wave(a: Array, wave: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Array:
    cycle = np.array([wave(a[0]), slope(a[0]), -wave(a[0]), -slope(a[0])])
    return _compose(np.resize(cycle, _ORDER + 1) * _INVERSE_FACTORIALS, a)


def _series_sigmoid(a: Array) -> Array:
    return _series_power(_constant_series(1.0) + _series_exp(-a), _constant_series(-1.0))


def _series_max(a: Array, b: Array) -> Array:
    if a[0] == b[0]:
        return a if np.array_equal(a, b) else a * np.nan  # a kink has no series
    return a if a[0] > b[0] else b


def _series_step(a: Array) -> Array:
    return _constant_series(_unit_step(a[0]) if a[0] != 0 else np.nan)


_SERIES: dict[str, Callable[..., Array]] = {
    "+": np.add,
    "neg": np.negative,
    "*": _series_product,
    "/": lambda a, b: _series_product(a, _series_power(b, _constant_series(-1.0))),
    "**": lambda a, b: _series_exp(_series_product(b, _series_log(a))),
    "power": _series_power,
    "exp": _series_exp,
    "expm1": lambda a: _series_exp(a) - _constant_series(1.0),
    "log": _series_log,
    "log1p": lambda a: _series_log(a + _constant_series(1.0)),
    "max": _series_max,
    "sin": lambda a: _series_wave(a, np.sin, np.cos),
    "cos": lambda a: _series_wave(a, np.cos, lambda x: -np.sin(x)),
    "tanh": lambda a: 2.0 * _series_sigmoid(2.0 * a) - _constant_series(1.0),
    "sigmoid": _series_sigmoid,
    "logit": lambda a: _series_log(a) - _series_log(_constant_series(1.0) - a),
    "step": _series_step,
}


@functools.lru_cache(maxsize=256)
def _series(program: _Program, anchor: float) -> tuple[float, ...]:
    variable = _constant_series(anchor)
    variable[1] = 1.0
    with np.errstate(all="ignore"):
        return tuple(_run(program, _constant_series, variable, _SERIES)[-1].tolist())


def _refined(program: _Program, anchor: float, step: Array, node: _Near) -> Any:
    """The change of a node, from the series where rounding has spoilt the difference."""
    noisy = node.noise > 16.0 * np.abs(node.change)
    if not np.any(noisy):
        return node.change
    polynomial, tail = 0.0 * step, 0.0 * step
    for k, coefficient in reversed(list(enumerate(_series(program, anchor)))[1:]):
        polynomial = (polynomial + coefficient) * step
        tail = (tail + abs(coefficient) * (k > _ORDER - 4)) * np.abs(step)
    trusted = (
        noisy
        & (tail <= 2.0**-54 * np.abs(polynomial))
        # Any further off, and the series has missed something beyond its order.
        & (np.abs(polynomial - node.change) <= 8.0 * _SPACING * node.noise)
    )
    return np.where(trusted, polynomial, node.change)


# -- reading the text ----------------------------------------------------------------------

# name: (least, most) number of arguments; None is "any number"
_ARITY: dict[str, tuple[int, int | None]] = {
    "abs": (1, 1),
    "clip": (3, 3),
    "cos": (1, 1),
    "exp": (1, 1),
    "expm1": (1, 1),
    "log": (1, 1),
    "log1p": (1, 1),
    "logit": (1, 1),
    "max": (2, None),
    "min": (2, None),
    "sigmoid": (1, 1),
    "sin": (1, 1),
    "sqrt": (1, 1),
    "step": (1, 1),
    "tanh": (1, 1),
}
_STEP_HINT = "step(x) is 1 where x > 0, 1/2 at 0 and 0 below: a*step(u - 0.5) switches a on"
_HINTS: dict[Any, str] = {
    ast.BitXor: "write ** for a power",
    ast.IfExp: _STEP_HINT,
    ast.Compare: _STEP_HINT,
    ast.BoolOp: _STEP_HINT,
    ast.Attribute: "write exp(u), not np.exp(u)",
    "ln": "the natural logarithm is log",
    "log2": "write log(x)/log(2)",
    "log10": "write log(x)/log(10)",
    "tan": "write sin(x)/cos(x)",
    "sign": "write 2*step(x) - 1",
    "heaviside": "write step(x)",
    "pow": "write ** for a power",
}
_OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_LOOKALIKES = {
    "\N{MINUS SIGN}": "-",
    "\N{EN DASH}": "-",
    "\N{MIDDLE DOT}": "*",
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{SUPERSCRIPT TWO}": "**2",
    "\N{SUPERSCRIPT THREE}": "**3",
    "\N{GREEK SMALL LETTER PI}": "pi",
    "\N{SQUARE ROOT}": "sqrt(...)",
}
_LETTERS = frozenset(string.ascii_letters)
# Also the start of 0x1f, 1_000, 2j and 1if: whatever follows, it is not an operator.
_NUMBER_THEN_NAME = re.compile(
    r"(?<![\w.])((?>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?))([A-Za-z_]\w*)"
)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


class _Reader:
    """Checks one text and writes its program."""

    def __init__(self, text: str, variable: str, parameters: Mapping[str, float]) -> None:
        self.text, self.variable, self.parameters = text, variable, parameters
        self.program: list[_Instruction] = []
        self.known: dict[_Instruction, int] = {}
        self.used: set[str] = set()

    def read(self) -> _Program:
        self.check_characters()
        try:
            result = self.walk(ast.parse(self.text, mode="eval").body, 1)
        except SyntaxError as error:
            raise self.unreadable(error) from None
        except InputError:
            raise
        except (ValueError, RecursionError, MemoryError):
            raise self.too_deep() from None
        for name in self.parameters:
            if name not in self.used:
                raise InputError(
                    f"the parameter {name} is not used in {_shown(self.text)}; "
                    f"leave it out, or use it in the expression"
                )
        return tuple(self.program[: result + 1])  # the result is the last instruction

    def unreadable(self, error: SyntaxError) -> InputError:
        reason = (error.msg or "invalid syntax").split(". ")[0]
        end = len(self.text) + 1  # the parser says 0 for an unexpected end
        column = min(error.offset or end, end)
        return InputError(
            f"cannot read the expression, {reason} at column {column}; {self.allowed()}\n"
            f"  {self.text}\n  {' ' * (column - 1)}^"
        )

    def allowed(self) -> str:
        names = [f"the variable {self.variable}"]
        if self.parameters:
            names.append(f"the parameters {', '.join(sorted(self.parameters))}")
        names += ["decimal numbers", f"the constants {' and '.join(_CONSTANTS)}"]
        names += ["+ - * / ** and parentheses", f"the functions {', '.join(_ARITY)}"]
        return "allowed are " + "; ".join(names)

    def refuse(self, what: str, hint: str = "") -> NoReturn:
        raise InputError(
            f"{what} in {_shown(self.text)}; {hint}{'; ' * bool(hint)}{self.allowed()}"
        )

    def too_deep(self) -> InputError:
        return InputError(
            f"{_shown(self.text)} is nested more than {_MAX_DEPTH} levels deep; "
            f"simplify it, for instance by removing parentheses"
        )

    def check_characters(self) -> None:
        """Refuse what the syntax tree would hide (comments, look-alikes) or choke on."""
        depth = 0
        for column, character in enumerate(self.text, start=1):
            depth += (character == "(") - (character == ")")
            if depth > _MAX_DEPTH:
                raise self.too_deep()
            if character in "'\"\\#" or not " " <= character <= "~":
                name = unicodedata.name(character, f"U+{ord(character):04X}")
                plain = unicodedata.normalize("NFKC", character)
                better = _LOOKALIKES.get(character, plain if plain in _LETTERS else "")
                self.refuse(
                    f"the character {character!a} ({name}) at column {column} is not allowed",
                    f"write {better}" if better else "",
                )
        if found := _NUMBER_THEN_NAME.search(self.text):
            number, name = found.groups()
            self.refuse(
                f"the number {number} is followed by {_shown(name)}",
                f"put an operator between them, as in {number}*{name}; numbers are decimal",
            )

    def piece(self, node: ast.expr) -> str:
        return _shown(self.text[node.col_offset : node.end_col_offset])

    def emit(self, op: str, *operands: int, number: float = 0.0) -> int:
        """Append an instruction, or find the same one; steps on numbers are done at once."""
        steps = [self.program[i] for i in operands]
        if operands and all(step.op == "number" for step in steps):
            with np.errstate(all="ignore"):
                number = float(_DIRECT[op](*(np.float64(step.number) for step in steps)))
            op, operands = "number", ()
        instruction = _Instruction(op, operands, number)
        if instruction not in self.known:
            self.known[instruction] = len(self.program)
            self.program.append(instruction)
        return self.known[instruction]

    def walk(self, node: ast.expr, depth: int) -> int:
        if depth > _MAX_DEPTH:
            raise self.too_deep()
        if isinstance(node, ast.Constant):
            return self.number(node)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            result = self.walk(node.operand, depth + 1)
            return result if isinstance(node.op, ast.UAdd) else self.emit("neg", result)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            return self.power(self.walk(node.left, depth + 1), self.walk(node.right, depth + 1))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self.chain(node, depth)
        hint = _HINTS.get(type(node.op if isinstance(node, ast.BinOp) else node), "")
        self.refuse(f"{self.piece(node)} is not part of the expression language", hint)

    def chain(self, node: ast.expr, depth: int) -> int:
        """a + b - c + ... from the left: long sums are not deep."""
        rest: list[tuple[str, ast.expr]] = []
        while isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            rest.append((_OPERATORS[type(node.op)], node.right))
            node = node.left
        result = self.walk(node, depth + 1)
        for op, right in reversed(rest):
            operand = self.walk(right, depth + 1)
            if op == "-":
                op, operand = "+", self.emit("neg", operand)
            result = self.emit(op, result, operand)
        return result

    def number(self, node: ast.Constant) -> int:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            self.refuse(f"{self.piece(node)} is not a number")
        try:
            number = float(node.value)
        except OverflowError:
            number = math.inf
        if math.isinf(number):
            self.refuse(f"the number {self.piece(node)} is too large", "the limit is 1.797e308")
        return self.emit("number", number=number)

    def name(self, node: ast.Name) -> int:
        name = node.id
        if name == self.variable:
            return self.emit("variable")
        if name in self.parameters:
            self.used.add(name)
            return self.emit("number", number=self.parameters[name])
        if name in _CONSTANTS:
            return self.emit("number", number=_CONSTANTS[name])
        if name in _ARITY:
            self.refuse(f"the function {name} has no arguments", f"write {name}(...)")
        if "__" in name:
            self.refuse(f"the name {_shown(name)} is not allowed")
        self.refuse(
            f"the name {name} is not known",
            f"if it is a parameter, give its value next to the text, as in "
            f"Expression({_shown(self.text)}, {name}=5) or expr:{self.text:.60};{name}=5",
        )

    def call(self, node: ast.Call, depth: int) -> int:
        if not isinstance(node.func, ast.Name):
            attribute = isinstance(node.func, ast.Attribute)
            hint = _HINTS[ast.Attribute] if attribute else "write * to multiply"
            self.refuse(f"{self.piece(node.func)} cannot be called", hint)
        name = node.func.id
        if name == self.variable or name in self.parameters or name in _CONSTANTS:
            self.refuse(f"{name} is not a function", f"write {name}*(...) to multiply")
        if name not in _ARITY:
            close = difflib.get_close_matches(name, _ARITY, n=1)
            hint = _HINTS.get(name) or (f"did you mean {close[0]}" if close else "")
            self.refuse(f"there is no function {_shown(name)}", hint)
        for part in (*node.args, *(word.value for word in node.keywords)):
            if isinstance(part, ast.Starred) or part not in node.args:
                self.refuse(f"{self.piece(node)} has a keyword or starred argument")
        least, most = _ARITY[name]
        if len(node.args) < least or (most is not None and len(node.args) > most):
            count = f"{least}" if most else f"at least {least}"
            self.refuse(f"{self.piece(node)} has {len(node.args)} arguments, {name} takes {count}")
        return self.function(name, [self.walk(part, depth + 1) for part in node.args])

    def power(self, base: int, exponent: int) -> int:
        op, _, number = self.program[exponent]
        if op != "number":
            return self.emit("**", base, exponent)
        if number == 0.0:  # x**0 is 1 for every x, as in Python
            return self.emit("number", number=1.0)
        return base if number == 1.0 else self.emit("power", base, exponent)

    def function(self, name: str, parts: list[int]) -> int:
        if name == "sqrt":
            return self.power(parts[0], self.emit("number", number=0.5))
        if name == "abs":
            return self.emit("max", parts[0], self.emit("neg", parts[0]))
        if name == "max":
            return functools.reduce(lambda a, b: self.emit("max", a, b), parts)
        if name == "min":
            opposite = self.function("max", [self.emit("neg", part) for part in parts])
            return self.emit("neg", opposite)
        if name == "clip":
            return self.function("min", [self.function("max", parts[:2]), parts[2]])
        return self.emit(name, *parts)


# -- the public face -----------------------------------------------------------------------


def _check_name(name: str, role: str) -> None:
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    if not plain or "__" in name:
        raise InputError(
            f"{_shown(name)} cannot be the name of {role}; "
            f"allowed are ASCII letters, digits and single underscores, as in t or rate_2"
        )
    if name in _CONSTANTS or name in _ARITY:
        kind = "constant" if name in _CONSTANTS else "function"
        raise InputError(f"{name} is a {kind} and cannot be the name of {role}; rename {role}")


def _check_parameter(name: str, number: object, variable: str) -> float:
    _check_name(name, "a parameter")
    if name == variable:
        raise InputError(f"{name} is the variable and cannot be a parameter; rename the parameter")
    if isinstance(number, bool | np.bool_) or not isinstance(number, numbers.Real):
        raise InputError(f"the parameter {name} is {number!r:.60}; it must be a real number")
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"the parameter {name} is {value}; it must be finite")
    return value


@dataclass(frozen=True)
class CompiledExpression:
    """A checked formula in one variable, ready to be evaluated.

    Made by :func:`compile_expression`, or from the same three fields; immutable, hashable and
    picklable. Two objects are equal when text, variable and parameters are.

    Attributes
    ----------
    text : str
        The formula, with white space at the ends removed.
    variable : str
        Name of the variable.
    parameters : tuple of (str, float)
        Names and values of the parameters, sorted by name.

    Notes
    -----
    The methods accept arrays of any shape and return float64 arrays of that shape. They never
    raise and never warn: outside a formula's domain they return NaN or an infinity.
    """

    text: str
    variable: str = "u"
    parameters: tuple[tuple[str, float], ...] = ()
    _program: _Program = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip():
            raise InputError(f"an expression is a text such as 'exp(3*u)', not {self.text!r:.60}")
        if len(self.text) > _MAX_LENGTH:
            raise InputError(
                f"the expression has {len(self.text)} characters, {_MAX_LENGTH} are allowed; "
                f"shorten it, for instance with parameters"
            )
        if not isinstance(self.variable, str):
            raise InputError(f"the variable is a name such as 'u', got {self.variable!r:.60}")
        _check_name(self.variable, "the variable")
        values = {n: _check_parameter(n, v, self.variable) for n, v in sorted(self.parameters)}
        text = re.sub(r"[\t\r\n]", " ", self.text).strip()
        program = _Reader(text, self.variable, values).read()
        for name, content in (("text", text), ("parameters", tuple(values.items()))):
            object.__setattr__(self, name, content)
        object.__setattr__(self, "_program", program)

    def _node(self, anchor: float, step: Array, x: Array) -> _Near:
        return _run(self._program, _near_number, _Near(_scalar(anchor), step, x, _ZERO), _CHANGES)[
            -1
        ]

    def value(self, x: npt.ArrayLike) -> Array:
        """Plain evaluation f(x), in float64 and in the order the text says.

        Examples
        --------
        >>> compile_expression("u**2 + t", t=1).value([0.0, 2.0])
        array([1., 5.])
        """
        points = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            return _shaped(_run(self._program, _scalar, points, _DIRECT)[-1], points.shape)

    def near(self, anchor: float, step: npt.ArrayLike) -> tuple[float, Array]:
        """f(anchor) and the change f(anchor + step) - f(anchor), the change kept accurate.

        The change has a small *relative* error, however small the step: a few units in the
        last place, more where the formula itself magnifies rounding (``exp(200*u)`` does so by
        200). Terms that cancel to some order, as in ``exp(u) - u`` at 0, are no trouble
        if their Taylor coefficients cancel exactly in float64.

        Parameters
        ----------
        anchor : float
            The point to measure from.
        step : array_like
            Signed distances from it, any shape.

        Returns
        -------
        tuple of (float, ndarray)
            Two numbers whose sum is f(anchor + step). If the formula, or any part of it, has
            no finite value at the anchor, they are 0.0 and f(anchor + step), as in :meth:`at`.

        Examples
        --------
        >>> compile_expression("exp(3*u)").near(0.0, [1e-300])
        (1.0, array([3.e-300]))
        >>> compile_expression("log(1 - u)").near(1.0, [-1e-300])
        (0.0, array([-690.7755279]))
        """
        steps = np.asarray(step, dtype=np.float64)
        flat, start = steps.ravel(), float(anchor)
        with np.errstate(all="ignore"):
            node = self._node(start, flat, start + flat)
            if not math.isnan(node.anchor):
                change = _refined(self._program, start, flat, node)
                return float(node.anchor) + 0.0, _shaped(change, flat.shape).reshape(steps.shape)
        if start == 0.0 or start == 1.0:
            value = self.at(start + flat, -flat if start else 1.0 - flat)
        else:
            value = _shaped(node.value, flat.shape)
        return 0.0, value.reshape(steps.shape)

    def at(self, x: npt.ArrayLike, complement: npt.ArrayLike) -> Array:
        """f(x) where both x and ``complement`` = 1 - x are known accurately.

        Every ``1 - u`` in the formula then keeps its relative accuracy, however close u is
        to 1.

        Examples
        --------
        >>> compile_expression("log(1 - u)").at([1.0], [1e-300])
        array([-690.7755279])
        """
        points, rests = np.broadcast_arrays(
            np.asarray(x, dtype=np.float64), np.asarray(complement, dtype=np.float64)
        )
        result = np.empty(points.shape)
        upper = rests < 0.5
        with np.errstate(all="ignore"):
            for half, anchor, step in ((upper, 1.0, -rests), (~upper, 0.0, points)):
                if np.any(half):
                    result[half] = self._node(anchor, step[half], points[half]).value
        return result

    def derivative(self, x: npt.ArrayLike) -> Array:
        """f'(x) by dual numbers: exact differentiation, no step size.

        At a kink (``abs``, ``min``, ``max``, ``clip``) it is the mean of the two one-sided
        derivatives, at a jump (``step``) an infinity with the sign of the jump.

        Examples
        --------
        >>> compile_expression("u**3 + abs(u)").derivative([-1.0, 0.0, 2.0])
        array([ 2.,  0., 13.])
        """
        points = np.asarray(x, dtype=np.float64)
        with np.errstate(all="ignore"):
            variable = _Dual(points, np.float64(1.0))
            result = _run(self._program, _dual_number, variable, _SLOPES)[-1].slope
            return _shaped(result, points.shape)


def _dual_number(number: float) -> _Dual:
    return _Dual(np.float64(number), np.float64(0.0))


def _shaped(result: Any, shape: tuple[int, ...]) -> Array:
    """A fresh array: a constant formula has lost the shape, the formula u shares its input."""
    return np.array(np.broadcast_to(result, shape), dtype=np.float64)


def compile_expression(text: str, variable: str = "u", **parameters: float) -> CompiledExpression:
    """Read a formula; nothing of it is ever executed.

    Parameters
    ----------
    text : str
        At most 1000 ASCII characters and 50 levels of nesting: decimal numbers, the variable,
        parameters, the constants ``pi`` and ``e``, ``+ - * / **``, parentheses and the functions
        ``exp expm1 log log1p sqrt sin cos tanh sigmoid logit abs min max``, ``clip(x, low, high)``
        and ``step(x)`` (1 where x > 0, 1/2 at 0, else 0).
    variable : str, default "u"
        The name of the variable.
    **parameters : float
        A finite value for every other name in the text.

    Returns
    -------
    CompiledExpression
        Evaluates the formula, its derivative, and its change from an anchor.

    Raises
    ------
    InputError
        If the text is not a formula of this language, or if the parameters in the text and
        those given differ.

    Examples
    --------
    >>> f = compile_expression("exp(t*u) - u**2", t=5)
    >>> f.value([0.0, 0.5])
    array([ 1.        , 11.93249396])
    >>> compile_expression("p**4", variable="p").derivative(0.5)
    array(0.5)
    """
    return CompiledExpression(text, variable, tuple(parameters.items()))
