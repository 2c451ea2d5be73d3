"""Options that several commands share, one text for all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from infalign_theory.errors import InputError
from infalign_theory.spelling import NUMBER

__all__ = [
    "AgainstOption",
    "BaseLawOption",
    "BetaOption",
    "DivergenceOption",
    "JsonOption",
    "KlListOption",
    "KlOption",
    "MemoryOption",
    "ProcedureArgument",
    "ProcedureOption",
    "ProceduresOption",
    "TransformArgument",
    "TransformOption",
    "TransformsOption",
    "WideOption",
    "budgets",
    "gathered",
]

_PROCEDURES = (
    "standard",
    "bon:2",
    "bon:4",
    "bon:8",
    "bon:16",
    "won:2",
    "won:4",
    "won:8",
    "order:2/3",
    "bop:3",
)
_TRANSFORMS = (
    "identity",
    "log",
    "logit",
    "exp:5",
    "exp:10",
    "exp:-5",
    "exp:-10",
    "power:7",
    "quantile:norm",
    "optimal",
    "optimal@bon:4",
)
_PROCEDURE_HELP = (
    "standard, bon:N, won:N, order:K/N, bop:MU, soft:N@K, reject:K, rewind:N@C, mix:... or "
    "g:FORMULA; several as bon:2,4 or bon:1-32, or repeat."
)
_TRANSFORM_HELP = (
    "identity, log, logit, power:P, exp:T, quantile:LAW (raw rewards; @S where their scale "
    "differs by prompt), a formula in u, optimal or optimal@PROCEDURE; several as "
    "identity,exp:5,10, or repeat."
)


def _beginning(words: Sequence[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]


def _procedures(incomplete: str) -> list[str]:
    return _beginning(_PROCEDURES, incomplete)


def _transforms(incomplete: str) -> list[str]:
    return _beginning(_TRANSFORMS, incomplete)


_ProcedureOption = typer.Option(
    "--procedure", "-p", help=_PROCEDURE_HELP, autocompletion=_procedures
)
_TransformOption = typer.Option(
    "--transform", "-t", help=_TRANSFORM_HELP, autocompletion=_transforms
)
# required; and those that arguments may stand in for
ProcedureOption = Annotated[list[str], _ProcedureOption]
ProceduresOption = Annotated[list[str] | None, _ProcedureOption]
TransformOption = Annotated[list[str], _TransformOption]
TransformsOption = Annotated[list[str] | None, _TransformOption]
ProcedureArgument = Annotated[
    list[str] | None, typer.Argument(help=_PROCEDURE_HELP, autocompletion=_procedures)
]
TransformArgument = Annotated[
    list[str] | None, typer.Argument(help=_TRANSFORM_HELP, autocompletion=_transforms)
]
AgainstOption = Annotated[
    str | None,
    typer.Option(
        "--against-procedure",
        help="What inference does to the base; the same by default.",
        autocompletion=_procedures,
    ),
]
KlOption = Annotated[float | None, typer.Option("--kl", help="KL budget in nats.")]
KlListOption = Annotated[
    list[str], typer.Option("--kl", help="KL budget in nats; several as 0.1,0.5,1, or repeat.")
]
BetaOption = Annotated[
    float | None, typer.Option("--beta", help="Regularisation strength instead of a budget.")
]
DivergenceOption = Annotated[
    str,
    typer.Option(
        "--divergence",
        help="What training is penalised by: kl (reverse), forward-kl, chi2, chi2+kl, js or "
        "alpha:A.",
    ),
]
WideOption = Annotated[
    bool,
    typer.Option(
        "--wide", help="Several columns of rewards a row: those --reward matches, or all."
    ),
]
BaseLawOption = Annotated[str, typer.Option(help="auto, continuous or discrete base.")]
MemoryOption = Annotated[str, typer.Option(help="What DuckDB may use before it spills.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")
]


def gathered(what: str, *given: Sequence[str] | None) -> list[str]:
    """Texts from arguments and options together, at least one.

    Examples
    --------
    >>> gathered("procedure", ["bon:4"], None)
    ['bon:4']
    """
    found = [text for texts in given for text in texts or ()]
    if not found:
        raise InputError(f"no {what} given; name at least one, as in --{what} {_FOR[what]}.")
    return found


_FOR = {"procedure": "bon:4", "transform": "exp:10"}


def budgets(texts: Sequence[str]) -> list[float]:
    """Budgets from texts that may hold lists.

    Examples
    --------
    >>> budgets(["0.1,0.5", "1"])
    [0.1, 0.5, 1.0]
    """
    found = []
    for text in texts:
        if re.fullmatch(r"\s*\d+,\d+\s*", text):
            point, first = text.strip().replace(",", "."), text.strip().replace(",", " --kl ")
            raise InputError(
                f"--kl {text} may mean {point} or two budgets; give --kl {point} or --kl {first}."
            )
        for part in text.split(","):
            if not re.fullmatch(rf"\s*[+-]?{NUMBER}\s*", part):
                raise InputError(f"kl = {part.strip()!r} is not a number; give nats, as in 0.5.")
            found.append(float(part))
    return found
