"""Random pairs of procedures, mixtures and tiny betas against rivals and 60 digits.

Run as ``python -m tests.attack.pairs --count 500``. Prints the number of cases, refusals with their
reasons, the worst residual, and every case that a rival beats or that raises something that is no
error of this package. Exit status 1 if there is any such case, or more than 2 % of refusals.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

import numpy as np
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.errors import InfalignError
from infalign_theory.optima.iteration import iteration_grid
from infalign_theory.policies.continuous_tilt import uniform_grid
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.grid import REACH, Grid

BEATEN = 1e-9
RESIDUAL = 1e-8


# ----------------------------------------------------------------------------------- random cases
def random_text(rng, depth=0):
    """A procedure as text, its N log-uniform up to 10^6."""
    n = max(2, round(10 ** rng.uniform(0.3, 6)))
    kind = rng.choice(
        ["bon", "won", "order", "bop", "mix", "standard"], p=[0.2, 0.3, 0.2, 0.1, 0.15, 0.05]
    )
    if kind in ("bon", "won"):
        return f"{kind}:{n}"
    if kind == "bop":
        return f"bop:{10 ** rng.uniform(-1, 4):.4g}"
    if kind == "order":
        n = max(2, round(10 ** rng.uniform(0.3, 4)))
        return f"order:{rng.integers(1, n + 1)}/{n}"
    if kind == "mix" and depth == 0:
        weight = round(float(rng.uniform(0.05, 0.95)), 3)
        parts = [random_text(rng, 1) for _ in range(2)]
        return f"mix:{weight}*{parts[0]}+{round(1 - weight, 3)}*{parts[1]}"
    return "standard"


def random_pair(rng):
    ours = random_text(rng)
    theirs = ours if rng.random() < 0.4 else random_text(rng)
    return ours, theirs, float(10 ** rng.uniform(-2.5, 0.7))


# ----------------------------------------------------------------------------------------- rivals
def cost_of(log_density, grid, ours, theirs, beta):
    """1 - W + beta KL of any density on a grid's nodes, by the definitions."""
    log_density = log_density - np.log(grid.integral(np.exp(log_density) * grid.jacobian))
    f = np.exp(log_density)
    law = grid.running(f * grid.jacobian)
    opponent = theirs.pdf(grid.points.u, grid.points.v)
    lost = grid.integral(ours.cdf(*law.fractions)[0] * opponent * grid.jacobian)
    return lost + beta * grid.integral(f * np.where(f > 0, log_density, 0.0) * grid.jacobian)


def fine_grid():
    """Panels that resolve order statistics of 10^4 samples, which the base's own do not."""
    outer = 40.0 * 2.0 ** np.arange(1, 5)
    edges = np.concatenate([-outer[::-1], np.linspace(-40.0, 40.0, 4001), outer])
    return Grid(edges.clip(-REACH, REACH))


def conditioned_costs(ours, theirs, beta, grid):
    """The least cost of tilts of the base conditioned on u > c."""
    x, best = grid.points, np.inf  # x runs over (0, 1) above c
    for rest in np.concatenate([np.geomspace(1e-6, 0.5, 25), 1 - np.geomspace(1e-7, 0.5, 25)]):
        v = rest * x.v
        opponent = theirs.pdf(1.0 - v, v) * rest * grid.jacobian
        for strength in (0.0, 0.5, 1.0, 2.0, 5.0, 20.0):
            log_density = -strength * x.v
            log_density = log_density - np.log(grid.integral(np.exp(log_density) * grid.jacobian))
            f = np.exp(log_density) * grid.jacobian
            lost = grid.integral(ours.cdf(*grid.running(f).fractions)[0] * opponent)
            kl = grid.integral(f * log_density) - np.log(rest)
            best = min(best, lost + beta * kl)
    return best


def started_cost(ours, theirs, beta, rng, starts=20, rounds=40):
    """The least cost reached by damped fixed-point steps from random laws, on 700 cells."""
    s = np.linspace(-30.0, 30.0, 700)
    u, v = 1 / (1 + np.exp(-s)), 1 / (1 + np.exp(s))
    weight = u * v * (s[1] - s[0])
    opponent = theirs.pdf(u, v) * weight
    bumps = rng.standard_normal((starts, 6)) * 4
    places = rng.uniform(-8, 8, (starts, 6))
    log_f = np.einsum("ij,ijs->is", bumps, np.tanh((s - places[:, :, None]) / 0.5))
    step = rng.uniform(0.1, 1.0, starts)[:, None]

    def normalised(values):
        values = values - values.max(axis=1, keepdims=True)
        return values - np.log(np.sum(np.exp(values) * weight, axis=1, keepdims=True))

    log_f = normalised(log_f)
    for _ in range(rounds):
        mass = np.exp(log_f) * weight
        low = np.clip(np.cumsum(mass, axis=1) - mass / 2, 0.0, 1.0)
        force = ours.pdf(low, 1.0 - low) * opponent / beta
        log_f = normalised((1 - step) * log_f + step * np.cumsum(force, axis=1))
    mass = np.exp(log_f) * weight
    low = np.clip(np.cumsum(mass, axis=1) - mass / 2, 0.0, 1.0)
    rough = np.sum(ours.cdf(low, 1.0 - low)[0] * opponent, axis=1)
    rough += beta * np.sum(mass * log_f, axis=1)
    grid = iteration_grid()
    at = grid.points.s
    return min(
        cost_of(np.interp(at, s, log_f[i]), grid, ours, theirs, beta) for i in np.argsort(rough)[:2]
    )


