"""Map and march on atoms, asked directly: plain iteration, roots from SciPy, definitions."""

from __future__ import annotations

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy import optimize

from infalign_theory.kernels import climbing, mutual, shooting
from infalign_theory.procedures.names import as_procedure
from tests.ranks import weighed_by

pytestmark = pytest.mark.slow


def problem(rng, count, procedure):
    """Random masses, and :func:`weighed_by` a procedure."""
    p = rng.dirichlet(np.ones(count))
    return (p, *weighed_by(procedure, p))


def pulls(g, left):
    """g' at F = left, clipped to [0, 1]."""
    left = np.clip(left, 0.0, 1.0)
    return np.asarray(g.pdf(left, 1 - left))


def respond(q, k, p, half_b, g):
    """The map: the policy's best response to itself, from the top atom down."""
    left = 1.0 - np.cumsum(q)[:-1]
    log_ratio = np.concatenate([[0.0], -np.cumsum(k * half_b * pulls(g, left))])
    new = p * np.exp(log_ratio)
    return new / new.sum()


@pytest.mark.parametrize("procedure", ["bon:4", "won:4", "won:16", "order:2/3"])
@pytest.mark.parametrize("k", [0.7, 4.0])
def test_the_map_ends_where_plain_iteration_does(procedure, k):
    p, _, half_b, g = problem(np.random.default_rng(3), 6, procedure)
    ends = []
    for kept in range(1, 7):
        mass = np.empty(6)
        x = climbing.climb(kept, k, p, half_b, g.slope_terms, mass)
        q = np.where(np.arange(6) < kept, p, 0.0)
        q /= q.sum()
        for _ in range(climbing.MAP_STEPS):
            q = respond(q, k, p, half_b, g)
        assert mass == pytest.approx(q, abs=1e-11)
        ends.append(np.log(q[0] / q[1:].sum()))
        assert x == pytest.approx(ends[-1], abs=1e-9)
    ends = np.sort(ends)
    apart = ends[np.append(True, np.diff(ends) > 1e-7)]
    ordered = g.curvature < 0
    for known in {False, ordered}:
        found = climbing.climbed(k, p, half_b, g.slope_terms, known)
        assert found == pytest.approx(apart, abs=1e-7)


@pytest.mark.parametrize(("procedure", "seed", "k"), [("won:16", 88, 6.0), ("won:16", 254, 3.0)])
def test_the_map_ends_by_where_it_starts(procedure, seed, k):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 7))
    p, _, half_b, g = problem(rng, count, procedure)
    ends = []
    for kept in range(1, count + 1):
        mass = np.empty(count)
        climbing.climb(kept, k, p, half_b, g.slope_terms, mass)
        q = np.where(np.arange(count) < kept, p, 0.0)
        q /= q.sum()
        for _ in range(2000):
            q = respond(q, k, p, half_b, g)
        assert mass == pytest.approx(q, abs=1e-9)
        ends.append(q[0])
    assert max(ends) - min(ends) > 0.1


def test_starts_among_many_atoms_reach_both_ends():
    p = np.concatenate([[0.3], np.full(128, 1e-4), [0.7 - 0.0128]])
    _, half_b, g = weighed_by("won:16", p)
    k, ends = 2.0, []
    for q in (p, np.eye(130)[0]):
        for _ in range(2000):
            q = respond(q, k, p, half_b, g)
        ends.append(np.log(q[0] / q[1:].sum()))
    found = climbing.climbed(k, p, half_b, g.slope_terms, True)
    assert ends[1] - ends[0] > 0.1
    assert found[[0, -1]] == pytest.approx(ends, abs=1e-7)


@pytest.mark.parametrize("drop", [0.0, 1e-9, 3e-4, 9.9e-4, 1e-3, 0.5, 40.0])
def test_decay_is_the_exponential_to_the_last_digit(drop):
    mp.dps = 30
    assert abs(mpf(float(climbing.decay(drop))) - mp.exp(-mpf(drop))) <= 2.3e-16


@pytest.mark.parametrize("procedure", ["bon:4", "won:4", "order:2/3"])
@pytest.mark.parametrize("x", [-4.0, 0.0, 3.0, 30.0])
def test_a_march_that_runs_out_of_mass_goes_on_at_the_edge(procedure, x):
    p, _, half_b, g = problem(np.random.default_rng(5), 6, procedure)
    k, ratio = 0.4, np.empty(6)
    miss = shooting.descend(x, k, p, half_b, g.slope_terms, ratio)
    top = 1 / (1 + np.exp(-x))
    log_ratio, out, rest = [np.log(top / p[0])], 0.0, 1 / (1 + np.exp(x))
    for i in range(1, 6):
        log_ratio.append(log_ratio[-1] - k * half_b[i - 1] * float(pulls(g, rest - out)))
        out += p[i] * np.exp(log_ratio[-1])
    assert ratio == pytest.approx(log_ratio, abs=1e-12)
    assert miss == pytest.approx(np.log(out / rest), abs=1e-11)


