"""Random calls and random tables: an answer, or the package's own error; nothing else, and no NaN.

    python -m tests.attack.calls --calls 2000 --tables 2000 [--seed 0]

Arguments come from pools of sound, odd and absurd values; tables have few or many prompts,
policies, grades, gaps and types. Prints how many were answered and refused, the commonest reasons,
and every case that broke the rule.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd

import infalign_theory as it

NUMBERS = [0, 1, 2, -1, 0.5, 0.3, 1e-8, 1e-300, 1e308, 20.0, 600, math.inf, -math.inf, math.nan]
NUMBERS += [True, None, "0.5", "x", 1j, [0.1, 0.5], [], np.float32(0.25), np.array(0.4), 10**400]
TRANSFORMS = [
    "identity",
    "log",
    "logit",
    "exp:10",
    "exp:-10",
    "exp:0",
    "exp:1e9",
    "power:3",
    "exp:",
]
TRANSFORMS += ["optimal", "optimal@bon:2", "u**2", "abs(u-0.5)", "1/u", "log(u-1)", "step(u-0.3)"]
TRANSFORMS += [
    "",
    "u" * 5000,
    "__import__('os')",
    "exp(t*u)",
    None,
    7,
    b"log",
    ["log"],
    abs,
    "\u03b1",
    "0*u",
]
PROCEDURES = ["standard", "bon:4", "won:4", "bon:1", "bon:0", "bon:1e6", "won:1000", "order:2/3"]
PROCEDURES += ["mix:0.5*standard+0.5*bon:4", "g:p**2", "g:1-p", "bop:3", "soft:8@5", "rewind:4@0.8"]
PROCEDURES += ["reject:5*exp:10", "bon:-3", "bon", "", None, 4, ["bon:4"], "bon:nan", "best of 4"]
PROBABILITIES = [[0.5, 0.5], [0.2, 0.3, 0.5], [1.0], [], [0.5, 0.6], [0.0, 1.0], [1e-310, 1.0], "x"]
PROBABILITIES += [[math.nan, 1.0], [[0.5, 0.5]], [-0.5, 1.5], [1 - 1e-6, 1e-6], None, 3]
DIVERGENCES = ["kl", "forward", "chi2", "js", "alpha:0.5", "alpha:nan", "", None, 3]


class Drawn:
    """Arguments from the pools; sound ones most of the time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def of(self, pool: list, sound: int = 4) -> object:
        """One entry, from the first few four times in five."""
        end = sound if self.rng.random() < 0.8 else len(pool)
        return pool[int(self.rng.integers(min(end, len(pool))))]

    def strength(self) -> dict[str, object]:
        """kl, beta, both or none."""
        kind = self.rng.random()
        number = self.of([0.3, 0.1, 1.0, 0.05, *NUMBERS])
        if kind < 0.55:
            return {"kl": number}
        return {"beta": number} if kind < 0.9 else {"kl": number, "beta": 0.1}

    def base(self) -> object:
        """Continuous, discrete, or something that is no base."""
        if self.rng.random() < 0.6:
            return None
        if self.rng.random() < 0.1:
            return self.of(["x", 3, [0.5, 0.5]])
        return it.Discrete(self.of(PROBABILITIES, 2))


def a_call(draw: Drawn) -> tuple[str, Callable[[], object]]:
    """A call in words and ready to run; making its arguments may fail as well."""
    transform, procedure = draw.of(TRANSFORMS), draw.of(PROCEDURES)
    strength, kind = draw.strength(), int(draw.rng.integers(7))
    extra = {"divergence": draw.of(DIVERGENCES, 2)} if draw.rng.random() < 0.2 else {}
    said = f"{kind} {transform!r:.60} {procedure!r} {strength} {extra}"

    def policy() -> object:
        return it.align(transform, base=draw.base(), **strength, **extra)

    calls: list[Callable[[], object]] = [
        lambda: it.win_rate(policy(), procedure),
        lambda: it.win_rate(policy(), procedure, against_procedure=draw.of(PROCEDURES)),
        lambda: it.optimum(procedure, base=draw.base(), **strength),
        lambda: it.frontier(transform, procedure, kl=draw.of([[0.1, 0.5], 0.3, *NUMBERS], 2)),
        lambda: it.compare([transform, "log"], procedure, kl=strength.get("kl", 0.2), **extra),
        lambda: it.Expression(transform, **({"t": 2.0} if draw.rng.random() < 0.5 else {})),
        lambda: policy().ppf([0.1, 0.5]),
    ]
    return said, calls[kind]


