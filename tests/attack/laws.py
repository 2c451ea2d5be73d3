"""Thirty-digit oracle of every divergence x transform x procedure x KL; run it to attack them all.

    python -m tests.attack.laws             # the whole grid, half an hour
    python -m tests.attack.laws 0 8         # every eighth policy, from the first
    python -m tests.attack.laws --page docs/robustness.md   # all, and the outcome into the manual

Nothing of the library is used by the oracle but the beta that it solved for and one density as a
place to start the search for the multiplier. Where the two differ by more than is allowed the
oracle works again on panels an eighth as wide with twenty digits more, and its second word counts.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from mpmath import mp, mpf
from scipy import special

import infalign_theory as it
from infalign_theory.divergences import as_divergence
from infalign_theory.errors import InfalignError
from tests.pages import replace_part

DIVERGENCES = ("kl", "forward-kl", "chi2", "chi2+kl", "js", "alpha:0.5", "alpha:3")
TRANSFORMS = ("identity", "log", "exp:10", "exp:-10", "exp:100", "exp:-100", "power:7")
BUDGETS = (1e-8, 1e-6, 1e-3, 0.1, 0.5, 2.0, 10.0, 20.0)
POINTWISE = (
    "standard", "bon:4", "won:4", "bon:64", "bon:1000000", "won:1000000", "order:2/3",
)  # fmt: skip
SOFT = (("kl", "identity", 0.5), ("chi2", "identity", 0.1))  # it costs a minute each
WHOLE = ("rewind:4@0.8", "reject:5@8", "soft:4@5")
# policies that also go through the procedures of whole laws, which cost as much as all the others
OUTER = {"exp:100", "exp:-100", 1e-8, 20.0}
ALLOWED_WIN_RATE, ALLOWED_KL = 1e-10, 1e-9
# what a policy may be refused for: f condenses on the best reward, or it cannot spend the KL
REASONS = ("out of reach", "has to sit", "no beta", "varies too fast", "cancels too much")

_NODES = 20
_THRESHOLD, _K, _CAP, _N = "0.8", 5, 8, 4


@dataclass(frozen=True)
class Care:
    """Digits, halvings towards the upper and the lower end, and parts that panels are cut into."""

    digits: int = 30
    top: int = 70
    low: int = 60
    parts: int = 1


PLAIN, CLOSE, DOUBTED = Care(), Care(50, 140, 90), Care(50, 140, 90, 8)

_exp, _log = np.frompyfunc(mp.exp, 1, 1), np.frompyfunc(mp.log, 1, 1)


@dataclass(frozen=True)
class Phi:
    """A transform and its inverse."""

    at: object
    inverse: object


def rising(t):
    """exp(t u) and its inverse."""
    return Phi(lambda u: _exp(t * u), lambda y: mp.log(y) / t if y > 1 else mpf(0))


def falling(t):
    """-exp(-t u) and its inverse."""
    return Phi(lambda u: -_exp(-t * u), lambda y: -mp.log(-y) / t if y < 0 else mpf(1))


PHI = {
    "identity": Phi(lambda u: u, lambda y: y),
    "log": Phi(_log, lambda y: mp.exp(y)),
    "exp:10": rising(10),
    "exp:-10": falling(10),
    "exp:100": rising(100),
    "exp:-100": falling(100),
    "power:7": Phi(lambda u: u**7, lambda y: mp.root(y, 7) if y > 0 else mpf(0)),
}


def omega(c):
    """The root w of w + log w = c, by Newton's steps from the root in floats."""
    if c < -mp.dps * mp.log(10):
        return mp.exp(c)
    w = mpf(float(special.wrightomega(float(c))))
    for _ in range(3):
        w -= (w + mp.log(w) - c) * w / (w + 1)
    return w


def inverse_slope(name, x):
    """(h')^-1 of an array, from the definitions."""
    if name == "kl":
        return _exp(x)
    if name == "js":
        return _exp(2 * x) / (2 - _exp(2 * x))
    if name == "chi2+kl":
        return np.frompyfunc(omega, 1, 1)(1 + x)
    alpha = mpf({"forward-kl": 0, "chi2": 2}.get(name) or name.partition(":")[2] or 0)
    power = 1 / (alpha - 1)

    def one(y):
        base = 1 + (alpha - 1) * y
        return base**power if base > 0 else mpf(0)

    return np.frompyfunc(one, 1, 1)(x)


