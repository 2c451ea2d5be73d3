"""Prompts tilted by different strengths: moments by brute force, the rest by simulated truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import infalign_theory as it
from infalign_theory.empirical.fitting.spread import fit_spread
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.pairs_over_prompts import PairMoments
from infalign_theory.errors import OutOfReachError
from infalign_theory.transforms.names import as_transform

PROCEDURES = ("standard", "bon:4", "bon:8", "won:4")
DUELS = [Duel.of(name) for name in PROCEDURES]
samples = st.lists(st.integers(0, 3), min_size=0, max_size=5)


def moments(aligned, base):
    return PairMoments.of(calibrate(Groups.stack(aligned), Groups.stack(base)))


@pytest.mark.slow
@given(st.lists(st.tuples(samples, samples), min_size=1, max_size=4))
def test_rates_and_squares_are_means_over_comparisons_without_common_samples(prompts):
    found = moments([a for a, _ in prompts], [b for _, b in prompts])
    for i, (aligned, base) in enumerate(prompts):
        won = [[(y > z) + 0.5 * (y == z) for z in base] for y in aligned]
        n, k = len(aligned), len(base)
        products = [
            won[a][b] * won[c][d]
            for a in range(n)
            for c in range(n)
            for b in range(k)
            for d in range(k)
            if a != c and b != d
        ]
        if not products:
            assert np.isnan(found.rate[i])
            continue
        assert found.rate[i] == pytest.approx(np.mean(won))
        assert found.square[i] == pytest.approx(np.mean(products))


def ranks(rng, log_sd, *, prompts, samples, transform="identity", kl=0.5):
    """Aligned and base samples; k log-normal over prompts, its median that of the KL."""
    k = 1.0 / it.align(transform, kl=kl).beta * np.exp(log_sd * rng.normal(size=prompts))
    base = rng.random((prompts, samples))
    if transform == "identity":  # F(u) = expm1(k u)/expm1(k)
        u = np.log1p(rng.random((prompts, samples)) * np.expm1(k)[:, None]) / k[:, None]
    else:
        u = np.stack([it.align(transform, beta=1 / each).rvs(samples, rng) for each in k])
    return u, base, k


@pytest.mark.slow
def test_variance_is_unbiased_and_nothing_is_told_where_nothing_is():
    rng = np.random.default_rng(0)
    estimates, p_values = [], []
    for _ in range(400):
        u, base, _ = ranks(rng, 0.0, prompts=40, samples=12)
        found = moments(u, base)
        estimates.append(found.variance)
        p_values.append(found.p_value)
    error = np.std(estimates) / 20.0
    assert abs(np.mean(estimates)) < 4 * error  # there is none
    assert np.mean(np.array(p_values) < 0.01) <= 0.03
    wide = []
    for _ in range(100):
        u, base, _ = ranks(rng, 0.6, prompts=40, samples=12)
        wide.append(moments(u, base).variance)
    many = 1.0 / it.align("identity", kl=0.5).beta * np.exp(0.6 * rng.normal(size=200_000))
    truth = np.var(-1.0 / np.expm1(-many) - 1.0 / many)
    assert abs(np.mean(wide) - truth) < 4 * np.std(wide) / 10.0


@pytest.mark.slow
def test_spread_of_known_strengths_is_found():
    rng = np.random.default_rng(1)
    identity = as_transform("identity")
    found = []
    for _ in range(12):
        u, base, _ = ranks(rng, 0.5, prompts=100, samples=40)
        calibration = calibrate(Groups.stack(u), Groups.stack(base))
        fit = fit_spread(calibration, identity, DUELS, PairMoments.of(calibration))
        found.append((np.log(fit.k), fit.log_sd, *fit.expectation.local[0]))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / np.sqrt(12)
    k = 1.0 / it.align("identity", kl=0.5).beta
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    laws = [it.align("identity", beta=1.0 / (k * np.exp(0.5 * x))) for x in nodes]
    mixed = [
        np.dot(weights, [it.win_rate(law, name) for law in laws]) / weights.sum()
        for name in PROCEDURES
    ]
    truth = np.array([np.log(k), 0.5, *mixed])
    assert np.all(np.abs(mean - truth) < 5 * error + 1e-3)


def table(rng, log_sd, transform="identity", kl=0.5, prompts=100, samples=48):
    u, base, k = ranks(rng, log_sd, prompts=prompts, samples=samples, transform=transform, kl=kl)
    names = np.repeat([f"p{i}" for i in range(prompts)], samples)
    # the ratio of an identity tilt: k u - log(expm1(k)/k)
    ratio = k[:, None] * u - np.log(np.expm1(k) / k)[:, None]
    return pd.concat(
        [
            pd.DataFrame({"policy": "base", "prompt": names, "reward": base.ravel()}),
            pd.DataFrame(
                {"policy": "run", "prompt": names, "reward": u.ravel(), "ratio": ratio.ravel()}
            ),
        ]
    ), k


def judged(scores, **options):
    return it.validate(scores, policy="policy", procedure=PROCEDURES, **options).policies["run"]


@pytest.mark.slow
def test_verdict_tells_spread_from_shape_and_strength():
    rng = np.random.default_rng(2)
    wide = judged(table(rng, 0.8)[0], transform="identity")
    assert wide.spread.told
    assert wide.spread.departure == "spread"
    assert wide.spread.log_sd == pytest.approx(0.8, abs=0.2)
    assert any("departure is spread" in text for text in wide.verdict)
    shape = judged(table(rng, 0.0, "exp:10")[0], transform="identity")
    assert shape.spread.departure == "shape"
    assert any("departure is of shape" in text for text in shape.verdict)
    strength = judged(table(rng, 0.0, kl=0.8)[0], transform="identity", kl=0.3)
    assert strength.spread.departure == "strength"
    assert not strength.spread.told
    as_planned = judged(table(rng, 0.0)[0], transform="identity", kl=0.5)
    assert as_planned.spread.departure == "none"
    assert as_planned.spread.k is None
    assert not any("departure" in text for text in as_planned.verdict)


@pytest.mark.slow
def test_spread_of_kl_by_prompt_is_that_of_log_ratios_without_their_noise():
    rng = np.random.default_rng(3)
    scores, k = table(rng, 0.6, prompts=200)
    found = judged(scores, transform="identity", log_ratio="ratio").spread
    true = np.std([it.align("identity", beta=1.0 / each).kl for each in k], ddof=1)
    assert found.measured_kl_sd == pytest.approx(true, rel=0.1)
    assert found.kl_sd == pytest.approx(true, rel=0.3)
    plain = judged(scores.drop(columns="ratio"), transform="identity").spread
    assert plain.measured_kl_sd is None


@pytest.mark.slow
def test_no_spread_where_it_cannot_be_known():
    rng = np.random.default_rng(4)
    assert judged(table(rng, 0.5, prompts=8)[0], transform="identity").spread is None
    graded = table(rng, 0.5, prompts=12, samples=16)[0]
    graded["reward"] = graded["reward"].round(1)
    assert judged(graded).spread is None
    u, base, _ = ranks(rng, 0.0, prompts=20, samples=10)
    lost = calibrate(Groups.stack(1.0 - u), Groups.stack(base))
    with pytest.raises(OutOfReachError, match="no strengths"):
        fit_spread(lost, as_transform("identity"), DUELS, PairMoments.of(lost))
