"""The base policy: merging, order, half ties, accuracy with many and with tiny atoms."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import infalign_theory as it
from infalign_theory.policies.base import as_base

weights = st.lists(st.integers(0, 9), min_size=1, max_size=7).filter(any)


def law(data, counts):
    """The counts as probabilities, and rewards with ties, in any order."""
    rewards = data.draw(st.lists(st.integers(-2, 3), min_size=len(counts), max_size=len(counts)))
    return [Fraction(c, sum(counts)) for c in counts], rewards


@pytest.mark.slow
@given(st.data(), weights)
def test_atoms_are_merged_sorted_and_ties_count_half(data, counts):
    probs, rewards = law(data, counts)
    base = it.Discrete([float(p) for p in probs], rewards)
    alive = sorted({r for r, p in zip(rewards, probs, strict=True) if p > 0})
    assert base.rewards.tolist() == alive
    for i, reward in enumerate(alive):
        mass = sum(p for p, r in zip(probs, rewards, strict=True) if r == reward)
        below = sum(p for p, r in zip(probs, rewards, strict=True) if r < reward)
        assert base.probs[i] == pytest.approx(float(mass), rel=1e-14)
        assert base.u[i] == pytest.approx(float(below + mass / 2), rel=1e-14)
    # the calibrated reward of a sample is 1/2 on average, whatever the ties
    assert float(np.sum(base.probs * base.u)) == pytest.approx(0.5, abs=1e-14)


@pytest.mark.slow
@given(st.data(), weights)
def test_the_order_of_atoms_does_not_matter(data, counts):
    probs, rewards = law(data, counts)
    order = data.draw(st.permutations(range(len(counts))))
    one = it.Discrete([float(p) for p in probs], rewards)
    two = it.Discrete([float(probs[i]) for i in order], [rewards[i] for i in order])
    assert np.array_equal(one.rewards, two.rewards)
    assert np.allclose(one.probs, two.probs, rtol=1e-15, atol=0)
    assert np.allclose(one.u, two.u, rtol=1e-15, atol=0)


@pytest.mark.slow
@given(st.lists(st.sampled_from([-1.5, 0.0, 0.25, 7.0]), min_size=1, max_size=30))
def test_scores_are_counted(scores):
    base = it.Discrete.from_scores(scores)
    for i, score in enumerate(sorted(set(scores))):
        assert base.probs[i] == pytest.approx(scores.count(score) / len(scores), rel=1e-14)
    pairs = itertools.product(scores, scores)
    wins = [sum((b < a) + (b == a) / 2 for b in scores) / len(scores) for a in base.rewards]
    assert base.u == pytest.approx(wins, rel=1e-13)
    assert sum((b < a) + (b == a) / 2 for a, b in pairs) / len(scores) ** 2 == 0.5


def test_rewards_default_to_the_order_given():
    base = it.Discrete([0.2, 0.3, 0.5])
    assert base.probs == pytest.approx([0.2, 0.3, 0.5], rel=1e-15)
    assert base.u == pytest.approx([0.1, 0.35, 0.75], rel=1e-15)
    assert len(base) == 3
    assert "3 atoms" in repr(base)


def test_monotone_maps_of_the_reward_change_nothing():
    rewards = np.array([0.3, -2.0, 5.0, 0.3])
    one = it.Discrete([0.1, 0.2, 0.3, 0.4], rewards)
    two = it.Discrete([0.1, 0.2, 0.3, 0.4], np.exp(rewards))
    assert np.array_equal(one.probs, two.probs)
    assert np.array_equal(one.u, two.u)


def test_tiny_masses_keep_relative_accuracy_at_both_ends():
    base = it.Discrete([1e-300, 2e-17, 1.0 - 3e-17, 3e-18, 1e-300])
    assert base.probs[0] == 1e-300
    assert base.below[1] == pytest.approx(1e-300, rel=1e-15)
    assert base.below[2] == pytest.approx(2e-17, rel=1e-15)
    assert base.above[4] == pytest.approx(1e-300, rel=1e-15)
    assert base.above[3] == pytest.approx(3e-18, rel=1e-15)
    assert base.points.v[4] == pytest.approx(0.5e-300, rel=1e-15)
    assert base.u[0] == pytest.approx(0.5e-300, rel=1e-15)


@pytest.mark.slow
def test_a_million_atoms_lose_nothing():
    rng = np.random.default_rng(5)
    mass = rng.random(1_000_000) ** 8 + 1e-12
    mass /= math.fsum(mass)
    base = it.Discrete(mass, rng.permutation(1_000_000))
    assert abs(math.fsum(base.probs) - 1.0) <= 1e-12
    for edge in (1, 1000, 500_000, 999_999):
        assert base.below[edge] == pytest.approx(math.fsum(base.probs[:edge]), rel=1e-14)
        assert base.above[edge] == pytest.approx(math.fsum(base.probs[edge:]), rel=1e-14)


def test_a_base_by_default():
    assert as_base(None) == it.Continuous()
    base = it.Discrete([1.0])
    assert as_base(base) is base


# ----------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("probs", "says"),
    [
        ([], "empty"),
        ([[0.5, 0.5]], "(1, 2)"),
        (0.5, "one-dimensional"),
        ([0.5, np.nan], "probs[1] = nan"),
        ([np.inf, 0.5], "probs[0] = inf"),
        ([0.5, -0.1, 0.6], "probs[1] = -0.1"),
        ([0.5, 0.4], "0.9"),
        ([0.5, 0.500001], "1.000001"),
        ([0.0, 0.0], "0"),
        ([1, 2, 3], "6"),
        (["a", "b"], "not a number"),
        ([None, 1.0], "probs"),
        (None, "probs"),
        ("half", "probs"),
        ([0.5 + 1j, 0.5], "probs"),
        (np.array([0.5 + 1j, 0.5]), "probs"),
        pytest.param([10**400], "probs", id="huge"),
        ({0.5: 0.5}, "probs"),
        ([[0.5], [0.25, 0.25]], "probs"),
    ],
    ids=lambda x: repr(x)[:24],
)
def test_bad_probabilities(probs, says, refused):
    refused(lambda: it.Discrete(probs), says)


@pytest.mark.parametrize(
    ("rewards", "says"),
    [
        ([], "empty"),
        ([1.0], "2"),
        ([1.0, 2.0, 3.0], "3"),
        ([1.0, np.nan], "rewards[1] = nan"),
        ([-np.inf, 1.0], "rewards[0] = -inf"),
        ([[1.0, 2.0]], "(1, 2)"),
        (["a", "b"], "rewards"),
        (5, "rewards"),
        pytest.param([10**400, 1], "rewards", id="huge"),
    ],
    ids=lambda x: repr(x)[:24],
)
def test_bad_rewards(rewards, says, refused):
    refused(lambda: it.Discrete([0.5, 0.5], rewards), says)


@pytest.mark.parametrize("scores", [[], [np.nan], [[1.0]], None, "scores", [1.0, np.inf], 3.0])
def test_bad_scores(scores, refused):
    refused(lambda: it.Discrete.from_scores(scores), "scores")


@pytest.mark.parametrize("base", [3, "discrete", [0.5, 0.5], it.Discrete, np.array([1.0])])
def test_things_that_are_no_base(base, refused):
    refused(lambda: it.align("identity", beta=1.0, base=base), repr(base), "Discrete")
