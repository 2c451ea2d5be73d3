"""Files of scores whose bytes, cells and columns were spoilt: read right, or refused."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from infalign_theory.empirical.scores.reading import PromptScores, read_scores
from tests.attack.escapes import FENCE, Escapes, scratch

SUFFIXES = [".csv", ".tsv", ".jsonl", ".json", ".parquet", ".csv.gz", ".jsonl.gz", ".parquet.gz"]
SHARES = np.array([0.25, 0.1, 0.25, 0.15, 0.08, 0.07, 0.05, 0.05])
CELLS = [
    b"", b"nan", b"NaN", b"inf", b"-inf", b"1e400", b"1e-400", b"null", b"None", b"TRUE", b"x",
    b"0x10", b"1,5", b'"', b"\r\n", b"\n\n", b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"{", b"[",
    b"]}", b"9" * 400, b"\xf0\x9f\x98\x80", b"a" * 70000,
]  # fmt: skip
VALUES: list[object] = [
    0, 1, -0.0, 1e-320, 1e149, 1e151, 10**30, True, False, None, "", " ", "1", " 1.5 ", "+2", "1e3",
    "1_000", "0x10", "1,5", "1.5.2", "nan", "inf", "TRUE", "false", "null", "\uff11", "\u2212" "1",
    "base", "<script>", "'; DROP TABLE source; --", '"', "\u202e", "\n", "a,b", [1.0, 2.0], [],
    [None], {"rm": 1.0}, "[1, 2]", math.nan, math.inf,
]  # fmt: skip
NAMES = ["Reward", "REWARD", "reward ", "prompt", "", "policy", "rm.x", 'a"b', "a'b", "*", "key"]
_PLAIN = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_WORDS = {"true": 1.0, "false": 0.0}
_EVERY = 500  # files between two that are read through a database of their own

Rows = list[dict[str, object]]


@dataclass(frozen=True)
class Case:
    """A file, and which of its policies is asked for."""

    path: Path
    content: bytes
    policy: str | None


def table(rng: np.random.Generator) -> Rows:
    """A sound table of a few rows, with a column of policies or without."""
    rows: Rows = []
    named = rng.random() < 0.7
    for prompt in ("a", "b", 'ä, "c"')[: int(rng.integers(1, 4))]:
        for policy in ("base", "tuned") if named else ("",):
            for _ in range(int(rng.integers(1, 4))):
                row: dict[str, object] = {"prompt": prompt, "reward": round(rng.normal(), 3)}
                rows.append({**row, "policy": policy} if named else row)
    return rows


def changed(rows: Rows, rng: np.random.Generator) -> Rows:
    """The same after one change of a cell, a row or a column."""
    rows = [dict(row) for row in rows]
    at = int(rng.integers(len(rows))) if rows else 0
    if not rows or not rows[at]:
        return rows
    names = list(rows[at])
    name = names[int(rng.integers(len(names)))]
    value = VALUES[int(rng.integers(len(VALUES)))]
    match int(rng.integers(8)):
        case 0 | 1 | 2:
            rows[at][name] = value
        case 3:
            del rows[at][name]
        case 4:
            rows.insert(int(rng.integers(len(rows) + 1)), dict(rows[at]))
        case 5:
            other = NAMES[int(rng.integers(len(NAMES)))]
            rows = [{(other if k == name else k): v for k, v in row.items()} for row in rows]
        case 6:
            other = NAMES[int(rng.integers(len(NAMES)))]
            rows = [row if other in row else {**row, other: value} for row in rows]
        case _:
            del rows[at]
    return rows


def written(rows: Rows, suffix: str, rng: np.random.Generator) -> bytes:
    """A table as the bytes of a file."""
    kind = suffix.removesuffix(".gz")
    if kind == ".parquet":
        content = _parquet(rows)
    elif kind == ".jsonl":
        content = "\n".join(json.dumps(row) for row in rows).encode()
    elif kind == ".json":
        columns = rng.random() < 0.2 and len({tuple(row) for row in rows}) == 1
        given: object = {k: [row[k] for row in rows] for k in rows[0]} if columns else rows
        content = json.dumps(given, indent=2 if rng.random() < 0.3 else None).encode()
    else:
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in rows for name in row))
        out = csv.DictWriter(text, names, delimiter="\t" if kind == ".tsv" else ",")
        out.writeheader()
        out.writerows(rows)
        content = text.getvalue().encode()
    return gzip.compress(content, 1) if suffix.endswith(".gz") else content


def _parquet(rows: Rows) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        try:
            columns[name] = pa.array(cells)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            columns[name] = pa.array([None if cell is None else str(cell) for cell in cells])
    stream = io.BytesIO()
    parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def spoilt(content: bytes, rng: np.random.Generator) -> bytes:
    """A file after one or two changes of bytes."""
    for _ in range(int(rng.integers(1, 3))):
        at, to = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        match int(rng.integers(6)):
            case 0:
                content = content[:at]
            case 1:
                content = content[:at] + CELLS[int(rng.integers(len(CELLS)))] + content[at:]
            case 2:
                content = content[:at] + rng.bytes(int(rng.integers(1, 5))) + content[at + 2 :]
            case 3:
                content = content[:at] + content[to:]
            case 4:
                content = content[:at] + content[at:to] + content[at:]
            case _:
                cell = CELLS[int(rng.integers(len(CELLS)))]
                content = content[:at] + cell + content[min(to, at + 6) :]
    return content


def bred(work: Path, rng: np.random.Generator) -> Case:
    """A file spoilt in its cells, in its bytes, or in both."""
    rows = table(rng)
    policy = "policy" if "policy" in rows[0] and rng.random() < 0.85 else None
    suffix = SUFFIXES[int(rng.choice(len(SUFFIXES), p=SHARES))]
    bytes_too = rng.random() < 0.4
    for _ in range(int(rng.integers(0, 3)) if bytes_too else int(rng.integers(1, 3))):
        rows = changed(rows, rng)
    content = written(rows, suffix, rng)
    if bytes_too:
        if suffix.endswith(".gz") and rng.random() < 0.7:
            content = gzip.compress(spoilt(gzip.decompress(content), rng), 1)
        else:
            content = spoilt(content, rng)
    return Case(work / f"scores{suffix}", content, policy)


# ------------------------------------------------------------------------------------- the oracle
def expected(case: Case) -> list[tuple[str, float]] | None:
    """Prompts and rewards as the standard library reads them; None where it is not so plain."""
    content = case.content
    try:
        if case.path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
        kind = case.path.suffixes[0]
        if kind in (".csv", ".tsv"):
            lines = csv.DictReader(
                io.StringIO(text, newline=""), delimiter="\t" if kind == ".tsv" else ",",
                strict=True, restkey="__more__",
            )  # fmt: skip
            rows = [dict(row) for row in lines]
        elif kind == ".jsonl":
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        elif kind == ".json":
            rows = json.loads(text)
        else:
            return None
        return _plain(rows, case.policy)
    except (ValueError, OSError, EOFError, csv.Error):
        return None


def _plain(rows: object, policy: str | None) -> list[tuple[str, float]] | None:
    """Rows of the base; None where prompts, policies or rewards are not plain texts and numbers."""
    found = []
    if not isinstance(rows, list):
        return None
    for row in rows:
        if not isinstance(row, dict) or "__more__" in row:
            return None
        prompt, label, value = row.get("prompt"), row.get(policy or ""), row.get("reward")
        if not isinstance(prompt, str) or (policy is not None and not isinstance(label, str)):
            return None
        if policy is not None and label != "base":
            continue
        reward = _number(value)
        if reward is None:
            return None
        found.append((prompt, reward))
    return sorted(found)


def _number(value: object) -> float | None:
    if isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if isinstance(value, str):
        return float(value) if _PLAIN.fullmatch(value) else None
    return float(value) if isinstance(value, (bool, int, float)) else None


def _judged(case: Case) -> None:
    """Read it; whatever is taken is finite, in order, and what the standard library reads."""
    found = read_scores(case.path, policy=case.policy, base="base" if case.policy else None)
    rewards = found.rewards.values
    if not np.isfinite(rewards).all():
        raise AssertionError("a reward that is not finite")
    if list(found.prompts) != sorted(set(found.prompts)):
        raise AssertionError("prompts twice or not in order")
    plain = expected(case)
    if plain is not None and plain != _listed(found):
        raise AssertionError(f"read {_listed(found)}, not {plain}")


def _listed(found: PromptScores) -> list[tuple[str, float]]:
    names = np.repeat(np.arange(len(found.prompts)), found.rewards.sizes)
    values = found.rewards.values.tolist()
    return sorted((found.prompts[i], v) for i, v in zip(names.tolist(), values, strict=True))


@contextlib.contextmanager
def one_database() -> Iterator[None]:
    """Connections become cursors of one database: making one costs most of reading a small file."""
    import duckdb

    shared = duckdb.connect(config={"threads": "1", "autoinstall_known_extensions": "false"})

    def connected(config: dict[str, str] | None = None) -> duckdb.DuckDBPyConnection:
        cursor = shared.cursor()
        if config is not None:
            cursor.execute(f"SET temp_directory = '{config['temp_directory']}'")
        return cursor

    with mock.patch.object(duckdb, "connect", connected):
        yield
    shared.close()


def files(count: int, rng: np.random.Generator) -> int:
    """Score files of every kind, spoilt; nothing but the file itself may be left."""
    escapes = Escapes("files")
    kinds = Counter[str]()
    with scratch() as (work, temporary), contextlib.ExitStack() as shared:
        for number in range(count):
            case = bred(work, rng)
            case.path.write_bytes(case.content)
            told = f"{case.path.name} {case.policy} {case.content[:300]!r}"
            before = escapes.counts["taken"]
            if number % _EVERY == 0:
                shared.close()
                escapes.run(lambda case=case: _judged(case), told)
                shared.enter_context(one_database())
            else:
                escapes.run(lambda case=case: _judged(case), told)
            kinds["".join(case.path.suffixes)] += escapes.counts["taken"] - before
            left = [path.name for place in (work, temporary) for path in place.iterdir()]
            if left != [case.path.name] or FENCE.crossed:
                escapes.found.append(f"left {left}, wrote {FENCE.crossed}: {told}")
                FENCE.crossed.clear()
            case.path.unlink()
    print("taken:", ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items())))
    return escapes.tell()
