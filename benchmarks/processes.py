"""Whole commands, as a user feels them: with compiled kernels and without."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clock import Spent, clock

EXAMPLES = Path(__file__).parents[1] / "examples"
COMMANDS = {  # words, wanted warm, wanted cold
    "infalign compare": (
        "compare --transform identity --transform exp:10 --procedure bon:4 --kl 0.5",
        "0.7 s",
        "4 s",
    ),
    "infalign recommend": ("recommend --procedure bon:8 --kl 0.5", "1.5 s", ""),
    "infalign validate": (
        "validate base.jsonl tuned.jsonl --prompt question --policy label --base base "
        "--reward rm_logit --procedure bon:1,2,4",
        "1.5 s",
        "8 s",
    ),
}


def rows() -> Iterator[tuple[str, Spent, str]]:
    """Wall time of the process; the kernels of the cold one are compiled in it."""
    for name, (words, warm, cold) in COMMANDS.items():
        with tempfile.TemporaryDirectory() as folder:
            place = os.environ | {"NUMBA_CACHE_DIR": folder}

            def run(words=words, place=place) -> None:
                subprocess.run(
                    [sys.executable, "-m", "infalign_theory", *words.split()],
                    cwd=EXAMPLES,
                    env=place,
                    check=True,
                    capture_output=True,
                )

            start = time.perf_counter()
            run()
            spent = time.perf_counter() - start
            yield f"{name}, cold", Spent(median=spent, least=spent, most=spent), cold
            yield f"{name}, warm", clock(run, 5), warm