def largest_slope(divergence):
    """h' at infinite density, where it is finite."""
    return {"forward-kl": mpf(1), "alpha:0.5": mpf(2), "js": mp.log(2) / 2}[divergence]


@cache
def rule(digits):
    """Gauss-Legendre nodes and weights on [-1, 1], and integrals from -1 to each node."""
    with mp.workdps(digits + 20):
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

    def __init__(self, care, low, bend=None):
        nodes, weights, running = rule(care.digits)
        middle = (low + 1) / 2
        half = 1 - middle
        edges = {low, mpf(1), middle, mpf(_THRESHOLD)}
        edges |= {1 - half * mpf(2) ** -j for j in range(1, care.top)}
        edges |= {low + half * mpf(2) ** -j for j in range(1, care.low)}
        if bend is not None:
            edges |= {bend + side * mpf(2) ** -j for j in range(1, care.low) for side in (-1, 1)}
        edges = np.array(sorted(e for e in edges if low <= e <= 1), dtype=object)
        parts = np.arange(care.parts)[:, None]
        inner = edges[:-1] + (edges[1:] - edges[:-1]) * parts / mpf(care.parts)
        edges = np.append(inner.T.ravel(), edges[-1])
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

    def __init__(self, transform, divergence, beta, start, care=PLAIN):
        self.care = care
        self.phi, self.divergence, self.beta = PHI[transform], divergence, mpf(beta)
        self.smallest = as_divergence(divergence).smallest_slope
        self.level = self._level(self._level_at(*start))
        self.panels = self._panels(self.level)
        self.f = self._density(self.panels, self.level)
        assert (self.f >= 0).all(), "the root lies beyond a pole"
        self.below = self.panels.cumulative(self.f)

    def _level(self, first):
        """The multiplier, from a place nearby, or from brackets where its distance from the pole
        is lost in the digits of that place."""
        step = mpf(10) ** -15 * (self.beta + abs(first))  # a pole may be close by
        tolerance = mpf(10) ** (14 - 2 * self.care.digits)
        try:
            return mp.findroot(lambda x: self._mass(x) - 1, (first, first + step), tol=tolerance)
        except ValueError:
            if self.care == PLAIN:
                raise
        top = self.phi.at(np.array([mpf(1)], dtype=object))[0]
        pole = top - self.beta * largest_slope(self.divergence)

        def excess(x):
            return mp.log(self._mass(pole + self.beta * mp.exp(x)))

        gap = mp.findroot(
            excess,
            (mpf(-90), mpf(5)),
            solver="anderson",
            tol=tolerance * mpf(10) ** 20,
            maxsteps=60,
            verify=False,
        )
        if not abs(excess(gap)) < mpf(10) ** -18:  # of the mass: far beyond what is asked of W
            raise ValueError("no multiplier gives a mass of 1")
        return pole + self.beta * mp.exp(gap)

    def _level_at(self, u, f):
        """The multiplier that gives a density at a point, from h' of floats."""
        slope = float(as_divergence(self.divergence).slope(f))
        return self.phi.at(np.array([mpf(u)], dtype=object))[0] - self.beta * mpf(slope)

    def _panels(self, level):
        low = mpf(0)
        if self.smallest > -np.inf:
            low = min(max(mpf(0), self.phi.inverse(level + self.beta * mpf(self.smallest))), 1)
        # chi2+kl turns from exponential to linear where the slope passes zero
        bend = self.phi.inverse(level) if self.divergence == "chi2+kl" else None
        return Panels(self.care, low, bend)

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
            theirs = ratio(procedure, Panels(self.care, mpf(0)), None, u)
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
    """Errors in W and relative error in KL; None where the policy is refused, with the reason."""
    try:
        policy = it.align(transform, kl=kl, divergence=divergence)
    except InfalignError as error:
        return None, str(error)
    point = float(policy.ppf(0.6))
    start = (point, float(policy.pdf(point)))
    ours = {procedure: it.win_rate(policy, procedure) for procedure in procedures}

    def compared(care, named):
        with mp.workdps(care.digits):
            exact = Exact(transform, divergence, policy.beta, start, care)
            off_kl = float(abs(exact.kl / mpf(policy.kl) - 1))
            return {name: float(abs(exact.win_rate(name) - ours[name])) for name in named}, off_kl

    try:
        off, off_kl = compared(PLAIN, procedures)
    except ValueError:  # no multiplier found within these digits
        off, off_kl = compared(CLOSE, procedures)
    doubted = [name for name in procedures if off[name] > ALLOWED_WIN_RATE]
    if doubted or off_kl > ALLOWED_KL:
        again, off_kl = compared(DOUBTED, doubted)
        off |= again
    return (off, off_kl), ""


