"""Where a formula's kinks, jumps and singular points are: roots of its own parts, isolated.

A panel of the logit is free of roots where an enclosure says so; it holds at most one where the
slope keeps its sign; else it is bisected. Nothing is sampled, so nothing is missed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.formulas.changes import (
    CHANGES,
    Near,
    complement,
    near_negative,
    near_number,
    near_sum,
    near_variable,
)
from infalign_theory.formulas.enclosure import FLAT, Model, disc_radii, models
from infalign_theory.formulas.plain import Program, run
from infalign_theory.typing import Array, BoolArray

END = 45.0  # beyond this logit lies 3e-20 of the base: breaks there are not looked for
_WIDTH = 0.5
_MOST_PANELS = 20_000
_MOST_BREAKS = 500


class Located(NamedTuple):
    """Nodes and models of a program at the middles of panels, lower and upper half of u apart."""

    nodes: list[Near]
    models: list[Model]
    share: Array


def _halves(program: Program, s: Array) -> Iterator[tuple[BoolArray, Array, Array, list[Near]]]:
    """Nodes of a program, measured from u = 0 for the lower half of the points, else from 1."""
    small = np.exp(-np.abs(s))
    near, far = small / (1.0 + small), 1.0 / (1.0 + small)
    for upper in (False, True):
        held = (s >= 0.0) == upper
        if held.any():
            x, step = (far[held], -near[held]) if upper else (near[held], near[held])
            variable = near_variable(float(upper), step, x)
            with np.errstate(all="ignore"):
                nodes = run(program, near_number, variable, CHANGES)
            yield held, near[held], far[held], nodes


def locate(program: Program, middle: Array, half: Array) -> Iterator[tuple[BoolArray, Located]]:
    """Values at the middles of panels of the logit, and enclosures around them."""
    for held, near, far, nodes in _halves(program, middle):
        radius, share = disc_radii(near, far, half[held])
        with np.errstate(all="ignore"):
            found = models(program, nodes, Model(radius, np.zeros(radius.shape)))
        yield held, Located(nodes, found, share)


def _arguments(
    program: Program, at: int, nodes: Sequence[Near], found: Sequence[Model]
) -> list[tuple[Near, Model]]:
    """What changes sign where instruction ``at`` stops being analytic, or may."""
    op, operands, _ = program[at]
    if op in ("number", "variable"):
        return []
    a, model = nodes[operands[0]], found[operands[0]]
    opposite = Model(-model.slope, model.rest)
    if op == "max":
        b, other = nodes[operands[1]], found[operands[1]]
        gap = Model(model.slope - other.slope, model.rest + other.rest)
        return [(near_sum(a, near_negative(b)), gap)]
    if op in ("step", "log", "**"):
        return [(a, model)]
    if op == "log1p":
        return [(near_sum(near_number(1.0), a), model)]
    if op == "logit":
        return [(a, model), (complement(a), opposite)]
    if op == "/":
        return [(nodes[operands[1]], found[operands[1]])]
    if op == "power":
        exponent = program[operands[1]].number
        natural = exponent >= 0.0 and exponent == np.floor(exponent)
        return [] if natural else [(a, model)]
    return []


@functools.lru_cache(maxsize=256)
def find_breaks(program: Program) -> tuple[float, ...]:
    """Logits in (-45, 45) at which a formula in (0, 1) may fail to be analytic, increasing.

    Raises
    ------
    PrecisionError
        Where they are too many to be told apart.
    """
    edges = np.arange(-END, END + _WIDTH / 2, _WIDTH)
    found: list[float] = []
    candidates = _suspects(program, edges)
    for at, which in candidates:
        part = _needed(program, at)
        roots = _roots(part, len(part) - 1, which, edges)
        found += roots.tolist()
        edges = np.union1d(edges, roots)
        if len(found) > _MOST_BREAKS:
            raise _too_many()
    merged = np.unique(found)
    if merged.size:
        apart = np.diff(merged, prepend=-np.inf) > 4e-15 * np.maximum(1.0, np.abs(merged))
        merged = merged[apart]
    return tuple(merged.tolist())


def _needed(program: Program, at: int) -> Program:
    """The instructions that lead to one of them, which is the last."""
    wanted = {at}
    for i in range(at, -1, -1):
        if i in wanted:
            wanted.update(program[i].operands)
    place = {old: new for new, old in enumerate(sorted(wanted))}
    return tuple(
        program[i]._replace(operands=tuple(place[j] for j in program[i].operands)) for i in place
    )


def _too_many() -> PrecisionError:
    return PrecisionError(
        "the formula has more kinks, jumps or singular points than can be told apart "
        f"(at most {_MOST_BREAKS}); simplify it, for instance by giving waves a lower frequency.",
        estimate=float("nan"),
    )


def _suspects(program: Program, edges: Array) -> list[tuple[int, int]]:
    """Arguments that one look at the first panels does not clear of roots.

    Once one part has a root, whatever is computed from it is looked at again with the root known.
    """
    middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    suspects: dict[tuple[int, int], None] = {}
    for _, part in locate(program, middle, half):
        with np.errstate(all="ignore"):
            for at in range(len(program)):
                arguments = _arguments(program, at, part.nodes, part.models)
                for which, (node, model) in enumerate(arguments):
                    if not np.all(_clear(node, model, part.share)):
                        suspects[at, which] = None
    tainted = {at for at, _ in suspects}
    for at, (_, operands, _) in enumerate(program):
        if tainted.intersection(operands):
            tainted.add(at)
    for at in sorted(tainted):
        nodes, flat = [near_number(1.0)] * len(program), [FLAT] * len(program)
        with np.errstate(all="ignore"):
            count = len(_arguments(program, at, nodes, flat))
        suspects.update(dict.fromkeys((at, which) for which in range(count)))
    return sorted(suspects)


def _clear(node: Near, model: Model, share: Array) -> BoolArray:
    """Whether the panels hold no root, or nothing but zero."""
    value = np.abs(node.value)
    flat = (value == 0.0) & (model.slope == 0.0)
    # a part without value is the formula's own affair; it has no sign to change
    return np.asarray((value > model.within(share)) | flat | np.isnan(value))


def _values(program: Program, at: int, which: int, s: Array) -> Array:
    """One argument at logits s."""
    value, none = np.empty(s.size), [FLAT] * len(program)
    for held, _, _, nodes in _halves(program, s):
        with np.errstate(all="ignore"):
            value[held] = _arguments(program, at, nodes, none)[which][0].value
    return value


def _judged(
    program: Program, at: int, which: int, middle: Array, half: Array
) -> tuple[BoolArray, BoolArray]:
    """Which panels are clear of roots of an argument, and in which it is monotone."""
    clear, once = np.empty(middle.size, dtype=bool), np.empty(middle.size, dtype=bool)
    for held, part in locate(program, middle, half):
        with np.errstate(all="ignore"):
            node, model = _arguments(program, at, part.nodes, part.models)[which]
            clear[held] = _clear(node, model, part.share)
            once[held] = model.crosses_once(part.share)
    return clear, once


def _roots(program: Program, at: int, which: int, edges: Array) -> Array:
    """Roots of one argument; where it only touches zero, the point where it does."""
    low, high = edges[:-1], edges[1:]
    roots: list[Array] = []
    while low.size:
        middle, half = (low + high) / 2, (high - low) / 2
        clear, once = _judged(program, at, which, middle, half)
        once &= ~clear
        roots.append(_bracketed(program, at, which, low[once], high[once]))
        left = ~(clear | once)
        tiny = left & (half <= 2e-15 * np.maximum(1.0, np.abs(middle)))
        roots.append(middle[tiny])
        left &= ~tiny
        low = np.concatenate([low[left], middle[left]])
        high = np.concatenate([middle[left], high[left]])
        if low.size > _MOST_PANELS:
            raise _too_many()
    found = np.concatenate(roots) if roots else np.empty(0)
    return np.unique(found[np.abs(found) < END])


def _bracketed(program: Program, at: int, which: int, low: Array, high: Array) -> Array:
    """The root between each pair of points, if signs differ: regula falsi, safeguarded."""

    def value(s: Array) -> Array:
        return _values(program, at, which, s)

    if not low.size:
        return low
    below, above = value(low), value(high)
    ends = np.concatenate([low[below == 0.0], high[above == 0.0]])
    crossing = np.sign(below) * np.sign(above) < 0.0
    low, high, below, above = low[crossing], high[crossing], below[crossing], above[crossing]
    guess, stale = (low + high) / 2, np.zeros(low.size)
    for _ in range(200):
        before = guess
        with np.errstate(all="ignore"):
            guess = low - below * (high - low) / (above - below)
        guess = np.where((guess > low) & (guess < high), guess, low + (high - low) / 2)
        if np.all(np.abs(guess - before) <= 2e-16 * np.maximum(1.0, np.abs(guess))):
            break
        found = value(guess)
        left = np.sign(found) == np.sign(below)
        # Illinois: an end that stays twice has its value halved, so that both ends move
        side = np.where(left, -1.0, 1.0)
        weight = np.where(side == stale, 0.5, 1.0)
        below, above = np.where(left, found, below * weight), np.where(left, above * weight, found)
        low, high, stale = np.where(left, guess, low), np.where(left, high, guess), side
    return np.concatenate([ends, guess])
