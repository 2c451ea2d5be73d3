"""The optimum of rewind-and-repeat: convex programs over atoms, free search, its own policy."""

import numpy as np
import pytest
from scipy.optimize import minimize

import infalign_theory as it


def rewound(f, p, below, n):
    """Law after inference, from the definition: the k-th draw is the first good one."""
    mass, q = f * p, float((f * p)[below].sum())
    draws = sum(q**k for k in range(n))
    return np.where(below, mass * q ** (n - 1), mass * draws)


def won(f, p, below, n):
    theirs = rewound(np.ones(p.size), p, below, n)
    middle = np.cumsum(theirs) - theirs / 2
    return float(rewound(f, p, below, n) @ middle)


@pytest.mark.slow
def test_no_convex_program_at_any_q_wins_more():
    """Given q the problem is convex: 400 atoms, CVXPY, every q."""
    cvxpy = pytest.importorskip("cvxpy")
    size, n, kl = 400, 4, 0.5
    p = np.full(size, 1 / size)
    base = it.Discrete(p)
    below = base.u < 0.8
    best = it.optimum("rewind:4@0.8", kl=kl, base=base)
    theirs = rewound(np.ones(size), p, below, n)
    middle = np.cumsum(theirs) - theirs / 2
    own_q = float(best.policy.probs[below].sum())
    reached = []
    for q in (own_q - 0.02, own_q, own_q + 0.02, 0.6, 0.7, 0.8, 0.85):
        ratio = cvxpy.Variable(size)  # near 1, as solvers like it
        mass = ratio / size
        gain = middle * np.where(below, q ** (n - 1), (1 - q**n) / (1 - q))
        program = cvxpy.Problem(
            cvxpy.Maximize(gain @ mass),
            [
                cvxpy.sum(mass) == 1,
                cvxpy.sum(mass[: below.sum()]) == q,
                -cvxpy.sum(cvxpy.entr(ratio)) / size <= kl,
            ],
        )
        program.solve(solver=cvxpy.CLARABEL)
        if program.status == "optimal":
            reached.append(program.value)
    assert max(reached) == pytest.approx(best.win_rate, abs=1e-6)
    assert best.kl == pytest.approx(kl, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.05, 0.3, 2.0])
def test_no_free_search_finds_better(beta):
    rng = np.random.default_rng(5)
    p = rng.dirichlet(np.full(12, 3.0))
    base = it.Discrete(p)
    below = base.u < 0.6
    best = it.optimum("rewind:3@0.6", beta=beta, base=base)

    def cost(x):
        mass = np.exp(x - np.logaddexp.reduce(x))
        f = mass / p
        return beta * np.sum(mass * np.log(f)) - won(f, p, below, 3)

    found = [minimize(cost, rng.normal(size=12)).fun for _ in range(6)]
    assert -min(found) == pytest.approx(best.objective, abs=1e-5)
    assert -min(found) <= best.objective + 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-4, 0.5, 3.0])
def test_continuous_optimum(kl):
    best = it.optimum("rewind:4@0.8", kl=kl)
    assert best.kl == pytest.approx(kl, rel=1e-9)
    assert best.residual <= 1e-8
    again = it.align(best.transform, beta=best.beta)
    assert it.win_rate(again, "rewind:4@0.8") == pytest.approx(best.win_rate, abs=1e-12)
    assert it.optimum("rewind:4@0.8", beta=best.beta).kl == pytest.approx(kl, rel=1e-8)
    others = ("identity", "exp:5", "exp:10", "log")
    for transform in others:
        assert it.win_rate(it.align(transform, kl=kl), "rewind:4@0.8") < best.win_rate
    # dW/dKL = beta along the frontier
    step = 1e-3 * kl
    up, down = (it.optimum("rewind:4@0.8", kl=kl + d).win_rate for d in (step, -step))
    assert (up - down) / (2 * step) == pytest.approx(best.beta, rel=1e-4)


@pytest.mark.slow
def test_atoms_tend_to_the_continuous_optimum():
    fine = it.optimum("rewind:4@0.8", kl=0.5, base=it.Discrete(np.full(4000, 1 / 4000)))
    assert fine.win_rate == pytest.approx(it.optimum("rewind:4@0.8", kl=0.5).win_rate, abs=1e-6)


@pytest.mark.slow
def test_two_atoms_have_one_policy_a_budget():
    base = it.Discrete([0.7, 0.3])
    best = it.optimum("rewind:4@0.6", kl=0.5, base=base)
    assert best.kl == pytest.approx(0.5, rel=1e-9)
    top = best.policy.probs[1]
    assert top * np.log(top / 0.3) + (1 - top) * np.log((1 - top) / 0.7) == pytest.approx(0.5)
    assert top > 0.3


@pytest.mark.slow
def test_one_draw_is_standard():
    plain = it.optimum("standard", kl=0.5)
    assert it.optimum("rewind:1@0.8", kl=0.5).win_rate == pytest.approx(plain.win_rate, abs=1e-12)
    versus = it.optimum("rewind:4@0.8", kl=0.5, against_procedure="standard")
    assert versus.win_rate > it.win_rate(plain.policy, "rewind:4@0.8", against_procedure="standard")
    assert it.optimum("rewind:4@0.8", kl=0).win_rate == pytest.approx(0.5, abs=1e-12)


def test_refusals(refused):
    refused(
        lambda: it.optimum("rewind:4@0.8", kl=0.5, against_procedure="rewind:4@0.7"),
        "same threshold",
    )
    refused(
        lambda: it.optimum("rewind:4@0.8", kl=0.5, against_procedure="bon:4"), "against the same"
    )
    refused(lambda: it.optimum("rewind:4@0.8", kl=0.5, base=it.Discrete([0.1, 0.9])), "same side")
    refused(lambda: it.optimum("rewind:4@0.8", beta=1.0, method="iteration"), "whole law")