def attack_pairs(count, seed):
    rng = np.random.default_rng(seed)
    refused, bad, worst, slowest = Counter(), [], 0.0, 0.0
    for _ in range(count):
        ours_text, theirs_text, beta = random_pair(rng)
        case = (ours_text, theirs_text, beta)
        begun = time.perf_counter()
        try:
            found = it.optimum(ours_text, beta=beta, against_procedure=theirs_text)
        except InfalignError as error:
            refused[str(error).split(":")[-1].split(";")[0][:60]] += 1
            print("refused", case, str(error)[:160], flush=True)
            continue
        except Exception as error:
            bad.append((case, repr(error)))
            continue
        slowest = max(slowest, time.perf_counter() - begun)
        worst = max(worst, found.residual)
        ours, theirs = as_procedure(ours_text), as_procedure(theirs_text)
        cost = 1.0 - found.objective
        started = started_cost(ours, theirs, beta, rng)
        rival = min(conditioned_costs(ours, theirs, beta, uniform_grid()), started)
        if rival < cost - BEATEN:  # or the quadrature missed a part of the opponent
            rival = min(conditioned_costs(ours, theirs, beta, fine_grid()), started)
        if found.residual > RESIDUAL or not found.maximum or rival < cost - BEATEN:
            bad.append((case, found, rival, cost))
            print("BAD", bad[-1], flush=True)
    share = sum(refused.values()) / count
    print(
        f"pairs: {count} cases, {sum(refused.values())} refused ({share:.1%}), {len(bad)} bad, "
        f"worst residual {worst:.2g}, slowest {slowest:.1f} s"
    )
    for reason, times in refused.most_common():
        print(f"  refused {times}: {reason}")
    for one in bad:
        print("  bad:", *one)
    return bool(bad) or share > 0.02


# ------------------------------------------------------------------------------------- tiny betas
def exact_cost(q, p, n, beta):
    """1 - W + beta KL of a law of atoms under Worst-of-n, in 60 digits."""
    kept, cost, below = mpf(1), mpf(0), mpf(0)
    base = mpf(1)
    for mass, weight in zip(q, p, strict=True):
        after, base_after = max(kept - mass, mpf(0)), max(base - weight, mpf(0))
        lost = 1 - after**n
        cost += (base**n - base_after**n) * (lost + below) / 2
        if mass > 0:
            cost += beta * mass * mp.log(mass / weight)
        kept, base, below = after, base_after, lost
    return cost


def best_cost(p, n, beta):
    """The least cost over ascents of the fixed-point map from the base without its lowest atoms."""
    size = len(p)
    above = [sum(p[i:]) for i in range(size + 1)]
    b = [above[i] ** n - above[i + 1] ** n for i in range(size)]
    best = None
    for dropped in range(size):
        q = [mpf(10) ** -40 if i < dropped else p[i] for i in range(size)]
        total = sum(q)
        q = [x / total for x in q]
        for _ in range(300):
            exponent, exponents, left = mpf(0), [mpf(0)], q[-1]
            for i in range(size - 2, -1, -1):
                exponent -= n * min(left, mpf(1)) ** (n - 1) * (b[i] + b[i + 1]) / 2 / beta
                exponents.append(exponent)
                left += q[i]
            new = [p[i] * mp.exp(exponents[size - 1 - i]) for i in range(size)]
            total = sum(new)
            new = [x / total for x in new]
            change = max(abs(x - y) for x, y in zip(new, q, strict=True))
            q = new
            if change < mpf(10) ** -30:
                break
        cost = exact_cost(q, p, n, beta)
        best = cost if best is None else min(best, cost)
    return best


def attack_tiny(count, seed):
    rng = np.random.default_rng(seed)
    mp.dps = 60
    bad, refused = [], 0
    for _ in range(count):
        size = int(rng.integers(2, 11))
        mass = np.full(size, 1.0 / size) if rng.random() < 0.4 else rng.dirichlet(np.ones(size))
        n = int(rng.integers(2, 65))
        beta = float(10 ** rng.uniform(-20, -1))
        base = it.Discrete(mass)
        try:
            found = it.optimum(f"won:{n}", beta=beta, base=base)
        except InfalignError as error:
            refused += 1
            print("refused", n, beta, mass.tolist(), str(error)[:120])
            continue
        p = [mpf(float(x)) for x in base.probs]
        p = [x / sum(p) for x in p]
        q = [mpf(float(x)) for x in found.policy.probs]
        q = [x / sum(q) for x in q]
        ours, best = exact_cost(q, p, n, mpf(beta)), best_cost(p, n, mpf(beta))
        if ours > best * (1 + mpf(10) ** -9):
            bad.append((n, beta, mass.tolist(), float(ours / best - 1)))
            print("BAD", bad[-1], flush=True)
    print(f"tiny betas: {count} cases, {refused} refused, {len(bad)} wrong")
    return bool(bad) or refused > 0.02 * count


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("pairs", "tiny"))
    given = parser.parse_args()
    failed = False
    if given.only != "tiny":
        failed |= attack_pairs(given.count, given.seed)
    if given.only != "pairs":
        failed |= attack_tiny(given.count, given.seed)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
