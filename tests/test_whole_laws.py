"""Procedures that act on the whole law: checked values, Monte Carlo, brute force on atoms."""

import itertools
from functools import cache

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.policies.inference import inferred

DRAWS = 1_000_000


def base():
    return it.align("identity", kl=0)


def test_soft_best_of_eight_on_the_base():
    answer = inferred(base(), "soft:8@5")
    assert answer.mean == pytest.approx(0.7687269057, abs=1e-8)
    assert answer.kl == pytest.approx(0.4825008235, abs=1e-8)
    # the same integral on one Gauss rule and a finer grid in log s
    x, weight = np.polynomial.legendre.leggauss(200)
    u, w = (x + 1) / 2, np.exp(5 * (x - 1) / 2)
    s = np.exp(np.arange(-60, 12, 0.1))
    decay = np.exp(-np.outer(s, w))
    mean = 0.8 * np.sum(s * (decay @ (weight / 2 * u * w)) * (decay @ (weight / 2)) ** 7)
    assert answer.mean == pytest.approx(mean, abs=1e-12)


def test_rejection_is_the_exact_tilt():
    answer, tilt = inferred(base(), "reject:5"), it.align("identity", beta=0.2)
    assert answer.mean == pytest.approx(0.8067836549, abs=1e-9)
    assert answer.mean == pytest.approx(tilt.mean(), abs=1e-12)
    assert answer.kl == pytest.approx(tilt.kl, rel=1e-11)
    assert answer.draws == pytest.approx(float(tilt.pdf(1.0)), rel=1e-11)


def test_rewind_on_the_base():
    q, c, n = 0.8, 0.8, 4
    answer = inferred(base(), "rewind:4@0.8")
    exact = q ** (n - 1) * c * c / 2 + (1 - q**n) * (1 + c) / 2
    assert answer.mean == pytest.approx(exact, abs=1e-12)
    assert answer.mean == pytest.approx(0.6952, abs=1e-4)
    assert answer.draws == pytest.approx((1 - q**n) / (1 - q), rel=1e-12)


@cache
def draws_of(transform):
    """A million calibrated rewards of a policy, and of the base."""
    rng = np.random.default_rng(7)
    return it.align(transform, kl=0.4).rvs(DRAWS, rng), rng.random(DRAWS)


