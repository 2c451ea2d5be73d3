"""Optima on atoms against a convex program and against sorting."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import infalign_theory as it
from benchmarks.clock import Row, clock

BETA, N = 0.1, 4


def atoms(count: int) -> it.Discrete:
    """Random masses."""
    return it.Discrete(np.random.default_rng(0).dirichlet(np.ones(count)))


def by_convex_program(probs: np.ndarray) -> float:
    """max W - beta KL, W the two-sample win rate with half ties; Clarabel through CVXPY."""
    import cvxpy as cp

    # W = sum_i G(F_i)-increments: P(best of N theirs <= .) is linear in cumulated g's of ours
    below = np.concatenate([[0.0], np.cumsum(probs)])
    weight = (np.diff(below**N)[:-1] + np.diff(below**N)[1:]) / 2
    p = cp.Variable(probs.size, nonneg=True)
    cdf = cp.cumsum(p)[:-1]
    lost = weight @ cp.power(cdf, N)
    won = 1.0 - lost - 0.5 * (below[-1] - below[-2] ** N)
    problem = cp.Problem(cp.Maximize(won - BETA * cp.sum(cp.kl_div(p, probs))), [cp.sum(p) == 1])
    return float(problem.solve(solver=cp.CLARABEL))


def rows() -> Iterator[Row]:
    """K = 1000 against CVXPY; both procedures at K = 200; a million against sorting."""
    base = atoms(1000)
    found = it.optimum(f"bon:{N}", beta=BETA, base=base)
    theirs = by_convex_program(base.probs)
    yield Row(
        work="discrete optimum, bon:4, K = 1000",
        ours=clock(lambda: it.optimum(f"bon:{N}", beta=BETA, base=base)),
        peer="CVXPY with Clarabel",
        theirs=clock(lambda: by_convex_program(base.probs), 3),
        accuracy=f"objectives: ours - theirs = {found.objective - theirs:.0e}",
        wanted="200",
    )
    small = atoms(200)
    yield Row(
        work="discrete optimum, won:4, K = 200",
        ours=clock(lambda: it.optimum("won:4", beta=BETA, base=small)),
        peer="ours for bon:4",
        theirs=clock(lambda: it.optimum("bon:4", beta=BETA, base=small)),
        accuracy="",
        wanted="1/10",
    )
    many = atoms(10**6)
    numbers = np.random.default_rng(1).random(10**6)
    for name in ("bon:4", "won:4"):
        yield Row(
            work=f"discrete optimum, {name}, a million atoms",
            ours=clock(lambda name=name: it.optimum(name, beta=BETA, base=many), 3),
            peer="sorting as many numbers",
            theirs=clock(lambda: np.sort(numbers), 3),
            accuracy="",
            wanted="1/12",
        )


def growth() -> Iterator[tuple[str, float]]:
    """Exponent of the time in the number of atoms, 10^3 to 10^6."""
    sizes = [10**3, 10**4, 10**5, 10**6]
    for name in ("bon:4", "won:4"):
        bases = [atoms(size) for size in sizes]
        times = [
            clock(lambda b=b, name=name: it.optimum(name, beta=BETA, base=b), 3).median
            for b in bases
        ]
        exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        yield f"discrete optimum {name}, atoms 10^3 to 10^6", float(exponent)
