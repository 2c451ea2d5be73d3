"""The rows of the 30-digit reference table, folded: one test a group, every failing row listed."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]
ROWS: list[Row] = json.loads(
    (Path(__file__).parent / "reference" / "reference.json").read_text(encoding="utf-8")
)["rows"]


def folded(rows: list[Row], label: Callable[[Row], str]) -> Callable[..., Any]:
    """Run a test of one ``row`` on all rows of a label at once; report each that fails."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(label(row), []).append(row)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(rows: list[Row], **others: Any) -> None:
            failed = []
            for row in rows:
                try:
                    test(row=row, **others)
                except AssertionError as error:
                    given = {key: row[key] for key in ("given", "beta", "kl") if key in row}
                    failed.append(f"{given}: {str(error).splitlines()[0]}")
            assert not failed, f"{len(failed)} of {len(rows)} rows:\n" + "\n".join(failed)

        signature = inspect.signature(test)
        names = [
            p.replace(name="rows", annotation=list) if p.name == "row" else p
            for p in signature.parameters.values()
        ]
        run.__signature__ = signature.replace(parameters=names)  # type: ignore[attr-defined]
        return pytest.mark.parametrize("rows", groups.values(), ids=groups)(run)

    return decorate


def transform_and_procedure(row: Row) -> str:
    """The label most tests fold by."""
    against = "" if row["against"] == row["procedure"] else "|" + row["against"]
    return "-".join(filter(None, [row.get("transform"), row["procedure"] + against]))
