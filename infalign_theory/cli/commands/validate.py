"""Judge trained policies by their scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infalign_theory.cli.options import (
    AgainstOption,
    BaseLawOption,
    BetaOption,
    JsonOption,
    MemoryOption,
    WideOption,
)

if TYPE_CHECKING:
    from infalign_theory.empirical.validation.results import Validation

EXAMPLES = (
    "infalign validate examples/base.jsonl examples/tuned.jsonl --prompt question "
    "--reward rm_logit -p bon:4",
    "infalign validate examples/base.jsonl examples/tuned.jsonl --prompt question "
    "--reward rm_logit --truth correct -t exp:10 --kl 0.3 -p bon:1,4 -p won:4 --report report.html",
    "infalign validate examples/base.jsonl examples/tuned.jsonl --prompt question "
    "--reward rm_logit -p bon:4 --against-procedure standard",
)
_Scores = Annotated[
    list[str], typer.Argument(help="CSV, JSON lines or Parquet files, folders or patterns.")
]
_Procedures = Annotated[
    list[str] | None,
    typer.Option("--procedure", "-p", help="standard, bon:N or won:N; repeat, or bon:2,4."),
]
_Applied = Annotated[
    str | None, typer.Option("--transform", "-t", help="What training applied; else fitted.")
]
_PolicyColumn = Annotated[
    str | None, typer.Option(help="Column of the policy; without it a file is a policy.")
]
_LogRatioColumn = Annotated[
    str | None, typer.Option(help="Column of log pi/pi_ref of the sequence, nats.")
]
_Strict = Annotated[bool, typer.Option(help="Anything wrong with the scores is an error.")]
_Scheduler = Annotated[
    str | None, typer.Option(help="Address of a Dask scheduler, or 'local' for a cluster here.")
]


def validate(
    scores: _Scores,
    procedure: _Procedures = None,
    against_procedure: AgainstOption = None,
    transform: _Applied = None,
    kl: Annotated[float | None, typer.Option("--kl", help="KL the run was to spend, nats.")] = None,
    beta: BetaOption = None,
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    policy: _PolicyColumn = None,
    base: Annotated[str | None, typer.Option(help="Which policy is the base.")] = None,
    truth: Annotated[str | None, typer.Option(help="Column of the true reward.")] = None,
    log_ratio: _LogRatioColumn = None,
    sample: Annotated[str | None, typer.Option(help="Column that tells samples apart.")] = None,
    wide: WideOption = False,
    strict: _Strict = False,
    law: BaseLawOption = "auto",
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    bootstrap: Annotated[int, typer.Option(help="Resamples of prompts; 0: Student.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    memory: MemoryOption = "1GB",
    dask: _Scheduler = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the JSON document here.")] = None,
    json: JsonOption = False,
) -> None:
    """Judge trained policies by scores of both: win rates, KL, and what theory expected."""
    from infalign_theory import output as files
    from infalign_theory.cli import printing
    from infalign_theory.empirical.validation import entry as validation
    from infalign_theory.empirical.validation.request import STANDARD
    from infalign_theory.procedures import names as procedures

    files.check_targets(report, output)
    with printing.steps() as step:
        result = validation.validate(
            scores,
            procedure=procedures.several(procedure or [STANDARD]),
            against_procedure=against_procedure,
            transform=transform,
            kl=kl,
            beta=beta,
            prompt=prompt,
            reward=reward,
            policy=policy,
            base=base,
            truth=truth,
            log_ratio=log_ratio,
            sample=sample,
            wide=wide,
            strict=strict,
            law=law,
            level=level,
            bootstrap=bootstrap,
            seed=seed,
            memory=memory,
            dask=True if dask == "local" else dask,
            progress=step,
        )
    _hand_out(result, report, output, json)


def _hand_out(result: Validation, report: Path | None, output: Path | None, json: bool) -> None:
    """Files first, then the text, then the document where standard output is for it alone."""
    from infalign_theory import output as files
    from infalign_theory.cli import printing, validation_text

    document = printing.json_text(result.to_dict())
    if output is not None:
        files.write_atomically(output, document.encode())
    if report is not None:
        result.report(report, printing.command_line(sys.argv))
    validation_text.tell(result, tables=not json)
    if json:
        sys.stdout.write(document)
