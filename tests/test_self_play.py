"""Self-play: closed forms, 30 digits, best responses and rounds by the plain definitions."""

import numpy as np
import pytest
from mpmath import mp
from scipy import special

import infalign_theory as it
from infalign_theory.errors import InfalignError, PrecisionError
from infalign_theory.optima.general import GeneralProblem
from infalign_theory.optima.self_play import equilibrium
from infalign_theory.optima.self_play_continuous import PolicyCdf
from infalign_theory.procedures.names import as_procedure


@pytest.mark.slow
def test_checked_values():
    best = equilibrium("bon:4", beta=0.2)
    assert best.policy.ppf([0.1, 0.5, 0.9]) == pytest.approx(
        [0.15140037, 0.7487504, 0.99986781], abs=1e-8
    )
    assert best.kl == pytest.approx(1.01381372, abs=1e-8)
    assert equilibrium("standard", beta=0.5).kl == pytest.approx(0.16143936, abs=1e-8)


@pytest.mark.slow
def test_a_residual_beyond_the_promise_is_an_error():
    with pytest.raises(PrecisionError, match="larger beta"):
        equilibrium("bon:1000", beta=3.0)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "beta"), [(1, 0.1), (2, 1.0), (4, 0.2), (32, 0.5), (64, 3.0)])
def test_best_of_n_is_an_incomplete_gamma_function(n, beta):
    a, c = 1 / (2 * n - 1), n**2 / ((2 * n - 1) * beta)
    p = np.array([0.01, 0.2, 0.5, 0.9])
    exact = special.gammainc(a, c * p ** (1 / a)) / special.gammainc(a, c)
    found = equilibrium(f"bon:{n}", beta=beta)
    assert found.policy.ppf(p) == pytest.approx(exact, rel=1e-10)
    assert found.unique
    assert found.residual < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "squared", "beta"),  # the integral of g'^2 up to p
    [
        ("won:4", lambda p: 16 * (1 - (1 - p) ** 7) / 7, 1.0),
        ("order:2/3", lambda p: 36 * (p**3 / 3 - p**4 / 2 + p**5 / 5), 0.5),
        ("mix:0.5*standard+0.5*bon:3", lambda p: (p + 2 * p**3 + 9 * p**5 / 5) / 4, 0.3),
    ],
)
def test_every_procedure_by_thirty_digits(text, squared, beta):
    with mp.workdps(30):

        def fall(p):
            return mp.exp(-squared(p) / mp.mpf(beta))

        total = mp.quad(fall, [0, 0.25, 0.5, 1])
        exact = [float(mp.quad(fall, [0, p / 2, p]) / total) for p in (0.1, 0.5, 0.9)]
        climb = mp.quad(lambda p: mp.log(total / fall(p)), [0, 0.25, 0.5, 1])
    found = equilibrium(text, beta=beta)
    assert found.policy.ppf([0.1, 0.5, 0.9]) == pytest.approx(exact, rel=1e-10)
    assert found.kl == pytest.approx(float(climb), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("text", "beta"), [("bon:4", 0.2), ("standard", 0.1), ("won:4", 2.0)])
def test_the_best_of_all_responses_is_the_policy_itself(text, beta):
    found = equilibrium(text, beta=beta)
    procedure = as_procedure(text)
    best = GeneralProblem(procedure, PolicyCdf(procedure, found.policy)).solutions(1 / beta)[0]
    u = np.linspace(0.001, 0.999, 999)
    assert best.policy.cdf(u) == pytest.approx(found.policy.cdf(u), abs=1e-9)
    assert best.win_rate == pytest.approx(0.5, abs=1e-9)
    assert found.is_equilibrium


@pytest.mark.slow
def test_a_stationary_law_that_a_deviation_beats_says_so():
    """Two rewards under Worst-of-16: against the stationary law, moving far away wins."""
    base, n, beta = it.Discrete([0.7, 0.3]), 16, 0.25
    found = equilibrium(f"won:{n}", beta=beta, base=base)
    p, q = base.probs, found.policy.probs
    top = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 20001), 1 - np.logspace(-6, -14, 200)])

    def payoff(x):  # of top mass x against q, by the definition
        lost, theirs = 1 - x**n, np.array([1 - q[1] ** n, q[1] ** n])
        won = theirs[0] * (1 - lost / 2) + theirs[1] * (1 - lost) / 2
        return won - beta * (x * np.log(x / p[1]) + (1 - x) * np.log((1 - x) / p[0]))

    gain = payoff(top).max() - (0.5 - beta * found.kl)
    assert found.deviation_gain == pytest.approx(max(gain, 0.0), abs=1e-6)
    assert not found.unique


def fixed_point(p, n, beta, step=0.02, rounds=20000):
    """Mirror descent with a small step on atoms, by the definitions of Best-of-n."""
    log_r = np.zeros(p.size)
    for _ in range(rounds):
        q = p * np.exp(log_r)
        below = np.concatenate([[0.0], np.cumsum(q / q.sum())])
        b = np.diff(below**n)
        steps = 0.5 * n * below[1:-1] ** (n - 1) * (b[1:] + b[:-1]) / beta
        log_r = (1 - step) * log_r + step * np.concatenate([[0.0], np.cumsum(steps)])
    q = p * np.exp(log_r)
    return q / q.sum()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "beta"), [(1, 0.3), (4, 0.5), (8, 1.0)])
def test_atoms_by_mirror_descent(n, beta):
    p = np.random.default_rng(n).dirichlet(np.ones(6))
    found = equilibrium(f"bon:{n}", beta=beta, base=it.Discrete(p))
    assert found.policy.probs == pytest.approx(fixed_point(p, n, beta), abs=1e-10)
    assert found.residual < 1e-12


def test_many_equal_atoms_tend_to_the_continuous_base():
    limit = equilibrium("bon:4", beta=0.5)
    errors = [
        abs(equilibrium("bon:4", beta=0.5, base=it.Discrete(np.full(k, 1 / k))).kl - limit.kl)
        for k in (50, 200)
    ]
    assert errors[1] < errors[0] / 3.5


@pytest.mark.slow
@pytest.mark.parametrize("base", [None, it.Discrete([0.2, 0.5, 0.3])])
@pytest.mark.parametrize("kl", [1e-6, 0.3])
def test_a_budget_is_spent(kl, base):
    found = equilibrium("bon:4", kl=kl, base=base)
    assert found.kl == pytest.approx(kl, rel=1e-9)
    again = equilibrium("bon:4", beta=found.beta, base=base)
    assert again.kl == pytest.approx(kl, rel=1e-8)


@pytest.mark.slow
def test_plain_rounds_cycle_and_small_steps_settle():
    found = equilibrium("bon:4", beta=0.2)
    critical = found.critical_step
    assert 0.3 < critical < 0.9
    assert not found.play(1.0, 200).converged
    assert found.play(0.8 * critical, 300).converged
    assert not found.play(min(1.0, 1.3 * critical), 300).converged
    gentle = equilibrium("bon:4", beta=2.0)
    assert gentle.critical_step > 1.0
    assert gentle.play(1.0, 200).converged


def test_refusals(refused):
    refused(lambda: equilibrium("bon:4"), "neither")
    refused(lambda: equilibrium("bon:4", beta=0.0), "beta = 0")
    refused(lambda: equilibrium("bon:4", kl=2.0, base=it.Discrete([0.5, 0.5])), "0.693147")
    found = equilibrium("bon:4", beta=1.0, base=it.Discrete([0.5, 0.5]))
    with pytest.raises(InfalignError, match="step = 2"):
        found.play(2.0)
