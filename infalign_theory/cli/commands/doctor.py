"""Say whether this installation is healthy."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from infalign_theory.cli.options import JsonOption
from infalign_theory.errors import PrecisionError

EXAMPLES = ("infalign doctor", "infalign doctor --warm", "infalign doctor --json > doctor.json")
_PACKAGES = (
    "infalign-theory",
    "numpy",
    "scipy",
    "numba",
    "pandas",
    "duckdb",
    "matplotlib",
    "sympy",
    "typer",
    "rich",
    "narwhals",
    "torch",
    "trl",
)
_PROMISE = 1e-10


def doctor(
    warm: Annotated[bool, typer.Option(help="Compile every kernel now, not on first use.")] = False,
    json: JsonOption = False,
) -> None:
    """Say whether this installation is healthy: versions, cache, threads, five known numbers."""
    from infalign_theory.cli import printing

    if warm:
        with printing.steps() as step:
            for name, run in _warming():
                step(f"compiling: {name}")
                run()
    with printing.working():
        started = time.perf_counter()
        numbers = [(name, known, run()) for name, known, run in _checks()]
        seconds = time.perf_counter() - started
    checks: list[dict[str, Any]] = [
        {"check": name, "known": known, "found": number, "off": abs(number - known)}
        for name, known, number in numbers
    ]
    worst = max(checks, key=lambda check: check["off"])
    found: dict[str, Any] = {
        "versions": _versions(),
        "cache": _cache(),
        "threads": _threads(),
        "self_test": checks,
        "seconds": round(seconds, 2),
        "healthy": worst["off"] <= _PROMISE,
    }
    if json:
        printing.json_document(found)
    else:
        _tell(found)
    if not found["healthy"]:
        raise PrecisionError(
            f"self-test: {worst['check']} is off by {worst['off']:.1g}, more than the promised "
            f"{_PROMISE:g}; report it with the output of infalign doctor --json.",
            worst["found"],
        )


def _tell(found: dict[str, Any]) -> None:
    from infalign_theory.cli import printing

    typer.echo("  ".join(f"{name} {version}" for name, version in found["versions"].items()))
    cache, threads = found["cache"], found["threads"]
    written = "" if cache["writable"] else ", not writable: every process compiles anew"
    typer.echo(f"kernel cache: {cache['path']}, {cache['files']} files{written}")
    typer.echo("threads: " + ", ".join(f"{k} {v}" for k, v in threads.items()))
    printing.table(
        ["check", "known", "found", "off"],
        [
            [c["check"], f"{c['known']:.12g}", f"{c['found']:.12g}", f"{c['off']:.0e}"]
            for c in found["self_test"]
        ],
    )
    typer.echo(
        f"self-test: {'all' if found['healthy'] else 'NOT all'} five within {_PROMISE:g}, "
        f"{found['seconds']:.1f} s"
    )
    typer.echo("To report a problem, add the output of infalign doctor --json to it.")


def _checks() -> Iterator[tuple[str, float, Callable[[], float]]]:
    """Five numbers known from closed forms or from 30-digit quadrature."""
    import numpy as np

    from infalign_theory.comparison.efficiency import first_order_efficiency
    from infalign_theory.optima.solve import optimum
    from infalign_theory.policies.alignment import align
    from infalign_theory.policies.base import Discrete
    from infalign_theory.policies.win_rates import win_rate

    coin = Discrete([0.5, 0.5])
    top = 1.0 / (1.0 + float(np.exp(-0.5 / 0.2)))
    yield ("Best-of-4, log, beta 1", 2 / 3, lambda: win_rate(align("log", beta=1), "bon:4"))
    yield (
        "Best-of-4, identity, 0.5 nats",
        0.7998268740275,
        lambda: win_rate(align("identity", kl=0.5), "bon:4"),
    )
    yield (
        "a fair coin, identity, beta 0.2",
        0.25 + top / 2,
        lambda: win_rate(align("identity", beta=0.2, base=coin)),
    )
    yield (
        "one sample, optimum, beta 1/3",
        1.0 / -float(np.expm1(-3.0)) - 1 / 3,
        lambda: optimum("standard", beta=1 / 3).win_rate,
    )
    yield (
        "efficiency of identity, Best-of-4",
        float(np.sqrt(45.0)) / 9.0,
        lambda: first_order_efficiency("identity", "bon:4"),
    )


def _warming() -> Iterator[tuple[str, Callable[[], object]]]:
    """Calls that between them use every kernel of everyday work."""
    from infalign_theory.comparison.comparisons import compare
    from infalign_theory.comparison.frontiers import frontier
    from infalign_theory.optima.solve import optimum
    from infalign_theory.policies.base import Discrete

    grades = Discrete([0.5, 0.3, 0.2])
    yield "tilts and win rates", lambda: compare("identity,exp:10", "bon:4", kl=0.5)
    yield "optimal frontiers", lambda: [frontier("optimal", p, kl=0.5) for p in ("bon:4", "won:4")]
    yield "optima", lambda: [optimum(p, kl=0.5) for p in ("bon:4", "won:4")]
    yield "optima of other pairs", lambda: optimum("order:2/3", beta=0.3)
    yield "atoms", lambda: [optimum(p, kl=0.2, base=grades) for p in ("bon:4", "won:4")]
    yield "prediction from scores", _predicted


def _predicted() -> object:
    import pandas as pd

    from infalign_theory.empirical.prediction.entry import predict

    table = pd.DataFrame({"prompt": ["a"] * 4 + ["b"] * 4, "reward": [0, 1, 1, 3, 2, 2, 5, 7]})
    return predict(table, procedure="bon:2", transform=["exp:10", "optimal"], kl=0.1)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _cache() -> dict[str, Any]:
    import infalign_theory.kernels as kernels

    given = os.environ.get("NUMBA_CACHE_DIR")
    path = Path(given) if given else Path(next(iter(kernels.__path__))) / "__pycache__"
    files = sum(1 for _ in path.rglob("*.nbc")) if path.is_dir() else 0
    parent = path if path.is_dir() else path.parent
    return {"path": str(path), "files": files, "writable": os.access(parent, os.W_OK)}


def _threads() -> dict[str, str]:
    names = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return {"cores": str(cores), **{n: os.environ[n] for n in names if n in os.environ}}
