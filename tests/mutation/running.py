"""Mutants in forked processes: tests are collected once, and every mutant starts from there.

A process collects the tests with the package as it stands. For each mutant it forks, gives the
broken function its new code in memory, and runs the tests that reach the function, quick tests of
little else first, until one fails. No file is changed. Seconds are seconds of CPU: other work on
the machine makes no test hang.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

import pytest

from tests.mutation.mutants import Mutant, functions, text_of
from tests.mutation.targets import ROOT, Group

_REACHED = "_reached_functions"
_MARKS = "not dask and not notebook and not browser and not simulation and not train"
_OPTIONS = ["-q", "-n", "0", "-p", "no:cacheprovider", "--doctest-modules", "-o", "addopts="]
HANGS = "hangs or crashes"
LONGEST = 3.0  # seconds of a test that is asked
COMPILES = 15.0  # seconds that its first run may take, which may compile kernels
ENOUGH = 12.0  # seconds of tests that a mutant has to survive
_PATIENCE = 2.0  # seconds that a test may take beyond four times its own

Tell = Callable[[str, object], None]


def _forked(
    work: Callable[[Tell], None], heard: Tell = lambda kind, what: None
) -> list[tuple[str, object]]:
    """What a forked process told, as (kind, what) pairs, until it ended or was ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            work(lambda kind, what: _tell(writer, kind, what))
        except BaseException:
            _tell(writer, "error", traceback.format_exc())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as lines:
        told = []
        for line in lines:
            told.append(tuple(json.loads(line)))
            heard(*told[-1])
    os.waitpid(pid, 0)
    for kind, what in told:
        if kind == "error":
            raise RuntimeError(what)
    return told


def _tell(writer: int, kind: str, what: object) -> None:
    line = json.dumps([kind, what]).encode() + b"\n"
    while line:
        line = line[os.write(writer, line) :]


# ------------------------------------------------------------------------- code of functions


def _function(module: str, name: str) -> FunctionType:
    """The function behind a dotted name, out of whatever wraps it."""
    owner: object = importlib.import_module(module.removesuffix(".py").replace("/", "."))
    for part in name.split("."):
        owner = vars(owner)[part]
    for inside in ("fget", "func", "__func__", "_function", "__wrapped__"):
        while not isinstance(owner, FunctionType) and hasattr(owner, inside):
            owner = getattr(owner, inside)
    assert isinstance(owner, FunctionType), f"{module}: {name}"
    return owner


def _give_code(module: str, name: str, text: str) -> None:
    """Let a function do what another text of it says."""
    whole = compile(f"from __future__ import annotations\n{text}", str(ROOT / module), "exec")
    code = next(inner for inner in whole.co_consts if isinstance(inner, CodeType))
    _function(module, name).__code__ = code


def _mark(module: str) -> None:
    """Let the functions of a module say when they run."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    for name, node in functions(tree):
        says = f"__import__('builtins').{_REACHED}.add(({module!r}, {name!r}))"
        node.body.insert(int(ast.get_docstring(node) is not None), ast.parse(says).body[0])
        _give_code(module, name, text_of(node))


# ------------------------------------------------------------------------------ running tests


@dataclass(eq=False)  # a plugin of pytest is known by its identity
class _Outcome:
    """Whether the test that runs has failed, and by what."""

    failed: str = ""

    def pytest_runtest_logreport(self, report) -> None:
        if report.outcome != "passed" and not self.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed = crash.message if crash else report.longreprtext[-300:] or report.outcome


def _run(item, outcome: _Outcome) -> str:
    """Run one test; what failed, empty where nothing did."""
    outcome.failed = ""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return outcome.failed


def _record(items: list, reached: set[tuple[str, str]], outcome: _Outcome, tell: Tell) -> None:
    """Tell of every test that passes what it reaches, and its seconds; ends where one is slow."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    for item in items:
        reached.clear()
        tell("start", item.nodeid)
        for allowed in (COMPILES, LONGEST):
            start = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, allowed)
            failed = _run(item, outcome)
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            spent = time.process_time() - start
            if failed or spent < LONGEST:
                break
        tell("left out" if failed else "test", [item.nodeid, spent, failed or sorted(reached)])


def _record_all(items: list, modules: list[str], outcome: _Outcome, tell: Tell) -> None:
    """What each test reaches; those that are slow or fail by themselves are left out."""
    reached: set[tuple[str, str]] = set()
    setattr(builtins, _REACHED, reached)
    for module in modules:
        _mark(module)
    while items:
        found = _forked(partial(_record, items, reached, outcome))
        for kind, what in found:
            if kind != "start":
                tell(kind, what)
        if found[-1][0] == "start":
            tell("left out", [found[-1][1], LONGEST, "slow"])
        items = items[sum(kind == "start" for kind, _ in found) :]


