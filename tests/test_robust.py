"""One policy for several procedures: certificates, convex programs and brute force."""

from __future__ import annotations

import pickle

import cvxpy as cp
import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.optima.responses import response_kl
from infalign_theory.optima.robust import PerProcedure, robust

SIX = ["standard", "bon:2", "bon:4", "bon:8", "bon:16", "bon:32"]


@pytest.fixture(scope="module")
def six():
    return robust(SIX, kl=0.5)


@pytest.mark.slow
def test_six_procedures_are_solved_to_their_certificate(six):
    assert 0.0 <= six.worst_regret - six.lower_bound <= 1e-9
    assert six.worst_regret < 0.041
    assert six.kl == pytest.approx(0.5, rel=1e-9)
    assert six.worst_regret == max(six.regrets)


def test_regrets_are_win_rates_against_optima(six):
    for name, regret in six.regrets.items():
        best = it.optimum(name, kl=0.5).win_rate
        assert regret == pytest.approx(best - it.win_rate(six.policy, name), abs=1e-9)
    again = it.align(six.transform, kl=0.5)
    assert it.win_rate(again, "bon:8") == pytest.approx(six.win_rates["bon:8"], abs=1e-10)


@pytest.mark.slow
def test_no_single_exponential_comes_near(six):
    worst = [
        max(
            it.optimum(name, kl=0.5).win_rate - it.win_rate(it.align(f"exp:{t}", kl=0.5), name)
            for name in SIX
        )
        for t in (8.0, 11.16, 14.0)
    ]
    assert min(worst) > 2.0 * six.worst_regret


@pytest.mark.slow
def test_any_weights_certify_a_bound_below(six):
    # weak duality by hand: other weights never promise more than the worst regret
    rng = np.random.default_rng(1)
    for weights in rng.dirichlet(np.ones(6), 2):
        found = robust(SIX, kl=0.5, weights=weights)
        assert found.lower_bound <= six.worst_regret + 1e-12
        assert found.mean_regret - found.lower_bound <= 1e-9
        assert float(np.dot(weights, six.regrets)) >= found.mean_regret - 1e-12


@pytest.mark.slow
def test_perturbed_policies_are_no_better(six):
    rng = np.random.default_rng(2)
    for _ in range(4):
        a, b = rng.normal(size=2)
        drift = it.Expression(f"{a}*sin(3*u) + {b}*cos(5*u)")

        class Moved(type(six.transform)):
            def __init__(self, inner, extra, size):
                self.inner, self.extra, self.size = inner, extra, size

            name, anchor = "moved", 0.0

            def differences(self, points):
                change = self.extra.differences(points)
                return self.inner.differences(points) + self.size * change

        policy = it.align(Moved(six.transform, drift, 0.02 * six.beta), kl=0.5)
        worst = max(six.optimal[name] - it.win_rate(policy, name) for name in SIX)
        assert worst > six.worst_regret


@pytest.mark.parametrize(
    ("weights", "against"), [(None, None), ([0.2, 0.3, 0.5], None), (None, "bon:2")]
)
def test_on_atoms_against_a_convex_program(weights, against):
    rng = np.random.default_rng(4)
    base = it.Discrete(rng.dirichlet(np.ones(7)))
    names = ["standard", "bon:2", "bon:4"]
    found = robust(names, kl=0.4, base=base, weights=weights, against_procedure=against)
    p = cp.Variable(7, nonneg=True)
    edges = cp.hstack([0.0, cp.cumsum(p)])
    regrets = []
    for name, n in zip(names, (1, 2, 4), strict=True):
        b = np.diff(np.concatenate([[0.0], np.cumsum(base.probs)]) ** (2 if against else n))
        grown = edges
        for _ in range(n.bit_length() - 1):  # squares: small cones
            grown = cp.square(grown)
        lost = b @ (grown[1:] + grown[:-1]) / 2
        best = it.optimum(name, kl=0.4, base=base, against_procedure=against).win_rate
        regrets.append(best - (1 - lost))
    aim = cp.max(cp.hstack(regrets)) if weights is None else np.array(weights) @ cp.hstack(regrets)
    problem = cp.Problem(
        cp.Minimize(aim), [cp.sum(p) == 1, cp.sum(cp.kl_div(p, base.probs)) <= 0.4]
    )
    problem.solve(solver="CLARABEL")
    value = found.worst_regret if weights is None else found.mean_regret
    assert value == pytest.approx(problem.value, abs=2e-7)
    assert value - found.lower_bound <= 1e-10
    sides = {"base": base, "kl": 0.4, "against_procedure": against}
    for name in names:
        won = it.win_rate(found.policy, name, against_procedure=against)
        best = it.optimum(name, **sides).win_rate
        assert found.regrets[name] == pytest.approx(best - won, abs=1e-12)
    assert found.policy.probs == pytest.approx(p.value, abs=2e-3)


@pytest.mark.slow
def test_many_atoms_approach_the_continuous_base():
    fine = robust(["standard", "bon:4"], kl=0.5, base=it.Discrete(np.full(400, 1 / 400)))
    smooth = robust(["standard", "bon:4"], kl=0.5)
    assert fine.worst_regret == pytest.approx(smooth.worst_regret, abs=2e-4)


