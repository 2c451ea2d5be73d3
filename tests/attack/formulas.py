"""Random formulas with kinks, jumps, spikes and large constants against composite quadrature.

    python -m tests.attack.formulas --count 2000 [--seed 0]

The oracle knows nothing of the library: it integrates in u, not in the logit, in extended
precision, between the formula's own breakpoints (found by scanning the arguments that the grammar
wrote down) on meshes graded around the spikes that the grammar placed; meshes are halved until
two agree. Formulas with large constants, and every case in doubt, are evaluated in 50 digits.
Prints what breaks the promise (1e-10 in the win rate, 1e-9 of the KL), refusals with reasons, and
the worst errors.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass, field

import mpmath
import numpy as np

import infalign_theory as it
from infalign_theory.errors import PrecisionError

LONG = np.longdouble
NODES = 24
WIN_PROMISE, KL_PROMISE = 1e-10, 1e-9
PROCEDURES = {
    "standard": (1, 1),
    "bon:2": (2, 1),
    "bon:4": (4, 1),
    "bon:16": (16, 1),
    "won:3": (3, -1),
    "won:8": (8, -1),
}

# ------------------------------------------------------------------------------- the grammar


@dataclass
class Formula:
    """A text with the arguments of its kinks and the places of its narrow features."""

    text: str
    arguments: list[str] = field(default_factory=list)
    features: list[tuple[float, float]] = field(default_factory=list)
    large: bool = False

    def __add__(self, other: Formula) -> Formula:
        return self.joined(other, f"{self.text}+{other.text}")

    def joined(self, other: Formula, text: str) -> Formula:
        return Formula(
            text,
            self.arguments + other.arguments,
            self.features + other.features,
            self.large or other.large,
        )


def number(rng: np.random.Generator, low: float, high: float, digits: int = 3) -> float:
    return round(float(rng.uniform(low, high)), digits)


def smooth(rng: np.random.Generator) -> Formula:
    a, c, t = number(rng, 0.2, 3), number(rng, 0.05, 0.95), number(rng, 0.5, 8)
    forms = [
        f"{a}*u",
        f"{a}*(1-u)",
        f"exp({t}*u)/{round(float(np.exp(t)), 3)}",
        f"-exp(-{t}*u)",
        f"u**{number(rng, 1.2, 9, 1)}",
        f"(1-u)**{int(rng.integers(2, 7))}",
        f"{a}*log(u+{c})",
        f"sqrt(u+{c})",
        f"{a}*sin({t}*u)",
        f"cos({2 * t}*u)",
        f"tanh({t}*(u-{c}))",
        f"sigmoid({2 * t}*(u-{c}))",
        f"{c}/(u+{c})",
        f"{a}*log(u)",
        f"{a}*sqrt(u)",
        f"{a}*u*(1-u)",
    ]
    return Formula(str(rng.choice(forms)))


def kinked(rng: np.random.Generator) -> Formula:
    inner, other = smooth(rng), smooth(rng)
    c, d, h = number(rng, 0.02, 0.98, 4), number(rng, 0.02, 0.98, 4), number(rng, 0.3, 3)
    low, high = min(c, d), max(c, d)
    level = f"({inner.text})-({other.text})"
    forms = [
        Formula(f"{h}*abs(u-{c})", [f"u-{c}"]),
        Formula(f"{h}*max(u,{c})", [f"u-{c}"]),
        Formula(f"{h}*min(u,{c})", [f"u-{c}"]),
        Formula(f"{h}*clip(u,{low},{high})**2", [f"u-{low}", f"u-{high}"]),
        Formula(f"{h}*step(u-{c})", [f"u-{c}"]),
        Formula(f"({inner.text})*step(u-{c})", [f"u-{c}"]),
        Formula(f"max({inner.text},{other.text})", [level]),
        Formula(f"min({inner.text},{d})", [f"({inner.text})-{d}"]),
        Formula(f"{h}*step({level})", [level]),
        Formula(f"abs({level})", [level]),
        Formula(f"{h}*abs(sin({int(rng.integers(3, 30))}*u))", []),
        Formula(f"{h}*sqrt(abs(u-{c}))", [f"u-{c}"]),
        Formula(
            f"exp({h}*max({low},min(u,{high})))-{d}*max(1-u,{c})",
            [f"u-{low}", f"u-{high}", f"1-u-{c}"],
        ),
    ]
    chosen = forms[int(rng.integers(len(forms)))]
    if "abs(sin" in chosen.text:
        chosen.arguments.append(chosen.text[chosen.text.index("sin") : -1])
    return chosen


def spiked(rng: np.random.Generator) -> Formula:
    c, w = number(rng, 0.02, 0.98, 4), float(f"{10 ** rng.uniform(-4, -2):.3g}")
    h = number(rng, -4, 9, 2)
    forms = [
        f"{h}*exp(-((u-{c})/{w})**2)",
        f"{h}/(1+((u-{c})/{w})**2)",
        f"{abs(h)}*tanh((u-{c})/{w})",
        f"{abs(h)}*sigmoid((u-{c})/{w})",
    ]
    return Formula(str(rng.choice(forms)), features=[(c, w)])


def random_formula(rng: np.random.Generator) -> Formula:
    formula = smooth(rng)
    if rng.random() < 0.6:
        formula += smooth(rng)
    if rng.random() < 0.5:
        formula += kinked(rng)
        if rng.random() < 0.3:
            formula += kinked(rng)
    if rng.random() < 0.1:
        formula += spiked(rng)
    if rng.random() < 0.15:
        formula = Formula(
            f"exp(0.5*({formula.text}))", formula.arguments, formula.features, formula.large
        )
    if rng.random() < 0.08:
        constant = f"{10 ** rng.uniform(3, 17):.4g}"
        formula = Formula(
            f"{constant}+{formula.text}" if rng.random() < 0.5 else f"{formula.text}-{constant}",
            formula.arguments,
            formula.features,
            large=True,
        )
    return formula


# -------------------------------------------------------------------------------- the oracle

NUMPY = {
    **{name: getattr(np, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tanh", "abs")},
    "max": np.maximum,
    "min": np.minimum,
    "clip": np.clip,
    "step": lambda x: np.heaviside(x, LONG(0.5)),
    "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
}
MP = {
    **{name: getattr(mpmath, name) for name in ("exp", "log", "sqrt", "sin", "cos", "tanh")},
    "abs": abs,
    "max": max,
    "min": min,
    "clip": lambda x, low, high: min(max(x, low), high),
    "step": lambda x: mpmath.mpf(x > 0),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
}


def values(text: str, u: np.ndarray, exact: bool) -> np.ndarray:
    """Phi less its value at the first point, in extended precision."""
    if not exact:
        found = eval(text, {"__builtins__": {}}, {**NUMPY, "u": u})  # noqa: S307 our own text
        return np.broadcast_to(found, u.shape) - np.zeros_like(u)
    with mpmath.workdps(50):
        out = []
        for x in u.ravel():
            head = mpmath.mpf(float(x))
            point = head + mpmath.mpf(float(x - LONG(float(x))))
            out.append(eval(text, {"__builtins__": {}}, {**MP, "u": point}))  # noqa: S307
        first = out[len(out) // 2]
        out = [v - first for v in out]
        return np.array([LONG(float(v)) + LONG(float(v - float(v))) for v in out]).reshape(u.shape)


def rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss nodes, weights and running-integral matrix on [-1, 1], to 30 digits."""
    with mpmath.workdps(40):
        nodes = []
        for guess in np.polynomial.legendre.leggauss(NODES)[0]:
            nodes.append(mpmath.findroot(lambda x: mpmath.legendre(NODES, x), float(guess)))
        basis = [[mpmath.legendre(n, x) for n in range(NODES + 1)] for x in nodes]
        slopes = [
            NODES * (x * row[NODES] - row[NODES - 1]) / (x * x - 1)
            for x, row in zip(nodes, basis, strict=True)
        ]
        weights = [2 / ((1 - x * x) * d * d) for x, d in zip(nodes, slopes, strict=True)]
        running = [
            [
                sum(
                    (n + mpmath.mpf(0.5))
                    * weights[j]
                    * basis[j][n]
                    * (
                        nodes[i] + 1
                        if n == 0
                        else (basis[i][n + 1] - basis[i][n - 1]) / (2 * n + 1)
                    )
                    for n in range(NODES)
                )
                for j in range(NODES)
            ]
            for i in range(NODES)
        ]

        def long(x):
            return LONG(float(x)) + LONG(float(x - mpmath.mpf(float(x))))

        return (
            np.array([long(x) for x in nodes]),
            np.array([long(x) for x in weights]),
            np.array([[long(x) for x in row] for row in running]),
        )


