"""Frontiers on a continuous base: one march against SciPy, a point at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.integrate import quad, solve_bvp
from scipy.optimize import brentq

import infalign_theory as it
from benchmarks.clock import Row, Spent, clock

N, POINTS = 4, 200
BUDGETS = np.linspace(0.01, 2.0, POINTS)


def best_of_n_by_bvp(beta: float) -> float:
    """W of the optimum: F' = f, (log f)' = g'(F) g'(u) / beta, F(0) = 0, F(1) = 1."""

    def slope(u, y):
        climb = (N * np.clip(y[0], 0.0, 1.0) ** (N - 1)) * (N * u ** (N - 1)) / beta
        return np.stack([np.exp(y[1]), climb])

    u = np.linspace(0.0, 1.0, 101)
    start = np.stack([u, np.zeros_like(u)])
    found = solve_bvp(
        slope, lambda a, b: np.array([a[0], b[0] - 1.0]), u, start, tol=1e-8, max_nodes=20_000
    )
    x, w = np.polynomial.legendre.leggauss(200)
    x, w = (x + 1) / 2, w / 2
    return 1.0 - float(w @ (found.sol(x)[0] ** N * N * x ** (N - 1)))


def win_rate_by_quad(kl: float, t: float = 10.0) -> float:
    """W of exp(tu) under Best-of-N at a KL: a root over beta around integrals, SciPy only."""

    def moments(k: float) -> tuple[float, float]:
        def f(u: float) -> float:
            return float(np.exp(k * (np.exp(t * (u - 1.0)) - 1.0)))

        z = quad(f, 0, 1, epsabs=0, epsrel=1e-11, limit=200)[0]
        mean = quad(lambda u: f(u) * np.exp(t * (u - 1.0)), 0, 1, epsabs=0, epsrel=1e-11)[0] / z
        return z, k * (mean - 1.0) - np.log(z)

    k = brentq(lambda k: moments(k)[1] - kl, 1e-3, 200.0, xtol=1e-12, rtol=1e-12)
    z = moments(k)[0]

    def cdf(u: float) -> float:
        f = quad(lambda v: np.exp(k * (np.exp(t * (v - 1.0)) - 1.0)), 0, u, epsrel=1e-10)[0]
        return f / z

    return 1.0 - quad(lambda u: cdf(u) ** N * N * u ** (N - 1), 0, 1, epsrel=1e-10)[0]


def rows() -> Iterator[Row]:
    """The optimum's frontier and a transform's, 200 points each."""
    optimal = it.frontier("optimal", f"bon:{N}", kl=BUDGETS)
    some = [20, 100, 180]
    worst = max(abs(best_of_n_by_bvp(optimal.beta[i]) - optimal.win_rate[i]) for i in some)
    yield Row(
        work=f"frontier of the optimum, bon:{N}, {POINTS} points",
        ours=clock(lambda: it.frontier("optimal", f"bon:{N}", kl=BUDGETS)),
        peer="scipy solve_bvp, a point at a time",
        theirs=_each(lambda: [best_of_n_by_bvp(optimal.beta[i]) for i in some], len(some)),
        accuracy=f"they differ by {worst:.0e}",
        wanted="1000",
    )
    tilted = it.frontier("exp:10", f"bon:{N}", kl=BUDGETS)
    worst = max(abs(win_rate_by_quad(BUDGETS[i]) - tilted.win_rate[i]) for i in some)
    yield Row(
        work=f"frontier of exp(10u), bon:{N}, {POINTS} points",
        ours=clock(lambda: it.frontier("exp:10", f"bon:{N}", kl=BUDGETS)),
        peer="nested scipy quad and brentq, a point at a time",
        theirs=_each(lambda: [win_rate_by_quad(BUDGETS[i]) for i in some], len(some)),
        accuracy=f"they differ by {worst:.0e}",
        wanted="100",
    )


def _each(call, points: int) -> Spent:
    """A few points stand for all."""
    return clock(call, 3) * (POINTS / points)


def alone() -> Iterator[tuple[str, Spent, str]]:
    """What has no peer: work, time, and the time wanted."""
    from infalign_theory.comparison.exponents import best_exponent

    yield "best exponent, bon:4, half a nat", clock(lambda: best_exponent("bon:4", kl=0.5)), "20 ms"
    yield "optimum of order:2/3 by KL", clock(lambda: it.optimum("order:2/3", kl=0.3), 3), "100 ms"
    mixture = "mix:0.5*standard+0.5*bon:8"
    yield "optimum of a mixture by KL", clock(lambda: it.optimum(mixture, kl=0.3), 3), "43 ms"


def growth() -> Iterator[tuple[str, float]]:
    """Exponent of the time in the number of points, 10 to 10^4."""
    sizes = [10, 100, 1_000, 10_000]
    for name in ("optimal", "exp:10"):
        times = [
            clock(
                lambda n=size, name=name: it.frontier(
                    name, f"bon:{N}", kl=np.linspace(0.01, 2.0, n)
                ),
                3,
            ).median
            for size in sizes
        ]
        exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        yield f"frontier of {name}, bon:{N}, points 10 to 10^4", float(exponent)
