"""From the text of a formula to a checked program; see ``compiled``."""

from __future__ import annotations

import ast
import difflib
import functools
import math
import re
import string
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.formulas.plain import DIRECT, Instruction, Program

MAX_LENGTH = 1000
_MAX_DEPTH = 50
CONSTANTS = {"pi": math.pi, "e": math.e}


# name: (least, most) number of arguments; None is "any number"
ARITY: dict[str, tuple[int, int | None]] = {
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


def shown(text: str) -> str:
    """A text as a message shows it: quoted, ASCII, at most 60 characters."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _absorbs(op: str, steps: list[Instruction]) -> bool:
    """Whether a sum of two numbers loses digits of the smaller one, as 1e16 + 0.1 does."""
    if op != "+":
        return False
    a, b = (step.number for step in steps)
    if not (math.isfinite(a + b) and a and b):
        return False
    lost = abs(Fraction(a) + Fraction(b) - Fraction(a + b))
    return lost > Fraction(1e-9) * min(abs(Fraction(a)), abs(Fraction(b)))


class Reader:
    """Checks one text and writes its program."""

    def __init__(self, text: str, variable: str, parameters: Mapping[str, float]) -> None:
        self.text, self.variable, self.parameters = text, variable, parameters
        self.program: list[Instruction] = []
        self.known: dict[Instruction, int] = {}
        self.used: set[str] = set()

    def read(self) -> Program:
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
                    f"the parameter {name} is not used in {shown(self.text)}; "
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
        names += ["decimal numbers", f"the constants {' and '.join(CONSTANTS)}"]
        names += ["+ - * / ** and parentheses", f"the functions {', '.join(ARITY)}"]
        return "allowed are " + "; ".join(names)

    def refuse(self, what: str, hint: str = "") -> NoReturn:
        raise InputError(f"{what} in {shown(self.text)}; {hint}{'; ' * bool(hint)}{self.allowed()}")

    def too_deep(self) -> InputError:
        return InputError(
            f"{shown(self.text)} is nested more than {_MAX_DEPTH} levels deep; "
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
                f"the number {number} is followed by {shown(name)}",
                f"put an operator between them, as in {number}*{name}; numbers are decimal",
            )

    def piece(self, node: ast.expr) -> str:
        return shown(self.text[node.col_offset : node.end_col_offset])

    def emit(self, op: str, *operands: int, number: float = 0.0) -> int:
        """Append an instruction, or find the same one; steps on numbers are done at once."""
        steps = [self.program[i] for i in operands]
        if operands and all(step.op == "number" for step in steps) and not _absorbs(op, steps):
            with np.errstate(all="ignore"):
                number = float(DIRECT[op](*(np.float64(step.number) for step in steps)))
            op, operands = "number", ()
        instruction = Instruction(op, operands, number)
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
        if name in CONSTANTS:
            return self.emit("number", number=CONSTANTS[name])
        if name in ARITY:
            self.refuse(f"the function {name} has no arguments", f"write {name}(...)")
        if "__" in name:
            self.refuse(f"the name {shown(name)} is not allowed")
        self.refuse(
            f"the name {name} is not known",
            f"if it is a parameter, give its value next to the text, as in "
            f"Expression({shown(self.text)}, {name}=5) or expr:{self.text:.60};{name}=5",
        )

    def call(self, node: ast.Call, depth: int) -> int:
        if not isinstance(node.func, ast.Name):
            attribute = isinstance(node.func, ast.Attribute)
            hint = _HINTS[ast.Attribute] if attribute else "write * to multiply"
            self.refuse(f"{self.piece(node.func)} cannot be called", hint)
        name = node.func.id
        if name == self.variable or name in self.parameters or name in CONSTANTS:
            self.refuse(f"{name} is not a function", f"write {name}*(...) to multiply")
        if name not in ARITY:
            close = difflib.get_close_matches(name, ARITY, n=1)
            hint = _HINTS.get(name) or (f"did you mean {close[0]}" if close else "")
            self.refuse(f"there is no function {shown(name)}", hint)
        for part in (*node.args, *(word.value for word in node.keywords)):
            if isinstance(part, ast.Starred) or part not in node.args:
                self.refuse(f"{self.piece(node)} has a keyword or starred argument")
        least, most = ARITY[name]
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
