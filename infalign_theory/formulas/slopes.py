"""Dual arithmetic: a formula's value with its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from infalign_theory.formulas.plain import DIRECT, sigmoid, unit_step


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
    return Dual(unit_step(a.value), jump)


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
    "tanh": _chain("tanh", lambda x, f: 4.0 * sigmoid(2.0 * x) * sigmoid(-2.0 * x)),
    "sigmoid": _chain("sigmoid", lambda x, f: f * sigmoid(-x)),
    "logit": _chain("logit", lambda x, f: np.where(np.isnan(f), np.nan, 1.0 / (x * (1.0 - x)))),
    "step": _dual_step,
}
