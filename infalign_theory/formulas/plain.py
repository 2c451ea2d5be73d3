"""Programs and plain arithmetic: the value of a formula in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from infalign_theory.typing import Values

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


def scalar(number: float) -> np.float64:
    """A constant in plain arithmetic."""
    return np.float64(number)


def sigmoid(x: Values) -> Values:
    """1 / (1 + exp(-x))."""
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def logit(x: Values, rest: Values | None = None) -> Values:
    """log(x / rest), rest = 1 - x."""
    rest = 1.0 - x if rest is None else rest
    # Around 1/2 the two logarithms cancel; 2x - 1 is exact there.
    middle = np.log1p((2.0 * x - 1.0) / rest)
    return np.where(np.abs(x - 0.5) < 0.25, middle, np.log(x) - np.log(rest))


def unit_step(x: Values) -> Values:
    """1 where x > 0, 1/2 at 0, else 0."""
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
    "sigmoid": sigmoid,
    "logit": logit,
    "step": unit_step,
}
