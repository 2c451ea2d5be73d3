"""Every compiled kernel against a plain twin: loops, NumPy, SciPy or mpmath."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import integrate, optimize, stats

from infalign_theory.kernels import descent, segments, shooting, sorting, sums, terms, ustatistics
from infalign_theory.kernels._jit import LightKernel, light_kernel
from infalign_theory.optima import closures
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.points import Points
from tests.ranks import weighed_by

# ------------------------------------------------------------------------------------- sorting


@pytest.mark.slow
@given(st.lists(st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 2.0, 3.0, np.inf]), max_size=40))
def test_sorting_is_numpys_stable_sort(values):
    given_values = np.array(values, dtype=np.float64)
    order = np.argsort(given_values, kind="stable")
    assert sorting.sorted_order(given_values).tolist() == order.tolist()
    assert sorting.sorted_copy(given_values).tobytes() == given_values[order].tobytes()
    assert not sorting.any_missing(given_values)
    assert sorting.any_missing(np.append(given_values, np.nan))


# ------------------------------------------------------------------------------- sums, segments


@pytest.mark.slow
@given(st.integers(1, 400), st.floats(0.1, 20), st.integers(0, 10**6))
def test_cumulative_sums(count, spread, seed):
    mass = np.random.default_rng(seed).random(count) ** spread + 1e-300
    mass /= math.fsum(mass)
    below, above = sums.cumulative_sums(mass)
    total, edges = math.fsum(mass), range(count + 1)
    assert below == pytest.approx([math.fsum(mass[:i]) / total for i in edges], rel=1e-15)
    assert above == pytest.approx([math.fsum(mass[i:]) / total for i in edges], rel=1e-15)
    assert (below[0], above[0], below[-1], above[-1]) == (0.0, 1.0, 1.0, 0.0)


GROUPS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=5)


@pytest.mark.slow
@given(GROUPS)
def test_merged_ties_and_their_running_masses(groups):
    flat = np.array([float(x) for group in groups for x in sorted(group)])
    offsets = np.concatenate([[0], np.cumsum([len(g) for g in groups])]).astype(np.intp)
    mass, ends = segments.merge_ties(flat, offsets)
    below, above = segments.running_masses(mass, ends)
    for i, group in enumerate(groups):
        values, counts = np.unique(group, return_counts=True)
        assert ends[i + 1] - ends[i] == values.size
        assert mass[ends[i] : ends[i + 1]] == pytest.approx(counts / len(group), rel=1e-15)
        part = slice(ends[i] + i, ends[i + 1] + i + 1)
        steps = np.concatenate([[0], np.cumsum(counts)]) / len(group)
        assert below[part] == pytest.approx(steps, abs=1e-15)
        assert above[part] == pytest.approx(1 - steps, abs=1e-15)


# ---------------------------------------------------------------------------------------- terms


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(
            st.floats(-3, 3),
            st.floats(0, 9),
            st.floats(0, 9),
            st.floats(0, 5),
            st.sampled_from([1, -1]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.floats(0.001, 0.999),
)
def test_sums_of_terms(rows, p):
    table = np.array([[float(x) for x in row] for row in rows])
    with mp.workdps(40):
        x, y = mpf(p), 1 - mpf(p)
        parts = [
            s * mp.exp(mpf(w) - mpf(c) * y) * x ** mpf(a) * y ** mpf(b) for w, a, b, c, s in rows
        ]
    exact, size = float(sum(parts)), float(sum(abs(part) for part in parts))
    assert terms.evaluate(p, 1 - p, table) == pytest.approx(exact, abs=1e-13 * size)


def test_tables_of_series():
    """Each half of p has its own panels, from either end."""
    edges = [0.0, 0.01, 0.2, 0.5]
    rows = []
    for side in (0.0, 1.0):
        for low, high in itertools.pairwise(edges):
            x = (low + high) / 2 + (high - low) / 2 * panels.X
            p = x if side == 0.0 else 1 - x
            rows.append([side, low, high, *(panels.ANALYSIS @ np.exp(np.sin(4 * p)))])
    table = np.array(rows)
    for p in (0.0, 0.005, 0.01, 0.1, 0.3, 0.499, 0.5, 0.6, 0.9, 0.995, 1.0):
        assert terms.evaluate(p, 1 - p, table) == pytest.approx(np.exp(np.sin(4 * p)), rel=1e-12)


@pytest.mark.parametrize("x", [0.0, 1e-300, 0.3, 0.999, 1.0])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 32, 999, 10**6])
def test_whole_powers(x, n):
    with mp.workdps(40):
        exact = float(mpf(x) ** n)
    # binary powers round once a factor
    assert terms.integer_power(x, n) == pytest.approx(exact, rel=2e-16 * (n + 4), abs=1e-320)


@pytest.mark.parametrize(
    ("text", "single"),
    [("standard", True), ("bon:7", True), ("won:7", True), ("mix:0.5*bon:4+0.5*won:4", False)],
)
def test_which_slopes_are_a_single_whole_power(text, single):
    assert bool(terms.single_power(as_procedure(text).slope_terms)) is single


# ------------------------------------------------------------------------------------- shooting


def plain_descend(x, k, p, b, slope):
    """The recursion of (eq-atoms) from the top atom down, as written there."""
    top = 1 / (1 + np.exp(-x))
    ratio = [top / p[0]]
    held = top
    for i in range(1, len(p)):
        ratio.append(ratio[-1] * np.exp(-k * slope(1 - held) * (b[i - 1] + b[i]) / 2))
        held += p[i] * ratio[-1]
    return np.log((held - top) / (1 - top)), np.log(ratio)


def problem(seed, count, procedure):
    """Masses, their procedure's masses, half sums and g' from the top down."""
    p = np.random.default_rng(seed).dirichlet(np.ones(count))
    return (p, *weighed_by(procedure, p))


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4", "bon:32"])
@pytest.mark.parametrize("seed", range(4))
def test_descend(procedure, seed):
    p, b, half_b, g = problem(seed, 5, procedure)
    ratio = np.empty(5)
    for x in (-3.0, -0.4, 0.5):
        for k in (0.1, 2.0):
            miss = shooting.descend(x, k, p, half_b, g.slope_terms, ratio)

            def slope(q):
                q = max(q, 0.0)
                return float(g.pdf(np.array(q), np.array(1 - q)))

            if np.exp(x) / (1 + np.exp(x)) < 0.9 and miss < 0:  # the plain loop stays below 1
                exact, log_ratio = plain_descend(x, k, p, b, slope)
                assert miss == pytest.approx(exact, abs=1e-11)
                assert ratio == pytest.approx(log_ratio, abs=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4", "won:16"])
@pytest.mark.parametrize("k", [0.3, 3.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_all_roots_against_a_fine_scan(procedure, k, seed):
    p, _, half_b, g = problem(seed, 4, procedure)
    work = np.empty(4)

    def miss(x):
        return shooting.descend(x, k, p, half_b, g.slope_terms, work)

    roots, directions = shooting.all_roots(k, p, half_b, g.slope_terms, 0)
    low = np.log(p[0]) - np.log1p(-p[0])
    xs = np.linspace(low + 1e-9, 40.0, 6001)
    values = np.array([miss(x) for x in xs])
    found = [
        optimize.brentq(miss, xs[i], xs[i + 1], xtol=1e-14)
        for i in np.flatnonzero(np.sign(values[:-1]) * np.sign(values[1:]) < 0)
    ]
    assert sorted(roots[roots < 40.0]) == pytest.approx(found, abs=1e-8)
    assert (np.sort(roots)[::2].size - roots.size // 2) in (0, 1)
    assert directions[np.argsort(roots)][0] == 1.0
    known, turns = shooting.all_roots(k, p, half_b, g.slope_terms, g.curvature)
    assert np.sort(known) == pytest.approx(np.sort(roots), abs=1e-9)
    assert turns[np.argsort(known)].tolist() == directions[np.argsort(roots)].tolist()
    if g.curvature > 0:
        assert roots.size == 1


def test_two_solutions_of_worst_of_16():
    """(eq-atoms): two atoms, top mass 0.3, N = 16, beta = 0.2 has S = 0.3 and S near 1."""
    g = as_procedure("won:16")
    p = np.array([0.3, 0.7])
    value = g.cdf(np.array([1.0, 0.7, 0.0]), np.array([0.0, 0.3, 1.0]))[0]
    b = value[:-1] - value[1:]
    roots, directions = shooting.all_roots(5.0, p, (b[:-1] + b[1:]) / 2, g.slope_terms, 0)
    tops = np.sort(1 / (1 + np.exp(-roots[directions > 0])))
    assert tops[0] == pytest.approx(0.3, abs=1e-3)
    assert tops[-1] > 0.99
    assert (directions < 0).sum() == 1


@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4", "bon:32"])
@pytest.mark.parametrize("seed", range(3))
def test_win_rate_and_kl_of_atoms(procedure, seed):
    p, b, _, g = problem(seed, 6, procedure)
    log_ratio = np.random.default_rng(seed + 50).normal(size=6)
    won, kl = shooting.win_rate_of(p, log_ratio, b, g.value_terms)
    q = p * np.exp(log_ratio)
    q /= q.sum()
    f = np.minimum(np.concatenate([[0.0], np.cumsum(q[::-1])]), 1.0)
    values = g.cdf(f, 1 - f)[0]
    exact = sum(b[::-1] * (1 - (values[1:] + values[:-1]) / 2))
    assert won == pytest.approx(exact, abs=1e-12)
    assert kl == pytest.approx(np.sum(q * np.log(q / p)), abs=1e-13)


@pytest.mark.parametrize("procedure", ["bon:4", "won:4", "won:16"])
@pytest.mark.parametrize("k", [1.0, 5.0])
def test_the_best_root_of_one_and_of_many(procedure, k):
    laws = [problem(seed, count, procedure) for seed, count in ((0, 3), (1, 5), (2, 1), (3, 2))]
    g = laws[0][3]
    offsets = np.concatenate([[0], np.cumsum([law[0].size for law in laws])]).astype(np.intp)
    masses = np.concatenate([law[0] for law in laws])
    b = np.concatenate([law[1] for law in laws])
    half_b = np.concatenate([np.append(law[2], 0.0) for law in laws])
    got = shooting.best_roots(
        k, masses, b, half_b, offsets, g.slope_terms, g.value_terms, g.curvature
    )
    for i, (p, weights, halves, _) in enumerate(laws):
        part = got[offsets[i] : offsets[i + 1]]
        if p.size == 1:
            assert part.tolist() == [0.0]
            continue
        one = np.empty(p.size)
        shooting.best_root(
            k,
            p,
            weights,
            np.append(halves, 0.0),
            g.slope_terms,
            g.value_terms,
            g.curvature,
            one,
        )
        assert part == pytest.approx(one, abs=1e-13)
        won, kl = shooting.win_rate_of(p, one, weights, g.value_terms)
        # no policy near or far does better
        rng = np.random.default_rng(i)
        for size in (1e-3, 0.3, 3.0):
            for _ in range(20):
                other = one + size * rng.normal(size=p.size)
                w, d = shooting.win_rate_of(p, other, weights, g.value_terms)
                assert w - d / k <= won - kl / k + 1e-12


# --------------------------------------------------------------------------------------- descent


@pytest.mark.parametrize(
    ("ours", "theirs"), [("bon:4", "bon:4"), ("won:4", "bon:2"), ("bon:3", "won:3")]
)
@pytest.mark.parametrize("k", [0.5, 4.0])
def test_marches_against_scipy(ours, theirs, k):
    """A' = k g'(F) g_ref'(u), F' = exp(A) from u = 1 down, in u itself."""
    g, g_ref = as_procedure(ours), as_procedure(theirs)
    top = -0.05  # so that the mass stays below 1
    terms = (g.slope_terms, g_ref.slope_terms)
    total, edges, states, _ = descent.march((top, 0.0), k, 40.0, -40.0, *terms, *closures._RULE)
    rough = descent.rough_mass(top, k, 40.0, -40.0, *terms)

    def rates(v, y):  # v = 1 - u, y = (A, mass above)
        q = np.clip(y[1], 0.0, 1.0)
        pull = g.pdf(np.array(1 - q), np.array(q)) * g_ref.pdf(np.array(1 - v), np.array(v))
        return [-k * float(pull), np.exp(y[0])]

    v = Points.from_logit(-edges).u
    inside = (v > 0.02) & (v < 0.98)
    done = integrate.solve_ivp(
        rates,
        (0.0, 1.0),
        [top, 0.0],
        method="DOP853",
        rtol=1e-12,
        atol=1e-14,
        t_eval=np.append(v[inside], 1.0),
        max_step=0.01,
    )
    assert total == pytest.approx(done.y[1, -1], abs=1e-8)
    assert rough == pytest.approx(done.y[1, -1], abs=1e-6)
    assert np.count_nonzero(inside) > 3
    assert states[inside] == pytest.approx(done.y[:, :-1].T, abs=1e-8)


def sorted_samples(rng, sizes):
    """Rewards with ties, sorted within prompts, and the prompts' offsets."""
    values = [np.sort(rng.integers(0, 5, size) / 4.0) for size in sizes]
    return np.concatenate(values), np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)


