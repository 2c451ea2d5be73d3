"""The coupled optimum on a discrete base against convex programming, brute force and identities.

Everything judged here is recomputed from the definitions: win rate, KL, the coupled equation.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from refusals import Refusals

import infalign_theory as it
from infalign_theory.errors import InfalignError, OutOfReachError, PrecisionError


# ------------------------------------------------------------------------- the definitions, again
def value(name, low, high):
    """g at a CDF given with its complement, by the plain definition."""
    kind, _, n = name.partition(":")
    n = int(n or 1)
    if kind == "won":
        return -np.expm1(n * np.log(np.maximum(high, 1e-320)))
    return np.exp(n * np.log(np.maximum(low, 1e-320)))


def slope(name, low, high):
    kind, _, n = name.partition(":")
    n = int(n or 1)
    return n * (high if kind == "won" else low) ** (n - 1)


def edges(q):
    return np.concatenate([[0.0], np.cumsum(q)]), np.concatenate([np.cumsum(q[::-1])[::-1], [0.0]])


def base_weights(name, p):
    """b_j by binomial differences taken from the near side, so that no atom cancels."""
    low, high = edges(p)
    kind, _, n = name.partition(":")
    n = int(n or 1)
    side, sign = (high, -1.0) if kind == "won" else (low, 1.0)
    return sign * np.diff(side**n)


def win(name, q, p):
    lost = 1.0 - value(name, *edges(q))
    return float(np.sum(base_weights(name, p) * (lost[1:] + lost[:-1]) / 2))


def divergence(q, p):
    held = q > 0
    return float(np.sum(q[held] * np.log(q[held] / p[held])))


def objective(name, q, p, beta):
    return win(name, q, p) - beta * divergence(q, p)


def misfit(name, q, p, beta):
    """Total variation between q and the tilt by the derivative of the win rate at q."""
    low, high = edges(q)
    b = base_weights(name, p)
    steps = 0.5 * slope(name, low[1:-1], high[1:-1]) * (b[1:] + b[:-1]) / beta
    exponent = -np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    response = p * np.exp(exponent - exponent.max())
    return 0.5 * float(np.abs(q - response / response.sum()).sum())


def ascended(name, q, p, beta):
    """The coupled equation iterated: for a convex win rate every step raises the objective."""
    b = base_weights(name, p)
    shares = (b[1:] + b[:-1]) / 2
    for _ in range(300):
        low, high = edges(q)
        steps = slope(name, low[1:-1], high[1:-1]) * shares / beta
        response = p * np.exp(-np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]]))
        q = response / response.sum()
    return q


def random_law(rng, atoms, ties=False):
    """Random probabilities and rewards, and the law that remains once ties are merged."""
    probs = rng.dirichlet(np.full(atoms, 10.0 ** rng.uniform(-0.5, 1.0)))
    probs = np.maximum(probs, 1e-12)
    probs /= probs.sum()
    rewards = rng.integers(0, atoms, atoms) if ties else rng.permutation(atoms)
    merged = np.array([probs[rewards == r].sum() for r in np.unique(rewards)])
    return it.Discrete(probs, rewards.astype(float)), merged


# ----------------------------------------------------------------------------- the concave case
def by_masses(cp, p, b, n, beta):
    """The concave problem in the atoms' masses, powers of the CDF by repeated squaring."""
    policy = cp.Variable(p.size, nonneg=True)
    power, exponent, constraints = cp.cumsum(policy), 1, [cp.sum(policy) == 1]
    while exponent < n:  # n is a power of two
        squared = cp.Variable(p.size)
        constraints.append(cp.square(power) <= squared)
        power, exponent = squared, 2 * exponent
    shares = np.append(b[1:] + b[:-1], b[-1]) / 2
    gain = b.sum() - shares @ power - beta * cp.sum(cp.kl_div(policy, p))
    return cp.Problem(cp.Maximize(gain), constraints), policy


