"""Enclosures: a formula on a disc of complex u, as a straight line plus a bounded rest.

With u = c + r z, |z| <= 1, every step of a program is f(c) + slope z + rest(z), |rest| <= bound.
The bound is a proof: an analytic function that stays within it cannot hide a spike between the
nodes of a panel whose Bernstein ellipse lies in the disc, for its Legendre coefficients die away
like 4^-n (docs/mathematics/quadrature.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from infalign_theory.formulas.changes import Near, complement, near_negative, near_number, near_sum
from infalign_theory.formulas.plain import Program
from infalign_theory.typing import Array, BoolArray, Values

DISC = 2.125  # times the half-width of a panel in the logit: holds the Bernstein ellipse of 4


class Model(NamedTuple):
    """A straight line in z and the bound of what is left, for each disc."""

    slope: Values
    rest: Values

    @property
    def radius(self) -> Values:
        """Bound of |f(z) - f(0)| on the disc."""
        return np.abs(self.slope) + self.rest

    def within(self, share: Array) -> Values:
        """The same for |z| <= share: what is left begins with z^2."""
        return np.abs(self.slope) * share + self.rest * share**2

    def crosses_once(self, share: Array) -> BoolArray:
        """Whether the slope keeps its sign for |z| <= share, by Cauchy's estimates of the rest."""
        return np.asarray(np.abs(self.slope) > self.rest * (1.0 / (1.0 - share) ** 2 - 1.0))


FLAT = Model(np.float64(0.0), np.float64(0.0))


def disc_radii(u: Array, v: Array, half: Array) -> tuple[Array, Array]:
    """Radius in u of the discs for panels of the logit, and the panels' share of it.

    The panels have their middles at u (v = 1 - u) and the given half-widths in the logit.
    """
    whole = _logistic_reach(u, v, DISC * half)
    return whole, np.where(np.isinf(whole), 1.0, _logistic_reach(u, v, half) / whole)


def _logistic_reach(u: Array, v: Array, radius: Array) -> Array:
    """Bound of |u(s) - u(c)| for |s - c| <= radius; infinite where u(s) may have a pole."""
    with np.errstate(over="ignore", invalid="ignore"):
        grown = np.expm1(radius)
        room = 1.0 - np.minimum(u, v) * grown
        return np.where(room > 0.0, u * v * grown / room, np.inf)


def _through(a: Model, slope: Values, bend: Values) -> Model:
    """f(a) from f' at the centre and a bound of |f''| on the disc of the operand."""
    radius = a.radius
    rest = _product(np.abs(slope), a.rest) + 0.5 * _product(bend, radius * radius)
    return Model(_product(slope, a.slope), rest)


def _product(a: Values, b: Values) -> Values:
    return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, a * b)


def _gap(x: Values, radius: Values) -> Values:
    """Distance of the disc from zero; NaN where zero lies inside it."""
    gap = np.abs(x) - radius
    return np.where(gap > 0.0, gap, np.nan)


