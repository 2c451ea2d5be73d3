"""Compare alignment methods at equal KL."""

from __future__ import annotations

from typing import Annotated

import typer

from infalign_theory.cli.options import AgainstOption, JsonOption

EXAMPLES = (
    "infalign methods --procedure bon:4 --kl 0.5",
    "infalign methods --procedure won:8 --kl 0.2 --json",
)


def methods(
    procedure: Annotated[
        str, typer.Option("--procedure", "-p", help="What inference does: bon:4, won:4, standard.")
    ] = "standard",
    kl: Annotated[float, typer.Option("--kl", help="KL budget in nats.")] = 0.5,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="Only this one; repeat for several.")
    ] = None,
    against_procedure: AgainstOption = None,
    json: JsonOption = False,
) -> None:
    """Compare alignment methods (RLOO, GRPO, chi-PO, ...) at equal KL."""
    from infalign_theory.cli import printing
    from infalign_theory.methods import table

    found = table(procedure, kl=kl, methods=method, against_procedure=against_procedure)
    printing.show([printing.fields(row) for row in found.rows], json)
    for entry in found.outside:
        typer.echo(f"note: {entry.name} is outside: {entry.exact}", err=True)
