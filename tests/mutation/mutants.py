"""Ways to break a function on purpose: a mutant is one change of one node of its syntax tree."""

from __future__ import annotations

import ast
import copy
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Way(StrEnum):
    """What a mutant does wrong."""

    SIGN = "sign"
    SCALE = "times for over"
    DROPPED = "dropped term"
    OFF_BY_ONE = "off by one"
    HALF = "half tie"
    CONSTANT = "constant"
    BOUNDARY = "boundary"
    REVERSED = "comparison turned"
    EXTREME = "min for max"
    TAIL = "wrong tail"
    BRANCH = "branches swapped"
    LOGIC = "and for or"
    AXIS = "axis or degree of freedom"


@dataclass(frozen=True)
class Mutant:
    """A changed function.

    ``at`` counts the mutants of the function in the order of its source, whatever is sampled;
    ``before`` and ``after`` are the line that changed, ``source`` is the function without its
    decorators.
    """

    function: str
    way: Way
    at: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What is said of it."""
        return f"{self.function} #{self.at}: `{self.before}` -> `{self.after}`"


_SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_SCALES = {ast.Mult: ast.Div, ast.Div: ast.Mult}
_BOUNDARIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_TURNED = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip
_EXTREMES = {
    "min": "max", "minimum": "maximum", "argmin": "argmax", "floor": "ceil",
    "nanmin": "nanmax", "expm1": "exp", "log1p": "log",
}  # fmt: skip
_EXTREMES |= {value: key for key, value in _EXTREMES.items()}

Change = tuple[Way, ast.AST]


def _binary(node: ast.BinOp) -> Iterator[Change]:
    halved = isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant)
    if halved and node.right.value == 2:
        yield Way.HALF, node.left
    for way, swaps in ((Way.SIGN, _SIGNS), (Way.SCALE, _SCALES)):
        if type(node.op) in swaps:
            yield way, ast.BinOp(node.left, swaps[type(node.op)](), node.right)
    if isinstance(node.op, ast.Sub) and isinstance(node.left, ast.Constant):
        if node.left.value == 1:
            yield Way.TAIL, node.right
    elif not isinstance(node.left, ast.Constant):
        yield Way.DROPPED, node.left
    if isinstance(node.op, ast.Add | ast.Mult) and not isinstance(node.right, ast.Constant):
        yield Way.DROPPED, node.right


def _constant(node: ast.Constant) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield Way.TAIL, ast.Constant(not value)
    elif isinstance(value, int):
        yield Way.OFF_BY_ONE, ast.Constant(value + 1)
        if value > 0:
            yield Way.OFF_BY_ONE, ast.Constant(value - 1)
    elif isinstance(value, float):
        if value == 0.5:
            yield Way.HALF, ast.Constant(1.0)
            yield Way.HALF, ast.Constant(0.0)
        else:
            yield Way.CONSTANT, ast.Constant(1.0 if value == 0.0 else 2.0 * value)
            if value != 0.0:
                yield Way.CONSTANT, ast.Constant(0.0)


def _comparison(node: ast.Compare) -> Iterator[Change]:
    for way, swaps in ((Way.BOUNDARY, _BOUNDARIES), (Way.REVERSED, _TURNED)):
        for i, op in enumerate(node.ops):
            if type(op) in swaps:
                ops = [*node.ops[:i], swaps[type(op)](), *node.ops[i + 1 :]]
                yield way, ast.Compare(node.left, ops, node.comparators)


def _augmented(node: ast.AugAssign) -> Iterator[Change]:
    for way, swaps in ((Way.SIGN, _SIGNS), (Way.SCALE, _SCALES)):
        if type(node.op) in swaps:
            yield way, ast.AugAssign(node.target, swaps[type(node.op)](), node.value)
    yield Way.DROPPED, ast.Pass()


def _call(node: ast.Call) -> Iterator[Change]:
    function = node.func
    if isinstance(function, ast.Name) and function.id in _EXTREMES:
        yield Way.EXTREME, ast.Call(ast.Name(_EXTREMES[function.id]), node.args, node.keywords)
    if isinstance(function, ast.Attribute) and function.attr in _EXTREMES:
        other = ast.Attribute(function.value, _EXTREMES[function.attr])
        yield Way.EXTREME, ast.Call(other, node.args, node.keywords)
    for i, given in enumerate(node.keywords):
        turned = _keyword(given)
        if turned is not None:
            keywords = [*node.keywords[:i], turned, *node.keywords[i + 1 :]]
            yield Way.AXIS, ast.Call(function, node.args, keywords)


def _keyword(given: ast.keyword) -> ast.keyword | None:
    if given.arg in ("axis", "ddof") and isinstance(given.value, ast.Constant | ast.UnaryOp):
        other = 1 if ast.unparse(given.value) == "0" else 0
        return ast.keyword(given.arg, ast.Constant(other))
    if given.arg == "side" and isinstance(given.value, ast.Constant):
        return ast.keyword(
            "side", ast.Constant("left" if given.value.value == "right" else "right")
        )
    return None


def _unary(node: ast.UnaryOp) -> Iterator[Change]:
    if isinstance(node.op, ast.USub):
        yield Way.SIGN, node.operand
    if isinstance(node.op, ast.Not | ast.Invert):
        yield Way.LOGIC, node.operand


def _choice(node: ast.IfExp) -> Iterator[Change]:
    yield Way.BRANCH, ast.IfExp(node.test, node.orelse, node.body)


def _boolean(node: ast.BoolOp) -> Iterator[Change]:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield Way.LOGIC, ast.BoolOp(other, node.values)


def _subscript(node: ast.Subscript) -> Iterator[Change]:
    index = node.slice
    if isinstance(index, ast.Slice):
        if isinstance(index.step, ast.UnaryOp):
            yield Way.TAIL, ast.Subscript(node.value, ast.Slice(index.lower, index.upper), node.ctx)
    elif isinstance(index, ast.Name) and isinstance(node.ctx, ast.Load):
        moved = ast.BinOp(index, ast.Sub(), ast.Constant(1))
        yield Way.OFF_BY_ONE, ast.Subscript(node.value, moved, node.ctx)


_CHANGES: dict[type[ast.AST], Callable[..., Iterator[Change]]] = {
    ast.BinOp: _binary,
    ast.Constant: _constant,
    ast.Compare: _comparison,
    ast.AugAssign: _augmented,
    ast.Call: _call,
    ast.UnaryOp: _unary,
    ast.IfExp: _choice,
    ast.BoolOp: _boolean,
    ast.Subscript: _subscript,
}
# words for people, types for checkers: nothing there computes
_IDLE = (ast.Raise, ast.Assert, ast.JoinedStr, ast.AnnAssign, ast.Import, ast.ImportFrom)


def functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every function and method by its dotted name, those inside functions with their owner."""

    def walk(owner: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for node in ast.iter_child_nodes(owner):
            if isinstance(node, ast.FunctionDef):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef):
                yield from walk(node, f"{prefix}{node.name}.")

    yield from walk(tree, "")


