"""Options that several commands share, one text for all."""

from __future__ import annotations

from typing import Annotated

import typer

ProcedureOption = Annotated[
    list[str],
    typer.Option(
        "--procedure",
        "-p",
        help="standard, bon:N, won:N, order:K/N, bop:MU, mix:... or g:FORMULA; repeat "
        "for several, or bon:2,4.",
    ),
]
TransformOption = Annotated[
    list[str],
    typer.Option(
        "--transform",
        "-t",
        help="identity, log, logit, power:P, exp:T, expr:FORMULA, optimal or optimal@PROCEDURE; "
        "repeat for several.",
    ),
]
KlOption = Annotated[float | None, typer.Option("--kl", help="KL budget in nats.")]
BetaOption = Annotated[
    float | None, typer.Option("--beta", help="Regularisation strength instead of a budget.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")
]
