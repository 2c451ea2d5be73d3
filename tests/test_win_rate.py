"""Win rates against exact numbers, closed forms, identities, enumeration and simulation."""

import itertools
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf
from rows import ROWS, folded, transform_and_procedure

import infalign_theory as it
from infalign_theory.policies.win_rates import _continuous
from infalign_theory.procedures.names import as_procedure

TILTS = [r for r in ROWS if r["kind"] == "tilt"]
DISCRETE = [r for r in ROWS if r["kind"] == "discrete"]
TRANSFORMS = ["identity", "log", "logit", "exp:10", "exp:-10", "power:7", "expr:u-u**2"]
PROCEDURES = ["standard", "bon:4", "won:4", "bon:32", "won:1000"]


@cache
def aligned(text, which, number):
    return it.align(text, **{which: number})


# ------------------------------------------------------------------------------- exact numbers


@pytest.mark.parametrize("which", ["beta", "kl"])
@folded(TILTS, transform_and_procedure)
def test_reference(row, which):
    policy = aligned(row["transform"], which, float(row[which]))
    won = it.win_rate(policy, row["procedure"], against_procedure=row["against"])
    # promised: 1e-10
    assert abs(mpf(won) - mpf(row["win_rate"])) <= 1e-12


@folded(DISCRETE, transform_and_procedure)
def test_reference_discrete(row):
    probs = [float(Fraction(p)) for p in row["probs"]]
    policy = it.align(
        row["transform"], beta=float(row["beta"]), base=it.Discrete(probs, row["rewards"])
    )
    won = it.win_rate(policy, row["procedure"], against_procedure=row["against"])
    assert abs(mpf(won) - mpf(row["win_rate"])) <= 2e-15


# -------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("k", [1e-9, 1e-3, 0.0499, 0.0501, 1.0, 30.0, 1e6])
def test_standard_win_rate_of_the_identity(k):
    policy = it.align("identity", beta=1 / k)
    with mp.workdps(60):
        exact = float(1 / (1 - mp.exp(-mpf(k))) - 1 / mpf(k))
    assert it.win_rate(policy) == pytest.approx(exact, abs=1e-14, rel=0)
    by_quadrature = _continuous(policy, it.Standard(), None, it.Standard())
    assert by_quadrature == pytest.approx(exact, abs=1e-13, rel=0)


@pytest.mark.parametrize("k", [1e-3, 1.0, 7.0, 1e4])
@pytest.mark.parametrize(
    ("n", "m"), [(1, 1), (4, 4), (1000, 1000), (10**6, 10**6), (8, 2), (2, 64)]
)
def test_best_of_n_of_the_log(n, m, k):
    """(k+1)/(k+2) for every N, and (k+1) n / ((k+1) n + m) with different numbers."""
    policy = it.align("log", beta=1 / k)
    exact = (k + 1) * n / ((k + 1) * n + m)
    ours, theirs = it.BestOfN(n), it.BestOfN(m)
    assert it.win_rate(policy, ours, against_procedure=theirs) == pytest.approx(exact, rel=1e-14)
    assert _continuous(policy, ours, None, theirs) == pytest.approx(exact, abs=1e-13)


@pytest.mark.parametrize("n", [2, 4, 32, 10**6])
def test_best_of_n_distillation_is_best_of_n(n):
    """One sample of the distilled policy wins like N samples of the base."""
    distilled, base = it.align("log", beta=1 / (n - 1)), it.align("log", kl=0)
    assert it.win_rate(distilled) == pytest.approx(n / (n + 1), abs=1e-13)
    by_sampling = it.win_rate(base, it.BestOfN(n), against_procedure="standard")
    assert by_sampling == pytest.approx(n / (n + 1), abs=1e-13)
    assert it.win_rate(distilled, against=base, against_procedure=it.BestOfN(n)) == pytest.approx(
        0.5, abs=1e-13
    )


@pytest.mark.parametrize(("n", "m"), [(1, 2), (4, 1), (7, 3), (1000, 1)])
@pytest.mark.parametrize("text", TRANSFORMS)
def test_the_base_policy_wins_by_numbers_alone(text, n, m):
    base = it.align(text, kl=0)
    best = it.win_rate(base, it.BestOfN(n), against_procedure=it.BestOfN(m))
    worst = it.win_rate(base, it.WorstOfN(n), against_procedure=it.WorstOfN(m))
    assert best == pytest.approx(n / (n + m), abs=1e-13)
    assert worst == pytest.approx(m / (n + m), abs=1e-13)