def _idle(value: ast.expr) -> bool:
    """Texts, and how prompts are dealt to threads, on which no number depends."""
    called = value.func if isinstance(value, ast.Call) else None
    return isinstance(value, ast.Constant) or (
        isinstance(called, ast.Name) and called.id == "share_out"
    )


def _places(node: ast.AST, owners: list[tuple[ast.AST, str, int | None]]) -> Iterator[tuple]:
    """Every node below with the way to it, leaving out docstrings, annotations and messages.

    Defaults of arguments are not part of the code that a mutant changes.
    """
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "defaults", "kw_defaults"):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for place, child in children:
            if not isinstance(child, ast.AST) or isinstance(child, _IDLE):
                continue
            if isinstance(child, ast.Expr) and _idle(child.value):
                continue
            path = [*owners, (node, field, place)]
            yield child, path
            yield from _places(child, path)


def _put(owner: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    if place is None:
        setattr(owner, field, node)
    else:
        getattr(owner, field)[place] = node


def text_of(function: ast.FunctionDef) -> str:
    """A function without its decorators and docstring."""
    bare = copy.copy(function)
    bare.decorator_list = []
    bare.body = function.body[int(ast.get_docstring(function) is not None) :]
    return ast.unparse(bare)


def _changed(tree: ast.Module, wanted: str) -> Iterator[tuple[int, Way, ast.FunctionDef]]:
    """Count, way and function of every change; the tree has it while it is yielded."""
    function = dict(functions(tree))[wanted]
    at = 0
    for child, path in list(_places(function, [])):
        owner, field, place = path[-1]
        for way, changed in _CHANGES.get(type(child), lambda node: ())(child):
            _put(owner, field, place, ast.copy_location(copy.deepcopy(changed), child))
            yield at, way, function
            _put(owner, field, place, child)
            at += 1


def _written(source: str, wanted: str, chosen: Callable[[int], bool]) -> list[Mutant]:
    """The chosen mutants of a function, each text once."""
    tree = ast.parse(source)
    sound = text_of(dict(functions(tree))[wanted])
    seen, found = {sound}, []
    for at, way, function in _changed(tree, wanted):
        code = text_of(function) if chosen(at) else sound
        if code not in seen:
            seen.add(code)
            before, after = _changed_lines(sound.splitlines(), code.splitlines())
            found.append(Mutant(wanted, way, at, before, after, code))
    return found


def all_mutants(source: str, wanted: str) -> list[Mutant]:
    """Every mutant of one function of a module; no two alike."""
    return _written(source, wanted, lambda at: True)


def _changed_lines(before: list[str], after: list[str]) -> tuple[str, str]:
    if len(before) != len(after):  # a branch that became empty, a line that was joined
        at = next(
            i for i, pair in enumerate(zip(before, after, strict=False)) if len(set(pair)) > 1
        )
        return before[at].strip(), after[at].strip()
    old, new = next((a, b) for a, b in zip(before, after, strict=True) if a != b)
    return old.strip(), new.strip()


def sampled(source: str, wanted: str, each: int, seed: int) -> list[Mutant]:
    """About ``each`` mutants of a function, spread over the ways to break it."""
    by_way = defaultdict(list)
    for at, way, _ in _changed(ast.parse(source), wanted):
        by_way[way].append(at)
    rng = random.Random(f"{seed}:{wanted}")
    for places in by_way.values():
        rng.shuffle(places)
    chosen: set[int] = set()
    while len(chosen) < each and any(by_way.values()):
        for way in Way:
            if by_way[way] and len(chosen) < each:
                chosen.add(by_way[way].pop())
    return _written(source, wanted, chosen.__contains__)