def test_one_procedure_has_no_regret():
    found = robust(["bon:4"], kl=0.5)
    assert abs(found.worst_regret) <= 1e-9
    assert found.weights["bon:4"] == 1.0


@pytest.mark.slow
def test_best_and_worst_of_n_together_trade_off():
    points = [robust(["bon:8", "won:8"], kl=0.5, weights=[w, 1 - w]) for w in (0.35, 0.5, 0.65)]
    helpful = [one.win_rates["bon:8"] for one in points]
    safe = [one.win_rates["won:8"] for one in points]
    assert helpful == sorted(helpful)
    assert safe == sorted(safe, reverse=True)
    assert all(one.lower_bound == 0.0 and one.gap < 1e-9 for one in points)


@pytest.mark.slow
def test_best_and_worst_of_n_against_a_search_on_few_atoms():
    # two free numbers at a given KL: a dense search finds the global optimum
    base = it.Discrete([0.3, 0.3, 0.4])
    found = robust(["bon:2", "won:2"], kl=0.2, base=base, weights=[0.5, 0.5])
    angles = np.linspace(0, 2 * np.pi, 241)
    best = 0.0
    for angle in angles:
        way = np.cos(angle) * np.array([1, -1, 0]) + np.sin(angle) * np.array([0.5, 0.5, -1])
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            p = base.probs + middle * way
            held = (p > 0).all()
            spent = np.sum(p * np.log(p / base.probs)) if held else np.inf
            low, high = (middle, high) if spent < 0.2 else (low, middle)
        edges = np.concatenate([[0.0], np.cumsum(base.probs + low * way)])
        ref = np.concatenate([[0.0], np.cumsum(base.probs)])
        won = 0.0
        for g in (lambda x: x**2, lambda x: 1 - (1 - x) ** 2):
            won += 0.5 * np.sum(np.diff(g(ref)) * (1 - (g(edges[1:]) + g(edges[:-1])) / 2))
        best = max(best, won)
    mean = 0.5 * sum(found.win_rates)
    assert mean >= best - 1e-12
    assert mean - best < 1e-4


def test_the_certificate_sees_a_policy_that_is_not_optimal(six):
    other = it.align("exp:10", kl=0.5)
    weights = np.array(six.weights)
    sides = list(zip(six.procedures, six.against, strict=True))
    promised = other.beta * response_kl(other, sides, weights)
    lacking = float(np.dot(weights, six.win_rates)) - sum(
        w * it.win_rate(other, name) for w, name in zip(weights, SIX, strict=True)
    )
    assert promised > 0.0
    assert lacking > 0.0
    assert response_kl(six.policy, sides, weights) < 1e-15


def test_numbers_answer_to_order_and_name(six):
    assert six.regrets["bon:4"] == six.regrets[2] == six.regrets[it.BestOfN(4)]
    assert pickle.loads(pickle.dumps(six.regrets)).keys() == tuple(SIX)
    assert dict(six.regrets.items())["standard"] == six.regrets[0]
    assert PerProcedure(["a"], [1.0]).values() == (1.0,)


@pytest.mark.slow
def test_what_is_refused(refused):
    refused(lambda: robust([], kl=0.5), "list of procedures", kind=InputError)
    refused(lambda: robust("bon:4", kl=0.5), "list of procedures", kind=InputError)
    refused(lambda: robust(["bon:4", "bon:4"], kl=0.5), "twice", kind=InputError)
    refused(lambda: robust(["bon:4"], kl=0), "kl = 0", kind=InputError)
    refused(lambda: robust(["bon:4"], kl=0.5, weights=[1, 2]), "prior", kind=InputError)
    refused(lambda: robust(["bon:4"], kl=0.5, weights=[-1]), "prior", kind=InputError)
    small = it.Discrete([0.5, 0.5])
    refused(lambda: robust(["bon:4"], kl=2.0, base=small), "out of reach", kind=OutOfReachError)
    found = robust(["standard", "bon:2"], kl=0.1)
    refused(lambda: found.regrets["bon:3"], "bon:3", kind=InputError)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "kl"),
    [
        (["standard", "bon:1000"], 0.1),
        (["bon:4", "bop:5", "mix:0.5*bon:4+0.5*standard"], 0.5),
        (["standard", "bon:4", "bon:16"], 1e-6),
        (["standard", "bon:4", "bon:16"], 2.0),
    ],
)
def test_large_n_small_and_large_budgets_and_other_convex_procedures(names, kl):
    found = robust(names, kl=kl)
    assert 0.0 <= found.worst_regret - found.lower_bound <= 1e-9


@pytest.mark.slow
def test_a_base_that_does_something_else():
    found = robust(["standard", "bon:4", "bon:16"], kl=0.3, against_procedure="standard")
    assert 0.0 <= found.worst_regret - found.lower_bound <= 1e-9
    for name, regret in found.regrets.items():
        best = it.optimum(name, kl=0.3, against_procedure="standard").win_rate
        won = it.win_rate(found.policy, name, against_procedure="standard")
        assert regret == pytest.approx(best - won, abs=1e-9)


def test_thousands_of_atoms_are_solved_as_surely_as_few():
    found = robust(["standard", "bon:4"], kl=0.5, base=it.Discrete(np.full(6000, 1 / 6000)))
    assert 0.0 <= found.worst_regret - found.lower_bound <= 1e-10
