"""Which files a path, a folder, a pattern or standard input stands for."""

from __future__ import annotations

import glob
import gzip
import os
import re
import shutil
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from infalign_theory.empirical.scores.database import ALLOWED_FILES
from infalign_theory.errors import InputError

STANDARD_INPUT = "-"
_NAME_OF_STANDARD_INPUT = "stdin"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_REMEDIES = {
    ".xlsx": "save the sheet as CSV",
    ".xls": "save the sheet as CSV",
    ".zip": "unpack it first",
    ".zst": "unpack it first (zstd -d), or compress with gzip",
    ".bz2": "unpack it first (bunzip2), or compress with gzip",
    ".xz": "unpack it first (unxz), or compress with gzip",
    ".arrow": "read it with pyarrow or datasets and pass the table from Python",
    ".feather": "read it with pyarrow and pass the table from Python",
    ".pkl": "read it where it was written and save it as Parquet or CSV",
    ".npy": "save it as CSV with a column for the prompt and one for the reward",
    ".txt": "call it .csv, .tsv or .jsonl, after what it holds",
}


class FileKind(Enum):
    """How rows are written in a file."""

    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    PARQUET = "parquet"


_KINDS = {
    ".csv": FileKind.CSV, ".tsv": FileKind.TSV, ".json": FileKind.JSON, ".jsonl": FileKind.JSON,
    ".ndjson": FileKind.JSON, ".parquet": FileKind.PARQUET,
}  # fmt: skip


class TemporaryFolder:
    """A folder that is removed when nobody needs it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="infalign-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class ScoreFile:
    """One file of scores: where it is, how it is written, and what it is called.

    ``name`` is the stem of the file, or the folder it was found in: files of one folder belong
    together. ``temporary`` keeps a copy of standard input alive as long as it is needed.
    """

    path: Path
    kind: FileKind
    name: str
    zipped: bool = False
    in_folder: bool = False
    temporary: TemporaryFolder | None = field(default=None, compare=False, repr=False)

    @property
    def shown(self) -> str:
        """How messages call it."""
        return str(self.path) if self.temporary is None else "standard input"


@contextmanager
def room_for_copy(shown: str) -> Iterator[None]:
    """Where a copy of scores is made in the temporary folder: one clear message if it is full."""
    try:
        yield
    except gzip.BadGzipFile:  # of what is read, not of the folder
        raise
    except OSError as error:
        raise InputError(
            f"{shown} cannot be copied to {tempfile.gettempdir()}: {error.strerror}; make room "
            "there, or set TMPDIR to another folder."
        ) from error


def score_files(given: str | os.PathLike[str]) -> list[ScoreFile]:
    """All files that a path, a folder, a pattern or ``-`` stands for."""
    if str(given) == STANDARD_INPUT:
        return [_standard_input()]
    if re.match(r"\w+://", str(given)):
        raise InputError(f"{given} is an address; download the file and give its path.")
    try:
        path = Path(given)
        folder = path.is_dir()
        if folder:
            found = sorted(f for f in path.iterdir() if _kind(f) is not None)
        elif path.exists() or not glob.has_magic(str(path)):
            found = [path]
        else:
            found = [Path(f) for f in sorted(glob.glob(str(path), recursive=True))]
        missing = [f for f in found if not f.exists()]
    except (TypeError, ValueError, OSError):
        raise InputError(f"{given!r:.60} is not a path; give {ALLOWED_FILES}.") from None
    if missing or not found:
        what = "holds no score file" if folder else "no such file"
        raise InputError(f"{path}: {what}; give {ALLOWED_FILES}.")
    home = path.resolve().name if folder else None
    return [_checked(file, home) for file in found]


def _kind(file: Path) -> FileKind | None:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return _KINDS.get(suffixes[-1]) if suffixes else None


def _checked(file: Path, home: str | None) -> ScoreFile:
    kind = _kind(file)
    if not file.is_file() or kind is None:
        remedy = _REMEDIES.get(file.suffix.lower())
        hint = "" if remedy is None else f" ({remedy})"
        raise InputError(f"{file}: not a score file{hint}; give {ALLOWED_FILES}.")
    if file.stat().st_size == 0:
        raise InputError(f"{file} is empty; it must hold a row a sample.")
    zipped = file.suffix.lower() == ".gz"
    stem = Path(file.stem).stem if zipped else file.stem
    return ScoreFile(file, kind, home or stem, zipped, home is not None)


def _standard_input() -> ScoreFile:
    """A copy of standard input, which can be read once only; its kind is seen from its bytes."""
    folder = TemporaryFolder()
    path = folder.path / "standard-input"
    with room_for_copy("standard input"), path.open("wb") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
    with path.open("rb") as copied:
        start = copied.read(4096)
    zipped = start.startswith(_GZIP)
    if zipped:
        try:
            with gzip.open(path) as unzipped:
                start = unzipped.read(4096)
        except (OSError, zlib.error, EOFError):
            raise InputError("standard input is damaged gzip data; give it again.") from None
    if not start.strip():
        raise InputError("standard input is empty; it must hold a row a sample.")
    first_line = start.lstrip(b"\xef\xbb\xbf \t\r\n").split(b"\n", 1)[0]
    if start.startswith(_PARQUET):
        kind = FileKind.PARQUET
    elif first_line[:1] in (b"{", b"["):
        kind = FileKind.JSON
    else:
        kind = FileKind.TSV if b"\t" in first_line else FileKind.CSV
    return ScoreFile(path, kind, _NAME_OF_STANDARD_INPUT, zipped, temporary=folder)
