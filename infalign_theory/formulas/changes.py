"""Difference arithmetic: a formula's change from an anchor, with a bound on its rounding error."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from infalign_theory.formulas.plain import logit, scalar, sigmoid, unit_step
from infalign_theory.typing import Values

SPACING = 2.0**-52


class Near(NamedTuple):
    """A function at ``anchor point + step``: its value at the anchor, its change, its value.

    ``anchor`` is NaN where the function, or a part of it, has no finite value at the anchor
    point; only ``value`` then means something. The three errors bound, to first order and in
    units of the float64 spacing, what rounding did to each of the three.
    """

    anchor: Values
    change: Values
    value: Values
    anchor_error: Values
    change_error: Values
    value_error: Values


_NAN = np.float64(np.nan)
ZERO = np.float64(0.0)
_JUMP = 1.0 / SPACING  # the error of a step function that cannot tell its side


def _times(a: Values, b: Values) -> Values:
    """a b where 0 times infinity is 0: no error is not magnified."""
    product = a * b
    return np.where(np.isnan(product) & ((a == 0) | (b == 0)), 0.0, product)


def _settled(
    anchor: tuple[Values, Values],
    change: tuple[Values, Values],
    direct: tuple[Values, Values],
    scale: Values | None = None,
) -> Near:
    """Complete a node from pairs (number, error), its value from the more accurate of two sources.

    ``direct`` is computed from the operands' values; rounding adds an error in proportion to
    ``scale``.
    """
    start, start_error = anchor
    end, end_error = direct
    if not np.isfinite(start):
        return Near(_NAN, _NAN, end, _NAN, _NAN, end_error + np.abs(end))
    moved, error = change
    # where the change is all but the whole value, plain subtraction knows it better
    plain_error = end_error + start_error + np.abs(start) + np.abs(end)
    plain = np.isnan(moved) | (plain_error < error)
    moved = np.where(plain, end - start, moved)
    error = np.where(plain, plain_error, error) + np.abs(moved)
    total = start + moved
    scale = np.abs(end) if scale is None else scale
    clean = np.abs(start) + np.abs(moved) <= 2.0 * np.maximum(np.abs(total), scale)
    clean &= ~(start_error + error > 2.0 * end_error + 2.0 * scale)
    value = np.where(clean, total, end)
    value_error = np.where(clean, start_error + error, end_error) + np.abs(value)
    return Near(start, moved, value, start_error, error, value_error)


def _settled_function(
    a: Near, anchor: Values, change: Values, direct: Values, slope: Callable[[Values], Values]
) -> Near:
    """The same for a function of one argument with the given derivative."""
    at_start, at_end = slope(a.anchor), slope(a.value)
    error = _times(np.abs(at_end), a.change_error)
    # an anchor that is off shifts both ends alike
    error = error + _times(np.abs(at_end - at_start), a.anchor_error)
    anchor_error = _times(np.abs(at_start), a.anchor_error)
    if not (a.anchor in (0.0, 0.5, 1.0) and 2.0 * anchor == np.floor(2.0 * anchor)):
        anchor_error = anchor_error + np.abs(anchor)
    direct_error = _times(np.abs(at_end), a.value_error)
    return _settled((anchor, anchor_error), (change, error), (direct, direct_error))


def near_number(number: float) -> Near:
    """A constant in difference arithmetic."""
    value = scalar(number)
    return Near(value if np.isfinite(value) else _NAN, ZERO, value, ZERO, ZERO, ZERO)


def near_variable(anchor: float, step: Values, x: Values) -> Near:
    """The variable at ``anchor + step``; ``x`` is the same point, accurate where it is small."""
    # x is rounded where the step is exact, and the other way round
    return Near(scalar(anchor), step, x, ZERO, ZERO, ZERO if anchor == 0.0 else np.abs(x))


def _inexact(exact: Callable[..., Fraction], rounded: Values, *operands: Values) -> Values:
    """Rounding error of an operation on anchors, which are scalars, in units of the spacing."""
    if not all(math.isfinite(x) for x in (rounded, *operands)):
        return ZERO
    try:
        off = exact(*(Fraction(float(x)) for x in operands)) - Fraction(float(rounded))
    except ZeroDivisionError:
        return ZERO
    return np.float64(abs(float(off)) / SPACING)


def near_sum(a: Near, b: Near) -> Near:
    """a + b."""
    anchor, change, direct = a.anchor + b.anchor, a.change + b.change, a.value + b.value
    scale = np.abs(a.value) + np.abs(b.value)
    error = a.anchor_error + b.anchor_error
    error = error + _inexact(lambda x, y: x + y, anchor, a.anchor, b.anchor)
    return _settled(
        (anchor, error),
        (change, a.change_error + b.change_error),
        (direct, a.value_error + b.value_error),
        scale,
    )


def near_negative(a: Near) -> Near:
    """-a."""
    return Near(-a.anchor, -a.change, -a.value, a.anchor_error, a.change_error, a.value_error)


def _near_product(a: Near, b: Near) -> Near:
    anchor, direct = a.anchor * b.anchor, a.value * b.value
    change = a.change * b.value + a.anchor * b.change
    anchor_error = np.abs(a.anchor) * b.anchor_error + np.abs(b.anchor) * a.anchor_error
    anchor_error = anchor_error + _inexact(lambda x, y: x * y, anchor, a.anchor, b.anchor)
    error = (a.change_error + np.abs(a.change)) * np.abs(b.value)
    error = error + np.abs(a.change) * b.value_error + a.anchor_error * np.abs(b.change)
    error = error + np.abs(a.anchor) * (b.change_error + np.abs(b.change))
    direct_error = _times(np.abs(a.value), b.value_error) + _times(np.abs(b.value), a.value_error)
    return _settled((anchor, anchor_error), (change, error), (direct, direct_error))


def _near_quotient(a: Near, b: Near) -> Near:
    ratio, direct = a.anchor / b.anchor, a.value / b.value
    change = (a.change - ratio * b.change) / b.value
    anchor_error = (a.anchor_error + np.abs(ratio) * b.anchor_error) / np.abs(b.anchor)
    anchor_error = anchor_error + _inexact(lambda x, y: x / y, ratio, a.anchor, b.anchor)
    error = a.change_error + np.abs(a.change) + anchor_error * np.abs(b.change)
    error = error + np.abs(ratio) * (b.change_error + np.abs(b.change))
    error = (error + np.abs(change) * b.value_error) / np.abs(b.value)
    direct_error = (a.value_error + np.abs(direct) * b.value_error) / np.abs(b.value)
    return _settled((ratio, anchor_error), (change, error), (direct, direct_error))


def _growth(start: Values, end: Values, log_ratio: Values) -> Values:
    """end - start for positive numbers with end/start = exp(log_ratio); cannot overflow."""
    return np.sign(log_ratio) * np.maximum(start, end) * -np.expm1(-np.abs(log_ratio))


def _log_change(a: Near) -> Values:
    ratio = a.change / a.anchor
    return np.where(ratio > -0.5, np.log1p(ratio), np.log(a.value / a.anchor))


def _near_exp(a: Near, function: Callable[[Values], Values] = np.exp) -> Near:
    change = _growth(np.exp(a.anchor), np.exp(a.value), a.change)
    return _settled_function(a, function(a.anchor), change, function(a.value), np.exp)


def _near_log(a: Near) -> Near:
    direct = np.log(a.value)
    return _settled_function(a, np.log(a.anchor), _log_change(a), direct, np.reciprocal)


def _near_log1p(a: Near) -> Near:
    one_plus = near_sum(near_number(1.0), a)
    direct = np.where(a.value < -0.5, np.log(one_plus.value), np.log1p(a.value))
    change = _log_change(one_plus)
    return _settled_function(a, np.log1p(a.anchor), change, direct, lambda x: 1.0 / (1.0 + x))


def complement(a: Near) -> Near:
    """1 - a."""
    return near_sum(near_number(1.0), near_negative(a))


def _near_logit(a: Near) -> Near:
    rest = complement(a)
    change = _log_change(a) - _log_change(rest)

    def slope(x: Values) -> Values:
        return 1.0 / (x * (rest.value if x is a.value else 1.0 - x))

    return _settled_function(a, logit(a.anchor), change, logit(a.value, rest.value), slope)


def _near_power(a: Near, b: Near) -> Near:
    exponent = b.value

    def slope(x: Values) -> Values:
        return exponent * np.power(x, exponent - 1.0)

    start, end = np.power(a.anchor, exponent), np.power(a.value, exponent)
    if a.anchor == 0:
        return _settled_function(a, start, end, end, slope)
    ratio, relative = a.value / a.anchor, a.change / a.anchor
    log_ratio = np.where(relative > -0.5, np.log1p(relative), np.log(ratio))
    if exponent % 2 == 0:
        # Blind to the sign of the base: go through its square, whose change is exact.
        square = relative * (1.0 + ratio)
        log_ratio = np.where(square > -0.5, 0.5 * np.log1p(square), np.log(np.abs(ratio)))
    # An odd power whose base changes sign leaves NaN here and is subtracted plainly.
    change = np.sign(start) * _growth(np.abs(start), np.abs(end), exponent * log_ratio)
    return _settled_function(a, start, change, end, slope)


def _near_general_power(a: Near, b: Near) -> Near:
    log_power = _near_product(b, _near_log(a))
    start = np.where(np.isnan(log_power.anchor), np.nan, np.power(a.anchor, b.anchor))
    end = np.power(a.value, b.value)
    change = _growth(start, end, log_power.change)
    return _settled_function(log_power, start, change, end, np.exp)


def _near_wave(
    a: Near, wave: Callable[[Values], Values], slope: Callable[[Values], Values]
) -> Near:
    # The slope at the midpoint, written out: the sum anchor + half would lose a tiny half.
    start, half = wave(a.anchor), 0.5 * a.change
    middle = slope(a.anchor) * np.cos(half) - start * np.sin(half)
    return _settled_function(a, start, 2.0 * np.sin(half) * middle, wave(a.value), slope)


def _sigmoid_change(start: Values, end: Values, change: Values) -> Values:
    high, low = np.maximum(start, end), np.minimum(start, end)
    return np.sign(change) * sigmoid(high) * sigmoid(-low) * -np.expm1(-np.abs(change))


def _sigmoid_slope(x: Values) -> Values:
    return sigmoid(x) * sigmoid(-x)


def _near_sigmoid(a: Near) -> Near:
    change = _sigmoid_change(a.anchor, a.value, a.change)
    return _settled_function(a, sigmoid(a.anchor), change, sigmoid(a.value), _sigmoid_slope)


def _near_tanh(a: Near) -> Near:
    change = 2.0 * _sigmoid_change(2.0 * a.anchor, 2.0 * a.value, 2.0 * a.change)

    def slope(x: Values) -> Values:
        return 4.0 * _sigmoid_slope(2.0 * x)

    return _settled_function(a, np.tanh(a.anchor), change, np.tanh(a.value), slope)


def _near_max(a: Near, b: Near) -> Near:
    start = np.maximum(a.anchor, b.anchor)
    # Exact on ties: the branch that is largest at the anchor adds 0 to its own change.
    a_change, b_change = a.change + (a.anchor - start), b.change + (b.anchor - start)
    change, ahead = np.maximum(a_change, b_change), a_change >= b_change
    switch = a.anchor_error + b.anchor_error + np.abs(a.anchor - b.anchor)
    # where the anchors' own errors decide which branch leads, neither change is sure
    unsure = np.abs(a.anchor - b.anchor) < SPACING * (a.anchor_error + b.anchor_error)
    a_error = a.change_error + (switch if unsure or a.anchor < start else 0.0)
    b_error = b.change_error + (switch if unsure or b.anchor < start else 0.0)
    error = np.where(ahead, a_error, b_error)
    anchor_error = a.anchor_error if a.anchor == start else b.anchor_error
    if unsure:
        anchor_error = np.maximum(a.anchor_error, b.anchor_error)
    larger = a.value >= b.value
    direct = np.where(larger, a.value, b.value)
    direct_error = np.where(larger, a.value_error, b.value_error)
    direct = np.where(np.isnan(a.value) | np.isnan(b.value), np.nan, direct)
    return _settled((start, anchor_error), (change, error), (direct, direct_error))


def _near_step(a: Near) -> Near:
    start, end = unit_step(a.anchor), unit_step(a.value)
    unsure = np.abs(a.value) < SPACING * a.value_error
    error = np.where(unsure, _JUMP, 0.0)
    if np.abs(a.anchor) < SPACING * a.anchor_error:
        error = error + _JUMP
    return _settled((start, ZERO), (end - start, error), (end, np.where(unsure, _JUMP, 0.0)))


CHANGES: dict[str, Callable[..., Near]] = {
    "+": near_sum,
    "neg": near_negative,
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
