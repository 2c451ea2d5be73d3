"""Random texts, files and command lines: an answer, or the package's own error in one line.

    python -m tests.attack.texts --texts 1000000 --files 100000 --commands 10000 [--seed 0]

Texts are bred from sound ones: letters swapped, pieces cut, doubled, nested and spliced. Files are
sound tables of every kind whose bytes and cells were spoilt. Prints how many were taken and
refused, the slowest, and every case that escaped.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from infalign_theory.cli import main as command_line
from infalign_theory.divergences import as_divergence
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.errors import InfalignError
from infalign_theory.procedures import as_procedure
from infalign_theory.transforms import as_transform

FORMULAS = [
    "u**2", "exp(5*u)", "-exp(-10*u)", "log(u)", "clip(u,0.2,0.4)**2-max(0.2,1-u)", "step(u-0.5)",
    "where(u>0.5,u,0)", "tanh(3*u)+1e-3*sqrt(u)", "u*(1-u)", "min(u,0.3)+abs(u-0.7)", "logit(u)",
    "exp:10", "power:3", "identity", "optimal@bon:4", "expr:exp(t*u)", "quantile:norm", "log1p(u)",
]  # fmt: skip
PROCEDURES = [
    "standard", "bon:4", "won:16", "bon:1-32", "order:2/3", "bop:3", "mix:0.5*standard+0.5*bon:4",
    "g:p**2*(3-2*p)", "soft:8@5", "soft:8@5*exp:10", "reject:5*exp:10", "reject:5@64",
    "rewind:4@0.8",
]  # fmt: skip
DIVERGENCES = ["kl", "forward-kl", "chi2", "chi2+kl", "js", "alpha:0.5"]
PIECES = [
    "(", ")", "((((((((", "**", "**9**9", "+", "-", "*", "/", ",", ".", "..", "1e", "1e999", "e",
    "u", "p", "t", "__", "import", "lambda u:", "[0]", "{", "}", "'", '"', ";", "\n", "\0", "\t",
    " ", ":", "@", "#", "%", "=", "==", "<", ">", "if", "else", "not ", "and", "exp", "log", "nan",
    "inf", "True", "0x1F", "1_000", "1j", "9" * 400, "u" * 400, "\u03b1", "\u00b2", "\u2212",
    "\u221e", "\uff11", "\u202e", "\ud800", "bon:", "exp:", "mix:", "0.5*", ":", "/0", "!", "&",
    "|", "~", "\\", "$(ls)", "%s", "{0}",
]  # fmt: skip
COMMANDS = [
    "compare", "optimum", "recommend", "predict", "validate", "methods", "calibrate", "hacking",
    "doctor", "--help", "--version",
]  # fmt: skip
OPTIONS = [
    "--kl", "--beta", "--procedure", "--transform", "--json", "--prompt", "--reward", "--policy",
    "--base", "--divergence", "--against-procedure", "--output", "--truth", "--help", "-t", "-p",
    "--", "--kl=0.5", "--procedure=bon:4", "--seed", "--samples", "--wide",
]  # fmt: skip


class Escapes:
    """Counts of what was taken and refused, and what was neither."""

    def __init__(self, kind: str) -> None:
        self.kind, self.counts, self.found = kind, Counter[str](), list[str]()
        self.slowest, self.started = (0.0, ""), time.process_time()

    def run(self, call: Callable[[], object], told: str) -> None:
        """Call, and keep what is neither an answer nor the package's own error."""
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
        if took > self.slowest[0]:
            self.slowest = took, told

    def tell(self) -> int:
        """Print the outcome; the number of escapes."""
        total = sum(self.counts.values()) + len(self.found)
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
    """Texts bred from sound ones."""

    def __init__(self, rng: np.random.Generator, seeds: list[str]) -> None:
        self.rng, self.seeds = rng, seeds

    def pick(self, of: list[str]) -> str:
        """One of them."""
        return of[int(self.rng.integers(len(of)))]

    def text(self) -> str:
        """A sound text after one to three changes."""
        text = self.pick(self.seeds)
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
                return text[:at] + self.pick(PIECES) + text[at:]
            case 2:
                return text[:at] + self.pick(PIECES) + text[to:]
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