@pytest.mark.parametrize("seed", range(4))
def test_light_kernels_have_the_same_bits_interpreted(seed, monkeypatch):
    """What small inputs get without a compiler is what large ones get from it."""
    monkeypatch.setattr(LightKernel, "_left", 100_000)
    rng = np.random.default_rng(seed)
    a, a_at = sorted_samples(rng, rng.integers(0, 9, 12))
    b, b_at = sorted_samples(rng, rng.integers(0, 9, 12))
    prompts = a_at.size - 1
    start = rng.integers(0, 6, 30).astype(np.intp)
    owner = rng.integers(0, 5, 30).astype(np.intp)
    stop = start + rng.integers(1, 4, 30)
    sizes = np.bincount(owner, minlength=5).astype(np.float64)
    part = (0, prompts)
    counts = np.zeros((2, a.size), dtype=np.int32)
    calls = [
        (ustatistics.win_rates, (a, a_at, 3, True, b, b_at, 2, False, np.empty(prompts), *part)),
        (ustatistics.picked_means, (a, a**2, a_at, 2, True, np.empty(prompts), *part)),
        (ustatistics.rank_counts, (a, a_at, b, b_at, counts[0], counts[1], *part)),
        (ustatistics.tie_fractions, (a, a_at, np.empty(prompts), *part)),
        (ustatistics.cross_tie_fractions, (a, a_at, b, b_at, np.empty(prompts), *part)),
        (ustatistics.averaged_over_thinning, (rng.random((7, 3)), 9, 6)),
        (ustatistics.thinned_weights, (rng.random(10), 9, 6)),
        (ustatistics.range_means, (rng.random((9, 2)), start, stop, owner, sizes)),
        (ustatistics.range_weights, (9, start, stop, owner, sizes)),
        (segments.merge_ties, (a, a_at)),
    ]
    for kernel, args in calls:
        twin = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
        assert isinstance(kernel, LightKernel)
        plain = LightKernel(kernel._function)(*args)
        compiled = kernel.compiled(*twin)
        assert [np.asarray(x).tobytes() for x in arrays_of(plain, args)] == [
            np.asarray(x).tobytes() for x in arrays_of(compiled, twin)
        ]


