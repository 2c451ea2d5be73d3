"""Predict a training run from base scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from infalign_theory.cli.options import (
    BetaOption,
    JsonOption,
    KlOption,
    ProcedureOption,
    TransformOption,
)


def predict(
    scores: Annotated[list[Path], typer.Argument(help="CSV, JSON lines or Parquet files.")],
    procedure: ProcedureOption,
    transform: TransformOption,
    kl: KlOption = None,
    beta: BetaOption = None,
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[str | None, typer.Option(help="Which policy is the base.")] = None,
    json: JsonOption = False,
) -> None:
    """Predict the win rate of a training run from scores of the base model.

    Prints a table on a terminal and JSON into a pipe or file.
    """
    from infalign_theory.cli import printing
    from infalign_theory.empirical.prediction.entry import predict as predicted
    from infalign_theory.procedures import names as procedures

    result = predicted(
        scores, procedure=procedures.several(procedure), transform=transform, kl=kl, beta=beta,
        prompt=prompt, reward=reward, policy=policy, base=base,
    )  # fmt: skip
    typer.echo(
        f"{result.rows[0].prompts} prompts, {result.samples} samples, "
        f"{100 * result.tie_fraction:.1f} % of sample pairs tied",
        err=True,
    )
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    rows = [printing.fields(row) for row in result.rows]
    as_json = json or not sys.stdout.isatty()
    if not as_json:  # told above the table
        rows = [{k: v for k, v in row.items() if k != "prompts"} for row in rows]
    printing.show(rows, as_json)