@pytest.mark.parametrize("procedure", ["bon:3", "won:3"])
@pytest.mark.parametrize("x", [-3.0, 0.0, 1.0, 6.0])
def test_a_march_against_oneself(procedure, x):
    p, _, _, g = problem(np.random.default_rng(6), 5, procedure)
    k, ratio = 1.3, np.empty(5)
    miss = mutual.descend_mutual(x, k, p, g.slope_terms, g.value_terms, ratio)

    def value(left):
        left = min(max(left, 0.0), 1.0)
        return float(g.cdf(np.array(left), np.array(1 - left))[0])

    log_ratio = [-np.log1p(np.exp(-x)) - np.log(p[0])]
    left, above, out = 1 / (1 + np.exp(x)), 1.0, 0.0
    for i in range(1, 5):
        pull = k * float(pulls(g, left)) / 2

        def excess(y, i=i, left=left, above=above, pull=pull):
            return y - log_ratio[i - 1] + pull * (above - value(left - p[i] * np.exp(y)))

        log_ratio.append(
            optimize.brentq(excess, log_ratio[-1] - pull - 1, log_ratio[-1] + 1e-9, xtol=1e-15)
        )
        above = value(left)
        out += p[i] * np.exp(log_ratio[-1])
        left -= p[i] * np.exp(log_ratio[-1])
    assert ratio == pytest.approx(log_ratio, abs=1e-10)
    assert miss == pytest.approx(np.log(out * (1 + np.exp(x))), abs=1e-9)


def test_atoms_without_mass_cost_nothing():
    p = np.array([0.2, 0.3, 0.5])
    g = as_procedure("bon:2")
    b = np.array([0.36, 0.39, 0.25])
    won, kl = shooting.win_rate_of(p, np.array([0.5, 0.1, -np.inf]), b, g.value_terms)
    q = p[:2] * np.exp([0.5, 0.1])
    q /= q.sum()
    assert kl == pytest.approx(np.sum(q * np.log(q / p[:2])), abs=1e-14)
    # the best of two of each, atoms 0 and 1 against all three, ties half
    ours, theirs = np.array([1 - q[1] ** 2, q[1] ** 2]), b
    exact = ours[0] * (1 - theirs[0] / 2) + ours[1] * (theirs[2] + theirs[1] / 2)
    assert won == pytest.approx(exact, abs=1e-14)


# ----------------------------------------------------------------------------------- solutions


@pytest.mark.parametrize(
    ("procedure", "seed", "k"),
    [
        ("won:16", 257, 3.0),
        ("won:8", 45, 2.0),
        ("won:16", 88, 6.0),
        ("won:8", 124, 3.0),
        ("won:16", 254, 3.0),
    ],
)
def test_the_better_of_two_maxima_is_taken_however_close(procedure, seed, k):
    rng = np.random.default_rng(seed)
    p, b, half_b, g = problem(rng, int(rng.integers(2, 7)), procedure)
    values = []
    for start in (p, np.eye(p.size)[0]):  # all solutions lie between where the map ends from these
        q = start
        for _ in range(3000):
            q = respond(q, k, p, half_b, g)
        left = np.clip(1.0 - np.concatenate([[0.0], np.cumsum(q)]), 0.0, 1.0)
        g_at = np.asarray(g.cdf(left, 1 - left)[0])
        won = np.sum(b * (1 - (g_at[:-1] + g_at[1:]) / 2))
        values.append((won - np.sum(q * np.log(q / p)) / k, q))
    assert abs(values[0][0] - values[1][0]) > 1e-6
    log_ratio = np.empty(p.size)
    terms_of_g = (g.slope_terms, g.value_terms, g.curvature)
    assert shooting.best_root(k, p, b, half_b, *terms_of_g, log_ratio) == 3
    assert p * np.exp(log_ratio) == pytest.approx(max(values, key=lambda v: v[0])[1], abs=1e-9)


def mismatch(k, p, half_b, g):
    """The march's mismatch as a function of the logit of the top mass."""
    work = np.empty(p.size)
    return lambda x: shooting.descend(x, k, p, half_b, g.slope_terms, work)


def fold(procedure, p):
    """Masses' half sums, g, and the k at which two solutions appear, with the place of both."""
    _, half_b, g = weighed_by(procedure, p)

    def least(k):
        miss = mismatch(k, p, half_b, g)
        xs = np.linspace(0.0, 8.0, 801)
        at = int(np.argmin([miss(x) for x in xs[1:-1]])) + 1
        found = optimize.minimize_scalar(
            miss, bounds=(xs[at - 1], xs[at + 1]), method="bounded", options={"xatol": 1e-12}
        )
        return found.fun, found.x

    k = optimize.brentq(lambda k: least(k)[0], 0.3, 20.0, xtol=1e-15)
    return half_b, g, k, least(k)[1]


