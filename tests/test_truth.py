"""Truth behind a proxy from base samples: brute force, known worlds, onsets and false alarms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import infalign_theory as it
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.truth import TruthPairs
from infalign_theory.empirical.statistics.turning import turn
from infalign_theory.procedures.names import as_procedure


def brute_force(proxy, truth, weights, procedure):
    """(true win rate, mean truth) over all tuples of N samples, weighted, ties shared."""
    best, n = procedure.startswith("bon"), int(procedure.partition(":")[2])
    chances = []
    for law in (weights, np.full(len(proxy), 1 / len(proxy))):
        chance = np.zeros(len(proxy))
        for drawn in product(range(len(proxy)), repeat=n):
            picked = [proxy[i] for i in drawn]
            value = max(picked) if best else min(picked)
            tied = [i for i in range(len(proxy)) if proxy[i] == value]
            share = law[tied] / law[tied].sum()
            chance[tied] += np.prod(law[list(drawn)]) * share
        chances.append(chance)
    ours, theirs = chances
    won = sum(
        ours[i] * theirs[j] * ((truth[i] > truth[j]) + (truth[i] == truth[j]) / 2)
        for i in range(len(proxy))
        for j in range(len(proxy))
    )
    return won, float(np.dot(ours, truth))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=5),
    st.sampled_from(["bon:1", "bon:3", "won:2"]),
    st.floats(-2.0, 2.0),
)
def test_true_win_rates_are_those_of_all_tuples(samples, procedure, slope):
    ordered = sorted(samples)
    proxy, truth = ([float(pair[i]) for pair in ordered] for i in (0, 1))
    pairs = TruthPairs.of(Groups.stack([proxy]), truth)
    ratio = pairs.bases.normalised(slope * np.unique(proxy))
    weights = np.exp(slope * np.array(proxy))
    weights /= weights.sum()
    expected = brute_force(proxy, np.array(truth), weights, procedure)
    chosen = as_procedure(procedure)
    assert pairs.win_rates(ratio, chosen)[0] == pytest.approx(expected[0], abs=1e-12)
    assert pairs.means(ratio, chosen)[0] == pytest.approx(expected[1], abs=1e-12)
    kish = 1.0 / np.sum(weights**2)
    assert pairs.effective_samples(ratio)[0] == pytest.approx(kish, rel=1e-12)


def test_a_truth_that_is_the_proxy_wins_as_the_proxy_does():
    rng = np.random.default_rng(0)
    rewards = [rng.integers(0, 5, 9) for _ in range(4)]
    proxy = Groups.stack(rewards)
    pairs = TruthPairs.of(proxy, proxy.values)
    ratio = pairs.bases.normalised(0.7 * np.sin(np.arange(pairs.bases.mass.size)))
    for name in ("standard", "bon:4", "won:3", "order:2/3"):
        chosen = as_procedure(name)
        np.testing.assert_allclose(
            pairs.win_rates(ratio, chosen), pairs.bases.win_rates(ratio, chosen), atol=1e-13
        )


def test_prompts_without_all_truths_are_left_out_and_counted(refused):
    proxy = Groups.stack([[1, 2], [3, 4], []])
    pairs = TruthPairs.of(proxy, [0, 1, np.nan, 1])
    assert (pairs.proxy.prompts, pairs.excluded) == (1, 2)
    refused(lambda: TruthPairs.of(proxy, [np.nan, 1, np.nan, 1]), "no prompt")
    refused(lambda: TruthPairs.of(proxy, [1]), "1 entries for 4")
    refused(lambda: TruthPairs.of(proxy, [1, 1, 1, np.inf]), "not finite")


def gaussian_world(rng, rho, prompts, samples):
    """Proxy and truth with a Gaussian copula, prompts of different levels."""
    z = rng.normal(size=(prompts, samples))
    truth = rho * z + np.sqrt(1 - rho**2) * rng.normal(size=z.shape)
    level = rng.normal(size=(prompts, 1)) * 3
    return pd.DataFrame(
        {
            "prompt": np.repeat(np.arange(prompts), samples),
            "reward": (z + level).ravel(),
            "gold": (truth + level).ravel(),
        }
    )


@pytest.mark.slow
def test_a_gaussian_copula_gives_its_known_true_win_rates():
    """Truth behind Best-of-4 at 0.5 nats, rho = 0.7: values by quadrature of another kind."""
    frame = gaussian_world(np.random.default_rng(4), 0.7, 100, 40)
    found = it.predict(
        frame, procedure="bon:4", transform=["identity", "exp:10", "log"], kl=0.5, truth="gold"
    )
    known = {"identity": 0.669391987, "exp:10": 0.733195962, "log": 0.648852971}
    for row in found.rows:
        error = (row.true_ci[1] - row.true_ci[0]) / (2 * 1.976)
        assert abs(row.true_win_rate - known[row.transform]) < 3.5 * error
        assert error < 0.02
        assert row.onset_kl is None


@pytest.mark.slow
def test_samples_that_cannot_tell_say_up_to_where():
    frame = gaussian_world(np.random.default_rng(5), 0.7, 30, 8)
    found = it.predict(frame, procedure="bon:2", transform="identity", kl=2.0, truth="gold")
    row = found.rows[0]
    assert row.true_win_rate is None
    assert row.true_ci is None
    assert row.effective_samples < 4.0
    note = next(note for note in found.notes if "cannot tell" in note)
    told = float(note.split("beyond ")[1].split()[0])
    assert 0.2 < told < 1.5
    again = it.predict(frame, procedure="bon:2", transform="identity", kl=0.9 * told, truth="gold")
    assert again.rows[0].true_win_rate is not None


@pytest.mark.slow
def test_rows_without_truth_have_no_columns_of_it():
    frame = gaussian_world(np.random.default_rng(6), 0.7, 5, 12)
    plain = it.predict(frame, procedure="bon:2", transform="log", kl=0.1)
    assert "true_win_rate" not in plain.to_frame()
    assert (
        "onset_kl"
        in it.predict(frame, procedure="bon:2", transform="log", kl=0.1, truth="gold").to_frame()
    )


# ---------------------------------------------------------------------------------------- onsets
NOISE = 0.1  # of the truth


def hacked_truth(u):
    """Rises up to u = 0.7 and falls from there on."""
    return np.where(u < 0.7, u, 1.4 - u)


def hacked_onset():
    """KL at which the standard true win rate of the identity tilt is largest: dense sums.

    The truth is noisy, which blurs its own comparison: an answer wins with a chance.
    """
    u = (np.arange(2000) + 0.5) / 2000
    v = hacked_truth(u)
    wins = special.ndtr((v[:, None] - v[None, :]) / (NOISE * np.sqrt(2.0))).mean(axis=1)
    k = np.linspace(0.05, 12, 2400)
    f = np.exp(np.outer(k, u - 1))
    f /= f.mean(axis=1, keepdims=True)
    best = f[int(np.argmax(f @ wins))]
    return float(np.mean(best * np.log(best)))


def world(rng, hacked, prompts=60, samples=32):
    u = rng.random((prompts, samples))
    v = (hacked_truth(u) if hacked else u) + rng.normal(0, NOISE, u.shape)
    return pd.DataFrame(
        {"prompt": np.repeat(np.arange(prompts), samples), "reward": u.ravel(), "gold": v.ravel()}
    )


def onset_of(rng, hacked):
    options = {"procedure": "standard", "transform": "identity", "kl": 0.1, "truth": "gold"}
    return it.predict(world(rng, hacked), **options).rows[0]


@pytest.mark.slow
def test_hacking_is_told_with_its_onset_and_clean_worlds_are_quiet():
    known = hacked_onset()
    rng = np.random.default_rng(7)
    found = [onset_of(rng, True) for _ in range(2)]
    assert all(row.onset_kl is not None for row in found)
    assert np.mean([row.onset_kl for row in found]) == pytest.approx(known, rel=0.35)
    assert all(onset_of(rng, False).onset_kl is None for _ in range(2))


@pytest.mark.simulation
def test_onset_intervals_cover_and_alarms_are_rare():
    """100 worlds of each kind: 95 % intervals and 5 % alarms, within their sampling errors."""
    known = hacked_onset()
    rng = np.random.default_rng(8)
    told = [row for row in (onset_of(rng, True) for _ in range(100)) if row.onset_kl is not None]
    assert len(told) >= 95
    hits = sum(row.onset_ci[0] <= known <= row.onset_ci[1] for row in told)
    assert hits >= stats.binom.ppf(0.005, len(told), 0.95)
    alarms = sum(onset_of(rng, False).onset_kl is not None for _ in range(100))
    assert alarms <= 5


@pytest.mark.slow
def test_curves_that_only_rise_by_chance_raise_no_alarm():
    """Flat and rising curves with noise: at most about 5 % alarms among 400."""
    rng = np.random.default_rng(9)
    kl = np.linspace(0.05, 1.0, 12)
    alarms = 0
    for slope in (0.0, 0.05):
        for _ in range(200):
            paths = np.cumsum(rng.normal(0, 0.03, (40, 12)), axis=1) + slope * kl
            alarms += turn(kl, paths).at is not None
    assert alarms <= stats.binom.ppf(0.999, 400, 0.05)


def test_an_onset_needs_prompts_and_points():
    kl = np.linspace(0.1, 1, 5)
    assert turn(kl, np.ones((1, 5))).at is None
    assert turn(kl[:2], np.ones((9, 2))).at is None
    assert turn(kl, np.tile(1 - (kl - 0.4) ** 2, (5, 1))).at == pytest.approx(0.4, abs=1e-9)