def simulate(name, draws, rng):
    """Answers of a sampler, from draws of its policy."""
    count = {"soft": 8, "rewind": 4, "reject": 3}[name.split(":")[0]]
    u = draws[: DRAWS // count * count].reshape(-1, count)
    row = np.arange(len(u))
    if name.startswith("soft"):
        return u[row, np.argmax(5 * u + rng.gumbel(size=u.shape), axis=1)]
    good = u >= 0.8 if name.startswith("rewind") else rng.random(u.shape) < np.exp(5 * (u - 1))
    return u[row, np.where(good.any(1), good.argmax(1), count - 1)]


@pytest.mark.simulation
@pytest.mark.parametrize("name", ["soft:8@5", "rewind:4@0.8", "reject:5@3"])
@pytest.mark.parametrize("transform", ["identity", "exp:-10"])
def test_against_monte_carlo(name, transform):
    """Mean of the answers, and W through the base's answers: P(ours > theirs)."""
    policy = it.align(transform, kl=0.4)
    rng = np.random.default_rng(8)
    ours, theirs = (simulate(name, draws, rng) for draws in draws_of(transform))
    answer = inferred(policy, name)
    assert abs(ours.mean() - answer.mean) <= 4 * ours.std() / np.sqrt(ours.size)
    beaten = ours > theirs
    error = np.sqrt(beaten.mean() * (1 - beaten.mean()) / beaten.size)
    assert abs(beaten.mean() - it.win_rate(policy, name)) <= 4 * error
    once = it.win_rate(policy, name, against_procedure="standard")
    assert once == pytest.approx(answer.mean, abs=1e-10)


def enumerated(masses, u, name):
    """Law of the answer by enumerating all draws."""
    out = np.zeros(masses.size)
    n = 3
    for draw in itertools.product(range(masses.size), repeat=n):
        mass = np.prod(masses[list(draw)])
        if name.startswith("soft"):
            weights = np.exp(5 * u[list(draw)])
            np.add.at(out, list(draw), mass * weights / weights.sum())
        else:
            good = [j for j in draw if u[j] >= 0.6]
            out[good[0] if good else draw[-1]] += mass
    return out


@pytest.mark.parametrize("name", ["soft:3@5", "rewind:3@0.6"])
def test_atoms_by_enumeration(name):
    atoms = it.Discrete([0.3, 0.25, 0.2, 0.15, 0.1])
    policy = it.align("identity", kl=0.4, base=atoms)
    ours = enumerated(policy.probs, atoms.u, name)
    theirs = enumerated(atoms.probs, atoms.u, name)
    won = sum(
        p * q * ((i > j) + (i >= j)) / 2
        for (i, p), (j, q) in itertools.product(enumerate(ours), enumerate(theirs))
    )
    assert it.win_rate(policy, name) == pytest.approx(won, abs=1e-13)
    assert inferred(policy, name).mean == pytest.approx(ours @ atoms.u, abs=1e-13)


def test_limits():
    policy = it.align("identity", kl=0.5)
    assert it.win_rate(policy, "soft:1@5") == pytest.approx(it.win_rate(policy), abs=1e-12)
    assert it.win_rate(policy, "soft:4@0") == pytest.approx(it.win_rate(policy), abs=1e-12)
    assert it.win_rate(policy, "soft:4@400") == pytest.approx(
        it.win_rate(policy, "bon:4"), abs=1e-3
    )
    assert inferred(base(), "soft:4096@5").mean == pytest.approx(0.8067836549, abs=1e-3)
    assert it.win_rate(base(), "rewind:4@0.8") == pytest.approx(0.5, abs=1e-12)


def test_refusals(refused):
    refused(lambda: it.optimum("reject:5", kl=0.5), "whole law")
    refused(lambda: it.win_rate(base(), "soft:8"), "soft:N@K")
    refused(lambda: it.win_rate(base(), "rewind:4@1.5"), "between 0 and 1")
    refused(lambda: inferred(base(), "bon:4"), "distortion")


@pytest.mark.slow
def test_weights_of_any_transform():
    """The identity by name, a Monte Carlo with weights of exp:3, and the hard limit."""
    policy = it.align("identity", kl=0.4)
    plain = it.win_rate(policy, "soft:8@5")
    assert it.win_rate(policy, "soft:8@5*identity") == plain
    assert it.win_rate(policy, "soft:8@5*expr:u") == pytest.approx(plain, abs=1e-11)
    rng = np.random.default_rng(3)
    u = policy.rvs((DRAWS // 50, 8), rng)
    chosen = np.argmax(0.2 * np.exp(3 * u) + rng.gumbel(size=u.shape), axis=1)
    won = u[np.arange(len(u)), chosen]
    expected = inferred(policy, "soft:8@0.2*exp:3").mean
    assert abs(won.mean() - expected) <= 4 * won.std() / np.sqrt(won.size)
    # log weights over a range of 1.1e5: best of 8 by exp(10 u), which is best of 8
    steep = it.win_rate(policy, "soft:8@5*exp:10", against_procedure="standard")
    assert steep == pytest.approx(
        it.win_rate(policy, "bon:8", against_procedure="standard"), abs=1e-8
    )


def test_soft_best_of_two_by_log():
    """Of two uniforms with weights u: E (u^2 + v^2) / (u + v)."""
    # with r = min/max: E max = 2/3, so E chosen = 2/3 int (1 + r^2) / (1 + r) dr
    exact = 2 / 3 * (2 * np.log(2) - 0.5)
    assert inferred(base(), "soft:2@1*log").mean == pytest.approx(exact, abs=1e-12)


def test_rejection_by_any_transform():
    policy = inferred(base(), "reject:0.001*exp:10")
    tilt = it.align("exp:10", beta=1000.0)
    assert policy.mean == pytest.approx(tilt.mean(), abs=1e-12)
    assert policy.draws == pytest.approx(float(tilt.pdf(1.0)), rel=1e-11)
    # accepted with a chance of exp(20 (u (1 - u) - 1/4)), whose top is inside
    hump = inferred(base(), "reject:20*expr:u*(1-u)")
    z = np.linspace(0, 1, 2001)
    exact = np.trapezoid(np.exp(20 * (z * (1 - z) - 0.25)), z)
    assert hump.draws == pytest.approx(1 / exact, rel=1e-6)
    capped, rate = (
        inferred(base(), "reject:5*exp:10@64"),
        1 / inferred(base(), "reject:5*exp:10").draws,
    )
    assert capped.draws == pytest.approx((1 - (1 - rate) ** 64) / rate, rel=1e-9)


def test_rejection_on_atoms_accepts_the_best_of_them_surely():
    atoms = it.Discrete([0.3, 0.25, 0.2, 0.15, 0.1])
    weight = np.exp(0.1 * np.exp(5 * atoms.u))
    answer = inferred(it.align("identity", kl=0, base=atoms), "reject:0.1*exp:5")
    assert answer.draws == pytest.approx(weight.max() / (atoms.probs @ weight), rel=1e-12)
    assert answer.mean == pytest.approx(
        atoms.probs @ (weight * atoms.u) / (atoms.probs @ weight), abs=1e-13
    )


@pytest.mark.slow
def test_weights_refused(refused):
    refused(lambda: it.win_rate(base(), "reject:1*logit"), "no largest value")
    refused(lambda: it.win_rate(base(), "soft:8@5*exp:20"), "varies too fast")
    refused(lambda: it.win_rate(base(), "soft:8@5*"), "soft:N@K")
    refused(lambda: it.win_rate(base(), "soft:8@5*expp:10"), "did you mean exp")
