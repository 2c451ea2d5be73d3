"""The four arithmetics in which a checked formula can be run; see ``expressions``."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from infalign_theory.typing import Array

_T = TypeVar("_T")


class Instruction(NamedTuple):
    """One step of a program: its operands are the results of earlier steps."""

    op: str
    operands: tuple[int, ...] = ()
    number: float = 0.0


Program = tuple[Instruction, ...]


def run(
    program: Sequence[Instruction],
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


def scalar(number: float) -> Any:
    """A constant in plain arithmetic."""
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


DIRECT: dict[str, Callable[..., Any]] = {
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


class Dual(NamedTuple):
    """A value with its derivative."""

    value: Any
    slope: Any


def _chain(name: str, slope: Callable[[Any, Any], Any]) -> Callable[[Dual], Dual]:
    """Dual rule of a function from ``slope(x, f(x))`` = f'(x)."""

    def rule(a: Dual) -> Dual:
        value = DIRECT[name](a.value)
        return Dual(value, slope(a.value, value) * a.slope)

    return rule


def _dual_power(a: Dual, b: Dual) -> Dual:
    return Dual(np.power(a.value, b.value), b.value * np.power(a.value, b.value - 1.0) * a.slope)


def _dual_general_power(a: Dual, b: Dual) -> Dual:
    value = np.power(a.value, b.value)
    # a**b log(a) tends to 0 with a for b > 0, where float64 would say 0 * -inf.
    by_exponent = np.where((a.value == 0) & (b.value > 0), 0.0, value * np.log(a.value))
    return Dual(value, _dual_power(a, b).slope + by_exponent * b.slope)


def _dual_max(a: Dual, b: Dual) -> Dual:
    value = np.maximum(a.value, b.value)
    slope = np.where(value == a.value, a.slope, b.slope)
    # On a tie the middle of the subdifferential, which is 0 for abs(x) = max(x, -x).
    tie = a.value == b.value
    return Dual(value, np.where(tie, 0.5 * (a.slope + b.slope), slope))


def _dual_step(a: Dual) -> Dual:
    jump = np.where((a.value == 0) & (a.slope != 0), np.copysign(np.inf, a.slope), 0.0)
    return Dual(_unit_step(a.value), jump)