RULE = rule()


def breakpoints(formula: Formula) -> np.ndarray:
    """Roots of the arguments of kinks and jumps, by scanning and bisection."""
    tail = LONG(10) ** np.linspace(-18, -4, 300, dtype=LONG)
    scan = np.unique(
        np.concatenate([tail, np.linspace(0.0001, 0.9999, 20001, dtype=LONG), 1 - tail])
    )
    roots = []
    for text in formula.arguments:
        found = values(text, scan, exact=False)
        change = np.flatnonzero(found[:-1] * found[1:] < 0)
        roots.append(scan[found == 0])
        low, high, sign = scan[change], scan[change + 1], np.sign(found[change])
        for _ in range(90):
            middle = (low + high) / 2
            left = np.sign(values(text, middle, exact=False)) == sign if middle.size else middle > 0
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        roots.append((low + high) / 2)
    return np.unique(np.concatenate(roots)) if roots else np.empty(0, dtype=LONG)


def mesh(formula: Formula, halvings: int) -> np.ndarray:
    """Panels graded towards the ends, the breakpoints and the narrow features."""
    grading = LONG(4) ** -np.arange(2, 31, dtype=LONG)
    deep = LONG(4) ** -np.arange(2, 121, dtype=LONG)  # powers of u need them, and doubles have them
    parts = [np.linspace(0, 1, 33, dtype=LONG), deep, 1 - grading]
    for root in breakpoints(formula):
        parts += [root[None], root - grading[:20], root + grading[:20]]
    for c, w in formula.features:
        steps = LONG(w) * np.concatenate([np.arange(0, 12, 0.5), 1.5 ** np.arange(6, 26)])
        parts += [LONG(c) - steps, LONG(c) + steps]
    edges = np.unique(np.concatenate(parts))
    edges = edges[(edges >= 0) & (edges <= 1)]
    kept = np.concatenate([[True], np.diff(edges) > 1e-18 * edges[1:]])
    edges = edges[kept]
    for _ in range(halvings):
        edges = np.sort(np.concatenate([edges, (edges[1:] + edges[:-1]) / 2]))
    return edges


