"""The command line: parse, call, print; no arithmetic."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from infalign_theory.errors import InfalignError

app = typer.Typer(
    name="infalign",
    help="Exact win rates, optimal reward transforms and honest validation for Best-of-N and "
    "Worst-of-N inference.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProcedureOption = Annotated[
    list[str],
    typer.Option(
        "--procedure",
        "-p",
        help="standard, bon:N, won:N, order:K/N, bop:MU, mix:... or g:FORMULA; repeat "
        "for several, or bon:2,4.",
    ),
]
TransformOption = Annotated[
    list[str],
    typer.Option(
        "--transform",
        "-t",
        help="identity, log, logit, power:P, exp:T, expr:FORMULA, optimal or optimal@PROCEDURE; "
        "repeat for several.",
    ),
]
KlOption = Annotated[float | None, typer.Option("--kl", help="KL budget in nats.")]
BetaOption = Annotated[
    float | None, typer.Option("--beta", help="Regularisation strength instead of a budget.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")
]


_STOPPED = 130  # what shells call a program that was interrupted

# Typer carries its own copy of Click from some version on: reach the base class by inheritance
_UsageError: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        from infalign_theory import __version__

        typer.echo(f"infalign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def reproduce(
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    only: Annotated[list[str] | None, typer.Option(help="Only this figure; repeat.")] = None,
    format: Annotated[str, typer.Option(help="png, svg or pdf, or several: png,svg.")] = "png",
) -> None:
    """Make every theory figure, with the numbers behind it as CSV."""
    from infalign_theory import figures, reporting

    names = [part.strip() for text in only for part in text.split(",")] if only else None
    formats = [part.strip() for part in format.split(",")]
    with reporting.progress(len(names or figures.FIGURES)) as step:
        results = figures.reproduce(out, names, formats, step)
    reporting.table(
        ["figure", "files", "seconds", "what it shows"],
        [
            [r.name, "\n".join(p.name for p in r.files), f"{r.seconds:.1f}", r.shows]
            for r in results
        ],
    )
    typer.echo(f"{sum(len(r.files) for r in results)} files in {out}")


@app.command()
def compare(
    procedure: ProcedureOption,
    transform: TransformOption,
    kl: Annotated[float, typer.Option("--kl", help="KL budget in nats.")],
    json: JsonOption = False,
) -> None:
    """Compare transforms at equal KL on a continuous base: win rate and regret."""
    from infalign_theory import frontiers, procedures, reporting

    rows = [
        reporting.fields(row)
        for text in procedures.several(procedure)
        for row in frontiers.compare(transform, text, kl=kl).rows
    ]
    _show(rows, json)


@app.command()
def optimum(
    procedure: Annotated[str, typer.Option("--procedure", "-p", help="As in compare.")],
    kl: KlOption = None,
    beta: BetaOption = None,
    json: JsonOption = False,
) -> None:
    """Solve for the coupled optimum on a continuous base, with its evidence."""
    from infalign_theory import optima, reporting

    found = optima.optimum(procedure, beta=beta, kl=kl)
    if json:
        reporting.json_document(optima.summary(found))
    else:
        _show([{k: v for k, v in optima.summary(found).items() if k != "alternatives"}], False)


@app.command()
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
    from infalign_theory import procedures, reporting
    from infalign_theory.empirical import prediction

    result = prediction.predict(
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
    rows = [reporting.fields(row) for row in result.rows]
    as_json = json or not sys.stdout.isatty()
    if not as_json:  # told above the table
        rows = [{k: v for k, v in row.items() if k != "prompts"} for row in rows]
    _show(rows, as_json)


@app.command()
def validate(
    scores: Annotated[
        list[str], typer.Argument(help="CSV, JSON lines or Parquet files, folders or patterns.")
    ],
    procedure: Annotated[
        list[str] | None,
        typer.Option("--procedure", "-p", help="standard, bon:N or won:N; repeat, or bon:2,4."),
    ] = None,
    transform: Annotated[
        str | None, typer.Option("--transform", "-t", help="What training applied; else fitted.")
    ] = None,
    kl: Annotated[float | None, typer.Option("--kl", help="KL the run was to spend, nats.")] = None,
    beta: BetaOption = None,
    prompt: Annotated[str, typer.Option(help="Column of the prompt.")] = "prompt",
    reward: Annotated[str, typer.Option(help="Column of the reward.")] = "reward",
    policy: Annotated[
        str | None, typer.Option(help="Column of the policy; without it a file is a policy.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Which policy is the base.")] = None,
    truth: Annotated[str | None, typer.Option(help="Column of the true reward.")] = None,
    log_ratio: Annotated[
        str | None, typer.Option(help="Column of log pi/pi_ref of the sequence, nats.")
    ] = None,
    sample: Annotated[str | None, typer.Option(help="Column that tells samples apart.")] = None,
    strict: Annotated[
        bool, typer.Option(help="Anything wrong with the scores is an error.")
    ] = False,
    law: Annotated[str, typer.Option(help="auto, continuous or discrete base.")] = "auto",
    level: Annotated[float, typer.Option(help="Confidence level.")] = 0.95,
    bootstrap: Annotated[int, typer.Option(help="Resamples of prompts; 0: Student.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    memory: Annotated[str, typer.Option(help="What DuckDB may use before it spills.")] = "1GB",
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, or 'local' for a cluster here.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write the JSON document here.")] = None,
    json: JsonOption = False,
) -> None:
    """Judge trained policies by scores of both: win rates, KL, and what theory expected."""
    from infalign_theory import files, procedures, reporting
    from infalign_theory.empirical import validation

    files.check_targets(report, output)
    with reporting.steps() as step:
        result = validation.validate(
            scores, procedure=procedures.several(procedure or [validation.STANDARD]),
            transform=transform, kl=kl, beta=beta, prompt=prompt, reward=reward, policy=policy,
            base=base, truth=truth, log_ratio=log_ratio, sample=sample, strict=strict, law=law,
            level=level, bootstrap=bootstrap, seed=seed, memory=memory,
            dask=True if dask == "local" else dask, progress=step,
        )  # fmt: skip
    document = reporting.json_text(result.to_dict())
    if output is not None:
        files.write_atomically(output, document.encode())
    if report is not None:
        result.report(report, reporting.command_line(sys.argv))
    reporting.tell_validation(result)
    if json:
        sys.stdout.write(document)
    else:
        reporting.validation_tables(result)


def _show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    from infalign_theory import reporting

    if as_json:
        reporting.json_document(rows)
    else:
        reporting.table(list(rows[0]), [list(row.values()) for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit 0 when done, 2 on bad input with one readable line."""
    if sys.stdout is None:  # closed by the shell
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given or ["--help"], standalone_mode=False)
    except InfalignError as error:
        _fail(str(error).splitlines()[0])
    except _UsageError as error:
        _fail(f"{error.format_message().rstrip('.')}; see infalign --help.")
    except (typer.Abort, KeyboardInterrupt):
        _fail("stopped.", _STOPPED)
    except (BrokenPipeError, SystemExit):
        # the reader has seen enough (Typer itself exits on a broken pipe); keep the interpreter
        # from complaining when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror}.")
    if code == _STOPPED:  # Typer has turned the interrupt into a status
        _fail("stopped.", _STOPPED)
    sys.exit(code or 0)


def _fail(message: str, code: int = 2) -> None:
    readable = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    typer.echo(f"infalign: {readable}", err=True)
    sys.exit(code)