SLOPES: dict[str, Callable[..., Dual]] = {
    "+": lambda a, b: Dual(a.value + b.value, a.slope + b.slope),
    "neg": lambda a: Dual(-a.value, -a.slope),
    "*": lambda a, b: Dual(a.value * b.value, a.slope * b.value + a.value * b.slope),
    "/": lambda a, b: Dual(a.value / b.value, (a.slope - (a.value / b.value) * b.slope) / b.value),
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


class Near(NamedTuple):
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
ZERO = np.float64(0.0)


def _settled(anchor: Any, change: Any, direct: Any, noise: Any, scale: Any = None) -> Near:
    """Complete a node, taking its value from the more accurate of two sources.

    ``direct`` is computed from the operands' values, with an error in proportion to ``scale``.
    """
    if not np.isfinite(anchor):
        return Near(_NAN, _NAN, direct, _NAN)
    change = np.where(np.isnan(change), direct - anchor, change)
    total = anchor + change
    scale = np.abs(direct) if scale is None else scale
    clean = np.abs(anchor) + np.abs(change) <= 2.0 * np.maximum(np.abs(total), scale)
    return Near(anchor, change, np.where(clean, total, direct), noise + np.abs(change))


def _settled_function(a: Near, anchor: Any, change: Any, direct: Any) -> Near:
    """The same for a function of one argument, which hands on the relative noise."""
    relative = np.where(a.noise > 0, a.noise / np.abs(a.change), 0.0)
    noise = np.where(np.isinf(relative), np.inf, np.abs(change) * relative)
    return _settled(anchor, change, direct, noise)


def near_number(number: float) -> Near:
    """A constant in difference arithmetic."""
    value = scalar(number)
    return Near(value if np.isfinite(value) else _NAN, ZERO, value, ZERO)


def _near_sum(a: Near, b: Near) -> Near:
    anchor, change, direct = a.anchor + b.anchor, a.change + b.change, a.value + b.value
    scale = np.abs(a.value) + np.abs(b.value)
    return _settled(anchor, change, direct, a.noise + b.noise, scale)


def _near_negative(a: Near) -> Near:
    return Near(-a.anchor, -a.change, -a.value, a.noise)


def _near_product(a: Near, b: Near) -> Near:
    change = a.change * b.value + a.anchor * b.change
    noise = (a.noise + np.abs(a.change)) * np.abs(b.value)
    noise = noise + np.abs(a.anchor) * (b.noise + np.abs(b.change))
    return _settled(a.anchor * b.anchor, change, a.value * b.value, noise)


def _near_quotient(a: Near, b: Near) -> Near:
    ratio = a.anchor / b.anchor
    change = (a.change - ratio * b.change) / b.value
    noise = a.noise + np.abs(a.change) + np.abs(ratio) * (b.noise + np.abs(b.change))
    return _settled(ratio, change, a.value / b.value, noise / np.abs(b.value))


def _growth(start: Any, end: Any, log_ratio: Any) -> Any:
    """end - start for positive numbers with end/start = exp(log_ratio); cannot overflow."""
    return np.sign(log_ratio) * np.maximum(start, end) * -np.expm1(-np.abs(log_ratio))


def _log_change(a: Near) -> Any:
    ratio = a.change / a.anchor
    return np.where(ratio > -0.5, np.log1p(ratio), np.log(a.value / a.anchor))


def _near_exp(a: Near, function: Callable[[Any], Any] = np.exp) -> Near:
    change = _growth(np.exp(a.anchor), np.exp(a.value), a.change)
    return _settled_function(a, function(a.anchor), change, function(a.value))


def _near_log(a: Near) -> Near:
    return _settled_function(a, np.log(a.anchor), _log_change(a), np.log(a.value))


def _near_log1p(a: Near) -> Near:
    one_plus = _near_sum(near_number(1.0), a)
    direct = np.where(a.value < -0.5, np.log(one_plus.value), np.log1p(a.value))
    return _settled_function(a, np.log1p(a.anchor), _log_change(one_plus), direct)


def _near_logit(a: Near) -> Near:
    rest = _near_sum(near_number(1.0), _near_negative(a))
    change = _log_change(a) - _log_change(rest)
    return _settled_function(a, _logit(a.anchor), change, _logit(a.value, rest.value))


def _near_power(a: Near, b: Near) -> Near:
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


def _near_general_power(a: Near, b: Near) -> Near:
    log_power = _near_product(b, _near_log(a))
    start = np.where(np.isnan(log_power.anchor), np.nan, np.power(a.anchor, b.anchor))
    end = np.power(a.value, b.value)
    return _settled_function(log_power, start, _growth(start, end, log_power.change), end)


def _near_wave(a: Near, wave: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Near:
    # The slope at the midpoint, written out: the sum anchor + half would lose a tiny half.
    start, half = wave(a.anchor), 0.5 * a.change
    middle = slope(a.anchor) * np.cos(half) - start * np.sin(half)
    return _settled_function(a, start, 2.0 * np.sin(half) * middle, wave(a.value))


def _sigmoid_change(start: Any, end: Any, change: Any) -> Any:
    high, low = np.maximum(start, end), np.minimum(start, end)
    return np.sign(change) * _sigmoid(high) * _sigmoid(-low) * -np.expm1(-np.abs(change))


def _near_sigmoid(a: Near) -> Near:
    change = _sigmoid_change(a.anchor, a.value, a.change)
    return _settled_function(a, _sigmoid(a.anchor), change, _sigmoid(a.value))


def _near_tanh(a: Near) -> Near:
    change = 2.0 * _sigmoid_change(2.0 * a.anchor, 2.0 * a.value, 2.0 * a.change)
    return _settled_function(a, np.tanh(a.anchor), change, np.tanh(a.value))


def _near_max(a: Near, b: Near) -> Near:
    start = np.maximum(a.anchor, b.anchor)
    # Exact on ties: the branch that is largest at the anchor adds 0 to its own change.
    change = np.maximum(a.change + (a.anchor - start), b.change + (b.anchor - start))
    return _settled(start, change, np.maximum(a.value, b.value), a.noise + b.noise)


def _near_step(a: Near) -> Near:
    start, end = _unit_step(a.anchor), _unit_step(a.value)
    return _settled(start, end - start, end, ZERO)


CHANGES: dict[str, Callable[..., Near]] = {
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
def _series(program: Program, anchor: float) -> tuple[float, ...]:
    variable = _constant_series(anchor)
    variable[1] = 1.0
    with np.errstate(all="ignore"):
        return tuple(run(program, _constant_series, variable, _SERIES)[-1].tolist())


def refined(program: Program, anchor: float, step: Array, node: Near) -> Any:
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
