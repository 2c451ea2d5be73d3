"""Where the time goes: what stands between a time and the one wanted, by profiles of one run."""

from __future__ import annotations

import cProfile
import os
import pstats
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import infalign_theory as it
from benchmarks.clock import shown
from benchmarks.continuous import BUDGETS, N
from benchmarks.discrete import BETA, atoms
from benchmarks.processes import COMMANDS, EXAMPLES

MOST = 7  # entries of a profile


def own_times(call: Callable[[], object]) -> list[tuple[str, float]]:
    """The functions that take most time of their own, in seconds; the last entry is the rest."""
    call()
    profile = cProfile.Profile(time.process_time)  # other processes do not count
    profile.runcall(call)
    spent: Counter[str] = Counter()
    entries = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, _, own, _, _) in entries.items():
        spent[f"{Path(file).stem}.{function}" if file != "~" else function] += own
    return _largest(spent)


def imports(words: str) -> list[tuple[str, float]]:
    """Seconds of import that each package takes in a command, of its modules alone."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "infalign_theory", *words.split()],
        cwd=EXAMPLES,
        env=os.environ,
        check=True,
        capture_output=True,
        text=True,
    )
    spent: Counter[str] = Counter()
    for line in run.stderr.splitlines():
        if line.count("|") != 2:
            continue
        own, _, module = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            spent[module.strip().split(".")[0]] += int(own) * 1e-6
    return _largest(spent)


def _largest(spent: Counter[str]) -> list[tuple[str, float]]:
    kept = spent.most_common(MOST)
    return [*kept, ("the rest", sum(spent.values()) - sum(own for _, own in kept))]


def section() -> Iterator[str]:
    """The lines of the page."""
    yield "## What stands between"
    yield ""
    yield (
        "Own processor times of one run under a profiler, which adds to each call; commands: what "
        "importing each package takes. A march over atoms waits for one atom's share before it can "
        "take the next, some 25 ns each, and a million need two; what else is there are passes "
        "over arrays of eight megabytes, whose memory the system hands out anew each time. Sorting "
        "takes 15 ns an atom and one array."
    )
    yield ""
    yield "| work | where the time goes |"
    yield "|---|---|"
    many = atoms(10**6)
    numbers = np.random.default_rng(1).random(10**6)
    works: dict[str, Callable[[], object]] = {
        f"frontier of exp(10u), bon:{N}": lambda: it.frontier("exp:10", f"bon:{N}", kl=BUDGETS),
        "best exponent, bon:4": lambda: it.best_exponent("bon:4", kl=0.5),
        "optimum of order:2/3 by KL": lambda: it.optimum("order:2/3", kl=0.3),
        "discrete optimum, bon:4, a million atoms": lambda: it.optimum(
            "bon:4", beta=BETA, base=many
        ),
        "discrete optimum, won:4, a million atoms": lambda: it.optimum(
            "won:4", beta=BETA, base=many
        ),
        "sorting as many numbers": lambda: np.sort(numbers),
    }
    for work, call in works.items():
        yield _line(work, own_times(call))
    for name, (words, _, _) in COMMANDS.items():
        yield _line(f"{name}, imports", imports(words))


def _line(work: str, times: list[tuple[str, float]]) -> str:
    parts = ", ".join(f"`{name}` {shown(own)}" for name, own in times)
    return f"| {work} | {parts} |"
