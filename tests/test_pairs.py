"""Pairs, mixtures and distortions that a coarse grid gets wrong: rivals and closed forms."""

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.errors import InfalignError, OutOfReachError, PrecisionError
from infalign_theory.policies.bracketing import (
    SafeguardedNewton,
    bracket_around,
    bracket_increasing,
    root_within,
)
from infalign_theory.policies.continuous_tilt import uniform_grid
from infalign_theory.procedures import OrderStatistic
from infalign_theory.procedures.names import as_procedure
from tests.attack.pairs import conditioned_costs, started_cost


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs", "beta", "at_least"),
    [
        ("won:10000", "order:2/3", 0.3, 0.428),
        ("won:1000", "order:2/3", 0.3, 0.4286),
        ("won:2790", "order:11/28", 0.3, 0.0),
        ("mix:0.5*standard+0.5*won:10000", None, 0.1, 0.0),
    ],
)
def test_a_pocket_of_width_one_over_n_is_found(ours, theirs, beta, at_least):
    best = it.optimum(ours, beta=beta, against_procedure=theirs)
    assert best.objective >= at_least
    assert best.residual <= 1e-8
    assert best.maximum
    sides = as_procedure(ours), as_procedure(theirs or ours)
    cost = 1.0 - best.objective
    assert cost <= conditioned_costs(*sides, beta, uniform_grid()) + 1e-9
    assert cost <= started_cost(*sides, beta, np.random.default_rng(0)) + 1e-9


def test_the_mixture_at_large_n_wins_what_conditioning_wins():
    best = it.optimum("mix:0.5*standard+0.5*won:10000", beta=0.1)
    assert best.win_rate >= 0.7683
    # its density is nearly 1/(1 - c) above c: five times the base
    assert float(best.policy.pdf(0.95)) == pytest.approx(5.0, abs=0.01) or best.kl > 1.3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "kl"),
    [
        ("bop:56.9", 3.0),
        ("bop:1000", 0.1),
        ("g:max(0,2*p-1)", 0.5),
        ("mix:0.19*bon:4+0.81*won:64", 0.0642),
    ],
)
def test_budgets_that_were_refused_as_jumps(ours, kl):
    best = it.optimum(ours, kl=kl)
    assert best.kl == pytest.approx(kl, rel=1e-9)
    assert best.residual <= 1e-8
    assert best.maximum
    again = it.optimum(ours, beta=best.beta)
    assert again.win_rate == pytest.approx(best.win_rate, abs=1e-9)


@pytest.mark.slow
def test_a_distortion_with_a_kink_by_its_closed_form():
    """g = max(0, 2p - 1): f is f0 below the median m, then f0 exp(4k (u - m))."""
    best = it.optimum("g:max(0,2*p-1)", beta=0.2)
    k = 5.0
    m = 0.75
    for _ in range(200):
        m = 1.0 - np.log1p(4 * k * m) / (4 * k)
    assert float(best.policy.cdf(m)) == pytest.approx(0.5, abs=1e-8)
    assert float(best.policy.pdf(m / 2)) == pytest.approx(0.5 / m, rel=1e-8)
    assert float(best.policy.pdf(1.0)) == pytest.approx(0.5 / m * np.exp(4 * k * (1 - m)), rel=1e-8)


@pytest.mark.slow
def test_powers_and_the_general_solver_agree():
    """A mixture of one procedure with itself is that procedure, solved the other way."""
    for name, beta in [("bon:4", 0.05), ("won:64", 0.3), ("bon:1000", 0.5), ("won:5000", 0.2)]:
        power = it.optimum(name, beta=beta)
        general = it.optimum(f"mix:0.5*{name}+0.5*{name}", beta=beta)
        assert general.win_rate == pytest.approx(power.win_rate, abs=1e-10)
        assert general.kl == pytest.approx(power.kl, rel=1e-9)


def test_tiny_beta_on_equal_atoms():
    best = it.optimum("won:33", beta=1e-17, base=it.Discrete(np.full(10, 0.1)))
    assert best.kl == pytest.approx(np.log(10 / 3), rel=1e-9)


