"""Solve for the coupled optimum."""

from __future__ import annotations

from typing import Annotated

import typer

from infalign_theory.cli.options import BetaOption, JsonOption, KlOption


def optimum(
    procedure: Annotated[str, typer.Option("--procedure", "-p", help="As in compare.")],
    kl: KlOption = None,
    beta: BetaOption = None,
    json: JsonOption = False,
) -> None:
    """Solve for the coupled optimum on a continuous base, with its evidence."""
    from infalign_theory.cli import printing
    from infalign_theory.optima.record import summary
    from infalign_theory.optima.solve import optimum as solved

    found = solved(procedure, beta=beta, kl=kl)
    if json:
        printing.json_document(summary(found))
    else:
        printing.show([{k: v for k, v in summary(found).items() if k != "alternatives"}], False)
