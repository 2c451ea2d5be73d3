"""Predict a training run from base scores."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from infalign_theory.cli.options import (
    AgainstOption,
    BaseLawOption,
    BetaOption,
    JsonOption,
    KlOption,
    MemoryOption,
    ProcedureOption,
    TransformOption,
    WideOption,
)

EXAMPLES = (
    "infalign predict examples/scores.csv -p bon:4 -t identity -t exp:10 --kl 0.3",
    "infalign predict examples/base.jsonl --prompt question --reward rm_logit --truth "
    "correct -p bon:2,4 -t exp:10 --kl 0.3",
)
_SAID_ABOVE = ("prompts", "law", "notes")  # of the whole table, not of a row


def predict(
    scores: Annotated[
        list[str],
        typer.Argument(
            help="CSV, TSV, JSON, JSON lines or Parquet files, also gzipped; folders or patterns; "
            "- for standard input."
        ),
    ],
    procedure: ProcedureOption,
    transform: TransformOption,
    kl: KlOption = None,
    beta: BetaOption = None,
    against_procedure: AgainstOption = None,
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[
        str, typer.Option(help="Column of the reward; scores.rm for nested keys.")
    ] = "reward",
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Which policy, or which file by its stem, is the base.")
    ] = None,
    truth: Annotated[
        str | None, typer.Option(help="Column of the true reward: adds the true win rate.")
    ] = None,
    law: BaseLawOption = "auto",
    wide: WideOption = False,
    memory: MemoryOption = "1GB",
    json: JsonOption = False,
) -> None:
    """Predict the win rate of a training run from scores of the base model.

    Prints a table on a terminal and JSON into a pipe or file.
    """
    from infalign_theory.cli import printing
    from infalign_theory.empirical.prediction.entry import predict as predicted

    result = predicted(
        scores,
        procedure=procedure,
        transform=transform,
        kl=kl,
        beta=beta,
        against_procedure=against_procedure,
        prompt=prompt,
        reward=reward,
        policy=policy,
        base=base,
        truth=truth,
        law=law,
        wide=wide,
        memory=memory,
    )
    typer.echo(
        f"{result.rows[0].prompts} prompts, {result.samples} samples, "
        f"{100 * result.tie_fraction:.1f} % of sample pairs tied, {result.rows[0].law} base",
        err=True,
    )
    for note in result.notes:
        typer.echo(f"note: {printing.printable(note)}", err=True)
    as_json = json or not sys.stdout.isatty()
    rows: list[dict[str, object]] = [{**r, "notes": result.notes} for r in result.to_rows()]
    if not as_json:
        rows = [{k: v for k, v in row.items() if k not in _SAID_ABOVE} for row in rows]
    printing.show(rows, as_json)
