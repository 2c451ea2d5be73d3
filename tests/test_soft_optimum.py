"""The optimum under soft best-of-N: derivative, brute force, identities."""

import itertools

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.optima.soft import SoftProblem
from infalign_theory.procedures.names import as_procedure


def enumerated_win_rate(p, u, opponent, n, strength):
    """W by listing all draws of n."""
    won = 0.0
    for draw in map(list, itertools.product(range(p.size), repeat=n)):
        weights = np.exp(strength * u[draw])
        won += np.prod(p[draw]) * (weights @ opponent[draw]) / weights.sum()
    return won


def test_the_response_is_the_derivative():
    base = it.Discrete([0.3, 0.25, 0.25, 0.2])
    chosen = as_procedure("soft:3@4")
    nodes = SoftProblem(chosen, chosen, base).field
    p = np.array([0.1, 0.2, 0.3, 0.4])
    phi, won, kl = nodes.response(np.log(p / base.probs))
    assert won == pytest.approx(enumerated_win_rate(p, base.u, nodes.opponent, 3, 4.0), abs=1e-13)
    assert kl == pytest.approx(p @ np.log(p / base.probs), abs=1e-14)
    step = 1e-5
    for i in range(3):
        moved = [
            p + sign * step * (np.arange(4) == i) - sign * step * (np.arange(4) == 3)
            for sign in (1.0, -1.0)
        ]
        slope = [enumerated_win_rate(q, base.u, nodes.opponent, 3, 4.0) for q in moved]
        assert phi[i] - phi[3] == pytest.approx((slope[0] - slope[1]) / (2 * step), abs=1e-8)


def test_brute_force_over_atoms():
    """With two samples W is a quadratic form: mirror ascent from random starts wins no more."""
    base = it.Discrete(np.full(400, 1 / 400))
    beta, strength = 0.2, 5.0
    best = it.optimum("soft:2@5", beta=beta, base=base)
    w = np.exp(strength * (base.u - 1))
    pair = w[:, None] + w
    form = (w[:, None] + 0 * w) / pair
    answers = 2 * base.probs * (form @ base.probs)
    opponent = np.cumsum(answers) - answers / 2
    form = ((w * opponent)[:, None] + w * opponent) / pair

    def objective(p):
        return p @ form @ p - beta * p @ np.log(p / base.probs)

    reached = objective(best.policy.probs)
    assert reached == pytest.approx(best.win_rate - beta * best.kl, abs=1e-12)
    rng = np.random.default_rng(2)
    for spread in (0.0, 1.0, 3.0, 6.0):
        log_p = np.log(base.probs) + spread * rng.standard_normal(400)
        log_p -= log_p.max()
        log_p -= np.log(np.exp(log_p).sum())
        for _ in range(300):
            log_p = 0.6 * log_p + 0.4 * (2 * form @ np.exp(log_p) / beta + np.log(base.probs))
            log_p -= log_p.max()
            log_p -= np.log(np.exp(log_p).sum())
        assert objective(np.exp(log_p)) <= reached + 1e-12
    assert best.residual <= 1e-11


@pytest.mark.slow
def test_on_a_continuous_base():
    """dW/dKL = beta; no tilt of the same KL wins more; atoms tend to it."""
    best = it.optimum("soft:4@5", kl=0.5)
    near = it.optimum("soft:4@5", kl=0.499)
    rise = (best.win_rate - near.win_rate) / (best.kl - near.kl)
    assert rise == pytest.approx((best.beta + near.beta) / 2, rel=1e-6)
    assert best.residual <= 1e-11
    assert it.align(best.transform, beta=best.beta).kl == pytest.approx(best.kl, rel=1e-9)
    for rival in ("identity", "exp:5", "exp:10", "exp:14", "log"):
        assert it.win_rate(it.align(rival, kl=0.5), "soft:4@5") < best.win_rate
    atoms = it.optimum("soft:4@5", kl=0.5, base=it.Discrete(np.full(400, 1 / 400)))
    assert atoms.win_rate == pytest.approx(best.win_rate, abs=1e-4)


@pytest.mark.slow
def test_one_sample_is_linear():
    """N = 1 against one sample: the identity is the optimum."""
    best = it.optimum("soft:1@5", beta=0.3)
    assert best.win_rate == pytest.approx(it.win_rate(it.align("identity", beta=0.3)), abs=1e-11)


@pytest.mark.slow
def test_refusals(refused):
    refused(lambda: it.optimum("soft:4@5000", kl=0.5), "bon:4")