def a_table(draw: Drawn) -> tuple[str, Callable[[], object]]:
    """validate or predict on a random table."""
    rng = draw.rng
    rows = int(rng.choice([0, 1, 2, 5, 30, 200, 200, 600]))
    rewards: object = rng.normal(size=rows).round(int(rng.choice([0, 1, 15])))
    changes = [lambda x: x, lambda x: x * 0.0, lambda x: x * 1e308, lambda x: x.astype(int)]
    changes += [lambda x: np.where(rng.random(rows) < 0.1, np.nan, x), lambda x: x.astype(str)]
    changes += [lambda x: np.where(rng.random(rows) < 0.1, np.inf, x), lambda x: x > 0]
    with np.errstate(over="ignore"):
        rewards = changes[int(rng.integers(1 if rng.random() < 0.6 else len(changes)))](rewards)
    prompts = rng.integers(max(1, int(rng.choice([1, 2, 5, 40]))), size=rows)
    labels = np.array(["base", "a", "b"])[rng.integers(int(rng.integers(1, 4)), size=rows)]
    frame = pd.DataFrame({"prompt": prompts, "policy": labels, "reward": rewards})
    if rng.random() < 0.3:
        frame["truth"] = rng.random(rows) < 0.5
    if rng.random() < 0.2:
        frame["log_ratio"] = rng.normal(size=rows) * float(rng.choice([0.1, 1e3]))
    if rng.random() < 0.1:
        frame = frame.drop(columns=str(rng.choice(["prompt", "policy", "reward"])))
    options = {name: name for name in ("truth", "log_ratio") if name in frame}
    procedures = [["standard"], ["bon:2", "won:2"], "bon:4", *PROCEDURES]
    procedure, transform = draw.of(procedures), draw.of(TRANSFORMS)
    said = f"{rows} rows, {frame.columns.tolist()}, {procedure!r}, {transform!r:.60}"
    if rng.random() < 0.5:
        options |= {"transform": transform, "kl": 0.2} if rng.random() < 0.4 else {}
        return said, lambda: it.validate(frame, policy="policy", procedure=procedure, **options)
    options.pop("log_ratio", None)
    strength = draw.strength()
    return said, lambda: it.predict(
        frame, procedure=procedure, transform=transform, **strength, **options
    )


def numbers_of(found: object) -> list[float]:
    """The numbers that a reader of the result sees first."""
    rows = getattr(found, "rows", None) or [found]
    named = [getattr(row, name, None) for row in rows for name in ("kl", "win_rate", "beta")]
    flat = [np.ravel(x) for x in [found, *named] if isinstance(x, float | np.ndarray)]
    return [float(x) for part in flat for x in part]


def attack(name: str, make: Callable, count: int, rng: np.random.Generator) -> int:
    """Run them; the number of cases that broke the rule."""
    outcomes: Counter[str] = Counter()
    broken = 0
    start, slowest = time.perf_counter(), (0.0, "")
    for _ in range(count):
        said, call = make(Drawn(rng))
        began = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = call()
            if any(math.isnan(x) for x in numbers_of(found)):
                raise AssertionError("NaN in the result")
            outcomes["answered"] += 1
        except it.InfalignError as error:
            outcomes[type(error).__name__] += 1
        except Exception:
            broken += 1
            print(f"BROKEN {said}\n{traceback.format_exc(limit=-2)}", flush=True)
        slowest = max(slowest, (time.perf_counter() - began, said))
    spent = time.perf_counter() - start
    print(f"{name}: {count} in {spent:.0f} s, {dict(outcomes)}, {broken} broke the rule")
    print(f"  slowest: {slowest[0]:.1f} s, {slowest[1]}")
    return broken


def main() -> None:
    """Attack; exit 1 where a case broke the rule."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--calls", type=int, default=2000)
    asked.add_argument("--tables", type=int, default=2000)
    asked.add_argument("--seed", type=int, default=0)
    chosen = asked.parse_args()
    rng = np.random.default_rng(chosen.seed)
    broken = attack("calls", a_call, chosen.calls, rng)
    broken += attack("tables", a_table, chosen.tables, rng)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