def arrays_of(answer, args):
    """All that a kernel returned or filled."""
    answers = answer if isinstance(answer, tuple) else (answer,)
    return [x for x in (*answers, *args) if isinstance(x, np.ndarray)]


def test_light_kernels_compile_once_they_have_seen_many_numbers(monkeypatch):
    calls = []
    counting = light_kernel(lambda values: calls.append(values.size))
    monkeypatch.setattr(LightKernel, "_left", 10)
    counting(np.zeros(6))
    counting(np.zeros(4))
    assert calls == [6, 4]
    assert "compiled" not in vars(counting)
    double = light_kernel(_doubled)
    assert double(np.ones(1)).tolist() == [2.0]
    assert "compiled" in vars(double)


def _doubled(values):
    return 2.0 * values


def test_many_rough_marches_are_each_by_itself():
    tops = np.array([-0.05, 0.3, -0.8])
    terms = (as_procedure("bon:4").slope_terms, as_procedure("bon:2").slope_terms)
    found = descent.rough_masses(tops, 0.5, 30.0, -30.0, *terms)
    each = [descent.rough_mass(top, 0.5, 30.0, -30.0, *terms) for top in tops]
    assert found.tolist() == each
    assert np.unique(found).size == 3


def test_the_tail_of_a_series_is_its_two_last_coefficients():
    rng = np.random.default_rng(5)
    values, analysis = rng.normal(size=4), rng.normal(size=(6, 4))
    expected = np.abs(analysis @ values)[-2:].sum()
    assert descent._tail(values, analysis) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("marked", [0, 3, 2500, 4999, 5000])