def by_edges(cp, p, b, n, beta):
    """The same problem in the CDF at the inner edges, a sum of single powers."""
    inner = cp.Variable(p.size - 1)
    policy = cp.hstack([inner[0], inner[1:] - inner[:-1], 1 - inner[-1]])
    shares = (b[1:] + b[:-1]) / 2
    gain = b.sum() - b[-1] / 2 - shares @ cp.power(inner, n) - beta * cp.sum(cp.kl_div(policy, p))
    return cp.Problem(cp.Maximize(gain), [inner >= 0, inner <= 1]), policy


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [50, 200, 1000])
@pytest.mark.parametrize("n", [2, 4, 16])
@pytest.mark.parametrize("beta", [1.0, 0.1, 0.01])
def test_best_of_n_equals_a_convex_program(atoms, n, beta):
    cp = pytest.importorskip("cvxpy")
    p = np.random.default_rng([atoms, n]).dirichlet(np.ones(atoms))
    b = np.diff(np.concatenate([[0.0], np.cumsum(p)]) ** n)
    found = it.optimum(f"bon:{n}", beta=beta, base=it.Discrete(p))
    # at many atoms the solver reaches its accuracy in one form of the problem or the other
    reached = -np.inf
    for form in (by_masses, by_edges):
        problem, policy = form(cp, p, b, n, beta)
        with warnings.catch_warnings():
            # it warns of less than its strictest accuracy; the comparison below is the judge
            warnings.filterwarnings("ignore", message="Solution may be inaccurate")
            problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
        q = np.maximum(policy.value, 0.0)
        reached = max(reached, objective(f"bon:{n}", q / q.sum(), p, beta))
        if abs(found.objective - reached) <= 1e-9:
            break
    assert found.objective == pytest.approx(reached, abs=1e-9)
    assert found.objective >= reached - 1e-13
    assert found.objective == pytest.approx(
        objective(f"bon:{n}", found.policy.probs, p, beta), abs=1e-12
    )
    assert 0.0 <= found.gap <= 1e-10
    assert found.alternatives == ()


