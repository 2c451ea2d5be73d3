"""Make the theory figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "infalign reproduce",
    "infalign reproduce --only frontiers,regret --format svg --out pictures",
)


def reproduce(
    out: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("figures"),
    only: Annotated[list[str] | None, typer.Option(help="Only this figure; repeat.")] = None,
    format: Annotated[str, typer.Option(help="png, svg or pdf, or several: png,svg.")] = "png",
) -> None:
    """Make every theory figure, with the numbers behind it as CSV."""
    from infalign_theory import figures
    from infalign_theory.cli import printing

    names = [part.strip() for text in only for part in text.split(",")] if only else None
    formats = [part.strip() for part in format.split(",")]
    with printing.progress(len(names or figures.FIGURES)) as step:
        results = figures.reproduce(out, names, formats, step)
    printing.table(
        ["figure", "files", "seconds", "what it shows"],
        [
            [r.name, "\n".join(p.name for p in r.files), f"{r.seconds:.1f}", r.shows]
            for r in results
        ],
    )
    files = sum(len(result.files) for result in results)
    kept = sum(len(result.unchanged) for result in results)
    same = f", {kept} showed the same already" if kept else ""
    typer.echo(f"{files - kept} files written to {out}{same}")