@pytest.mark.parametrize("text", ["identity", "exp:10", "exp:-10", "power:7", "expr:exp(3*u)-u"])
@pytest.mark.parametrize(("n", "sign"), [(4, 1), (4, -1), (32, 1)])
def test_the_integral_in_u_itself(text, n, sign):
    """(eq-win-rate) by mpmath, with the closed or integrated F: W = 1 - int g(F) dg."""
    policy = aligned(text, "kl", 0.7)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    u, w = (nodes + 1) / 2, weights / 2
    f, q = policy.cdf(u), policy.sf(u)
    if sign > 0:
        won = 1 - np.sum(w * f**n * n * u ** (n - 1))
        assert it.win_rate(policy, it.BestOfN(n)) == pytest.approx(won, abs=1e-12)
    else:
        won = np.sum(w * q**n * n * (1 - u) ** (n - 1))
        assert it.win_rate(policy, it.WorstOfN(n)) == pytest.approx(won, abs=1e-12)


# ---------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("text", TRANSFORMS)
def test_a_policy_ties_with_itself(text, procedure):
    policy = aligned(text, "kl", 0.7)
    assert it.win_rate(policy, procedure, against=policy) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("bon:4", "bon:4"), ("bon:3", "won:5"), ("won:8", "standard")]
)
@pytest.mark.parametrize(("one", "two"), list(itertools.combinations(TRANSFORMS, 2)))
def test_two_policies_share_one(one, two, ours, theirs):
    a, b = aligned(one, "kl", 0.7), aligned(two, "kl", 0.2)
    there = it.win_rate(a, ours, against=b, against_procedure=theirs)
    back = it.win_rate(b, theirs, against=a, against_procedure=ours)
    assert there + back == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("text", TRANSFORMS)
def test_the_base_is_the_opponent_by_default(text, procedure):
    policy, base = aligned(text, "kl", 0.7), it.align("identity", kl=0)
    assert it.win_rate(policy, procedure, against=base) == pytest.approx(
        it.win_rate(policy, procedure), abs=1e-12
    )
    assert it.win_rate(policy, procedure, against_procedure=procedure) == it.win_rate(
        policy, as_procedure(procedure)
    )


@pytest.mark.parametrize("n", [1, 4, 1000])
@pytest.mark.parametrize(
    ("text", "mirrored"),
    [("u", "1-u"), ("exp(4*u)", "exp(4*(1-u))"), ("u**2+log(u)", "(1-u)**2+log(1-u)")],
)
def test_reflection(text, mirrored, n):
    """(eq-reflection): Worst-of-N of a transform is Best-of-N of its mirror for the loser."""
    one, two = (it.align(it.Expression(t), kl=0.7) for t in (text, mirrored))
    assert it.win_rate(one, it.WorstOfN(n)) == pytest.approx(
        1 - it.win_rate(two, it.BestOfN(n)), abs=1e-12
    )


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("text", ["identity", "log", "logit", "exp:10", "exp:-10", "power:0.5"])
def test_increasing_transforms_climb_with_kl(text, procedure):
    won = [it.win_rate(aligned(text, "kl", kl), procedure) for kl in (0, 1e-6, 0.01, 0.3, 1, 5)]
    assert won[0] == pytest.approx(0.5, abs=1e-13)
    assert (np.diff(won) > 0).all() or (procedure == "won:1000" and (np.diff(won) >= -1e-15).all())


@pytest.mark.slow
@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.floats(-6, 1.3),
    st.sampled_from(TRANSFORMS[:-1]),
    st.sampled_from([it.BestOfN, it.WorstOfN]),
)
@settings(max_examples=60)
def test_more_kl_never_loses_and_starts_from_the_base(n, m, log_kl, text, kind):
    won = [n / (n + m) if kind is it.BestOfN else m / (n + m)]
    for part in (0.0, 1e-3, 0.1, 0.5, 1.0):
        kl = part * float(10.0**log_kl)
        policy = it.align(text, kl=kl)
        won.append(it.win_rate(policy, kind(n), against_procedure=kind(m)))
    assert won[1] == pytest.approx(won[0], abs=1e-13)
    assert (np.diff(won) >= -1e-12).all(), won


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
def test_simulation(procedure):
    """Best and worst of actual samples, within four standard errors."""
    n = 1 if procedure == "standard" else int(procedure[4:])
    keep = np.min if procedure.startswith("won") else np.max
    rng = np.random.default_rng(7)
    for text, kl in [("exp:10", 0.5), ("identity", 0.3), ("exp:-10", 1.0)]:
        policy = it.align(text, kl=kl)
        ours = keep(policy.rvs((10_000, n), rng), axis=1)
        theirs = keep(rng.random((10_000, n)), axis=1)
        mean = np.mean(ours > theirs)
        exact = it.win_rate(policy, procedure)
        assert abs(mean - exact) < 4 * np.sqrt(exact * (1 - exact) / 10_000)


