"""What may come of random input: an answer, or the package's own error in one line, in time."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from infalign_theory.errors import InfalignError

_PATIENCE = 10.0  # seconds of processor time, a first compilation included; what is longer hangs
_ALARM, _END = 100, 900.0  # so many cases may take so many seconds, or the process ends, traced
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Escapes:
    """Counts of what was taken and refused, and what was neither."""

    def __init__(self, kind: str) -> None:
        self.kind, self.counts, self.found = kind, Counter[str](), list[str]()
        self.slowest, self.started = (0.0, ""), time.process_time()

    def run(self, call: Callable[[], object], told: str) -> None:
        """Call, and keep what is neither an answer nor the package's own error."""
        if sum(self.counts.values()) % _ALARM == 0:
            faulthandler.dump_traceback_later(_END, exit=True, file=sys.__stderr__)
        before = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                call()
            self.counts["taken"] += 1
        except InfalignError as error:
            self.counts["refused"] += 1
            # formulas show below the message where they go wrong
            if not str(error).partition("\n")[0].strip():
                self.found.append(f"nothing said: {told!r}")
        except Exception as error:
            self.found.append(f"{type(error).__name__}: {error}: {told!r}")
        took = time.process_time() - before
        if took > _PATIENCE:
            self.found.append(f"took {took:.0f} s: {told!r}")
        if took > self.slowest[0]:
            self.slowest = took, told

    def tell(self) -> int:
        """Print the outcome; the number of escapes."""
        faulthandler.cancel_dump_traceback_later()
        total = self.counts["taken"] + self.counts["refused"]
        took, what = self.slowest
        sys.stdout.write(
            f"{total} {self.kind}: {self.counts['taken']} taken, {self.counts['refused']} refused, "
            f"{len(self.found)} escaped; slowest {took:.2f} s ({what[:60]!r}); "
            f"{time.process_time() - self.started:.0f} s\n"
        )
        for case in self.found[:40]:
            sys.stdout.write(f"  {case[:400].encode('ascii', 'backslashreplace').decode()}\n")
        sys.stdout.flush()
        return len(self.found)


class Breeder:
    """Texts bred from sound ones: pieces cut, doubled, nested, spliced."""

    def __init__(self, rng: np.random.Generator, seeds: list[str], pieces: list[str]) -> None:
        self.rng, self.seeds, self.pieces = rng, seeds, pieces

    def pick(self, of: list[str]) -> str:
        """One of them."""
        return of[int(self.rng.integers(len(of)))]

    def text(self) -> str:
        """A sound text after one to three changes."""
        return self.bred(self.pick(self.seeds))

    def bred(self, text: str) -> str:
        """A text after one to three changes."""
        for _ in range(int(self.rng.integers(1, 4))):
            text = self.changed(text)
        return text

    def changed(self, text: str) -> str:
        """One change."""
        at, to = sorted(self.rng.integers(0, len(text) + 1, 2).tolist())
        match int(self.rng.integers(8)):
            case 0:
                return text[:at] + text[to:]
            case 1:
                return text[:at] + self.pick(self.pieces) + text[at:]
            case 2:
                return text[:at] + self.pick(self.pieces) + text[to:]
            case 3:
                return text[:at] + text[at:to] * 2 + text[to:]
            case 4:
                return f"exp({text})" if len(text) < 2000 else text
            case 5:
                return text[:at] + self.pick(self.seeds) + text[to:]
            case 6:
                return text[:at] + chr(int(self.rng.integers(32, 0x250))) + text[to:]
            case _:
                return text + self.pick(["+", "*", "-", "@", ":", ","]) + self.pick(self.seeds)


class Fence:
    """Refuses, and remembers, whatever Python writes outside the folders given.

    An audit hook cannot be taken away again: there is one, which is asleep outside ``standing``.
    """

    def __init__(self) -> None:
        self._inside: tuple[str, ...] = ()
        self.crossed: list[str] = []
        self._hooked = False

    @contextlib.contextmanager
    def standing(self, *folders: Path) -> Iterator[None]:
        """Watch; caches of machine code and of bytecode may be written anywhere."""
        if not self._hooked:
            sys.addaudithook(self._see)
            self._hooked = True
        cache = os.environ.get("NUMBA_CACHE_DIR")
        inside = [str(folder.resolve()) for folder in folders]
        self._inside = (*inside, os.devnull, *([os.path.realpath(cache)] if cache else []))
        self.crossed.clear()
        try:
            yield
        finally:
            self._inside = ()

    def _see(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._inside:
            return
        match event:
            case "open":
                path, _, flags = arguments
                writes = isinstance(flags, int) and flags & _WRITING
                paths = [path] if writes else []
            case "os.mkdir" | "os.remove" | "os.rmdir" | "os.chmod" | "os.truncate":
                paths = [arguments[0]]
            case "os.rename" | "os.link" | "os.symlink":
                paths = list(arguments[:2])
            case "subprocess.Popen" | "os.system" | "os.exec" | "socket.connect":
                self._refuse(f"{event} {arguments[:2]!r}")
                return
            case _:
                return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)) and not self._allowed(path):
                self._refuse(f"{event} {path!r}")

    def _allowed(self, path: str | bytes | os.PathLike[str]) -> bool:
        real = os.path.realpath(os.fsdecode(path))
        return "__pycache__" in real or any(
            real == place or real.startswith(place + os.sep) for place in self._inside
        )

    def _refuse(self, what: str) -> None:
        self.crossed.append(what)
        raise PermissionError(f"outside the fence: {what}")


FENCE = Fence()


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with what changes when one is written."""
    found = {}
    for path in folder.rglob("*"):
        known = path.stat()
        told = (0, 0) if path.is_dir() else (known.st_size, known.st_mtime_ns)
        found[str(path.relative_to(folder))] = told
    return found


@contextlib.contextmanager
def scratch() -> Iterator[tuple[Path, Path]]:
    """A folder to work in, made current, and one for temporary files; in memory where possible."""
    memory = Path("/dev/shm")
    home, old = Path.cwd(), tempfile.tempdir
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        work, temporary = Path(place, "work"), Path(place, "temporary")
        work.mkdir()
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        os.chdir(work)
        try:
            with FENCE.standing(work, temporary):
                yield work, temporary
        finally:
            os.chdir(home)
            tempfile.tempdir = old
