"""Compare transforms at equal KL."""

from __future__ import annotations

from typing import Annotated

import typer

from infalign_theory.cli.options import JsonOption, ProcedureOption, TransformOption


def compare(
    procedure: ProcedureOption,
    transform: TransformOption,
    kl: Annotated[float, typer.Option("--kl", help="KL budget in nats.")],
    json: JsonOption = False,
) -> None:
    """Compare transforms at equal KL on a continuous base: win rate and regret."""
    from infalign_theory.cli import printing
    from infalign_theory.comparison.comparisons import compare as compared
    from infalign_theory.procedures import names as procedures

    rows = [
        printing.fields(row)
        for text in procedures.several(procedure)
        for row in compared(transform, text, kl=kl).rows
    ]
    printing.show(rows, json)
