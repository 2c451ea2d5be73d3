"""Ten million rewards from Parquet: validate against DuckDB's own time to read and sort them.

Run ``python benchmarks/validate.py``; every number is the best of three runs, each in a process of
its own, kernels compiled beforehand. Memory is the peak resident set of the validating process.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

PROMPTS, SAMPLES, RUNS = 100_000, 50, 3
COLUMNS = {"prompt": "question", "policy": "label", "reward": "rm"}


def make(path: Path) -> None:
    """Rows of two policies in random order."""
    rows = 2 * PROMPTS * SAMPLES
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'question ' || (i % {PROMPTS}) AS question, "
            f"CASE WHEN i < {rows // 2} THEN 'base' ELSE 'tuned' END AS label, "
            "hash(i) / 18446744073709551616.0 + CASE WHEN i < "
            f"{rows // 2} THEN 0 ELSE 0.15 END AS rm FROM range({rows}) t(i) "
            f"ORDER BY hash(i + 1)) TO '{path}' (FORMAT parquet)"
        )


def read_and_sort(path: str) -> float:
    """DuckDB alone: rewards sorted by prompt, policy and value, into memory."""
    with duckdb.connect() as connection:
        start = time.perf_counter()
        connection.execute(
            f"SELECT rm FROM read_parquet('{path}') ORDER BY question, label, rm"
        ).fetchnumpy()
        return time.perf_counter() - start


def validate(path: str) -> float:
    """Three procedures, an exponent and its strength fitted."""
    import infalign_theory as it

    start = time.perf_counter()
    it.validate(path, **COLUMNS, procedure=["standard", "bon:4", "won:4"])
    return time.perf_counter() - start


def measured(task: str, path: Path) -> tuple[float, float]:
    """Best seconds and largest GiB of several processes."""
    found = []
    for _ in range(RUNS):
        run = subprocess.run(
            [sys.executable, __file__, task, str(path)], capture_output=True, text=True, check=True
        )
        found.append([float(word) for word in run.stdout.split()])
    return min(seconds for seconds, _ in found), max(size for _, size in found)


def main() -> None:
    """Make the rows, measure, print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.parquet")
        make(path)
        validate(str(path))
        alone, _ = measured("read_and_sort", path)
        ours, size = measured("validate", path)
    print(f"{2 * PROMPTS * SAMPLES} rewards: DuckDB reads and sorts in {alone:.2f} s")
    print(f"validate: {ours:.2f} s, {ours / alone:.2f} times that; peak memory {size:.2f} GiB")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        seconds = {"read_and_sort": read_and_sort, "validate": validate}[sys.argv[1]](sys.argv[2])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(seconds, peak)
    else:
        main()