def _sum(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    return Model(a.slope + b.slope, a.rest + b.rest)


def _negative(nodes: Sequence[Near], a: Model) -> Model:
    return Model(-a.slope, a.rest)


def _times(x: Values, a: Model, y: Values, b: Model) -> Model:
    slope = _product(x, b.slope) + _product(y, a.slope)
    rest = _product(np.abs(x), b.rest) + _product(np.abs(y), a.rest)
    return Model(slope, rest + _product(a.radius, b.radius))


def _multiplied(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    return _times(nodes[0].value, a, nodes[1].value, b)


def _divided(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    x, y = nodes[0].value, nodes[1].value
    inverse = _through(b, -1.0 / y**2, 2.0 / _gap(y, b.radius) ** 3)
    return _times(x, a, 1.0 / y, inverse)


def _exponential(nodes: Sequence[Near], a: Model) -> Model:
    x = nodes[0].value
    return _through(a, np.exp(x), np.exp(x + a.radius))


def _logarithm(nodes: Sequence[Near], a: Model) -> Model:
    x = nodes[0].value
    return _through(a, 1.0 / x, 1.0 / _gap(x, a.radius) ** 2)


def _logarithm_of_one_plus(nodes: Sequence[Near], a: Model) -> Model:
    return _logarithm([near_sum(near_number(1.0), nodes[0])], a)


def _odds(nodes: Sequence[Near], a: Model) -> Model:
    rest = _negative(nodes, a)
    below, above = _logarithm(nodes, a), _logarithm([complement(nodes[0])], rest)
    return _sum(nodes, below, _negative(nodes, above))


def _power(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    x, p = nodes[0].value, float(nodes[1].value)
    order = p - 2.0
    if p == np.floor(p) and p >= 2.0:  # analytic everywhere
        furthest: Values = np.abs(x) + a.radius
    else:
        furthest = _gap(x, a.radius)
        furthest = np.where(np.isnan(furthest), np.nan, furthest if order < 0.0 else np.abs(x))
        furthest = furthest + (a.radius if order >= 0.0 else 0.0)
    bend = abs(p * (p - 1.0)) * np.power(furthest, order)
    return _through(a, p * np.power(x, p - 1.0), bend)


def _general_power(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    base, exponent = nodes[0].value, nodes[1].value
    product = _times(np.log(base), _logarithm(nodes, a), exponent, b)
    x = exponent * np.log(base)
    return _through(product, np.exp(x), np.exp(x + product.radius))


def _wave(slope: Callable[[Values], Values]) -> Callable[[Sequence[Near], Model], Model]:
    return lambda nodes, a: _through(a, slope(nodes[0].value), np.cosh(a.radius))


def _tanh_bend(x: Values, radius: Values) -> Values:
    """Bound of |tanh''| = 2 |tanh| sech^2 on a disc: |cosh(a + ib)|^2 = sinh^2 a + cos^2 b."""
    nearest = np.maximum(np.abs(x) - radius, 0.0)
    cosine = np.where(radius < np.pi / 2, np.cos(radius), 0.0)
    square = 1.0 / (np.sinh(nearest) ** 2 + cosine**2)
    return np.where(square == 0.0, 0.0, 2.0 * np.sqrt(1.0 + square) * square)


def _tanh(nodes: Sequence[Near], a: Model) -> Model:
    x = nodes[0].value
    return _through(a, 1.0 / np.cosh(x) ** 2, _tanh_bend(x, a.radius))


def _sigmoid(nodes: Sequence[Near], a: Model) -> Model:
    half = nodes[0].value / 2.0
    return _through(a, 0.25 / np.cosh(half) ** 2, _tanh_bend(half, a.radius / 2.0) / 8.0)


def _maximum(nodes: Sequence[Near], a: Model, b: Model) -> Model:
    """The branch that leads at the centre: between two crossings it leads everywhere."""
    ahead = near_sum(nodes[0], near_negative(nodes[1])).value
    first = (ahead > 0.0) | ((ahead == 0.0) & (a.slope == b.slope))
    return Model(np.where(first, a.slope, b.slope), np.where(first, a.rest, b.rest))


def _constant(nodes: Sequence[Near], a: Model) -> Model:
    return FLAT


_RULES: dict[str, Callable[..., Model]] = {
    "+": _sum,
    "neg": _negative,
    "*": _multiplied,
    "/": _divided,
    "**": _general_power,
    "power": _power,
    "exp": _exponential,
    "expm1": _exponential,
    "log": _logarithm,
    "log1p": _logarithm_of_one_plus,
    "max": _maximum,
    "sin": _wave(np.cos),
    "cos": _wave(lambda x: -np.sin(x)),
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "logit": _odds,
    "step": _constant,
}


def models(program: Program, nodes: Sequence[Near], variable: Model) -> list[Model]:
    """The model of every instruction, from its values at the centres of the discs."""
    results: list[Model] = []
    for op, operands, _ in program:
        if op == "number":
            results.append(FLAT)
        elif op == "variable":
            results.append(variable)
        else:
            model = _RULES[op]([nodes[i] for i in operands], *(results[i] for i in operands))
            rest = np.where(np.isnan(model.rest) | np.isnan(model.slope), np.inf, model.rest)
            results.append(Model(np.nan_to_num(model.slope, nan=0.0), rest))
    return results
