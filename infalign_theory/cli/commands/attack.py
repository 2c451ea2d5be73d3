"""Absolute success of an attacker by number of tries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from infalign_theory.cli.options import JsonOption

EXAMPLES = ("infalign attack examples/base.jsonl --prompt question --success correct -n 1 -n 16",)


def attack(
    scores: Annotated[list[Path], typer.Argument(help="Files of tries; - is standard input.")],
    n: Annotated[list[int], typer.Option("--n", "-n", help="Tries; repeat for several.")],
    success: Annotated[str, typer.Option(help="Column of success, 0/1 or true/false.")] = "success",
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    policy: Annotated[str | None, typer.Option(help="Column of the policy, if any.")] = None,
    base: Annotated[str | None, typer.Option(help="Which policy is attacked.")] = None,
    json: JsonOption = False,
) -> None:
    """How often an attacker with N tries succeeds, within the samples and beyond.

    Prints a table on a terminal and JSON into a pipe or file; the verdict on standard error.
    """
    from infalign_theory.cli import printing
    from infalign_theory.empirical.hacking.attackers import attack_success

    found = attack_success(scores, n=n, success=success, prompt=prompt, policy=policy, base=base)
    for line in found.verdict:
        typer.echo(printing.printable(line), err=True)
    if json or not sys.stdout.isatty():
        printing.json_document(found.to_dict())
        return
    printing.show([printing.fields(row) for row in found.rows], False)