def test_the_gap_bounds_the_loss_of_any_policy():
    """J* - J(q) <= beta KL(q || its best response): here for policies that are not optimal."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        base, p = random_law(rng, 6)
        beta = float(10 ** rng.uniform(-2, 1))
        n = int(rng.integers(2, 20))
        best = it.optimum(f"bon:{n}", beta=beta, base=base)
        policy = it.align("exp:3", kl=0.5 * -np.log(p[-1]), base=base)
        # the same policy seen as a tilt at this beta: its response, and the KL to it
        q = policy.probs
        low, high = edges(q)
        b = base_weights(f"bon:{n}", p)
        steps = 0.5 * slope(f"bon:{n}", low[1:-1], high[1:-1]) * (b[1:] + b[:-1]) / beta
        response = p * np.exp(-np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]]))
        bound = beta * divergence(q, response / response.sum())
        loss = best.objective - objective(f"bon:{n}", q, p, beta)
        assert -1e-12 <= loss <= bound + 1e-12


@pytest.mark.parametrize("name", ["bon:4", "won:4", "bon:16", "standard"])
def test_equal_atoms_converge_to_the_continuous_optimum(name):
    """Two refinements by 4 each shrink the distance at least 3.5 times: order 1/K or better."""
    beta = 0.3
    limit = it.optimum(name, beta=beta)
    sizes = [64, 256, 1024]
    errors = []
    for atoms in sizes:
        found = it.optimum(name, beta=beta, base=it.Discrete(np.full(atoms, 1 / atoms)))
        errors.append(abs(found.win_rate - limit.win_rate) + abs(found.kl - limit.kl))
    assert errors[1] <= errors[0] / 3.5
    assert errors[2] <= errors[1] / 3.5


# -------------------------------------------------------------------------- several local optima
TWO, BETA, SIXTEEN = np.array([0.7, 0.3]), 0.2, "won:16"


@pytest.mark.slow
def test_two_atoms_have_two_maxima_and_a_saddle():
    found = it.optimum(SIXTEEN, beta=BETA, base=it.Discrete(TWO))
    assert found.maximum
    assert [other.maximum for other in found.alternatives].count(True) == 1
    assert len(found.alternatives) == 2
    tops = [s.policy.probs[-1] for s in (found, *found.alternatives)]
    for top in tops:
        assert misfit(SIXTEEN, np.array([1 - top, top]), TWO, BETA) < 1e-12

    # the objective along the simplex has those maxima and that minimum, and no others
    s = np.concatenate([np.linspace(1e-9, 1 - 1e-3, 8001), 1 - np.logspace(-3, -15, 2000)])
    j = np.array([objective(SIXTEEN, np.array([1 - x, x]), TWO, BETA) for x in s])
    inner = np.flatnonzero((j[1:-1] > j[:-2] + 1e-15) & (j[1:-1] > j[2:] + 1e-15)) + 1
    assert len(inner) <= 2
    assert found.objective == pytest.approx(j.max(), abs=1e-9)
    assert tops[0] > 0.999
    other = next(o for o in found.alternatives if o.maximum)
    assert other.policy.probs[-1] == pytest.approx(0.3, abs=1e-6)
    saddle = next(o for o in found.alternatives if not o.maximum)
    assert saddle.objective < other.objective < found.objective


def test_a_damped_iteration_from_the_base_stops_at_the_worse_maximum():
    q = TWO.copy()
    for _ in range(2000):
        low, high = edges(q)
        b = base_weights(SIXTEEN, TWO)
        step = 0.5 * slope(SIXTEEN, low[1], high[1]) * (b[0] + b[1]) / BETA
        response = TWO * np.exp([-step, 0.0])
        q = 0.9 * q + 0.1 * response / response.sum()
    assert misfit(SIXTEEN, q, TWO, BETA) < 1e-12  # it looks converged
    found = it.optimum(SIXTEEN, beta=BETA, base=it.Discrete(TWO))
    assert found.objective > objective(SIXTEEN, q, TWO, BETA) + 0.1
    worse = next(o for o in found.alternatives if o.maximum)
    np.testing.assert_allclose(worse.policy.probs, q, atol=1e-10)


def simplex(parts):
    """Every point of the simplex over three atoms with coordinates i / parts."""
    i, j = np.meshgrid(np.arange(parts + 1), np.arange(parts + 1), indexing="ij")
    inside = i + j <= parts
    i, j = i[inside], j[inside]
    return np.stack([i, j, parts - i - j], axis=1) / parts


GRID = np.concatenate([simplex(120), np.exp(-4.0 * simplex(24))])
GRID = np.maximum(GRID, 1e-14)
GRID /= GRID.sum(axis=1, keepdims=True)


def grid_objectives(name, p, beta, grid=GRID):
    cumulative = np.concatenate([np.zeros((len(grid), 1)), np.cumsum(grid, axis=1)], axis=1)
    cumulative = np.minimum(cumulative, 1.0)
    kind, _, n = name.partition(":")
    lost = (1 - cumulative) ** int(n) if kind == "won" else 1 - cumulative ** int(n)
    wins = ((lost[:, 1:] + lost[:, :-1]) / 2) @ base_weights(name, p)
    kls = np.sum(grid * np.log(grid / p), axis=1)
    return wins - beta * kls, wins, kls


def refined(name, p, beta):
    """The largest objective: ever finer grids of log-masses around the best points of a first."""
    if p.size == 1:
        return objective(name, np.ones(1), p, beta)
    first = GRID if p.size == 3 else np.stack([LINE, 1 - LINE], axis=1)
    best = -np.inf
    starts = first[np.argsort(grid_objectives(name, p, beta, first)[0])[-3:]]
    for start in np.log(np.concatenate([[p], starts])):
        z, width = start - start[-1], 2.0
        while width > 1e-8 and z.min() > -700.0:
            around = z + width * CUBE[p.size]
            law = np.exp(around - around.max(axis=1, keepdims=True))
            law = np.maximum(law / law.sum(axis=1, keepdims=True), 1e-300)
            found = grid_objectives(name, p, beta, law)[0]
            at = int(np.argmax(found))
            best, moved = max(best, float(found[at])), np.abs(around[at] - z).max()
            z, width = around[at], 2.0 * width if moved > 0.9 * width else width / 4
    return best


NEAR = np.logspace(-12, -0.4, 60)
LINE = np.concatenate([NEAR, 1 - NEAR[::-1]])
STEPS = np.linspace(-1.0, 1.0, 13)
CUBE = {
    2: np.stack([STEPS, 0 * STEPS], axis=1),
    3: np.array([[a, b, 0.0] for a in STEPS for b in STEPS]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bon", "won"])
def test_three_atoms_by_brute_force(kind):
    rng = np.random.default_rng(17 if kind == "bon" else 18)
    for _ in range(100):
        base, p = random_law(rng, 3, ties=rng.random() < 0.3)
        name = f"{kind}:{int(rng.integers(1, 25))}"
        beta = float(10 ** rng.uniform(-2, 1))
        found = it.optimum(name, beta=beta, base=base)
        assert misfit(name, found.policy.probs, p, beta) < 1e-10
        assert found.policy.probs.sum() == pytest.approx(1.0, abs=1e-12)
        best = refined(name, p, beta)
        if kind == "won":
            # policies that drop atoms altogether lie beyond any grid: climb to them
            cuts = [np.where(np.arange(p.size) < cut, 1e-14, p) for cut in range(p.size)]
            climbed = [ascended(name, cut / cut.sum(), p, beta) for cut in cuts]
            best = max(best, *(objective(name, np.maximum(q, 1e-320), p, beta) for q in climbed))
        assert found.objective >= best - 1e-9, (name, beta, p)
        assert found.objective == pytest.approx(best, abs=1e-7), (name, beta, p)


@pytest.mark.parametrize("kind", ["bon", "won"])
def test_no_perturbation_of_the_optimum_does_better(kind):
    rng = np.random.default_rng(5)
    for _ in range(60):
        base, p = random_law(rng, int(rng.integers(2, 30)))
        name, beta = f"{kind}:{int(rng.integers(1, 40))}", float(10 ** rng.uniform(-2, 1))
        found = it.optimum(name, beta=beta, base=base)
        q = found.policy.probs
        for size in (1e-4, 1e-2, 0.3, 3.0):
            other = q * np.exp(size * rng.standard_normal(q.size))
            assert objective(name, other / other.sum(), p, beta) <= found.objective + 1e-12


@pytest.mark.simulation
def test_worst_of_n_is_not_beaten_by_ascent_from_policies_that_drop_the_lowest_atoms():
    rng = np.random.default_rng(41)
    for _ in range(300):
        base, p = random_law(rng, int(rng.integers(2, 8)))
        name = f"won:{round(10 ** rng.uniform(0.3, 2.5))}"
        beta = float(10 ** rng.uniform(-2.5, 1))
        found = it.optimum(name, beta=beta, base=base)
        for dropped in range(p.size):
            start = np.where(np.arange(p.size) < dropped, 1e-14, p)
            q = ascended(name, start / start.sum(), p, beta)
            rival = objective(name, np.maximum(q, 1e-320), p, beta)
            assert found.objective >= rival - 1e-10, (name, beta, p.tolist())


@pytest.mark.parametrize(
    ("name", "beta", "probs"),
    [
        ("won:64", 0.5, [0.15, 0.78, 0.07]),
        ("won:39", 1 / 21.216126627497076, [0.22231356, 0.29576771, 0.22776742, 0.25415131]),
        ("won:27", 1.2231042, [0.0364, 0.1183, 0.3826, 0.3313, 0.0587, 0.0129, 0.0598]),
        ("won:242", 0.5986249, [0.0539, 0.1183, 0.0879, 0.1217, 0.1320, 0.0663, 0.4199]),
    ],
)  # fmt: skip
def test_roots_closer_than_a_scan_step_are_found(name, beta, probs):
    """Dropping the lowest atom barely moves the top atom's mass: the roots lie side by side."""
    p = np.array(probs) / np.sum(probs)
    found = it.optimum(name, beta=beta, base=it.Discrete(p))
    start = np.append(1e-14, p[1:])
    rival = objective(name, ascended(name, start / start.sum(), p, beta), p, beta)
    assert found.objective >= rival - 1e-10
    assert len(found.alternatives) >= 2


