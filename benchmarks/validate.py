"""``validate`` on many rewards from Parquet, against DuckDB's own time to read and sort them.

``python -m benchmarks.validate`` prints times and memory of the largest file; the page has more.
Every time is of a process of its own, kernels compiled beforehand.
"""

from __future__ import annotations

import functools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from benchmarks.clock import Row, Spent

SAMPLES, RUNS = 50, 3
PROMPTS = (1_000, 10_000, 100_000)
COLUMNS = {"prompt": "question", "policy": "label", "reward": "rm"}


def make(path: Path, prompts: int, samples: int, grades: int | None = None) -> None:
    """Rows of two policies in random order; rewards in whole grades where they are few."""
    rows = 2 * prompts * samples
    reward = f"hash(i) / 18446744073709551616.0 + CASE WHEN i < {rows // 2} THEN 0 ELSE 0.15 END"
    if grades is not None:
        reward = f"least(floor(({reward}) * {grades}), {grades - 1})"
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT 'question ' || (i % {prompts}) AS question, "
            f"CASE WHEN i < {rows // 2} THEN 'base' ELSE 'tuned' END AS label, "
            f"{reward} AS rm FROM range({rows}) t(i) "
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


def measured(task: str, path: Path, runs: int = RUNS) -> tuple[Spent, float]:
    """Seconds and largest GiB of several processes."""
    found = []
    for _ in range(runs):
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.validate", task, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        )
        found.append([float(word) for word in run.stdout.split()])
    times = [seconds for seconds, _ in found]
    spent = Spent(median=statistics.median(times), least=min(times), most=max(times))
    return spent, max(size for _, size in found)


@functools.cache
def compared(prompts: int, runs: int = RUNS) -> tuple[Spent, Spent, float]:
    """Ours and DuckDB's time on so many prompts, and our GiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.parquet")
        make(path, prompts, SAMPLES)
        measured("validate", path, 1)  # compiles
        ours, size = measured("validate", path, runs)
        return ours, measured("read_and_sort", path, runs)[0], size


def rows() -> Iterator[Row]:
    """Ten million rewards."""
    ours, theirs, size = compared(PROMPTS[-1])
    yield Row(
        work=f"validate, {2 * PROMPTS[-1] * SAMPLES:.0e} rewards of {PROMPTS[-1]:.0e} prompts",
        ours=ours,
        peer="DuckDB reads and sorts them",
        theirs=theirs,
        accuracy=f"{size:.2g} GiB at most",
        wanted="1/1.5",
    )


def alone() -> Iterator[tuple[str, Spent, str]]:
    """Few grades, so that almost all is ties: work, time, and the time wanted."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.parquet")
        make(path, PROMPTS[-1], 16, grades=5)
        spent, _ = measured("validate", path, 1)
    yield "validate, 1e+05 prompts, 16 samples of 5 grades each", spent, "60 s"


def growth() -> Iterator[tuple[str, float]]:
    """Exponent of the time in the number of rewards, 10^5 to 10^7."""
    times = [compared(prompts)[0].median for prompts in PROMPTS]
    exponent = np.polyfit(np.log(PROMPTS), np.log(times), 1)[0]
    yield "validate, rewards 10^5 to 10^7", float(exponent)


def main() -> None:
    """Make the rows, measure, print."""
    ours, alone, size = compared(PROMPTS[-1])
    print(f"{2 * PROMPTS[-1] * SAMPLES} rewards: DuckDB reads and sorts them in {alone}")
    ratio = ours.median / alone.median
    print(f"validate: {ours}, {ratio:.2f} times that; peak memory {size:.2f} GiB")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        seconds = {"read_and_sort": read_and_sort, "validate": validate}[sys.argv[1]](sys.argv[2])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(seconds, peak)
    else:
        main()
