"""Full disks, folders that may not be written to, sudden death, too little memory."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory import output
from infalign_theory.cli import app as cli
from infalign_theory.errors import InputError
from infalign_theory.figures import reproduce
from infalign_theory.training import storage

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ROWS = {"prompt": list("aabb"), "reward": [0.1, 0.7, 0.3, 0.2], "right": [1, 0, 1, 1]}
FEW = {"base": ROWS, "tuned": {**ROWS, "reward": [0.5, 0.9, 0.8, 0.1]}}
COMPARE = ["compare", "-p", "bon:4", "exp:10", "--kl", "0.5", "--json"]
COIN = "import infalign_theory as it; print(it.Discrete([0.5, 0.5]).below.tolist())"
needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")


def judged(folder: Path) -> None:
    it.validate(FEW, procedure="bon:2", base="base").report(folder / "report.html")


def hacked(folder: Path) -> None:
    from infalign_theory.empirical.hacking.entry import hacking

    base = EXAMPLES / "base.jsonl"
    found = hacking(base, prompt="question", reward="rm_logit", truth="correct")
    found.report(folder / "hacking.html")


def calibrated(folder: Path) -> None:
    it.Calibrator.fit(ROWS, "prompt", "reward", "ranks").save(folder / "calibration.parquet")


def pictured(folder: Path) -> None:
    fitted = it.Calibrator.fit(ROWS, "prompt", "reward", "ranks")
    fitted.uniformity.save_picture(folder / "uniformity.png")


def drawn(folder: Path) -> None:
    reproduce(folder, ["optimal-transforms"])


def documented(folder: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(
            ["validate", str(EXAMPLES / "base.jsonl"), str(EXAMPLES / "tuned.jsonl"), "--prompt",
             "question", "--reward", "rm_logit", "--output", str(folder / "found.json")]
        )  # fmt: skip
    if stop.value.code:
        raise InputError("as told on standard error")


# everything that writes files, and the first file that each writes
WRITERS = {
    "report": (judged, "report.html"),
    "hacking report": (hacked, "hacking.html"),
    "calibration": (calibrated, "calibration.parquet"),
    "picture": (pictured, "uniformity.png"),
    "figures": (drawn, "optimal-transforms.png"),
    "document": (documented, "found.json"),
}
QUICKEST = "calibration"


def test_every_writer_is_tried():
    """A module that writes files does so through the one function below, and is tried here."""
    writing = {
        path.relative_to(ROOT / "infalign_theory").as_posix()
        for path in (ROOT / "infalign_theory").rglob("*.py")
        if "write_atomically(" in path.read_text()
    }
    assert writing == {
        "output.py",
        "empirical/report/page.py",
        "empirical/report/hacking_page.py",
        "training/storage.py",
        "training/uniformity.py",
        "figures/catalogue.py",
        "cli/commands/validate.py",
    }


class FullDisk(io.BytesIO):
    """A file that takes a few bytes, then none."""

    def write(self, content: bytes) -> int:  # type: ignore[override]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(handle: int, mode: str) -> FullDisk:
    os.write(handle, b"half")
    os.close(handle)
    return FullDisk()


@pytest.mark.slow
@pytest.mark.parametrize(("write", "name"), WRITERS.values(), ids=WRITERS.keys())
def test_a_full_disk_leaves_what_was_there(write, name, tmp_path, monkeypatch):
    (tmp_path / name).write_text("old")
    changed = SimpleNamespace(**{**vars(os), "fdopen": full})
    monkeypatch.setattr(output, "os", changed)
    with pytest.raises(InputError, match=r"No space left|as told"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "old"


def died(moment: str, write: object, folder: Path) -> int:
    """The exit status of a process that kills itself at a moment of writing."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    real = vars(os)

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def half(handle: int, mode: str) -> object:
        os.write(handle, b"half")
        return killed()

    def renamed(old: object, new: object) -> None:
        os.replace(old, new)
        killed()

    at = {"half written": {"fdopen": half}, "written": {"replace": killed}}
    at["renamed"] = {"replace": renamed}
    output.os = SimpleNamespace(**{**real, **at[moment]})
    try:
        write(folder)
    finally:
        os._exit(1)


@needs_posix
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("writer", "moment"),
    # they share one way to write: its later moments are shown on the quickest
    [
        *((writer, "half written") for writer in WRITERS),
        (QUICKEST, "written"),
        (QUICKEST, "renamed"),
    ],
)
def test_killed_while_writing_the_file_is_old_or_new(writer, moment, tmp_path):
    write, name = WRITERS[writer]
    whole = tmp_path / "whole"
    whole.mkdir()
    write(whole)  # also compiles what is needed before the fork
    folder = tmp_path / "killed"
    folder.mkdir()
    (folder / name).write_bytes(b"old")
    assert died(moment, write, folder) == signal.SIGKILL
    found = (folder / name).read_bytes()
    if moment == "renamed":
        # a calibration names no file
        assert len(found) == pytest.approx(len((whole / name).read_bytes()), rel=0.01)
    else:
        assert found == b"old"
    rest = {path.name for path in folder.iterdir()} - {name}
    assert all(left.startswith(f".{name}.") for left in rest)
    assert len(rest) == (0 if moment == "renamed" else 1)