def closing_masses(name, p, beta):
    """Top masses at which the coupled equation closes: sign changes on a very fine scan.

    The scan marches from the top atom down for many top masses at once; between two of its
    points 1e-3 apart (closer near the base's own mass) it can see no pair of roots.
    """
    b = base_weights(name, p)
    low = np.log(p[-1]) - np.log1p(-p[-1])
    x = np.concatenate([low + np.logspace(-9, -3, 200), np.arange(low + 1.1e-3, 45.0, 1e-3)])
    top, rest = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    ratio, out = np.log(top / p[-1]), np.zeros(x.size)
    for i in range(p.size - 2, -1, -1):
        left, above = np.maximum(rest - out, 0.0), np.minimum(top + out, 1.0)
        ratio = ratio - 0.5 * slope(name, left, above) * (b[i] + b[i + 1]) / beta
        out = out + p[i] * np.exp(ratio)
    closed = np.concatenate([[True], out < rest])  # less comes out at the base's own top mass
    return np.flatnonzero(closed[1:] != closed[:-1]).size


@pytest.mark.slow
def test_every_solution_is_found():
    rng = np.random.default_rng(29)
    several = 0
    for _ in range(300):
        base, p = random_law(rng, int(rng.integers(2, 6)))
        name = f"won:{int(rng.integers(2, 60))}"
        beta = float(10 ** rng.uniform(-1.8, 0.5))
        found = it.optimum(name, beta=beta, base=base)
        solutions = [found, *found.alternatives]
        inside = [s for s in solutions if s.policy.probs[:-1].sum() > np.exp(-44.9)]
        assert len(inside) == closing_masses(name, p, beta), (name, beta, p.tolist())
        for s in solutions:
            assert misfit(name, s.policy.probs, p, beta) < 1e-9
        assert [s.maximum for s in solutions].count(True) == (len(solutions) + 1) // 2
        assert found.objective >= max(s.objective for s in solutions)
        several += len(solutions) > 1
    assert several >= 30  # the sample does contain multiplicity


