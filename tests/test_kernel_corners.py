"""Kernels asked directly where the public functions seldom lead: corners, and sums by brute force.

Every oracle is the definition: sums over subsets and left-out samples, mpmath's digits.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from mpmath import mp, mpf

from infalign_theory.kernels import (
    descent,
    jackknife,
    races,
    segments,
    sums,
    terms,
    ustatistics,
)
from infalign_theory.optima import closures
from infalign_theory.procedures.names import as_procedure

pytestmark = pytest.mark.slow

# ---------------------------------------------------------------------------------------- races


@pytest.mark.parametrize("others", [1.0, 7.0])
@pytest.mark.parametrize("first", [-50.0, -30.0])
def test_the_chance_that_no_other_clock_has_rung(first, others):
    x, masses = np.array([-6.0, 0.0, 1.5, 40.0]), np.array([0.4, 0.3, 0.2, 0.1])
    count = 220
    y = first + races.STEP * np.arange(count)
    quiet = np.exp(-np.exp(x[:, None] + y)).T @ masses
    assert races.silent(x, masses, first, count, others) == pytest.approx(
        quiet**others, rel=1e-11, abs=1e-15
    )


@pytest.mark.parametrize("size", [3, 150, 400])
@pytest.mark.parametrize("first", [-60.0, -20.0])
def test_winners_are_weighed_by_the_table(first, size):
    x = np.array([-np.inf, -4.0, 0.0, 9.0])
    table = np.random.default_rng(size).random(size)
    rate = np.exp(x[:, None] + first + races.STEP * np.arange(size))
    exact = races.STEP * (rate * np.exp(-rate)) @ table
    assert races.winning(x, first, table) == pytest.approx(exact, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("shift", [0.0, 25.0, -40.0])
@pytest.mark.parametrize("spread", [0.5, 4.0, 30.0])
def test_soft_winners_are_means_over_subsets(shift, spread):
    rng = np.random.default_rng(int(spread))
    x = shift + spread * rng.normal(size=6)
    values = rng.normal(size=(2, 6))
    out = np.empty((2, 5))
    races.subset_winners(x, values, out)
    for n in range(1, 6):
        means = []
        for chosen in map(list, itertools.combinations(range(6), n)):
            weight = np.exp(x[chosen] - x[chosen].max())
            means.append(values[:, chosen] @ weight / weight.sum())
        assert out[:, n - 1] == pytest.approx(np.mean(means, axis=0), abs=1e-12)


# ------------------------------------------------------------------------------------ jackknife


def drawn_laws(rng, sizes, grades):
    """Prompts' base samples as sorted grades without gaps, and their counts."""
    base = [np.sort(rng.integers(0, grades, size)) for size in sizes]
    base = [np.unique(grade, return_inverse=True)[1] for grade in base]
    counts = [np.bincount(grade) for grade in base]
    offsets = np.concatenate([[0], np.cumsum([c.size for c in counts])]).astype(np.intp)
    return base, np.concatenate(counts).astype(np.intp), offsets


@pytest.mark.parametrize("h", [1, 4])
def test_blocks_are_dealt_in_a_fair_shuffle(h):
    rng = np.random.default_rng(h)
    size = h * jackknife.BLOCKS + 3
    base, counts, offsets = drawn_laws(rng, [size] * 1500, 5)
    blocks = np.zeros((counts.size, jackknife.BLOCKS), dtype=np.intp)
    step = np.full(1500, h, dtype=np.intp)
    step[7] = 0  # every sample is left out by itself there: no blocks
    jackknife.shuffled_blocks(counts, offsets, step, blocks)
    dealt = np.add.reduceat(blocks, offsets[:-1], axis=0)
    assert (np.delete(dealt, 7, axis=0) == h).all()
    assert (dealt[7] == 0).all()
    assert (blocks.sum(axis=1) <= counts).all()
    # each block is a fair sample of its prompt: grades have the prompt's mean but for chance
    grade = np.concatenate([np.arange(b - a) for a, b in itertools.pairwise(offsets)])
    owner = np.repeat(np.arange(1500), np.diff(offsets))
    grade = grade - np.array([b.mean() for b in base])[owner]
    deviation = np.sqrt(np.sum([b.var() for b in base]) / h)
    assert (abs(grade @ blocks / h) < 4.0 * deviation).all()