def tilt(formula: Formula, beta: float, procedure: str, halvings: int, exact: bool):
    """KL and win rate on one mesh."""
    x, w, running = RULE
    edges = mesh(formula, halvings)
    half = np.diff(edges) / 2
    u = (edges[:-1] + half)[:, None] + half[:, None] * x
    exponent = values(formula.text, u, exact) / LONG(beta)
    density = np.exp(exponent - exponent.max())
    masses = half * (density @ w)
    z = masses.sum()
    log_f = exponent - exponent.max() - np.log(z)
    kl = (half * ((density / z * log_f) @ w)).sum()
    below = np.concatenate([[LONG(0)], np.cumsum(masses)[:-1]])
    cdf = (below[:, None] + half[:, None] * (density @ running.T)) / z
    n, sign = PROCEDURES[procedure]
    if sign > 0:
        win = 1 - (half * ((cdf**n * n * u ** (n - 1)) @ w)).sum()
    else:
        win = (half * (((1 - cdf) ** n * n * (1 - u) ** (n - 1)) @ w)).sum()
    return float(kl), float(win)


def oracle(formula: Formula, beta: float, procedure: str, exact: bool = False):
    """KL and win rate on meshes halved until two agree; None if they do not."""
    exact = exact or formula.large
    before = None
    for halvings in range(2 if exact else 6):
        now = tilt(formula, beta, procedure, halvings, exact)
        if before is not None:
            close = abs(now[1] - before[1]) <= 2e-12
            if close and abs(now[0] - before[0]) <= 2e-11 * abs(now[0]):
                return now
        before = now
    return now if exact else None