# --------------------------------------------------------------------------------- by KL budget
@pytest.mark.parametrize("name", ["bon:2", "bon:16", "won:2", "won:4", "standard"])
@pytest.mark.parametrize("kl", [1e-12, 1e-6, 0.01, 0.5, 1.2])
def test_a_budget_is_spent(name, kl):
    base = it.Discrete([0.15, 0.2, 0.25, 0.15, 0.25])
    found = it.optimum(name, kl=kl, base=base)
    assert found.kl == pytest.approx(kl, rel=1e-9)
    if kl > 1e-6:
        assert divergence(found.policy.probs, base.probs) == pytest.approx(kl, rel=1e-9)
    assert misfit(name, found.policy.probs, base.probs, found.beta) < 1e-10


@pytest.mark.parametrize("kl", [1e-300, 1e-310])
@pytest.mark.parametrize("name", ["bon:4", "won:16"])
def test_a_vanishing_budget_is_refused(name, kl, refused):
    refused(lambda: it.optimum(name, kl=kl, base=it.Discrete(TWO)), "too small to be told from 0")


def invisible(name, p):
    """Whether without its lowest atom a policy wins all but what float64 cannot see."""
    return (1 - p[0]) ** int(name.removeprefix("won:")) < 1e-15


@pytest.mark.slow
@pytest.mark.parametrize(
    "probs", [[0.7, 0.3], [0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.34, 0.48, 0.18]]
)
@pytest.mark.parametrize("name", ["won:16", "won:40", "won:699"])
@pytest.mark.parametrize("part", [1e-7, 0.05, 0.8, 0.9999])
def test_a_budget_inside_a_jump_is_spent_and_bounded(probs, name, part):
    p = np.array(probs)
    kl = part * -np.log(p[-1])
    try:
        found = it.optimum(name, kl=kl, base=it.Discrete(p))
    except PrecisionError as error:
        assert invisible(name, p)
        assert "falls into a jump" in str(error)  # noqa: PT017
        return
    assert found.kl == pytest.approx(kl, rel=1e-9)
    assert found.policy.probs.sum() == pytest.approx(1.0, abs=1e-12)
    assert found.win_rate == pytest.approx(win(name, found.policy.probs, p), abs=1e-12)
    if found.hull_win_rate is not None:
        assert found.hull_win_rate >= found.win_rate - 1e-12
        below, above = found.alternatives
        assert below.kl <= kl <= above.kl
        assert below.objective == pytest.approx(above.objective, abs=1e-9)
        assert below.beta == pytest.approx(above.beta, rel=1e-12)
        weight = (kl - below.kl) / (above.kl - below.kl)
        chord = (1 - weight) * below.win_rate + weight * above.win_rate
        assert found.hull_win_rate == pytest.approx(chord, abs=1e-8)