def statistic(counts, ours, table, features, sizes, best):
    """Log likelihood, features' residuals, KL and win rate of counts, by definition.

    ``ours`` are places among the atoms, halves between them.
    """
    counts = np.asarray(counts)
    below = np.cumsum(counts) - counts
    start = table.first_row[counts.sum()]
    rows = start + 2 * below + counts
    p = counts / counts.sum()
    held = p > 0
    tilted = np.where(held, p * table.weight[np.where(held, rows, 0)], 0.0)
    z = tilted.sum()
    q = tilted / z
    mine = [
        start + 2 * counts[: math.ceil(a)].sum() + (counts[int(a)] if a == int(a) else 0)
        for a in ours
    ]
    atoms = np.flatnonzero(held)
    likelihood = np.mean(table.eta[mine]) - np.log(z)
    residual = features[mine].mean(axis=0) - q[atoms] @ features[rows[atoms]]
    kl = np.sum(q[atoms] * np.log(q[atoms] / p[atoms]))
    picks = [chances(law, n, up) for law, n, up in zip((q, p), sizes, best, strict=True)]
    won = sum(
        picks[0][i] * picks[1][j] * ((i > j) + 0.5 * (i == j))
        for i in range(p.size)
        for j in range(p.size)
    )
    return np.array([likelihood, *residual, kl, won])


def chances(law, n, best):
    """Law of the best or worst of n draws from atoms in increasing order."""
    order = law if best else law[::-1]
    up = np.concatenate([[0.0], np.cumsum(order)]) ** n
    return np.diff(up) if best else np.diff(up)[::-1]


def weighed(found, trials, h, order):
    """The jackknife's combination of means with 0, h and 2h samples left out."""
    k = [trials - less * h for less in range(3)]
    if order == 1:
        return (k[0] * found[0] - k[1] * found[1]) / h
    return (k[0] ** 2 * found[0] - 2 * k[1] ** 2 * found[1] + k[2] ** 2 * found[2]) / (2 * h * h)


def left_out(counts, blocks, h, order):
    """Mean laws to average over: none, one and two ways left out, each with its chance."""
    if h:
        ones = [counts - blocks[:, i] for i in range(jackknife.BLOCKS)]
        twos = [
            counts - blocks[:, i] - blocks[:, j]
            for i, j in itertools.combinations(range(jackknife.BLOCKS), 2)
        ]
        return [counts], ones, twos
    grades = np.repeat(np.arange(counts.size), counts)
    return [
        [
            np.bincount(kept, minlength=counts.size)
            for kept in itertools.combinations(grades, grades.size - less)
        ]
        for less in range(order + 1)
    ] + [[]] * (2 - order)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("h", [0, 1, 2])
@pytest.mark.parametrize(("sizes", "best"), [((1, 1), (1, 1)), ((3, 1), (1, 0)), ((2, 4), (0, 1))])
def test_jackknifed_laws_are_means_over_what_is_left_out(order, h, sizes, best):
    rng = np.random.default_rng(10 * order + h)
    trials = [max(8 * h, 4) + i for i in range(3)] + [2]
    base, counts, offsets = drawn_laws(rng, trials, 5)
    step = np.array([h, h, h, 0], dtype=np.intp)
    blocks = np.zeros((counts.size, jackknife.BLOCKS), dtype=np.intp)
    jackknife.shuffled_blocks(counts, offsets, step, blocks)
    laws = jackknife.BaseLaws(counts, offsets, blocks, step)
    most = max(trials) + 1
    first_row = np.concatenate([[0], np.cumsum(2 * np.arange(most) + 1)]).astype(np.intp)
    eta = rng.normal(size=first_row[-1])
    table = jackknife.Table(first_row, eta, np.exp(eta))
    features = rng.normal(size=(eta.size, 2))
    # at an atom or between two of them, in increasing order
    ours = [np.sort(rng.integers(-1, 2 * (b.max() + 1), 5)) / 2 for b in base]
    places = jackknife.Places(
        np.concatenate(
            [[(b < a).sum() for a in mine] for b, mine in zip(base, ours, strict=True)]
        ).astype(np.intp),
        np.concatenate(
            [[(b == a).sum() for a in mine] for b, mine in zip(base, ours, strict=True)]
        ).astype(np.intp),
        np.ones(20, dtype=np.intp),
        np.arange(0, 21, 5, dtype=np.intp),
    )
    sides = jackknife.Sides(np.array([sizes], dtype=np.intp), np.array([best], dtype=np.intp))
    residuals, outcomes = np.empty((4, 3)), np.empty((4, 2))
    jackknife.residuals(laws, places, table, features, order, residuals, (0, 4))
    jackknife.outcomes(laws, table, sides, order, outcomes, (0, 4))
    assert np.isnan(residuals[3]).all()
    assert np.isnan(outcomes[3]).all()
    for i in range(3):
        part = slice(offsets[i], offsets[i + 1])
        ways = left_out(counts[part], blocks[part], h, order)
        means = [
            np.mean([statistic(c, ours[i], table, features, sizes, best) for c in way], axis=0)
            if way
            else None
            for way in ways
        ]
        exact = weighed(means, trials[i], max(h, 1), order)
        assert [*residuals[i], *outcomes[i]] == pytest.approx(exact, abs=1e-9)


