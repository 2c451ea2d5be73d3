"""Will a reward be hacked, from base samples with a proxy and a truth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from infalign_theory.cli.options import JsonOption

EXAMPLES = (
    "infalign hacking examples/base.jsonl --prompt question --reward rm_logit --truth correct",
    "infalign hacking examples/base.jsonl --prompt question --reward rm_logit --truth "
    "correct -t identity --json",
)


def hacking(
    scores: Annotated[list[Path], typer.Argument(help="Files of scores; - is standard input.")],
    truth: Annotated[str, typer.Option(help="Column of the truth.")],
    reward: Annotated[str, typer.Option(help="Column of the proxy reward.")] = "reward",
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    transform: Annotated[
        list[str] | None,
        typer.Option("--transform", "-t", help="What training would apply; the first decides."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[str | None, typer.Option(help="Which policy is the base.")] = None,
    json: JsonOption = False,
) -> None:
    """How far a proxy reward can be pushed before the truth falls, from base samples alone.

    Prints tables on a terminal and JSON into a pipe or file; the verdict on standard error.
    """
    from infalign_theory.cli import printing
    from infalign_theory.empirical.hacking.entry import TRANSFORMS
    from infalign_theory.empirical.hacking.entry import hacking as judged

    found = judged(
        scores,
        reward=reward,
        truth=truth,
        prompt=prompt,
        transform=transform or TRANSFORMS,
        policy=policy,
        base=base,
    )
    for line in (*found.verdict, *(f"note: {note}" for note in found.notes)):
        typer.echo(printing.printable(line), err=True)
    if json or not sys.stdout.isatty():
        printing.json_document(found.to_dict())
        return
    for rows in (found.best_of_n, found.tilt):
        printing.show([printing.fields(row) for row in rows], False)
