"""Fit a calibration to base scores and keep it in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infalign_theory.cli.options import JsonOption

_FEW = 8  # base samples a prompt
_NOT_OURS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".gz")  # names of scores, never of ours
EXAMPLES = (
    "infalign calibrate examples/scores.csv --out calibration.parquet",
    "infalign calibrate examples/base.jsonl --prompt question --reward rm_logit --out "
    "calibration.parquet --json",
)


def calibrate(
    scores: Annotated[list[Path], typer.Argument(help="CSV, JSON lines or Parquet files.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write the calibration to.")],
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    method: Annotated[str, typer.Option(help="auto, ranks or pooled.")] = "auto",
    tail: Annotated[
        str, typer.Option(help="Where it must be best: upper (Best-of-N) or lower (Worst-of-N).")
    ] = "upper",
    picture: Annotated[
        Path | None, typer.Option(help="Draw held-out uniformity: a png, svg or pdf file.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Fit calibrated rewards to scores of the base model and write them to a file.

    The file is what a reward function of TRL, verl or OpenRLHF needs.
    """
    from infalign_theory.cli import printing
    from infalign_theory.errors import InputError
    from infalign_theory.training.calibrator import Calibrator
    from infalign_theory.training.uniformity import kind_of_picture

    if any(out.resolve() == given.resolve() for given in scores):
        raise InputError(f"{out} is a file of base scores; give the calibration another name.")
    if out.suffix.lower() in _NOT_OURS:
        raise InputError(
            f"{out}: a calibration is a Parquet file; give a name such as cal.parquet."
        )
    if picture is not None:
        kind_of_picture(picture)  # before anything is written
    fitted = Calibrator.fit(scores, prompt, reward, method, tail=tail)
    fitted.save(out)
    if picture is not None:
        fitted.uniformity.save_picture(picture)
    found = {
        "prompts": len(fitted.prompts),
        "samples": fitted.samples,
        "method": fitted.method,
    }
    if fitted.samples < _FEW * len(fitted.prompts):
        typer.echo(
            f"fewer than {_FEW} base samples a prompt tell little of where a reward stands; 16 or "
            "more are a start (calibration_cost says what they cost).",
            err=True,
        )
    uniformity = fitted.uniformity.summary()
    if json:
        printing.json_document({**found, "uniformity": uniformity})
    else:
        shown = {key: uniformity[key] for key in ("chosen", "distance", "ties")}
        printing.show([{**found, **shown}], False)
