"""Numerical code broken on purpose, one place at a time: which test fails?

    python -m tests.mutation                          # every kernel and formula, ten ways each
    python -m tests.mutation --only shooting --each 3
    python -m tests.mutation --page docs/robustness.md

Every function of the kernels and of the empirical formulas is broken about ten ways, drawn at
random over signs, terms, factors, indices, boundaries, halves of ties, tails, branches. Survivors
that tests/mutation/explained.py has no reason for are an error.
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from tests.mutation.explained import reason
from tests.mutation.mutants import Mutant, functions, sampled
from tests.mutation.running import HANGS, Verdict, run
from tests.mutation.targets import GROUPS, ROOT, Group
from tests.pages import replace_part


@dataclass(frozen=True)
class Judged:
    """A mutant and what became of it."""

    module: str
    mutant: Mutant
    verdict: Verdict | None

    @property
    def key(self) -> str:
        """Its name among the explained ones."""
        return f"{short(self.module)}.{self.mutant.name}"


def short(module: str) -> str:
    """A module without the package and the suffix."""
    return module.removeprefix("infalign_theory/").removesuffix(".py").replace("/", ".")


def drawn(group: Group, only: list[str], each: int, seed: int) -> dict[str, list[Mutant]]:
    """The mutants of a group's modules."""
    found = {}
    for module in group.modules:
        source = (ROOT / module).read_text(encoding="utf-8")
        names = [name for name, _ in functions(ast.parse(source))]
        wanted = [name for name in names if any(text in f"{short(module)}.{name}" for text in only)]
        mutants = [mutant for name in wanted for mutant in sampled(source, name, each, seed)]
        if mutants:
            found[module] = mutants
    return found


def challenge(group: Group, mutants: dict[str, list[Mutant]], folder: Path | None) -> list[Judged]:
    """Run a group's mutants; those whose death an earlier run kept in the folder are not run."""
    kept = folder and folder / f"{group.name}_verdicts.json"
    verdicts = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {}
    judged = [Judged(module, one, None) for module, found in mutants.items() for one in found]
    left: dict[str, list[Mutant]] = defaultdict(list)
    for one in judged:
        if one.key not in verdicts:
            left[one.module].append(one.mutant)

    def heard(kind: str, what: object) -> None:
        if kind == "tests":
            count, seconds, left_out = what
            print(f"{group.name}: {count} tests, {seconds:.0f} s; {len(left_out)} left out")
        elif kind == "mutant":
            module, at, *verdict = what
            verdicts[Judged(module, left[module][at], None).key] = verdict
            if kept:
                kept.write_text(json.dumps(verdicts, indent=1), encoding="utf-8")

    if left:
        run(group, left, folder and folder / f"{group.name}_coverage.json", heard)
    return [replace(one, verdict=Verdict(*verdicts[one.key])) for one in judged]


def table(found: list[Judged]) -> list[str]:
    """A line a function: mutants, killed, the tests that failed first."""
    by_function = defaultdict(list)
    for one in found:
        by_function[one.module, one.mutant.function].append(one)
    lines = [
        "| function | mutants | killed | first to fail (tests, in words) |",
        "|---|---|---|---|",
    ]
    for (module, function), judged in by_function.items():
        killed = [one for one in judged if one.verdict.test]
        tests = Counter(one.verdict.test.partition("[")[0].split("::")[-1] for one in killed)
        named = ", ".join(f"{in_words(name)} ({count})" for name, count in tests.most_common(3))
        rest = sum(tests.values()) - sum(count for _, count in tests.most_common(3))
        named += f", others ({rest})" if rest else ""
        lines.append(f"| `{short(module)}.{function}` | {len(judged)} | {len(killed)} | {named} |")
    return lines


def in_words(test: str) -> str:
    """A test's name as the sentence it is: a page cannot break it otherwise."""
    return test.removeprefix("test_").replace("_", " ")


def manner(how: str) -> str:
    """What ended a mutant, in words."""
    if how == HANGS:
        return "a hang or a crash"
    held = ("assert", "did not raise", "expected", "falsifying", "regex")
    return "an assertion" if any(word in how.lower() for word in held) else "an exception"


def report(found: list[Judged], each: int, seed: int) -> str:
    """The outcome as Markdown."""
    killed = [one for one in found if one.verdict.test]
    survived = [one for one in found if not one.verdict.test]
    ways = Counter(one.mutant.way for one in found)
    how = Counter(manner(one.verdict.how) for one in killed)
    lines = [
        f"{len(found)} mutants (at most {each} a function, seed {seed}) of "
        f"{len({(one.module, one.mutant.function) for one in found})} functions: {len(killed)} "
        f"killed ({100 * len(killed) / len(found):.1f} %), "
        + ", ".join(f"{count} by {what}" for what, count in how.most_common())
        + f"; {len(survived)} survived.",
        "",
        "Ways: " + ", ".join(f"{way} {count}" for way, count in ways.most_common()) + ".",
        "",
        *table(found),
        "",
        "Survivors:",
        "",
    ]
    for one in survived:
        lines.append(f"- {one.key}: {reason(one.key) or 'UNEXPLAINED'}")
    return "\n".join(lines)


def main() -> int:
    """Break, run, tell; 1 where a mutant survives unexplained."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument(
        "--only", nargs="+", default=[""], help="functions whose dotted name has one of these texts"
    )
    asked.add_argument("--each", type=int, default=10, help="mutants a function")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--group", choices=[group.name for group in GROUPS])
    asked.add_argument("--tests", nargs="+", help="ask these in place of the usual ones")
    asked.add_argument("--page", type=Path)
    asked.add_argument(
        "--keep", type=Path, help="folder of what earlier runs found, and for what this one finds"
    )
    given = asked.parse_args()
    start, unexplained = time.perf_counter(), False
    for group in GROUPS:
        mutants = drawn(group, given.only, given.each, given.seed)
        if given.group not in (None, group.name) or not mutants:
            continue
        group = replace(group, tests=given.tests or group.tests)
        told = report(challenge(group, mutants, given.keep), given.each, given.seed)
        print(told)
        if given.page:
            replace_part(given.page, f"mutation of {group.name}", told)
        unexplained |= "UNEXPLAINED" in told
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return int(unexplained)


if __name__ == "__main__":
    sys.exit(main())