def equal_kl_points(p, kl, count=1000):
    """Policies on two or three atoms that spend a KL exactly: rays from the base."""
    if p.size == 2:
        directions = np.array([[-1.0, 1.0], [1.0, -1.0]])
    else:
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
        frame = np.array([[1, -1, 0], [1, 1, -2]]) / np.array([[np.sqrt(2)], [np.sqrt(6)]])
        directions = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ frame
    with np.errstate(divide="ignore"):
        reach = np.min(np.where(directions < 0, -p / directions, np.inf), axis=1) * (1 - 1e-15)
    low, high = np.zeros(len(directions)), reach
    for _ in range(100):
        middle = (low + high) / 2
        q = np.maximum(p + middle[:, None] * directions, 1e-320)
        spent = np.sum(q * np.log(q / p), axis=1)
        low, high = np.where(spent < kl, middle, low), np.where(spent < kl, high, middle)
    q = np.maximum(p + low[:, None] * directions, 1e-320)
    return q[np.abs(np.sum(q * np.log(q / p), axis=1) - kl) < 1e-9 * max(kl, 1e-3)]


@pytest.mark.slow
@pytest.mark.parametrize("probs", [[0.7, 0.3], [0.2, 0.5, 0.3], [0.5, 0.2, 0.3], [0.6, 0.2, 0.2]])
@pytest.mark.parametrize("name", ["won:4", "won:16", "won:40", "bon:4", "bon:16"])
def test_no_policy_of_equal_kl_wins_more(probs, name):
    p = np.array(probs)
    for part in (0.02, 0.2, 0.5, 0.8, 0.95, 0.99):
        kl = part * -np.log(p[-1])
        found = it.optimum(name, kl=kl, base=it.Discrete(p))
        rivals = equal_kl_points(p, kl)
        assert len(rivals) > 0
        best = grid_objectives(name, p, 0.0, rivals)[1].max()
        assert found.win_rate >= best - 1e-9, (name, p, kl, found.win_rate, best)
        if found.hull_win_rate is not None:
            assert found.hull_win_rate >= best - 1e-9


def test_a_budget_beyond_the_top_atom_names_the_largest():
    with pytest.raises(InfalignError, match=r"1\.20397280433") as caught:
        it.optimum("bon:4", kl=1.3, base=it.Discrete(TWO))
    assert caught.value.limit == pytest.approx(-np.log(0.3), rel=1e-12)


def test_one_atom_allows_no_kl_and_says_so_without_a_minus_sign():
    found = it.optimum("bon:4", beta=1.0, base=it.Discrete([1.0]))
    assert (found.win_rate, found.kl) == (0.5, 0.0)
    with pytest.raises(InfalignError, match="0 nats") as caught:
        it.optimum("bon:4", kl=0.1, base=it.Discrete([1.0]))
    assert "-0 nats" not in str(caught.value)


# -------------------------------------------------------------------------------------- anything
EXPONENT = st.floats(-300.0, 0.0)
MASSES = st.lists(st.one_of(EXPONENT, st.floats(-2.0, 0.0)), min_size=1, max_size=7)
BIG = st.floats(0.0, 4.0).map(lambda e: round(10.0**e))


def law_from(exponents):
    mass = 10.0 ** np.array(exponents)
    return mass / mass.sum()


@pytest.mark.slow
@example([0.0, 0.0, -41.0, -47.0], "bon", 10, -4.0)  # 47 nats, residual 1.001e-9
@settings(max_examples=300, deadline=None)
@given(MASSES, st.sampled_from(["bon", "won"]), BIG, st.floats(-4.0, 4.0))
def test_any_beta_gives_a_stationary_law(exponents, kind, n, log_beta):
    base = it.Discrete(law_from(exponents))
    found = it.optimum(f"{kind}:{n}", beta=10.0**log_beta, base=base)
    assert np.isfinite([found.win_rate, found.kl, found.residual]).all()
    assert found.policy.probs.sum() == pytest.approx(1.0, abs=1e-12)
    # the promise ends at 20 nats; beyond, rounding of log f grows with log f itself
    assert found.residual <= 1e-9 * max(1.0, found.kl / 20.0)
    assert found.objective >= 0.5 - 1e-12  # the base itself scores 1/2 at no cost


