"""What the explorer shows: one immutable record that is also the address of the page."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import parse_qsl, urlencode

from infalign_theory.divergences import Divergence, ReverseKL, as_divergence
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.errors import InputError
from infalign_theory.explorer.grounds import AtomsGround, ContinuousGround
from infalign_theory.explorer.prompts import PromptsGround
from infalign_theory.explorer.trained import Ground
from infalign_theory.explorer.uploads import CONTINUOUS, PREFIX, kept
from infalign_theory.formulas.reader import ARITY, CONSTANTS, MAX_LENGTH
from infalign_theory.policies.base import Base, Continuous, Discrete
from infalign_theory.procedures import Procedure, as_procedure
from infalign_theory.transforms import Expression, Transform, as_transform

DEFAULT_PARAMETER = 3.0
LARGEST_KL = 10.0
_FIELDS = ("procedure", "transform", "kl", "divergence", "base")


@dataclass(frozen=True, kw_only=True)
class View:
    """A transform under a procedure at a KL, and the base it is seen on.

    Attributes
    ----------
    procedure, transform, divergence : str
        As the command line reads them; a bare formula in u is a transform too.
    kl : float
        Nats.
    base : str
        ``"continuous"``, masses of atoms in increasing order of reward, ``"0.5, 0.3, 0.2"``, or
        the name of an uploaded score file, ``"scores:NAME@DIGEST"``.
    parameters : mapping of str to float
        Values of the names in a formula.
    """

    procedure: str = "bon:4"
    transform: str = "exp(t*u)"
    kl: float = 0.5
    divergence: str = "kl"
    base: str = CONTINUOUS
    parameters: Mapping[str, float] = field(default_factory=lambda: {"t": 10.0})

    @cached_property
    def phi(self) -> Transform:
        """The transform itself, or an InputError that says what is wrong with its text."""
        names = free_names(self.transform)
        if not names:
            return as_transform(self.transform)
        values = {name: self.parameters.get(name, DEFAULT_PARAMETER) for name in names}
        return Expression(self.transform.strip().removeprefix("expr:"), **values)

    @cached_property
    def rule(self) -> Procedure:
        """The procedure itself."""
        return as_procedure(self.procedure)

    @cached_property
    def penalty(self) -> Divergence:
        """What training is penalised by."""
        return as_divergence(self.divergence)

    @cached_property
    def ground(self) -> Ground:
        """What policies are trained on: the base, and the penalty."""
        law = read_base(self.base)
        if isinstance(law, Continuous):
            return ContinuousGround(self.penalty)
        if isinstance(law, Discrete):
            return AtomsGround(law, self.penalty)
        if self.penalty != ReverseKL():
            raise InputError(
                f"divergence {self.penalty.name} on a score file: prompts are trained with the "
                "reverse KL alone; choose kl, or a continuous or typed base."
            )
        return PromptsGround(law)

    def query(self) -> str:
        """The view as the query of an address."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return urlencode({**values, **{f"p.{k}": v for k, v in self.parameters.items()}})

    @classmethod
    def from_query(cls, query: str) -> View:
        """The view of an address; what is missing or unreadable there is as by default.

        Examples
        --------
        >>> View.from_query("?procedure=won:8&transform=exp(t*u)&p.t=-4&kl=0.25").parameters
        {'t': -4.0}
        """
        given = dict(parse_qsl(query.lstrip("?")))
        known = {name: given[name] for name in _FIELDS if name in given and name != "kl"}
        numbers = {name: _number(text) for name, text in given.items()}
        kl = numbers.get("kl")
        parameters = {
            name[2:]: value
            for name, value in numbers.items()
            if name.startswith("p.") and value is not None and name[2:].isidentifier()
        }
        budget = {"kl": min(max(kl, 0.0), LARGEST_KL)} if kl is not None else {}
        named = {"parameters": parameters} if parameters or "transform" in given else {}
        return cls(**known, **budget, **named)  # type: ignore[arg-type]


def free_names(text: str) -> tuple[str, ...]:
    """Names in a formula that want a value, sorted; none where it is no formula.

    Examples
    --------
    >>> free_names("exp(t*u) - a*u**2"), free_names("exp:10")
    (('a', 't'), ())
    """
    formula = text.strip().removeprefix("expr:")
    if len(formula) > MAX_LENGTH or ";" in formula:
        return ()
    try:
        tree = ast.parse(formula.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if "u" not in found:
        return ()
    return tuple(sorted(found - {"u", *ARITY, *CONSTANTS}))


def read_base(text: str) -> Base | PromptBases:
    """A base from its text: continuous, masses of atoms that sum to 1, or a file uploaded."""
    if text.strip().startswith(PREFIX):
        return kept(text.strip())
    if text.strip() in ("", CONTINUOUS):
        return Continuous()
    masses = [_number(part) for part in text.replace(";", ",").split(",")]
    known = [mass for mass in masses if mass is not None]
    if len(known) < len(masses):
        raise InputError(
            f"base {text!r:.60}: give {CONTINUOUS}, or masses of atoms in increasing order of "
            "reward, as in 0.5, 0.3, 0.2."
        )
    return Discrete(known)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None
