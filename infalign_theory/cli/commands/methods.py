"""Compare alignment methods at equal KL."""

from __future__ import annotations

from typing import Annotated

import typer

from infalign_theory.cli.options import (
    AgainstOption,
    JsonOption,
    ProcedureArgument,
    ProceduresOption,
)
from infalign_theory.errors import InputError

EXAMPLES = (
    "infalign methods bon:4 --kl 0.5",
    "infalign methods --procedure won:8 --kl 0.2 --json",
)


def methods(
    procedures: ProcedureArgument = None,
    procedure: ProceduresOption = None,
    kl: Annotated[float, typer.Option("--kl", help="KL budget in nats.")] = 0.5,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Only this one; repeat for several.")
    ] = None,
    against_procedure: AgainstOption = None,
    json: JsonOption = False,
) -> None:
    """Compare alignment methods (RLOO, GRPO, chi-PO, ...) at equal KL; one sample by default."""
    from infalign_theory.cli import printing
    from infalign_theory.methods import table

    chosen, *others = [*(procedures or ()), *(procedure or ())] or ["standard"]
    if others:
        raise InputError(f"{chosen!r} and {others[0]!r}: methods are of one procedure; give one.")
    found = table(chosen, kl=kl, methods=method, against_procedure=against_procedure)
    printing.show([printing.fields(row) for row in found.rows], json)
    for entry in found.outside:
        typer.echo(f"note: {entry.name} is outside: {entry.exact}", err=True)