def texts(count: int, rng: np.random.Generator) -> int:
    """Transforms, procedures and divergences."""
    escapes = Escapes("texts")
    readers: list[tuple[Callable[[str], object], Breeder]] = [
        (as_transform, Breeder(rng, FORMULAS)),
        (as_procedure, Breeder(rng, PROCEDURES)),
        (as_divergence, Breeder(rng, DIVERGENCES)),
    ]
    as_transform("quantile:norm")  # the first quantile law costs an import
    shares = rng.choice(3, size=count, p=[0.6, 0.3, 0.1])
    for which in shares.tolist():
        read, breeder = readers[which]
        text = breeder.text()
        escapes.run(lambda read=read, text=text: read(text), text)
    return escapes.tell()


def tables(rng: np.random.Generator) -> Iterator[tuple[str, bytes]]:
    """A sound table as files of every kind."""
    table = pd.DataFrame(
        {
            "prompt": np.repeat(["a", "b", 'ä, "c"'], 4),
            "policy": np.tile(["base", "tuned"], 6),
            "reward": rng.normal(size=12).round(3),
        }
    )
    rows = table.to_dict("records")
    yield ".csv", table.to_csv(index=False).encode()
    yield ".tsv", table.to_csv(index=False, sep="\t").encode()
    yield ".jsonl", "\n".join(json.dumps(row) for row in rows).encode()
    yield ".json", json.dumps(rows).encode()
    parquet = io.BytesIO()
    table.to_parquet(parquet)
    yield ".parquet", parquet.getvalue()
    yield ".csv.gz", gzip.compress(table.to_csv(index=False).encode())


CELLS = [
    b"", b"nan", b"NaN", b"inf", b"-inf", b"1e400", b"1e-400", b"null", b"None", b"TRUE", b"x",
    b"0x10", b"1,5", b'"', b"\r\n", b"\n\n", b"\xff\xfe", b"\x00", b"\xef\xbb\xbf", b"{", b"[",
    b"]}", b"9" * 400, b"\xf0\x9f\x98\x80", b"a" * 70000,
]  # fmt: skip


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


def files(count: int, rng: np.random.Generator) -> int:
    """Score files of every kind, spoilt."""
    escapes = Escapes("files")
    sound = list(tables(rng))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            suffix, content = sound[number % len(sound)]
            bad = spoilt(content, rng)
            path = Path(folder) / f"scores{suffix}"
            path.write_bytes(bad)
            policy = "policy" if rng.random() < 0.7 else None
            escapes.run(
                lambda path=path, policy=policy: read_scores(path, policy=policy, base="base"),
                f"{suffix} {bad[:300]!r}",
            )
    return escapes.tell()


def commands(count: int, rng: np.random.Generator) -> int:
    """Command lines of sound, odd and absurd words; exit 0, 1 or 2, and no traceback."""
    escapes = Escapes("commands")
    breeder = Breeder(
        rng, [*FORMULAS, *PROCEDURES, "0.5", "1e-9", "0.1,0.5", "examples/scores.csv"]
    )

    def word() -> str:
        chance = rng.random()
        if chance < 0.35:
            return breeder.pick(OPTIONS)
        if chance < 0.75:
            return breeder.pick(breeder.seeds)
        return breeder.text().replace("\0", "")

    for _ in range(count):
        words = [breeder.pick(COMMANDS), *(word() for _ in range(int(rng.integers(0, 7))))]
        # a shell hands over what can be encoded
        words = [word.encode("utf-8", "replace").decode() for word in words]
        escapes.run(lambda words=words: _ran(words), " ".join(words))
    return escapes.tell()


def _ran(words: list[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command_line(words)
        except SystemExit as stop:
            code = stop.code
    said = out.getvalue() + err.getvalue()
    if (code or 0) not in (0, 1, 2) or "Traceback" in said or "Warning" in said:
        raise AssertionError(f"exit {code}: {said[-300:]}")


def main() -> None:
    """Attack what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    escaped = sum(
        attack(count, np.random.default_rng([given.seed, place]))
        for place, (attack, count) in enumerate(
            [(texts, given.texts), (files, given.files), (commands, given.commands)]
        )
        if count
    )
    sys.exit(1 if escaped else 0)


if __name__ == "__main__":
    main()