def procedures_of(divergence, transform, kl):
    """What a policy of the grid goes through."""
    if OUTER & {transform, kl}:
        return POINTWISE
    return POINTWISE + (WHOLE if (divergence, transform, kl) in SOFT else WHOLE[:2])


class Outcome:
    """What the grid showed."""

    def __init__(self):
        self.policies, self.cells, self.broken = 0, 0, []
        self.worst, self.worst_kl = (0.0, "none"), (0.0, "none")
        self.refused = defaultdict(list)
        self.undecided = []
        self.started = time.process_time()

    def add(self, named, kl, found, reason):
        """One policy."""
        self.policies += 1
        name = f"{named} at {kl:g}"
        if found is None:
            known = [words for words in REASONS if words in reason]
            assert known, f"{name}: {reason}"
            self.refused[named, known[0]].append((kl, reason.splitlines()[0]))
            return
        off, off_kl = found
        at_worst = max(off, key=off.get)
        self.cells += len(off)
        self.worst = max(self.worst, (off[at_worst], f"{name}, {at_worst}"))
        self.worst_kl = max(self.worst_kl, (off_kl, name))
        if off[at_worst] > ALLOWED_WIN_RATE or off_kl > ALLOWED_KL:
            self.broken.append(f"{name}: {at_worst} off by {off[at_worst]:.2g}, KL by {off_kl:.2g}")
            print("BROKEN", self.broken[-1], flush=True)

    def lines(self):
        """The outcome as a list of Markdown."""
        number = sum(map(len, self.refused.values()))
        spent = (time.process_time() - self.started) / 60.0
        yield (
            f"{self.policies} of {len(policies())} policies, {self.cells} cells, {spent:.0f} "
            f"minutes of one core: {len(self.broken)} wrong, {number} policies refused.\n"
        )
        for what, (error, where) in (("W", self.worst), ("KL (relative)", self.worst_kl)):
            yield f"- worst error in {what}: {error:.2g} ({where});"
        yield from (f"- wrong: {case};" for case in self.broken)
        yield from (f"- beyond the oracle: {case};" for case in self.undecided)
        yield "\n| refused | at KL | message at the least of them |\n|---|---|---|"
        for (named, _), cases in self.refused.items():
            asked = ", ".join(f"{kl:g}" for kl, _ in cases)
            yield f"| {named} | {asked} | {cases[0][1]} |"


def main(first=0, step=1, page=None):
    """Attack and report; the cases that were wrong."""
    outcome = Outcome()
    for at, (divergence, transform, kl) in enumerate(policies()[first::step]):
        procedures = procedures_of(divergence, transform, kl)
        try:
            found, reason = attack(divergence, transform, kl, procedures)
        except ValueError:  # its multiplier is lost in the oracle's digits
            outcome.undecided.append(f"{transform} under {divergence} at {kl:g}")
        else:
            outcome.add(f"{transform} under {divergence}", kl, found, reason)
        if at % 10 == 9:
            print(f"{at + 1}: W {outcome.worst[0]:.2g}, KL {outcome.worst_kl[0]:.2g}", flush=True)
    told = "\n".join(outcome.lines())
    print(told)
    if page is not None:
        replace_part(page, "grid", told)
    return outcome.broken


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("first", type=int, nargs="?", default=0)
    asked.add_argument("step", type=int, nargs="?", default=1)
    asked.add_argument("--page", type=Path)
    chosen = asked.parse_args()
    sys.exit(1 if main(chosen.first, chosen.step, chosen.page) else 0)
