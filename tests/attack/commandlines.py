"""Command lines of sound, odd and absurd words: exit 0, 1 or 2, no traceback, no other files."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import platform
import re
import shlex
import shutil
import sys
from collections import Counter
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np
import typer

from infalign_theory.cli import commands as package
from infalign_theory.cli import main as command_line
from infalign_theory.cli.app import app
from infalign_theory.errors import InputError
from tests.attack.escapes import FENCE, Breeder, Escapes, listing, scratch
from tests.attack.scorefiles import one_database, spoilt, table
from tests.attack.words import DIVERGENCES, FORMULAS, PIECES, PROCEDURES

EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBERS = [
    "0.5", "0.3", "1", "0", "-1", "1e-9", "1e9", "0.1,0.5", "nan", "inf", "1e400", "1_0", "0x1",
    "", " ", "2.5", "16", "--", "-", "\uff11", "\u0661",
]  # fmt: skip
COLUMNS = [
    "prompt", "reward", "policy", "question", "rm_logit", "correct", "label", "sample", "base",
    "log_ratio", "tuned", "x", "scores.rm", "a b", "1GB", "8KB", "auto", "discrete", "continuous",
    "ranks", "pooled", "upper", "lower", "png", "svg", "local",
]  # fmt: skip
PATHS = [
    "examples/scores.csv", "examples/base.jsonl", "examples/tuned.jsonl", "examples", "hostile.csv",
    "examples/*.jsonl", "new.json", "new.html", "new.parquet", "new.png", "sub/new.json", "nowhere",
    "examples/scores.csv/x", "-", "pictures", "c*.csv", "hostile.csv", "odd.jsonl",
]  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</title><svg onload=x>",
    "javascript:alert(1)", "{{ 7*7 }}", "{% raw %}", "&lt;b&gt;", "\u202e\u0000x", "[red]x[/red]",
    "<!--", "]]>", "\x1b[31m", "=cmd()", "base",
]  # fmt: skip
# what everybody types, as often as each; the figures and the checks of the installation cost most
OFTEN = {
    "compare": 5, "optimum": 4, "recommend": 3, "predict": 5, "validate": 6, "methods": 1.5,
    "calibrate": 4, "hacking": 3, "attack": 3, "doctor": 0.3, "reproduce": 1, "explore": 2,
}  # fmt: skip
CHEAP_FIGURES = ["optimal-transforms", "frontiers", "phase-transition", "no-such", "png"]
_NOT_A_NUMBER = re.compile(r"(?<![\w./:-])(nan|NaN)(?![\w./])")
_TAGS_OF_NOBODY = ("script", "iframe", "object", "embed", "base", "form", "link")


class Page(HTMLParser):
    """What a report would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.tags = Counter[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Handlers of events, addresses elsewhere, and tags that the page does not use."""
        self.tags[tag] += 1
        loads = [
            name
            for name, value in attrs
            if name.startswith("on")
            or (name in ("src", "href") and not (value or "").startswith(("#", "data:image/")))
        ]
        if loads or tag in _TAGS_OF_NOBODY:
            self.bad.append(f"<{tag} {attrs!r:.200}>")


class Terminal(io.StringIO):
    """Standard output that people look at."""

    def isatty(self) -> bool:
        """As a terminal says."""
        return True


def options() -> dict[str, list[str]]:
    """Every option of every command by the command's name, as the parser knows them."""
    group = typer.main.get_command(app)
    return {
        name: [word for param in command.params for word in param.opts if word.startswith("-")]
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


class Lines:
    """Command lines: those of the help with a few words changed, and random words."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.options = options()
        self.breeder = Breeder(
            rng, [*FORMULAS, *PROCEDURES, *DIVERGENCES, *NUMBERS, *COLUMNS, *PATHS], PIECES
        )
        self.seeds: dict[str, list[list[str]]] = {}
        for name in self.options:
            lines = getattr(import_module(f"{package.__name__}.{name}"), "EXAMPLES", ())
            self.seeds[name] = [shlex.split(line.partition(" > ")[0])[1:] for line in lines]
        missing = set(self.options) - set(OFTEN)
        if missing:
            raise AssertionError(f"commands that nobody attacks: {missing}")
        shares = np.array([OFTEN[name] for name in self.options], dtype=float)
        self.shares = shares / shares.sum()

    def line(self) -> list[str]:
        """The words of one."""
        name = list(self.options)[int(self.rng.choice(len(self.shares), p=self.shares))]
        chance = self.rng.random()
        if chance < 0.02:
            words = [self.word(name) for _ in range(int(self.rng.integers(0, 3)))]
        elif chance < 0.2:
            words = [name, *(self.word(name) for _ in range(int(self.rng.integers(0, 7))))]
        else:
            seeds = self.seeds[name]
            words = list(seeds[int(self.rng.integers(len(seeds)))])
            for _ in range(int(self.rng.integers(0, 4))):
                words = self.changed(words, name)
        if name == "reproduce":  # the others take a second and more each
            words += ["--only", self.breeder.pick(CHEAP_FIGURES)]
        if name == "doctor":
            words = [word for word in words if word != "--warm"]
        return [_typed(word) for word in words]

    def changed(self, words: list[str], name: str) -> list[str]:
        """One word left out, changed, doubled or put in."""
        at = int(self.rng.integers(1, len(words) + 1))
        match int(self.rng.integers(6)):
            case 0:
                return words[:at] + words[at + 1 :]
            case 1:
                return [*words[:at], self.word(name), *words[at + 1 :]]
            case 2:
                return [*words[:at], *words[at : at + 1] * 2, *words[at + 1 :]]
            case 3 if at < len(words):
                return [*words[:at], self.breeder.bred(words[at]), *words[at + 1 :]]
            case 4:
                option = self.breeder.pick(self.options[name])
                return [*words, f"{option}={self.value()}"]
            case _:
                return [*words, self.breeder.pick(self.options[name]), self.value()]

    def word(self, name: str) -> str:
        """An option, a value, or neither."""
        chance = self.rng.random()
        if chance < 0.35:
            return self.breeder.pick([*self.options[name], "--help", "--", "--version"])
        return self.value() if chance < 0.8 else self.breeder.text()

    def value(self) -> str:
        """What an option may be given."""
        pools = [NUMBERS, COLUMNS, PATHS, PATHS, FORMULAS, PROCEDURES, DIVERGENCES]
        return self.breeder.pick(pools[int(self.rng.integers(len(pools)))])


def _typed(word: str) -> str:
    """As a shell would hand it over, and inside the folder that is written to."""
    word = word.replace("\0", "").encode("utf-8", "replace").decode()
    head, equals, tail = word.partition("=") if word.startswith("-") else ("", "", word)
    while tail.startswith("/") or ".." in tail:
        tail = tail.replace("..", ".").lstrip("/")
    return f"{head}{equals}{tail}"


class Desk:
    """A folder with scores to read, some of them hostile; knows what else appears in it."""

    def __init__(self, work: Path, temporary: Path, rng: np.random.Generator) -> None:
        self.work, self.temporary, self.rng = work, temporary, rng
        shutil.copytree(EXAMPLES, work / "examples", ignore=shutil.ignore_patterns("*.py", "ctrl"))
        self.lay()

    def lay(self) -> None:
        """Fresh hostile files."""
        rows = [row | {"policy": row.get("policy", "base")} for row in table(self.rng) * 2]
        for _ in range(int(self.rng.integers(1, 4))):
            row = rows[int(self.rng.integers(len(rows)))]
            name = ("prompt", "policy")[int(self.rng.integers(2))]
            old, new = row[name], HOSTILE[int(self.rng.integers(len(HOSTILE)))]
            rows = [{**other, name: new} if other[name] == old else other for other in rows]
        text = io.StringIO()
        out = csv.DictWriter(text, list(rows[0]))
        out.writeheader()
        out.writerows(rows)
        (self.work / "hostile.csv").write_text(text.getvalue())
        lines = "\n".join(json.dumps(row) for row in rows).encode()
        (self.work / "odd.jsonl").write_bytes(spoilt(lines, self.rng))
        self.before = listing(self.work)

    def check(self, words: list[str]) -> None:
        """Only what the words name is new or other, and reports hold no more than ours do."""
        after = listing(self.work)
        asked = {word.partition("=")[2] if word.startswith("-") else word for word in words}
        asked |= {word[2:] for word in words if word.startswith("-")}
        asked = {str(Path(path)) for path in asked if path} | {"figures"}
        odd = [
            path
            for path in {**self.before, **after}
            if self.before.get(path) != after.get(path)
            and not any(str(place) in asked for place in (Path(path), *Path(path).parents))
        ]
        left = [path.name for path in self.temporary.iterdir()]
        pages = [self.work / path for path in after if path not in self.before]
        try:
            if odd or left or FENCE.crossed:
                raise AssertionError(f"wrote {odd}, left {left}, crossed {FENCE.crossed}")
            for path in pages:
                content = path.read_bytes() if path.suffix == ".html" else b"PAR1"
                if not content.startswith(b"PAR1"):  # a calibration may have any name
                    _harmless(content.decode())
        finally:
            for path in sorted(pages, reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            FENCE.crossed.clear()


def _harmless(text: str) -> None:
    page = Page()
    page.feed(text)
    if page.bad or not text.rstrip().endswith("</html>"):
        raise AssertionError(f"a report that runs or loads: {page.bad}")


def _ran(words: list[str], desk: Desk, terminal: bool) -> None:
    out, err = (Terminal if terminal else io.StringIO)(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command_line(words)
        except SystemExit as stop:
            code = stop.code
    said, told = out.getvalue(), err.getvalue()
    _well_said(words, code or 0, said, told)
    desk.check(words)
    if code == 2:
        raise InputError(told)


def _well_said(words: list[str], code: object, said: str, told: str) -> None:
    """One line of error, one document of JSON, and no number that is none."""
    if code not in (0, 1, 2) or "Traceback" in said + told or "Warning" in said + told:
        raise AssertionError(f"exit {code}: {(said + told)[-300:]}")
    errors = [line for line in told.splitlines() if line.startswith("infalign: ")]
    if (code == 2) != (len(errors) == 1) or (errors and told.splitlines()[-1] != errors[0]):
        raise AssertionError(f"exit {code} with {len(errors)} errors: {told[-300:]}")
    line = " ".join(words).lower()
    if code == 0 and "nan" not in line and _NOT_A_NUMBER.search(said):
        raise AssertionError(f"not a number: {said[-300:]}")
    if code == 0 and "--json" in words and "--help" not in words and "-h" not in words:
        json.loads(said, parse_constant=_no_constant)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} in a document")


def commands(count: int, rng: np.random.Generator) -> int:
    """Command lines in this process, in a folder of their own; the explorer serves nobody."""
    import matplotlib.font_manager  # noqa: F401 - it makes a folder of its own when first imported

    platform.platform()  # asks the system by a program, once
    escapes = Escapes("commands")
    lines, used = Lines(rng), Counter[str]()
    with scratch() as (work, temporary), contextlib.ExitStack() as patches:
        desk = Desk(work, temporary, rng)
        patches.enter_context(one_database())
        patches.enter_context(mock.patch("infalign_theory.explorer.entry.serve"))
        argv = patches.enter_context(mock.patch.object(sys, "argv", ["infalign"]))
        for number in range(count):
            if number % 10 == 0:
                desk.lay()
            words = lines.line()
            argv[:] = ["infalign", *words]
            stdin = io.TextIOWrapper(io.BytesIO((work / "hostile.csv").read_bytes()))
            terminal = bool(rng.random() < 0.3)
            with mock.patch.object(sys, "stdin", stdin):
                escapes.run(
                    lambda words=words, terminal=terminal: _ran(words, desk, terminal),
                    shlex.join(words),
                )
            used[words[0] if words and words[0] in lines.options else "none"] += 1
    print("commands:", ", ".join(f"{name} {times}" for name, times in used.most_common()))
    return escapes.tell()
