"""Compare transforms at equal KL."""

from __future__ import annotations

from infalign_theory.cli.options import (
    AgainstOption,
    DivergenceOption,
    JsonOption,
    KlListOption,
    ProceduresOption,
    TransformArgument,
    TransformsOption,
    budgets,
    gathered,
)

EXAMPLES = (
    "infalign compare -p bon:4 identity exp:5,10 optimal --kl 0.5",
    "infalign compare -p bon:2,16 'optimal@bon:2,16' --kl 0.1,0.5",
    "infalign compare -p bon:4 'exp(3u) - u' --kl 0.5 --against-procedure standard --json",
    "infalign compare -p bon:4 identity exp:10 --kl 0.5 --divergence forward-kl",
)


def compare(
    kl: KlListOption,
    transforms: TransformArgument = None,
    procedure: ProceduresOption = None,
    transform: TransformsOption = None,
    against_procedure: AgainstOption = None,
    divergence: DivergenceOption = "kl",
    json: JsonOption = False,
) -> None:
    """Compare transforms at equal KL on a continuous base: win rate and regret."""
    from infalign_theory.cli import printing
    from infalign_theory.comparison.comparisons import compare as compared
    from infalign_theory.procedures import names as procedures

    chosen = gathered("transform", transforms, transform)
    nats = budgets(kl)
    with printing.working():
        rows = [
            printing.fields(row)
            for one in procedures.several(gathered("procedure", procedure))
            for row in compared(
                chosen,
                one,
                kl=nats,
                against_procedure=against_procedure,
                divergence=divergence,
            ).rows
        ]
    printing.show(rows, json)
