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
    soft: Annotated[
        list[str] | None,
        typer.Option("--soft", help="Strength of soft best-of-N: 5, or 5*exp:10; repeat."),
    ] = None,
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Which policy is the base; the others count as trained policies."),
    ] = None,
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    json: JsonOption = False,
) -> None:
    """How far a proxy reward can be pushed before the truth falls, from base samples alone.

    Prints tables on a terminal and JSON into a pipe or file; the verdict on standard error.
    """
    from infalign_theory import output as files
    from infalign_theory.cli import printing
    from infalign_theory.empirical.hacking.entry import SOFT, TRANSFORMS
    from infalign_theory.empirical.hacking.entry import hacking as judged

    files.check_targets(report)
    found = judged(
        scores,
        reward=reward,
        truth=truth,
        prompt=prompt,
        transform=transform or TRANSFORMS,
        soft=soft or SOFT,
        policy=policy,
        base=base,
        level=level,
    )
    if report is not None:
        found.report(report, printing.command_line(sys.argv))
    for line in (*found.verdict, *(f"note: {note}" for note in found.notes)):
        typer.echo(printing.printable(line), err=True)
    if json or not sys.stdout.isatty():
        printing.json_document(found.to_dict())
        return
    for rows in (found.best_of_n, found.soft_best_of_n, found.tilt):
        if rows:
            printing.show([printing.fields(row) for row in rows], False)
