"""A validation for people who read a terminal: verdicts, tables that fit, notes and findings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from infalign_theory.cli.printing import number, printable

if TYPE_CHECKING:
    from infalign_theory.empirical.validation.results import PolicyValidation, Validation

_WIDTH = 120  # where no terminal says how wide it is
_NARROWEST = 40
_GAP = "  "

Cell = float | int | str | tuple[float, float] | None


def tell(result: Validation, *, tables: bool) -> None:
    """Verdicts and tables on standard output, or none of it; what is odd on standard error.

    With a JSON document on standard output verdicts and notes are in the document, and notes are
    told on standard error as well.
    """
    for finding in result.findings:
        sys.stderr.write(printable(f"note: {finding.text}") + "\n")
    if tables:
        sys.stdout.write("\n".join(lines(result, _width())) + "\n")
        return
    for policy in result.policies.values():
        for note in policy.notes:
            sys.stderr.write(printable(f"note: {policy.name}: {note}") + "\n")


def lines(result: Validation, width: int) -> Iterator[str]:
    """The whole answer in lines of at most ``width`` columns, but for words that are longer."""
    for at, policy in enumerate(result.policies.values()):
        if at:
            yield ""
        yield printable(f"{policy.name} against {result.base}")
        for sentence in policy.verdict:
            yield from _wrapped(sentence, width)
        for note in policy.notes:
            yield from _wrapped(f"note: {note}", width)
        yield ""
        yield from _table(*_win_rates(policy), width)
    if result.differences:
        yield ""
        yield "differences of win rates, paired by prompt"
        rows: list[list[Cell]] = [
            [
                printable(f"{row.first} - {row.second}"),
                row.duel.label,
                row.difference.value,
                row.difference.ci,
            ]
            for row in result.differences
        ]
        yield from _table(["policies", "procedure", "difference", "ci"], rows, width, keys=2)


def _win_rates(policy: PolicyValidation) -> tuple[list[str], list[list[Cell]]]:
    """Heads and rows of a policy's table, the procedure first."""
    heads = ["procedure", "win rate", "ci", "predicted", "z", "prompts", "efficiency"]
    other = any(row.against_procedure for row in policy.win_rates)
    true = any(row.truth for row in policy.win_rates)
    rows: list[list[Cell]] = [
        [
            row.duel.label,
            row.estimate,
            row.ci,
            row.predicted,
            row.z,
            row.prompts,
            row.efficiency,
            *([row.base_win_rate] if other else []),
            *([None if row.truth is None else row.truth.win_rate.value] if true else []),
        ]
        for row in policy.win_rates
    ]
    return heads + ["base itself"] * other + ["true win rate"] * true, rows


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[Cell]], width: int, keys: int = 1
) -> Iterator[str]:
    """A table cut into as many as it takes to fit, each with the columns that name its rows."""
    texts = [list(heads), *([number(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in texts) for at in range(len(heads))]
    named = sum(widths[:keys]) + len(_GAP) * keys
    if named > 0.6 * width and keys > 1:  # names so long that every row has lines of its own
        for line in texts[1:]:
            yield from _wrapped(_GAP.join(line[:keys]), width)
            yield from _wrapped(
                _GAP
                + _GAP.join(
                    f"{head} {cell}" for head, cell in zip(heads[keys:], line[keys:], strict=True)
                ),
                width,
            )
        return
    at = keys
    while at < len(heads):
        end, used = at + 1, named + widths[at]
        while end < len(heads) and used + len(_GAP) + widths[end] <= width:
            used += len(_GAP) + widths[end]
            end += 1
        if at > keys:
            yield ""
        columns = [*range(keys), *range(at, end)]
        for line in texts:
            cells = (
                line[c].ljust(widths[c]) if c < keys else line[c].rjust(widths[c]) for c in columns
            )
            yield _GAP.join(cells).rstrip()
        at = end


def _wrapped(text: str, width: int) -> Iterator[str]:
    """A sentence in lines; names of users keep nothing that could steer a terminal."""
    import textwrap

    yield from textwrap.wrap(printable(text), width, subsequent_indent=_GAP) or [""]


def _width() -> int:
    """Columns of the terminal, or of a page where there is none."""
    import shutil

    if not sys.stdout.isatty():
        return _WIDTH
    return max(shutil.get_terminal_size((_WIDTH, 24)).columns, _NARROWEST)
