"""Which transform and beta to train with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infalign_theory.cli.options import (
    AgainstOption,
    JsonOption,
    ProcedureArgument,
    ProceduresOption,
    gathered,
)

EXAMPLES = (
    "infalign recommend bon:8 --kl 0.5",
    "infalign recommend --procedure bon:1-32 --kl 0.5 --json",
    "infalign recommend worst-of-4 --kl 0.3 --scores examples/scores.csv",
)


def recommend(
    kl: Annotated[float, typer.Option("--kl", help="KL budget in nats.")],
    procedures: ProcedureArgument = None,
    procedure: ProceduresOption = None,
    against_procedure: AgainstOption = None,
    scores: Annotated[
        list[Path] | None, typer.Option(help="Scores of the base model; repeat for several files.")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[str | None, typer.Option(help="Which policy is the base.")] = None,
    json: JsonOption = False,
) -> None:
    """Recommend a transform and its beta: the exponential of least regret, and the runners-up.

    Several procedures, or a range such as bon:1-32, stand for an unknown N: the exponential is
    then the one whose largest regret over them is smallest.
    """
    from infalign_theory.advice.recommendation import recommend as recommended
    from infalign_theory.cli import printing

    chosen = gathered("procedure", procedures, procedure)
    columns = {"prompt": prompt, "reward": reward, "policy": policy} if scores else {}
    with printing.working():
        found = recommended(
            chosen, kl=kl, base=base, against_procedure=against_procedure, scores=scores, **columns
        )
    if json:
        printing.json_document(found.to_dict())
        return
    typer.echo(found.why)
    printing.show([printing.fields(row) for row in found.candidates()], False)
    if found.settings:
        typer.echo(", ".join(f"{name} = {value}" for name, value in found.settings.items()))
