"""Solve for the coupled optimum."""

from __future__ import annotations

from infalign_theory.cli.options import (
    AgainstOption,
    BetaOption,
    JsonOption,
    KlOption,
    ProcedureArgument,
    ProceduresOption,
    gathered,
)
from infalign_theory.errors import InputError

EXAMPLES = (
    "infalign optimum bon:4 --kl 0.5",
    "infalign optimum --procedure worst-of-8 --beta 0.1 --against-procedure standard --json",
)


def optimum(
    procedures: ProcedureArgument = None,
    procedure: ProceduresOption = None,
    kl: KlOption = None,
    beta: BetaOption = None,
    against_procedure: AgainstOption = None,
    json: JsonOption = False,
) -> None:
    """Solve for the coupled optimum on a continuous base, with its evidence."""
    from infalign_theory.cli import printing
    from infalign_theory.optima.record import summary
    from infalign_theory.optima.solve import optimum as solved

    chosen, *others = gathered("procedure", procedures, procedure)
    if others:
        raise InputError(f"{chosen!r} and {others[0]!r}: an optimum is of one procedure; give one.")
    with printing.working():
        found = solved(chosen, beta=beta, kl=kl, against_procedure=against_procedure)
    if json:
        printing.json_document(summary(found))
    else:
        printing.show([{k: v for k, v in summary(found).items() if k != "alternatives"}], False)
