"""One command, one table: ``python -m benchmarks [--output docs/benchmarks.md]``.

A ratio is their time over ours, above 1 where we are faster, both of one run on one machine, on the
same work at the same or a better accuracy. Times are medians with their range; "wanted" is what we
aim at, met or not. The first run of a command is cold, it compiles; later ones are warm.
"""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version
from pathlib import Path

import infalign_theory as it
from benchmarks import continuous, discrete, limits, processes, scores, validate

PACKAGES = ["numpy", "scipy", "numba", "duckdb", "cvxpy", "clarabel", "pandas"]


def page() -> str:
    """The whole page as Markdown."""
    lines = ["# Benchmarks", "", *(__doc__ or "").splitlines()[2:], ""]
    lines.append(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"infalign-theory {it.__version__}, "
        + ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        + "."
    )
    lines += ["", "| work | ours | peer | theirs | ratio | wanted | accuracy |", "|" + "---|" * 7]
    for part in (continuous, discrete, scores, validate):
        for row in part.rows():
            ratio = float(f"{row.theirs.median / row.ours.median:.3g}")
            lines.append(
                f"| {row.work} | {row.ours} | {row.peer} | {row.theirs} | {ratio:g} "
                f"| {row.wanted} | {row.accuracy} |"
            )
    lines += ["", "| work | time | wanted |", "|---|---|---|"]
    for work, spent, wanted in [*continuous.alone(), *validate.alone(), *processes.rows()]:
        lines.append(f"| {work} | {spent} | {wanted} |")
    lines += ["", "| growth of time | power of the size |", "|---|---|"]
    for part in (continuous, discrete, validate):
        for work, exponent in part.growth():
            lines.append(f"| {work} | {exponent:.2f} |")
    lines += ["", *limits.section()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, and write the page where asked."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--output", type=Path, help="also written here")
    chosen = asked.parse_args()
    text = page()
    print(text)
    if chosen.output:
        chosen.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
