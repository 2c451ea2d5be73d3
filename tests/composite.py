"""Oracle: composite Gauss quadrature in u with given breakpoints, in 34 digits of mpmath.

Another coordinate, another precision, and no adaptivity: the panels are those that the caller
knows to be right, halved until the answer stands.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpmath import mp, mpf

NODES = 24
DIGITS = 34


@functools.lru_cache(maxsize=1)
def rule() -> tuple[list[Any], list[Any], list[list[Any]]]:
    """Gauss nodes, weights and running-integral matrix on [-1, 1]."""
    with mp.workdps(DIGITS + 6):
        guesses = np.polynomial.legendre.leggauss(NODES)[0].tolist()
        nodes = [mp.findroot(lambda x: mp.legendre(NODES, x), guess) for guess in guesses]
        basis = [[mp.legendre(n, x) for n in range(NODES + 1)] for x in nodes]
        slopes = [
            NODES * (x * row[NODES] - row[NODES - 1]) / (x * x - 1)
            for x, row in zip(nodes, basis, strict=True)
        ]
        weights = [2 / ((1 - x * x) * d * d) for x, d in zip(nodes, slopes, strict=True)]

        def climbed(i: int, n: int) -> Any:
            if n == 0:
                return nodes[i] + 1
            return (basis[i][n + 1] - basis[i][n - 1]) / (2 * n + 1)

        running = [
            [
                sum(
                    (n + mpf(1) / 2) * weights[j] * basis[j][n] * climbed(i, n)
                    for n in range(NODES)
                )
                for j in range(NODES)
            ]
            for i in range(NODES)
        ]
        return nodes, weights, running


def graded(*points: Any) -> list[Any]:
    """Panel edges in [0, 1]: twelfths, the given points, and smaller panels beside all of these."""
    edges = {mpf(i) / 12 for i in range(13)} | {mpf(1) / 100, mpf(99) / 100}
    for point in map(mpf, points):
        edges |= {point, point - mpf(1) / 50, point + mpf(1) / 50}
    return sorted(x for x in edges if 0 <= x <= 1)


def tilt(
    phi: Callable[[Any], Any],
    edges: Sequence[Any],
    beta: Any,
    g: Callable[[Any], Any],
    slope: Callable[[Any], Any],
) -> tuple[Any, Any]:
    """KL of the tilt and W = 1 - int g(F(u)) g'(u) du."""
    with mp.workdps(DIGITS):
        nodes, weights, running = rule()
        beta = mpf(beta)
        panels = []
        for low, high in itertools.pairwise(edges):
            half = (high - low) / 2
            points = [low + half * (1 + x) for x in nodes]
            panels.append((half, points, [phi(u) / beta for u in points]))
        top = max(max(exponents) for _, _, exponents in panels)
        densities = [[mp.exp(e - top) for e in exponents] for _, _, exponents in panels]
        masses = [
            half * mp.fdot(weights, density)
            for (half, _, _), density in zip(panels, densities, strict=True)
        ]
        z = sum(masses)
        kl = lost = below = mpf(0)
        for (half, points, exponents), density, mass in zip(panels, densities, masses, strict=True):
            kl += half * sum(
                w * f / z * (e - top - mp.log(z))
                for w, f, e in zip(weights, density, exponents, strict=True)
                if f
            )
            cdf = [(below + half * mp.fdot(row, density)) / z for row in running]
            lost += half * sum(
                w * g(p) * slope(u) for w, p, u in zip(weights, cdf, points, strict=True)
            )
            below += mass
        return kl, 1 - lost


def best_of(n: int) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """g and g' of Best-of-N; Worst-of-N for negative n."""
    if n > 0:
        return lambda p: p**n, lambda p: n * p ** (n - 1)
    return lambda p: 1 - (1 - p) ** -n, lambda p: -n * (1 - p) ** (-n - 1)