@pytest.mark.slow
def test_the_known_fixed_point_of_bounded_transforms():
    """Of all transforms into [0, B], standard sampling wants a step at the policy's own mean.

    The mean is sqrt(G) / (1 + sqrt(G)) with G = exp(B / beta).
    """
    ratio = 3.0
    root = np.exp(ratio / 2)
    cut = root / (1 + root)

    def won(text, **names):
        return it.win_rate(it.align(it.Expression(text, **names), beta=1 / ratio))

    best = won("step(u - c)", c=cut)
    assert best == pytest.approx(cut, abs=1e-12)
    assert best == pytest.approx(0.81757, abs=1e-5)
    for other in (cut - 0.01, cut + 0.01, 0.5):
        assert won("step(u - c)", c=other) < best - 1e-6
    for text in ("u", "u**2", "u**8", "min(max(8*(u-0.7), 0), 1)", "(tanh(9*(u-0.8))+1)/2"):
        assert won(text) < best - 1e-3


# ------------------------------------------------------------------------------------- discrete


def law_of_extreme(masses, rewards, n, keep):
    """Law of the best or worst of n draws, by going through every tuple of draws."""
    law = {}
    for draw in itertools.product(range(len(masses)), repeat=n):
        weight = 1
        for i in draw:
            weight *= masses[i]
        reward = keep(rewards[i] for i in draw)
        law[reward] = law.get(reward, 0) + weight
    return law


def enumerated(ours, theirs, rewards, mine, other):
    """Win rate with half ties, from integer weights: exact."""
    laws = []
    for masses, (kind, n) in ((ours, mine), (theirs, other)):
        laws.append(law_of_extreme(masses, rewards, n, max if kind == "bon" else min))
    total = sum(laws[0].values()) * sum(laws[1].values())
    twice = sum(
        p * q * ((a > b) * 2 + (a == b)) for a, p in laws[0].items() for b, q in laws[1].items()
    )
    return Fraction(twice, 2 * total)


NUMBERED = st.tuples(st.sampled_from(["bon", "won"]), st.integers(1, 4))


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=4),
    NUMBERED,
    NUMBERED,
    st.sampled_from([2, 3, 10]),
)
def test_every_tuple_of_draws(atoms, mine, other, ratio):
    """A step transform makes the tilt rational: atoms above the median weigh ``ratio`` times."""
    counts, rewards = [c for c, _ in atoms], [r for _, r in atoms]
    total = sum(counts)
    half_tied = [
        Fraction(sum(c * ((r < s) + Fraction(r == s, 2)) for c, r in atoms)) / total
        for s in rewards
    ]
    above = [u >= Fraction(1, 2) for u in half_tied]
    base = it.Discrete([c / total for c in counts], rewards)
    policy = it.align("expr:step(u-0.4999999)", beta=1 / np.log(ratio), base=base)
    ours = [c * (ratio if high else 1) for c, high in zip(counts, above, strict=True)]
    exact = enumerated(ours, counts, rewards, mine, other)
    texts = [f"{kind}:{n}" for kind, n in (mine, other)]
    won = it.win_rate(policy, texts[0], against_procedure=texts[1])
    assert won == pytest.approx(float(exact), abs=2e-14)
    again = it.align("identity", kl=0, base=base)
    back = it.win_rate(again, texts[1], against=policy, against_procedure=texts[0])
    assert back == pytest.approx(1 - float(exact), abs=2e-14)


@pytest.mark.slow
@given(st.data(), st.lists(st.integers(1, 9), min_size=2, max_size=6))
def test_merging_splitting_and_shuffling_atoms_changes_nothing(data, counts):
    rewards = data.draw(st.lists(st.integers(0, 3), min_size=len(counts), max_size=len(counts)))
    probs = np.array(counts) / sum(counts)
    order = data.draw(st.permutations(range(len(counts))))
    split = np.concatenate([probs[order] / 2, probs[order] / 2, [0.0]])
    tied = [*[rewards[i] for i in order] * 2, 17]
    one, two = it.Discrete(probs, rewards), it.Discrete(split, tied)
    for text in ("exp:3", "log"):
        a, b = (it.align(text, beta=2.0, base=base) for base in (one, two))
        for procedure in ("standard", "bon:4", "won:1000"):
            assert it.win_rate(a, procedure) == pytest.approx(it.win_rate(b, procedure), abs=1e-13)


@pytest.mark.slow
@given(st.lists(st.integers(1, 99), min_size=1, max_size=8), st.integers(1, 1000))
def test_a_discrete_base_ties_with_itself(counts, n):
    base = it.Discrete(np.array(counts) / sum(counts))
    same = it.align("identity", kl=0, base=base)
    for kind in (it.BestOfN, it.WorstOfN):
        assert it.win_rate(same, kind(n)) == pytest.approx(0.5, abs=1e-13)
        tilted = it.align("exp:2", beta=1.0, base=base)
        assert it.win_rate(tilted, kind(n), against=tilted) == pytest.approx(0.5, abs=1e-13)


