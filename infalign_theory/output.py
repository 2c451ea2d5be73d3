"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from infalign_theory.errors import InputError

_SCORES = (".csv", ".jsonl", ".ndjson", ".parquet")
_ATTEMPTS = 100


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees half of it: a temporary neighbour, then a rename.

    Parameters
    ----------
    path : Path
        Target; its directory must exist. An existing file is replaced.
    content : bytes

    Raises
    ------
    InputError
        Where the system refuses; the target is then as it was and nothing is left beside it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder, "a.txt"), b"whole")
    ...     Path(folder, "a.txt").read_bytes()
    b'whole'
    """
    path = _target(path)
    temporary = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        handle, temporary = _temporary_neighbour(path)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if mode is not None:  # a file that is rewritten keeps who may read it
            os.chmod(temporary, mode)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"cannot write {path}: {reason}; give a directory with room that you may write to."
        ) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def check_targets(*paths: Path | None) -> None:
    """Refuse paths that cannot become files of ours, before any work is done for them."""
    given = [path for path in paths if path is not None]
    for path in map(_target, given):
        if path.suffix.lower() in _SCORES:
            raise InputError(
                f"{path} is named like a file of scores and will not be written over; give "
                "another name, as in report.html or found.json."
            )
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} is not a directory; create it, or give another path.")
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{path.parent} may not be written to; give another path.")
    if len({path.resolve() for path in given}) < len(given):
        raise InputError(f"{given[0]} is given for two outputs; give each a name of its own.")


def _target(path: Path) -> Path:
    """Where a file will be: behind links, and never in the place of a device or pipe."""
    _refuse_option(path, "file")
    if path.is_dir():
        raise InputError(f"{path} is a directory; give the name of a file.")
    real = path.resolve() if path.is_symlink() else path
    if real.exists() and not real.is_file():
        raise InputError(f"{path} is not a regular file; give the name of a file.")
    return real


def _refuse_option(path: Path, kind: str) -> None:
    """A dash alone, or an option that another took for its value."""
    if str(path).startswith("-"):
        raise InputError(f"{path} is not a {kind} to write to; give the name of a {kind}.")


def _temporary_neighbour(path: Path) -> tuple[int, Path]:
    """A new file beside the target, readable by whom the process's umask says."""
    for _ in range(_ATTEMPTS):
        neighbour = path.parent / f".{path.name}.{secrets.token_hex(6)}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            return os.open(neighbour, flags, 0o666), neighbour
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))


def output_directory(path: Path) -> Path:
    """A directory to write into, created if needed, or one clear message."""
    _refuse_option(path, "directory")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path} is not a directory; give a directory for the output.") from None
    except OSError as error:
        raise InputError(f"cannot create {path}: {error.strerror}; give another.") from error
    return path