# -------------------------------------------------------------------------------- the attack


@dataclass
class Tally:
    cases: int = 0
    refusals: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    worst_win: float = 0.0
    worst_kl: float = 0.0
    seconds: float = 0.0
    impossible: int = 0

    def refuse(self, label: str, reason: str) -> None:
        self.refusals.append((label, reason))
        print(f"refused: {label}\n    {reason[:300]}", flush=True)

    def condemn(self, label: str) -> None:
        self.broken.append(label)
        print(f"beyond the promise: {label}", flush=True)


def attack(formula: Formula, rng: np.random.Generator, tally: Tally) -> None:
    procedure = str(rng.choice(list(PROCEDURES)))
    by_kl = rng.random() < 0.5
    budget = float(f"{10 ** rng.uniform(-4, 0.7):.3g}")
    beta = float(f"{10 ** rng.uniform(-1.3, 1.3):.3g}")
    given = {"kl": budget} if by_kl else {"beta": beta}
    label = f"{formula.text}  {given} {procedure}"
    tally.cases += 1
    started = time.process_time()
    try:
        policy = it.align(it.Expression(formula.text), **given)
        won = it.win_rate(policy, procedure)
    except it.InfalignError as error:
        if isinstance(error, PrecisionError):
            tally.refuse(label, str(error))
        else:
            tally.impossible += 1  # no finite normaliser, or a KL out of reach
        return
    finally:
        tally.seconds += time.process_time() - started
    off = None
    for exact in (False, True):
        truth = oracle(formula, policy.beta, procedure, exact)
        if truth is None:
            continue
        kl, win = truth
        asked = budget if by_kl else kl
        spent = max(abs(policy.kl - kl), abs(policy.kl - asked)) / abs(kl)
        off = abs(won - win), spent
        if off[0] <= WIN_PROMISE and off[1] <= KL_PROMISE:
            break
    if off is None:
        tally.unknown.append(label)
        return
    tally.worst_win, tally.worst_kl = max(tally.worst_win, off[0]), max(tally.worst_kl, off[1])
    if off[0] > WIN_PROMISE or off[1] > KL_PROMISE:
        tally.condemn(f"{label}  win rate off {off[0]:.2e}, KL off {off[1]:.2e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, tally = np.random.default_rng(arguments.seed), Tally()
    kinds: Counter[str] = Counter()
    with np.errstate(all="ignore"):
        for _ in range(arguments.count):
            formula = random_formula(rng)
            kinds["kinks"] += bool(formula.arguments)
            kinds["spikes"] += bool(formula.features)
            kinds["large constants"] += formula.large
            attack(formula, rng, tally)
    print(f"{tally.cases} formulas: " + ", ".join(f"{n} with {k}" for k, n in kinds.items()))
    print(f"beyond the promise: {len(tally.broken)}")
    share = len(tally.refusals) / max(tally.cases, 1)
    print(f"refused: {len(tally.refusals)} ({share:.2%})")
    print(f"without a policy (no normaliser, or KL out of reach): {tally.impossible}")
    print(f"without an oracle: {len(tally.unknown)}")
    print(*(f"  {line}" for line in tally.unknown), sep="\n")
    print(f"worst error: {tally.worst_win:.2e} in the win rate, {tally.worst_kl:.2e} of the KL")
    print(f"{1e3 * tally.seconds / max(tally.cases, 1):.0f} ms of processor time a formula")


if __name__ == "__main__":
    main()