def test_no_room_for_copies_of_scores_is_one_message(tmp_path, monkeypatch):
    """Of standard input, and of Parquet that is packed; the database's own words are no help."""
    monkeypatch.setattr(shutil, "copyfileobj", no_room)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"prompt,reward\na,1\n")))
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(b"\x1f\x8b")
    for given, shown in (("-", "standard input"), (packed, str(packed))):
        with pytest.raises(InputError, match=f"{shown} cannot be copied.*No space left.*TMPDIR"):
            it.predict(given, procedure="bon:2", transform="log", kl=0.1)


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_no_room_for_a_calibration_is_one_message(tmp_path, monkeypatch):
    nowhere = SimpleNamespace(
        TemporaryDirectory=lambda: Missing(tmp_path / "gone"), gettempdir=lambda: "/scratch"
    )
    monkeypatch.setattr(storage, "tempfile", nowhere)
    with pytest.raises(InputError, match=r"cannot prepare .*c\.parquet in /scratch"):
        it.Calibrator.fit(ROWS, "prompt", "reward", "ranks").save(tmp_path / "c.parquet")
    assert list(tmp_path.iterdir()) == []


class Missing:
    """A temporary folder that has gone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> str:
        return str(self.path)

    def __exit__(self, *_: object) -> None:
        pass


def unprivileged() -> list[str]:
    """What makes a program obey the permissions of files, also where tests run as root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and there is no setpriv")
    rights = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]


@pytest.fixture
def read_only(tmp_path):
    """The package, and a home, where nothing may be written."""
    site, home = tmp_path / "site", tmp_path / "home"
    home.mkdir()
    shutil.copytree(
        Path(it.__file__).parent,
        site / "infalign_theory",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    folders = [home, *(path for path in site.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o500)
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    yield {**kept, "HOME": str(home), "PYTHONPATH": str(site)}
    for folder in folders:
        folder.chmod(0o700)


@needs_posix
@pytest.mark.slow
def test_a_read_only_installation_and_home_give_the_same_numbers(read_only, tmp_path):
    code = f"import infalign_theory as it; print(it.__file__); {COIN}"
    done = subprocess.run(
        [*unprivileged(), sys.executable, "-W", "error", "-c", code],
        env=read_only,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.stderr == ""
    where, below = done.stdout.splitlines()
    assert where.startswith(str(tmp_path))
    assert below == "[0.0, 0.5, 1.0]"
    assert not any(tmp_path.rglob("*.nb?"))


@needs_posix
@pytest.mark.slow
def test_no_room_for_machine_code_costs_no_answer(tmp_path):
    limited = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error", "-c", limited + COIN],
        env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.stderr, done.stdout) == ("", "[0.0, 0.5, 1.0]\n")
    assert not any(tmp_path.rglob("*.nbc"))  # nothing that the next process would trip over


def test_too_little_memory_is_one_line(monkeypatch, capsys):
    def starved(*_: object, **__: object) -> None:
        raise np._core._exceptions._ArrayMemoryError((10**9, 10**9), np.dtype(float))

    from infalign_theory.comparison import comparisons

    monkeypatch.setattr(comparisons, "compare", starved)
    with pytest.raises(SystemExit) as stop:
        cli.main(COMPARE)
    assert stop.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("infalign: there is not enough memory")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        ImportError("_duckdb.so: failed to map segment from shared object"),
        OSError("Could not load shared object file 'libllvmlite.so'. This could mean that"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_one_line(error, monkeypatch, capsys):
    """What the dynamic linker says under a hard limit on the address space."""

    def starved(*_: object, **__: object) -> None:
        raise error

    from infalign_theory.comparison import comparisons

    monkeypatch.setattr(comparisons, "compare", starved)
    with pytest.raises(SystemExit) as stop:
        cli.main(COMPARE)
    assert stop.value.code == 2
    reason = str(error).partition(". ")[0]
    assert capsys.readouterr().err == (
        f"infalign: {reason}: the installation is damaged, or there is too little memory to load "
        "it.\n"
    )


@pytest.mark.slow
def test_scores_beyond_the_memory_allowed_are_one_message(tmp_path):
    """The database stops at its limit, long before the kernel would end the process."""
    rewards = np.random.default_rng(0).normal(size=200_000)
    path = tmp_path / "scores.csv"
    lines = "\n".join(f"p{i % 1000},{reward}" for i, reward in enumerate(rewards))
    path.write_text(f"prompt,reward\n{lines}\n")
    with pytest.raises(InputError, match=r"database limit of 4MB; allow it more memory"):
        it.predict(path, procedure="bon:4", transform="exp:10", kl=0.3, memory="4MB")


def test_more_resamples_than_memory_holds_are_refused():
    with pytest.raises(InputError, match="more than ever help; give 100 to 1000000"):
        it.validate(FEW, procedure="bon:2", base="base", bootstrap=10**9)