@pytest.mark.parametrize("kl", [0.3, 0.9, 1.7, 2.2])
def test_budgets_where_worst_of_many_wins_always(kl):
    best = it.optimum("won:64", kl=kl, base=it.Discrete(np.full(10, 0.1)))
    assert best.kl == pytest.approx(kl, rel=1e-9)
    assert best.win_rate == pytest.approx(it.win_rate(best.policy, "won:64"), abs=1e-12)


@pytest.mark.parametrize(("mass", "kl"), [(1e-6, 1.0), (1e-5, 3.0), (3e-5, 8.0)])
def test_a_rare_best_reward_is_tilted_to(mass, kl):
    base = it.Discrete([1 - mass, mass])
    policy = it.align("identity", kl=kl, base=base)
    q = policy.probs
    assert policy.kl == pytest.approx(kl, rel=1e-9)
    assert float(np.sum(q * np.log(q / base.probs))) == pytest.approx(kl, rel=1e-9)


def test_a_noisy_formula_is_tabulated_in_bounded_work():
    steep = it.Distortion("-20*p**7+70*p**6-84*p**5+35*p**4")
    assert len(steep.slope_terms) < 200
    best = it.optimum(steep, beta=0.1, base=it.Discrete([0.2, 0.3, 0.5]))
    assert best.residual < 1e-10


def test_order_statistics_that_would_need_terabytes(refused):
    refused(lambda: OrderStatistic(5 * 10**8, 10**9).value_terms, "500000000", "at most")


def test_scaled_beta_frame_and_repr():
    best = it.optimum("won:16", beta=0.2, base=it.Discrete([0.7, 0.3]))
    frame = best.to_frame()
    assert len(frame) == 1 + len(best.alternatives)
    low, high = best.transform(best.base.u)
    assert best.scaled_beta == pytest.approx(0.2 / (high - low))
    assert "<table" in best._repr_html_()
    assert len(repr(best)) < 200
    assert it.optimum("bon:4", kl=0.0).scaled_beta is None


def test_an_optimum_draws_its_transform():
    from matplotlib.figure import Figure

    ax = it.optimum("order:2/3", beta=0.3).plot(Figure().subplots())
    _, y = ax.lines[-1].get_data()
    assert y[0] == pytest.approx(0.0, abs=1e-9)
    assert y[-1] == pytest.approx(1.0)
    assert np.all(np.diff(y) >= -1e-12)


# ------------------------------------------------------------------------------------- brackets
@pytest.mark.parametrize("root", [-37.0, 0.0, 1e-3, 55.5])
def test_brackets_and_roots(root):
    found = bracket_increasing(lambda x: np.tanh(x - root), 0.3, longest=8.0)
    assert found.low <= root <= found.high
    assert root_within(lambda x: np.tanh(x - root), found) == pytest.approx(root, abs=1e-12)
    assert bracket_increasing(lambda x: np.tanh(x - root), 0.0, highest=-40.0) is None
    around = bracket_around(lambda x: root - x, root + 0.3, width=0.1, widest=1.0)
    assert around.at_low * around.at_high <= 0.0


def test_a_jump_is_closed_like_a_root():
    bracket = bracket_increasing(lambda x: -1.0 if x < np.pi else 1.0, 0.0)
    assert root_within(lambda x: -1.0 if x < np.pi else 1.0, bracket) == pytest.approx(np.pi)


def test_safeguarded_newton_leaves_a_plateau():
    steps, x = SafeguardedNewton(highest=100.0), 90.0
    for _ in range(100):
        x = steps.next(x, np.tanh(5 * (x - 3.0)), 5 / np.cosh(min(5 * (x - 3.0), 300.0)) ** 2)
    assert x == pytest.approx(3.0, abs=1e-12)


def test_a_beta_below_float64_is_refused():
    with pytest.raises(InfalignError, match="too small"):
        it.optimum("order:2/3", beta=1e-260)


@pytest.mark.simulation  # follows the solutions for more than a minute
def test_a_budget_beyond_every_beta_is_refused():
    # out of reach, or met only beyond the promised residual: either way told, with the beta
    with pytest.raises((OutOfReachError, PrecisionError), match="beta"):
        it.optimum("bop:1000", kl=30.0)