def test_what_is_kept_of_many_is_hypergeometric(marked):
    """Where ratios from any place but the mode would overflow."""
    out = np.zeros(2001)
    first, last = ustatistics._kept(5000, 2000, marked, out)
    expected = stats.hypergeom.pmf(np.arange(first, last), 5000, marked, 2000)
    assert out[first:last] == pytest.approx(expected, rel=1e-9, abs=1e-20)
    assert expected.sum() == pytest.approx(1.0, abs=1e-9)


def test_means_over_ranges_and_their_transpose():
    """Mean over each owner's samples of the mean of a range of rows, by slices."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=(9, 2))
    start, stop = np.array([0, 3, 3, 8, 2]), np.array([1, 9, 4, 9, 7])
    owner, sizes = np.array([0, 0, 0, 1, 1]), np.array([3.0, 2.0])
    expected = np.zeros((2, 2))
    weights = np.zeros(9)
    for a, b, who in zip(start, stop, owner, strict=True):
        expected[who] += values[a:b].mean(axis=0) / sizes[who]
        weights[a:b] += 1.0 / (b - a) / sizes[who] / 2.0
    found = ustatistics.range_means(values, start, stop, owner, sizes)
    assert found == pytest.approx(expected, rel=1e-13)
    rows = ustatistics.range_weights(9, start, stop, owner, sizes)
    assert rows == pytest.approx(weights, rel=1e-13)
    assert rows @ values == pytest.approx(expected.mean(axis=0), rel=1e-13)
    alone = ustatistics.range_weights(9, start[3:], stop[3:], np.array([0, 0]), sizes[:1])
    assert alone[:2].tolist() == [0.0, 0.0]
    assert alone[7] == 0.0


@pytest.mark.parametrize(("order", "power"), [(1, 2), (2, 3)])
def test_leaving_samples_out_makes_sums_of_powers_unbiased(order, power):
    """Of sum p^m: the one unbiased estimate is sum c (c-1) .. (c-m+1) / (K (K-1) .. (K-m+1))."""
    groups = [[4.0, 1.0, 3.0], [2.0, 2.0], [1.0, 1.0, 5.0, 2.0], [3.0, 1.0]]
    counts = np.concatenate(groups)
    offsets = np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.intp)
    left, ends, owner, weights = segments.leave_out(counts, offsets, order)
    assert ends[0] == 0
    assert ends[-1] == left.size
    assert owner.size == weights.size == ends.size - 1
    found = np.zeros(len(groups))
    for copy, who in enumerate(owner):
        law = left[ends[copy] : ends[copy + 1]]
        found[who] += weights[copy] * np.sum((law / law.sum()) ** power)
    for here, group in zip(found, groups, strict=True):
        expected = sum(math.perm(int(c), power) for c in group) / math.perm(int(sum(group)), power)
        assert here == pytest.approx(expected, abs=1e-12)
    assert segments.leave_out(counts, offsets, 0)[3].tolist() == [1.0] * len(groups)


def test_running_masses_are_parts_of_each_group_s_own_sum():
    mass, offsets = np.array([1.0, 3.0, 2.0, 2.0, 4.0]), np.array([0, 2, 5])
    below, above = segments.running_masses(mass, offsets)
    assert below.tolist() == [0.0, 0.25, 1.0, 0.0, 0.25, 0.5, 1.0]
    assert above.tolist() == [1.0, 0.75, 0.0, 1.0, 0.75, 0.5, 0.0]


def test_the_series_of_the_divergence_near_one():
    for a in (-0.0499, -0.02, 1e-9, 0.03, 0.0499):
        with mp.workdps(40):
            exact = mp.exp(mpf(a)) * (mpf(a) - 1) + 1
        assert sums.near_one(a) == pytest.approx(float(exact), rel=1e-14, abs=0.0)


def test_sums_and_terms_place_by_place():
    below, above = sums.cumulative_sums(np.array([1.0, 3.0]))
    assert (below.tolist(), above.tolist()) == ([0.0, 0.25, 1.0], [1.0, 0.75, 0.0])
    p, q = np.array([0.1, 0.4, 0.9]), np.array([0.8, 0.5, 0.05])
    rows = np.array([[0.0, 2.0, 0.5, 0.0, 1.0]])
    assert terms.evaluate_all(p, q, rows).tolist() == [
        terms.evaluate(x, y, rows) for x, y in zip(p, q, strict=True)
    ]
    assert terms.evaluate(0.25, 0.75, rows) == pytest.approx(0.0625 * 0.75**0.5, rel=1e-14)
