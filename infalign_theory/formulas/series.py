"""Taylor series at an anchor: where first-order terms cancel, as in exp(u) - u at 0.

Differences leave only their rounding errors there; the coefficients of the series cancel before
they meet the step.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from infalign_theory.formulas.changes import SPACING, Near
from infalign_theory.formulas.plain import Program, run, unit_step
from infalign_theory.typing import Array, Values

_ORDER = 24
_POWERS = np.arange(_ORDER + 1.0)
_INVERSE_FACTORIALS = np.array([1 / math.factorial(k) for k in range(_ORDER + 1)])


def _constant_series(number: Values | float) -> Array:
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
    return _constant_series(unit_step(a[0]) if a[0] != 0 else np.nan)


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


def refined(
    program: Program, anchor: float, step: Array, node: Near, reach: float
) -> tuple[Values, Values]:
    """The change of a node and its error, from the series where rounding spoilt the difference.

    The series speaks for steps shorter than ``reach``, the distance to the next kink.
    """
    noisy = node.change_error > 16.0 * np.abs(node.change)
    if not np.any(noisy):
        return node.change, node.change_error
    polynomial, size, tail = 0.0 * step, 0.0 * step, 0.0 * step
    for k, coefficient in reversed(list(enumerate(_series(program, anchor)))[1:]):
        polynomial = (polynomial + coefficient) * step
        size = (size + abs(coefficient)) * np.abs(step)
        tail = (tail + abs(coefficient) * (k > _ORDER - 4)) * np.abs(step)
    trusted = (
        noisy
        & (np.abs(step) < reach)
        & (tail <= 2.0**-54 * np.abs(polynomial))
        & (size < node.change_error)  # else its own terms cancel
        # Any further off, and the series has missed something beyond its order.
        & (np.abs(polynomial - node.change) <= 8.0 * SPACING * node.change_error)
    )
    error = np.where(trusted, 4.0 * size, node.change_error)
    return np.where(trusted, polynomial, node.change), error