@pytest.mark.slow
def test_any_budget_is_spent_or_refused():
    refusals = Refusals("only a beta outside float64 does", "where float64 ends")

    @settings(max_examples=100, deadline=None, phases=[Phase.generate])
    @given(MASSES, st.sampled_from(["bon", "won"]), BIG, st.floats(-8.0, 0.0))
    def check(exponents, kind, n, log_part):
        p = law_from(exponents)
        limit = -np.log(p[-1])
        if limit == 0.0:  # all mass is on the top atom already
            with pytest.raises(OutOfReachError, match="its top atom spends 0 nats"):
                it.optimum(f"{kind}:{n}", kl=0.1, base=it.Discrete(p))
            return
        kl = limit * min(10.0**log_part, 0.999)
        found = refusals.ask(lambda: it.optimum(f"{kind}:{n}", kl=kl, base=it.Discrete(p)))
        if found is None:
            return
        assert np.isfinite([found.win_rate, found.beta, found.residual]).all()
        assert found.kl == pytest.approx(kl, rel=1e-9)
        assert found.policy.probs.sum() == pytest.approx(1.0, abs=1e-12)
        if found.hull_win_rate is not None:
            assert found.hull_win_rate >= found.win_rate - 1e-12

    check()
    refusals.at_most(0.25)


@pytest.mark.parametrize(
    "probs", [[1e-300, 1.0], [1e-17, 1.0], [1e-17, 1e-300, 1.0], [1.0, 1e-300]]
)
@pytest.mark.parametrize("name", ["bon:4", "won:4", "standard"])
def test_masses_lost_beside_one_are_no_obstacle(probs, name):
    found = it.optimum(name, beta=0.2, base=it.Discrete(probs))
    assert found.win_rate == pytest.approx(0.5, abs=1e-9)
    assert found.policy.probs.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", ["bon:1e30", "won:1e30", "bon:1e300"])
def test_an_enormous_n_is_refused(name, refused):
    refused(lambda: it.optimum(name, beta=1.0, base=it.Discrete(TWO)), "whole number N")


def test_order_of_atoms_and_split_ties_do_not_matter():
    rng = np.random.default_rng(8)
    p, r = rng.dirichlet(np.ones(6)), np.array([0.0, 1.0, 1.0, 2.0, 2.0, 3.0])
    merged = np.array([p[0], p[1] + p[2], p[3] + p[4], p[5]])
    plain = it.optimum("won:7", kl=0.4, base=it.Discrete(merged))
    for order in itertools.islice(itertools.permutations(range(6)), 0, 720, 101):
        index = list(order)
        again = it.optimum("won:7", kl=0.4, base=it.Discrete(p[index], r[index]))
        assert again.win_rate == pytest.approx(plain.win_rate, abs=1e-12)
        assert again.beta == pytest.approx(plain.beta, rel=1e-9)


@pytest.mark.parametrize("name", ["bon:5", "won:5"])
def test_the_slope_of_the_optimal_frontier_is_beta(name):
    base = it.Discrete([0.1, 0.25, 0.3, 0.2, 0.15])
    for kl in (0.05, 0.4, 1.0):
        h = 1e-4
        upper, lower = (it.optimum(name, kl=kl + s * h, base=base) for s in (1, -1))
        middle = it.optimum(name, kl=kl, base=base)
        if middle.hull_win_rate is None:
            climb = (upper.win_rate - lower.win_rate) / (2 * h)
            assert climb == pytest.approx(middle.beta, rel=1e-6)


def test_aligning_with_the_optimal_transform_returns_the_optimum():
    for name in ("bon:4", "won:4"):
        base = it.Discrete([0.1, 0.25, 0.3, 0.2, 0.15])
        best = it.optimum(name, beta=0.2, base=base)
        again = it.align(best.transform, beta=0.2, base=base)
        np.testing.assert_allclose(again.probs, best.policy.probs, rtol=1e-12)
        assert it.win_rate(again, name) == pytest.approx(best.win_rate, abs=1e-14)
