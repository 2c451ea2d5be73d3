"""Many prompts, many workers, sudden death: the same numbers, and no half-written file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

import infalign_theory as it
from infalign_theory import output as files
from infalign_theory.cli import app as cli
from infalign_theory.empirical.survey import surveys
from infalign_theory.errors import InputError

PLAN = {
    "procedure": ["bon:4", "won:2"],
    "policy": "label",
    "reward": "rm",
    "truth": "right",
    "log_ratio": "ratio",
    "transform": "exp:5",
    "beta": 50.0,
}
SCRIPT = """
import sys
from pathlib import Path
import infalign_theory as it
from infalign_theory.cli import app as cli
from infalign_theory import output as files
from infalign_theory import output as files
from infalign_theory.cli import printing as reporting
found = it.validate([sys.argv[1]], policy="label", reward="rm", procedure="bon:4")
report, document = Path(sys.argv[2]), Path(sys.argv[3])
while True:
    found.report(report)
    files.write_atomically(document, reporting.json_text(found.to_dict()).encode())
    print("written", flush=True)
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Three Parquet files; the two policies of a prompt, and its samples, are spread over them."""
    folder = tmp_path_factory.mktemp("parts")
    rng = np.random.default_rng(1)
    size = 60_000
    table = pd.DataFrame(
        {
            "prompt": rng.integers(0, 1500, size),
            "label": rng.choice(["base", "b", "a"], size),
            "rm": rng.normal(size=size),
            "right": rng.random(size),
            "ratio": rng.normal(size=size),
        }
    )
    table["rm"] += 0.5 * (table["label"] == "a")
    with duckdb.connect() as connection:
        for i in range(3):
            part = table.iloc[i::3]
            connection.register("part", part)
            connection.execute(f"COPY part TO '{folder / f'{i}.parquet'}' (FORMAT parquet)")
    return folder


def text(found):
    return json.dumps(found.to_dict(), sort_keys=True)


@pytest.fixture(scope="module")
def here(parts):
    return text(it.validate(str(parts), **PLAN))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [60_000, 7_000, 999])
def test_the_number_of_shares_changes_no_bit(parts, here, rows, monkeypatch):
    monkeypatch.setattr(surveys, "SHARE_ROWS", rows)
    assert text(it.validate(str(parts), **PLAN)) == here


@pytest.mark.slow
def test_a_small_database_spills_and_gives_the_same(parts, here):
    assert text(it.validate(str(parts), **PLAN, memory="60MB")) == here


def cluster(workers):
    from dask.distributed import LocalCluster

    return LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [3])
def test_any_number_of_workers_gives_the_same_bits(parts, here, workers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the cluster itself
        with cluster(workers) as scheduler:
            found = it.validate(str(parts), **PLAN, dask=scheduler.scheduler_address)
    assert text(found) == here


@pytest.mark.slow
def test_a_worker_killed_half_way_is_survived(parts, here):
    from dask.distributed import Client

    killed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with cluster(2) as scheduler, Client(scheduler) as client:
            pids = list(client.run(os.getpid).values())

            def progress(name):
                if name.startswith("measuring, 1 of") and not killed:
                    os.kill(pids[0], signal.SIGKILL)
                    killed.append(pids[0])

            found = it.validate(str(parts), **PLAN, dask=client, progress=progress)
    assert killed
    assert text(found) == here


@pytest.mark.slow
def test_what_dask_cannot_do_is_said(parts):
    table = pd.DataFrame({"prompt": [1], "policy": ["base"], "reward": [1.0]})
    with pytest.raises(InputError, match="in memory"):
        it.validate(table, policy="policy", dask=True)
    with pytest.raises(InputError, match="not a scheduler"):
        it.validate(str(parts), **PLAN, dask=7)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_killed_at_any_moment_no_half_file_is_left(parts, tmp_path):
    report, document = tmp_path / "report.html", tmp_path / "found.json"
    rng = np.random.default_rng(0)
    for _ in range(2):
        run = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(parts), str(report), str(document)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with run:
            assert run.stdout is not None
            assert run.stdout.readline() == "written\n"
            time.sleep(rng.uniform(0.0, 1.0))
            run.kill()
        assert report.read_bytes().rstrip().endswith(b"</html>")
        assert json.loads(document.read_text())["policies"]
    left = {path.name for path in tmp_path.iterdir()} - {report.name, document.name}
    assert all(name.startswith(".") for name in left)  # never under the output's name


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_only_regular_files_are_written_over(tmp_path):
    pipe, link, target = tmp_path / "pipe", tmp_path / "link.html", tmp_path / "real.html"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(InputError, match=r"not a regular file|is a directory"):
            files.write_atomically(path, b"x")
    assert pipe.is_fifo()
    for name in ("-", "--json"):  # no dash for standard output, no option taken for a name
        with pytest.raises(InputError, match="not a file to write to"):
            files.check_targets(Path(name))
    target.write_text("old")
    link.symlink_to(target)
    files.write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_an_interrupt_is_one_line(monkeypatch, capsys, parts):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(surveys, "measure", stopped)
    with pytest.raises(SystemExit) as stop:
        cli.main(["validate", str(parts), "--policy", "label", "--reward", "rm"])
    assert stop.value.code == 130
    assert capsys.readouterr().err == "infalign: stopped.\n"