def test_prompts_without_samples_of_ours_have_no_residuals():
    laws = jackknife.BaseLaws(
        np.array([4], dtype=np.intp),
        np.array([0, 1], dtype=np.intp),
        np.zeros((1, 8), dtype=np.intp),
        np.zeros(1, dtype=np.intp),
    )
    none = np.empty(0, dtype=np.intp)
    places = jackknife.Places(none, none, none, np.zeros(2, dtype=np.intp))
    table = jackknife.Table(np.zeros(5, dtype=np.intp), np.zeros(9), np.ones(9))
    out = np.zeros((1, 2))
    jackknife.residuals(laws, places, table, np.zeros((9, 1)), 2, out, (0, 1))
    assert np.isnan(out).all()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_weights_of_copies_sum_to_one(order):
    counts, offsets = np.array([1.0, 2.0, 1.0, 5.0]), np.array([0, 3, 4], dtype=np.intp)
    _, ends, owner, weights = segments.leave_out(counts, offsets, order)
    assert ends.size == owner.size + 1 == weights.size + 1
    assert np.bincount(owner, weights) == pytest.approx([1.0, 1.0], abs=1e-12)


# --------------------------------------------------------------------------------- sums and terms


def test_small_masses_are_not_lost_beside_a_large_one():
    small = np.full(100_000, 1e-17)
    for mass in (np.append(1.0, small), np.append(small, 1.0)):
        below, above = sums.cumulative_sums(mass)
        total = math.fsum(mass)
        for at in (1, 50_000, 100_000):
            assert below[at] == pytest.approx(math.fsum(mass[:at]) / total, rel=1e-15)
            assert above[at] == pytest.approx(math.fsum(mass[at:]) / total, rel=1e-15)


def test_small_divergences_are_not_lost_beside_a_large_one():
    log_ratio = np.append(1.0, np.full(100_000, 1e-4))
    weights = np.append(1.0, np.full(100_000, 2e-9))
    mp.dps = 30
    for order in (slice(None), slice(None, None, -1)):
        exact = 1 + 100_000 * mpf(2e-9) * (mpf(1e-4) * mp.exp(mpf(1e-4)) - mp.expm1(mpf(1e-4)))
        found = sums.divergence(weights[order], log_ratio[order])
        assert abs(mpf(found) - exact) < 3e-16


@pytest.mark.parametrize("small", [1e-20, 1e-12, 1e-3, 0.3])
def test_powers_keep_their_digits_at_both_ends(small):
    mp.dps = 30
    for a, b in ((3.5, 0.0), (0.0, 2.5), (1.5, 0.5)):
        row = np.array([[0.0, a, b, 0.0, 1.0]])
        for p, q in ((small, 1.0 - small), (1.0 - small, small)):
            # the smaller of the two is the one that is known to all its digits
            tiny = mpf(small)
            exact = (tiny**a * (1 - tiny) ** b) if p < q else ((1 - tiny) ** a * tiny**b)
            assert terms.evaluate(p, q, row) == pytest.approx(float(exact), rel=2e-14, abs=0)


@pytest.mark.parametrize(
    ("row", "single"),
    [
        ((0.0, 3.0, 2.0, 0.0, 1.0), True),
        ((1.0, 0.0, 0.0, 0.0, 1.0), True),
        ((0.0, 64.0, 64.0, 0.0, 1.0), True),
        ((0.0, 3.0, 2.5, 0.0, 1.0), False),
        ((0.0, 2.5, 3.0, 0.0, 1.0), False),
        ((0.0, 65.0, 0.0, 0.0, 1.0), False),
        ((0.0, 0.0, 65.0, 0.0, 1.0), False),
        ((0.0, 3.0, 0.0, 1.0, 1.0), False),
        ((0.0, 3.0, 0.0, 0.0, -1.0), False),
    ],
)
def test_rows_that_are_single_whole_powers(row, single):
    assert bool(terms.single_power(np.array([row]))) is single


def test_equal_scores_share_the_chance_to_be_picked():
    out = np.empty(4)
    ustatistics._pick_chances(np.array([1.0, 2.0, 2.0, 3.0]), 2, True, out)
    assert out == pytest.approx([0.0, 1 / 4, 1 / 4, 1 / 2])


def test_ties_beyond_scores_that_only_one_side_has():
    a, b, out = np.array([1.0, 3.0, 3.0]), np.array([1.0, 2.0, 3.0, 3.0, 4.0]), np.empty(1)
    ends = [np.array([0, x.size], dtype=np.intp) for x in (a, b)]
    ustatistics.cross_tie_fractions(a, ends[0], b, ends[1], out, 0, 1)
    assert out[0] == pytest.approx(5 / 15)


# --------------------------------------------------------------------------------------- march


def test_a_march_that_nothing_resolves_ends_without_a_number():
    g = as_procedure("bon:2")
    x, weights, from_right, analysis, to_edges = closures._RULE
    rule = (x, weights, from_right, 1e30 * analysis, to_edges)
    total, edges, states, log_f = descent.march(
        (0.0, 0.0), 1.0, 40.0, -40.0, g.slope_terms, g.slope_terms, *rule
    )
    assert np.isnan(total)
    assert edges.size == states.shape[0] == log_f.shape[0] + 1 == descent.MOST_PANELS + 1