@pytest.mark.parametrize(
    ("procedure", "p"),
    [("won:16", [0.3, 0.7]), ("won:8", [0.4, 0.5, 0.1]), ("won:4", [0.2, 0.8])],
)
@pytest.mark.parametrize("beyond", [1e-9, 1e-6, 1e-3])
def test_two_solutions_that_nearly_meet_are_both_found(procedure, p, beyond):
    p = np.array(p)
    half_b, g, k, at = fold(procedure, p)
    for curvature in (-1, 0):
        before, _ = shooting.all_roots(k * (1 - beyond), p, half_b, g.slope_terms, curvature)
        assert before.size == 1
        roots, directions = shooting.all_roots(
            k * (1 + beyond), p, half_b, g.slope_terms, curvature
        )
        assert directions[np.argsort(roots)].tolist() == [1.0, -1.0, 1.0]
        miss = mismatch(k * (1 + beyond), p, half_b, g)
        wide = 30.0 * np.sqrt(beyond)
        pair = [optimize.brentq(miss, *ends) for ends in ((at - wide, at), (at, at + wide))]
        assert np.sort(roots)[1:] == pytest.approx(pair, abs=1e-8)


@pytest.mark.parametrize("beyond", [-1e-2, 1e-4, 1e-2])
def test_touching_points_are_lowest_or_beyond_zero(beyond):
    p = np.array([0.4, 0.5, 0.1])
    half_b, g, k, at = fold("won:8", p)
    miss = mismatch(k * (1 + beyond), p, half_b, g)
    lowest = optimize.minimize_scalar(miss, bounds=(at - 1, at + 1), method="bounded")
    arguments = (k * (1 + beyond), p, half_b, g.slope_terms, np.empty(3))
    x, value = shooting._touching_point(at - 0.9, at + 0.7, 1.0, *arguments)
    assert at - 0.9 < x < at + 0.7
    assert value == pytest.approx(miss(x), abs=1e-14)
    if lowest.fun < 0:
        assert value < 0
    else:
        assert x == pytest.approx(lowest.x, abs=1e-4)
        assert value == pytest.approx(lowest.fun, abs=1e-10)


@pytest.mark.parametrize("procedure", ["bon:4", "won:4"])
@pytest.mark.parametrize("shift", [0.0, 0.3, 0.9])
def test_roots_in_brackets_of_any_shape(procedure, shift):
    p, _, half_b, g = problem(np.random.default_rng(8), 4, procedure)
    k = 0.8
    miss = mismatch(k, p, half_b, g)
    low = np.log(p[0] / (1 - p[0]))
    root = optimize.brentq(miss, low, 40.0, xtol=1e-15)
    # the second lies evenly about 0
    for negative, positive in ((root - 1 - shift, root + 1), (-abs(root) - 0.5, abs(root) + 0.5)):
        assert miss(negative) < 0 < miss(positive)
        found = shooting._bracketed_root(
            negative, positive, miss(negative), miss(positive), k, p, half_b, g.slope_terms,
            np.empty(4),
        )  # fmt: skip
        assert found == pytest.approx(root, abs=1e-13)


@pytest.mark.parametrize("procedure", ["won:4", "won:16", "order:2/3"])
@pytest.mark.parametrize("k", [1.0, 6.0])
def test_the_mismatch_is_looked_at_around_every_end_of_the_map(procedure, k):
    p, _, half_b, g = problem(np.random.default_rng(9), 4, procedure)
    ends = climbing.climbed(k, p, half_b, g.slope_terms, g.curvature < 0)
    low = np.log(p[0]) - np.log(p[1:].sum())
    for curvature in {0, min(g.curvature, 0)}:
        xs = shooting._scanned(k, p, half_b, g.slope_terms, curvature, np.empty(4))
        assert (np.diff(xs) >= 0).all()
        assert xs[0] == low
        assert xs[-1] == shooting.SATURATED
        looked = xs[(xs >= low) & (xs <= 40.0)]
        first, last = (low, 40.0) if curvature == 0 else (max(low, ends[0]), ends[-1])
        inside = looked[(looked >= first - 0.11) & (looked <= last + 0.11)]
        assert np.diff(inside).max() <= shooting.SCAN_STEP + 1e-12
        assert inside[0] <= first
        assert inside[-1] >= min(last, 40.0)
        miss = mismatch(k, p, half_b, g)
        for x in ends[(ends > low + 0.01) & (ends < 30.0)] if g.curvature < 0 else ():
            near = xs[abs(xs - x) < 2e-5 * max(1.0, abs(x))]
            assert any(miss(y) < 0 for y in near[near < x])
            assert any(miss(y) > 0 for y in near[near > x])
