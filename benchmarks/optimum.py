"""What an optimum costs: ``python benchmarks/optimum.py`` prints best-of-five times of one run.

The unit of the first table is one pass of ``numpy.exp`` over as many numbers as there are atoms,
measured in the same run; the second compares the exact methods with the damped iteration.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import infalign_theory as it


def best_of(call: Callable[[], object], repeats: int = 5) -> float:
    """Smallest wall time in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def million_atoms(count: int = 10**6) -> None:
    """One discrete optimum of a million random atoms."""
    rng = np.random.default_rng(0)
    numbers = rng.random(count)
    unit = best_of(lambda: np.exp(numbers))
    base = it.Discrete(rng.dirichlet(np.ones(count)))
    print(f"{count} atoms; one pass of numpy.exp takes {1e3 * unit:.2f} ms")
    for name in ("bon:4", "won:4", "bon:16"):
        it.optimum(name, beta=0.1, base=base)
        spent = best_of(lambda name=name: it.optimum(name, beta=0.1, base=base))
        print(f"  {name:8s} {1e3 * spent:7.0f} ms  {spent / unit:5.0f} passes")


def exact_against_iteration() -> None:
    """Time, residual and objective of both methods on a continuous base."""
    print("continuous base: method, milliseconds, residual, objective")
    for name in ("bon:4", "won:4"):
        for beta in (1.0, 0.1, 0.01):
            for method in ("exact", "iteration"):
                found = it.optimum(name, beta=beta, method=method)
                spent = best_of(
                    lambda name=name, beta=beta, method=method: it.optimum(
                        name, beta=beta, method=method
                    ),
                    3,
                )
                print(
                    f"  {name} beta={beta:<5g} {method:10s} {1e3 * spent:8.1f}  "
                    f"{found.residual:.1e}  {found.objective:.9f}"
                )


if __name__ == "__main__":
    million_atoms()
    exact_against_iteration()