@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
@pytest.mark.parametrize("text", ["identity", "exp:10", "log"])
def test_many_equal_atoms_become_continuous(text, procedure):
    continuous = aligned(text, "beta", 0.25 if text != "exp:10" else 5000.0)
    exact = it.win_rate(continuous, procedure)
    errors = []
    for count in (50, 200, 800):
        base = it.Discrete(np.full(count, 1 / count))
        policy = it.align(text, beta=continuous.beta, base=base)
        errors.append(abs(it.win_rate(policy, procedure) - exact))
        assert policy.kl == pytest.approx(continuous.kl, abs=3 / count)
    # the midpoint rule: second order
    assert errors[1] < errors[0] / 12
    assert errors[2] < errors[1] / 12


@pytest.mark.slow
def test_tiny_and_many_atoms_give_probabilities():
    tiny = it.Discrete([1e-300, 0.5, 0.5, 1e-300])
    for text in ("identity", "log", "logit", "exp:-10"):
        policy = it.align(text, beta=0.01, base=tiny)
        for procedure in ("standard", "bon:1000000", "won:1000000"):
            assert 0.0 <= it.win_rate(policy, procedure) <= 1.0
    n = 1_000_000
    many = it.align("identity", kl=0.5, base=it.Discrete(np.full(n, 1 / n)))
    assert it.win_rate(many, "bon:4") == pytest.approx(
        it.win_rate(aligned("identity", "kl", 0.5), "bon:4"), abs=1e-9
    )


def test_large_n_on_atoms_is_decided_by_the_extreme_atom():
    base = it.Discrete([0.5, 0.3, 0.2])
    policy = it.align("identity", kl=0.3, base=base)
    # both sides always draw the top atom, or always the bottom one
    for procedure in ("bon:1000000", "won:1000000"):
        assert it.win_rate(policy, procedure) == pytest.approx(0.5, abs=1e-14)


def test_the_enumeration_itself():
    assert enumerated([1, 1], [1, 1], [0, 1], ("bon", 2), ("bon", 1)) == Fraction(5, 8)


# ------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("policy", [None, 0.5, "identity", it.Identity(), np.array([1.0])])
def test_things_that_are_no_policy(policy, refused):
    refused(lambda: it.win_rate(policy, "bon:4"), repr(policy), "align")


@pytest.mark.parametrize("against", [0.5, "identity", it.Identity(), [1.0]])
def test_things_that_are_no_opponent(against, refused):
    policy = aligned("identity", "kl", 0.7)
    refused(lambda: it.win_rate(policy, "bon:4", against=against), repr(against))


@pytest.mark.parametrize(
    "procedure", [None, 4, "bon", "bon:0", "best", it.Identity(), 2.5, "bon:nan"]
)
def test_things_that_are_no_procedure(procedure, refused):
    policy = aligned("identity", "kl", 0.7)
    refused(lambda: it.win_rate(policy, procedure), "N")
    if procedure is not None:
        refused(lambda: it.win_rate(policy, "bon:4", against_procedure=procedure), "N")


def test_opponents_live_on_the_same_base(refused):
    one, two = it.Discrete([0.5, 0.5]), it.Discrete([0.25, 0.75])
    a, b = it.align("identity", beta=1.0, base=one), it.align("identity", beta=1.0, base=two)
    continuous = aligned("identity", "kl", 0.7)
    for ours, theirs in [(a, b), (a, continuous), (continuous, a)]:
        refused(lambda o=ours, t=theirs: it.win_rate(o, "bon:4", against=t), "same base")
    same = it.align("log", beta=1.0, base=it.Discrete([0.5, 0.5]))
    assert 0 < it.win_rate(a, "bon:4", against=same) < 1


@pytest.mark.parametrize("n", [10**9, 10**15, 10**18, pytest.param(10**300, id="1e300")])
@pytest.mark.parametrize("text", ["identity", "log", "exp:10"])
def test_absurd_n_is_refused_or_right(text, n, refused):
    """Never a quiet NaN or a wrong number: at 20 nats everything is won."""
    for kind in ("bon", "won"):
        procedure, policy = f"{kind}:{n:.0e}", it.align(text, kl=20.0)
        if n > 10**9:
            refused(lambda p=procedure, q=policy: it.win_rate(q, p), "whole number N")
        else:
            assert it.win_rate(policy, procedure) == pytest.approx(1.0, abs=1e-9)
