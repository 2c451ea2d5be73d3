"""Thirty-digit oracle of every divergence x transform x procedure x KL; run it to attack them all.

    python -m tests.attack.laws             # the whole grid, minutes
    python -m tests.attack.laws 0 8         # every eighth policy, from the first

Nothing of the library is used by the oracle but the beta that it solved for and one density as a
place to start the search for the multiplier.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.divergences import as_divergence
from infalign_theory.errors import InfalignError

DIVERGENCES = ("kl", "forward-kl", "chi2", "chi2+kl", "js", "alpha:0.5", "alpha:3")
TRANSFORMS = ("identity", "log", "exp:10", "exp:-10", "power:7")
BUDGETS = (1e-6, 1e-3, 0.1, 0.5, 2.0, 10.0)
POINTWISE = ("standard", "bon:4", "won:4", "bon:64", "order:2/3")
SOFT = (("kl", "identity", 0.5), ("chi2", "identity", 0.1))  # it costs a minute each
WHOLE = ("rewind:4@0.8", "reject:5@8", "soft:4@5")
ALLOWED_WIN_RATE, ALLOWED_KL = 1e-10, 1e-9
# what a policy may be refused for: f condenses on the best reward, or it cannot spend the KL
REASONS = ("out of reach", "has to sit", "no beta", "varies too fast", "cancels too much")

DIGITS = 30
_NODES = 20
_DEPTH_TOP, _DEPTH_LOW = 64, 60  # halvings towards either end
_THRESHOLD, _K, _CAP, _N = "0.8", 5, 8, 4

_exp, _log = np.frompyfunc(mp.exp, 1, 1), np.frompyfunc(mp.log, 1, 1)


@dataclass(frozen=True)
class Phi:
    """A transform and its inverse."""

    at: object
    inverse: object


PHI = {
    "identity": Phi(lambda u: u, lambda y: y),
    "log": Phi(_log, lambda y: mp.exp(y)),
    "exp:10": Phi(lambda u: _exp(10 * u), lambda y: mp.log(y) / 10 if y > 1 else mpf(0)),
    "exp:-10": Phi(lambda u: -_exp(-10 * u), lambda y: -mp.log(-y) / 10 if y < 0 else mpf(1)),
    "power:7": Phi(lambda u: u**7, lambda y: mp.root(y, 7) if y > 0 else mpf(0)),
}


def inverse_slope(name, x):
    """(h')^-1 of an array, from the definitions."""
    if name == "kl":
        return _exp(x)
    if name == "js":
        return _exp(2 * x) / (2 - _exp(2 * x))
    if name == "chi2+kl":
        return np.frompyfunc(lambda y: mp.lambertw(mp.exp(1 + y)).real, 1, 1)(x)
    alpha = mpf({"forward-kl": 0, "chi2": 2}.get(name) or name.partition(":")[2] or 0)
    power = 1 / (alpha - 1)

    def one(y):
        base = 1 + (alpha - 1) * y
        return base**power if base > 0 else mpf(0)

    return np.frompyfunc(one, 1, 1)(x)


@cache
def rule():
    """Gauss-Legendre nodes and weights on [-1, 1], and integrals from -1 to each node."""
    with mp.workdps(DIGITS + 20):
        guesses = np.polynomial.legendre.leggauss(_NODES)[0]
        nodes = [mp.findroot(lambda x: mp.legendre(_NODES, x), mpf(float(x))) for x in guesses]
        vander = mp.matrix(_NODES, _NODES)
        running = mp.matrix(_NODES, _NODES)
        for i, x in enumerate(nodes):
            for j in range(_NODES):
                vander[i, j] = mp.legendre(j, x)
                running[i, j] = (
                    x + 1
                    if j == 0
                    else (mp.legendre(j + 1, x) - mp.legendre(j - 1, x)) / (2 * j + 1)
                )
        inverse = vander**-1
        matrix = running * inverse
        weights = [2 * inverse[0, i] for i in range(_NODES)]

        def table(m):
            return np.array([[m[i, j] for j in range(_NODES)] for i in range(_NODES)], dtype=object)

        return np.array(nodes, dtype=object), np.array(weights, dtype=object), table(matrix)


class Panels:
    """Panels that halve towards both ends of (low, 1) and a bend; the threshold is an edge."""

    def __init__(self, low, bend=None):
        nodes, weights, running = rule()
        middle = (low + 1) / 2
        half = 1 - middle
        edges = {low, mpf(1), middle, mpf(_THRESHOLD)}
        edges |= {1 - half * mpf(2) ** -j for j in range(1, _DEPTH_TOP)}
        edges |= {low + half * mpf(2) ** -j for j in range(1, _DEPTH_LOW)}
        if bend is not None:
            edges |= {bend + side * mpf(2) ** -j for j in range(1, _DEPTH_LOW) for side in (-1, 1)}
        edges = np.array(sorted(e for e in edges if low <= e <= 1), dtype=object)
        self.half = (edges[1:] - edges[:-1]) / 2
        self.u = ((edges[1:] + edges[:-1]) / 2)[:, None] + self.half[:, None] * nodes
        self._weights, self._running = weights, running

    def integral(self, values):
        return ((values @ self._weights) * self.half).sum()

    def cumulative(self, values):
        """Integral from the lowest edge to each node."""
        sums = (values @ self._weights) * self.half
        before = np.concatenate([np.array([mpf(0)], dtype=object), np.cumsum(sums)[:-1]])
        return before[:, None] + (values @ self._running.T) * self.half[:, None]


class Exact:
    """A policy to thirty digits, from transform, divergence and beta."""

    def __init__(self, transform, divergence, beta, start):
        self.phi, self.divergence, self.beta = PHI[transform], divergence, mpf(beta)
        self.smallest = as_divergence(divergence).smallest_slope
        first = self._level_at(*start)
        step = mpf(10) ** -15 * (self.beta + abs(first))  # a pole may be close by
        self.level = mp.findroot(
            lambda x: self._mass(x) - 1, (first, first + step), tol=mpf(10) ** (-2 * DIGITS + 14)
        )
        self.panels = self._panels(self.level)
        self.f = self._density(self.panels, self.level)
        assert (self.f >= 0).all(), "the root lies beyond a pole"
        self.below = self.panels.cumulative(self.f)

    def _level_at(self, u, f):
        """The multiplier that gives a density at a point, from h' of floats."""
        slope = float(as_divergence(self.divergence).slope(f))
        return self.phi.at(np.array([mpf(u)], dtype=object))[0] - self.beta * mpf(slope)

    def _panels(self, level):
        low = mpf(0)
        if self.smallest > -np.inf:
            low = min(max(mpf(0), self.phi.inverse(level + self.beta * mpf(self.smallest))), 1)
        # chi2+kl turns from exponential to linear where the slope passes zero
        return Panels(low, self.phi.inverse(level) if self.divergence == "chi2+kl" else None)

    def _density(self, panels, level):
        return inverse_slope(self.divergence, (self.phi.at(panels.u) - level) / self.beta)

    def _mass(self, level):
        panels = self._panels(level)
        return panels.integral(self._density(panels, level))

    @property
    def kl(self):
        logs = np.frompyfunc(lambda f: f * mp.log(f) if f > 0 else mpf(0), 1, 1)(self.f)
        return self.panels.integral(logs)

    def win_rate(self, procedure):
        """P(T(policy) > T(base)) as the integral of (1 - CDF) against the base's density."""
        u, below = self.panels.u, self.below
        if procedure in WHOLE:
            ours = self.f * ratio(procedure, self.panels, self.f)
            theirs = ratio(procedure, Panels(mpf(0)), None, u)
            lost = 1 - self.panels.cumulative(ours)
            # below the support nothing of ours lies: the base loses there for sure
            rest = 1 - self.panels.integral(theirs)
            return self.panels.integral(lost * theirs) + rest
        lost, slope = distortion(procedure, below, u)
        rest = 1 - self.panels.integral(slope)
        return self.panels.integral(lost * slope) + rest


def distortion(procedure, p, u):
    """1 - g(p), and g'(u) of the base."""
    if procedure == "standard":
        return 1 - p, 0 * u + 1
    kind, _, number = procedure.partition(":")
    if kind == "bon":
        n = int(number)
        return 1 - p**n, n * u ** (n - 1)
    if kind == "won":
        n = int(number)
        return (1 - p) ** n, n * (1 - u) ** (n - 1)
    assert procedure == "order:2/3"  # the median of three
    return 1 - (3 * p**2 - 2 * p**3), 6 * u * (1 - u)


def ratio(procedure, panels, density, at=None):
    """Density after inference over density before, of a law with that density on its panels."""
    f = 0 * panels.u + 1 if density is None else density
    u = panels.u if at is None else at
    if procedure.startswith("rewind"):
        bad = np.where(panels.u < mpf(_THRESHOLD), 1, 0)
        q = panels.integral(f * bad) if density is not None else mpf(_THRESHOLD)
        good = (1 - q**_N) / (1 - q)
        return np.where(u < mpf(_THRESHOLD), q ** (_N - 1), good)
    if procedure.startswith("reject"):
        accepts = panels.integral(f * _exp(_K * (panels.u - 1)))
        w = _exp(_K * (u - 1))
        found, last = 1 - (1 - accepts) ** _CAP, (1 - accepts) ** (_CAP - 1)
        return found * w / accepts + last * (1 - w)
    mass, w_panels = f, _exp(_K * panels.u)
    w, total, step = _exp(_K * u), 0 * u, mpf(1) / 4
    for j in range(-240, 20):  # trapezoidal in log s: the error is exp(-pi^2 / step)
        s = mp.exp(step * j)
        silent = panels.integral(mass * _exp(-s * w_panels))
        total = total + step * s * w * _exp(-s * w) * silent ** (_N - 1)
    return _N * total


def policies():
    """Every policy of the grid."""
    return list(itertools.product(DIVERGENCES, TRANSFORMS, BUDGETS))


def attack(divergence, transform, kl, procedures):
    """Worst error in W, relative error in KL; None where the policy is refused, with the reason."""
    try:
        policy = it.align(transform, kl=kl, divergence=divergence)
    except InfalignError as error:
        return None, str(error)
    point = float(policy.ppf(0.6))
    with mp.workdps(DIGITS):
        exact = Exact(transform, divergence, policy.beta, (point, float(policy.pdf(point))))
        off_kl = float(abs(exact.kl / mpf(policy.kl) - 1))
        off = {p: float(abs(exact.win_rate(p) - it.win_rate(policy, p))) for p in procedures}
    return (off, off_kl), ""


def main(first=0, step=1):
    """Attack and report."""
    started, cells, worst, worst_kl, refused, broken = time.process_time(), 0, 0.0, 0.0, [], []
    for at, (divergence, transform, kl) in enumerate(policies()[first::step]):
        whole = WHOLE if (divergence, transform, kl) in SOFT else WHOLE[:2]
        found, reason = attack(divergence, transform, kl, (*POINTWISE, *whole))
        name = f"{transform} under {divergence} at {kl:g}"
        if found is None:
            refused.append(name)
            assert any(words in reason for words in REASONS), f"{name}: {reason}"
            continue
        off, off_kl = found
        cells += len(off)
        worst, worst_kl = max(worst, *off.values()), max(worst_kl, off_kl)
        if max(off.values()) > ALLOWED_WIN_RATE or off_kl > ALLOWED_KL:
            at_worst = max(off, key=off.get)
            broken.append(f"{name}: {at_worst} off by {off[at_worst]:.2g}, KL by {off_kl:.2g}")
            print("BROKEN", broken[-1], flush=True)
        if at % 10 == 9:
            print(f"{at + 1}: W {worst:.2g}, KL {worst_kl:.2g}", flush=True)
    print(f"{cells} cells, worst W {worst:.2g}, worst KL {worst_kl:.2g}, {len(refused)} refused")
    print("refused:", "; ".join(refused) or "none")
    print(f"{time.process_time() - started:.0f} s of CPU")
    return broken


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:3])) else 0)