def _challenge(
    mutant: Mutant,
    module: str,
    items: list,
    seconds: dict[str, float],
    outcome: _Outcome,
    tell: Tell,
) -> None:
    """Run tests against a mutant until one fails."""
    _give_code(module, mutant.function, mutant.source)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    spent = 0.0
    for item in items:
        spent += seconds[item.nodeid]
        if spent > ENOUGH:
            break
        tell("start", item.nodeid)
        signal.setitimer(signal.ITIMER_PROF, _PATIENCE + 4.0 * seconds[item.nodeid])
        failed = _run(item, outcome)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        if failed:
            tell("failed", [item.nodeid, failed[:300]])
            return
    tell("survived", None)


@dataclass(frozen=True)
class Verdict:
    """The test that failed and how; no test where the mutant survived ``asked`` of them."""

    test: str | None
    how: str
    asked: int


def _interpret() -> None:
    """Run kernels as Python, with 0/0 and overflow as silent as in machine code."""
    import numpy as np

    from infalign_theory.kernels import _jit

    _jit._dispatcher = lambda function: function
    np.seterr(all="ignore")


def _import_all() -> None:
    """What is imported where it is first used, before any test is timed or a process forked."""
    import infalign_theory

    for found in pkgutil.walk_packages(infalign_theory.__path__, "infalign_theory."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in ("duckdb", "numba", "pandas", "pyarrow", "scipy.optimize", "scipy.stats"):
        importlib.import_module(name)


class _Session:
    """Takes the place of pytest's own loop over the tests."""

    def __init__(
        self, group: Group, mutants: dict[str, list[Mutant]], known: Path | None, tell: Tell
    ) -> None:
        self.group, self.mutants, self.known, self.tell = group, mutants, known, tell
        self.outcome = _Outcome()

    def pytest_configure(self, config) -> None:
        config.pluginmanager.register(self.outcome)

    def pytest_collection(self) -> None:
        """One failure is enough: Hypothesis need not look for the smallest."""
        from hypothesis import Phase, settings  # once pytest has prepared its plugin

        if self.group.plain:
            _interpret()
        _import_all()

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("unshrunk", settings.default, phases=phases)
        settings.load_profile("unshrunk")

    def pytest_runtestloop(self, session) -> bool:
        """Find out which test reaches what, then run each mutant."""
        assert not session.testsfailed, "some tests cannot be collected"
        items = {item.nodeid: item for item in session.items}
        told = self._recorded(session.items)
        seconds = {what[0]: what[1] for kind, what in told if kind == "test"}
        reaching: dict[tuple[str, str], list[str]] = {}
        done = [what for kind, what in told if kind == "test"]
        for name, _, pairs in sorted(done, key=lambda what: what[1] * len(what[2])):
            for pair in pairs:
                reaching.setdefault(tuple(pair), []).append(name)
        left_out = [what[0::2] for kind, what in told if kind == "left out"]
        self.tell("tests", [len(seconds), sum(seconds.values()), left_out])
        for module, mutants in self.mutants.items():
            for at, mutant in enumerate(mutants):
                names = reaching.get((module, mutant.function), [])
                verdict = self._judged(module, mutant, [items[name] for name in names], seconds)
                self.tell("mutant", [module, at, verdict.test, verdict.how, verdict.asked])
        return True

    def pytest_internalerror(self, excrepr) -> None:
        """Do not let it go unheard."""
        self.tell("error", str(excrepr))

    def _recorded(self, items: list) -> list[tuple[str, object]]:
        """What each test reaches; tests in the file of an earlier run are taken from there."""
        told: list[tuple[str, object]] = []
        if self.known is not None and self.known.exists():
            told = [tuple(pair) for pair in json.loads(self.known.read_text(encoding="utf-8"))]
        names = {what[0] for _, what in told}
        new = [item for item in items if item.nodeid not in names]
        told += _forked(partial(_record_all, new, self.group.modules, self.outcome))
        if self.known is not None:
            self.known.write_text(json.dumps(told), encoding="utf-8")
        asked = {item.nodeid for item in items}
        return [(kind, what) for kind, what in told if what[0] in asked]

    def _judged(self, module: str, mutant: Mutant, asked: list, seconds: dict) -> Verdict:
        told = _forked(lambda tell: _challenge(mutant, module, asked, seconds, self.outcome, tell))
        kind, what = told[-1] if told else ("survived", None)
        started = [name for kind, name in told if kind == "start"]
        if kind == "failed":
            return Verdict(what[0], what[1], len(started))
        if kind == "survived":
            return Verdict(None, "", len(started))
        return Verdict(started[-1], HANGS, len(started))


def run(group: Group, mutants: dict[str, list[Mutant]], known: Path | None, heard: Tell) -> None:
    """Challenge the mutants of a group's modules; ("tests", ...) and ("mutant", ...) are heard."""

    def work(tell: Tell) -> None:
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        session = _Session(group, mutants, known, tell)
        with contextlib.redirect_stdout(sys.__stdout__):
            code = pytest.main([*_OPTIONS, "-m", _MARKS, *group.tests], plugins=[session])
        if code != 0:
            raise RuntimeError(f"pytest ended with {code}")

    _forked(work, heard)
