"""The fit against elementary beta-binomial likelihoods, the engine, and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

import infalign_theory as it
from infalign_theory.empirical.fitting import likelihood
from infalign_theory.empirical.fitting.goodness import calibrated_kl
from infalign_theory.empirical.fitting.tilt_fit import fit_tilt
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.kernels import ustatistics


def tilted(rng, t, k, size):
    """Exact draws from exp(k sign(t) e^(tu)) by rejection; t = 0 is the identity."""
    out, count = np.empty(0), int(np.prod(size))
    while out.size < count:
        u = rng.random(4 * count)
        phi = u - 1 if t == 0 else np.sign(t) * (np.exp(t * u) - np.exp(t))
        out = np.concatenate([out, u[rng.random(u.size) < np.exp(k * phi)]])
    return out[:count].reshape(size)


def simulate(rng, draw, prompts=150, trials=8, samples=16):
    return calibrate(
        Groups.stack(draw((prompts, samples))), Groups.stack(rng.random((prompts, trials)))
    )


def uneven(rng, prompts=40, sizes=(1, 9), trials=(1, 14), levels=None):
    """Prompts of unequal size, of a Best-of-3 policy, with ties if scores have levels."""
    a = [rng.random(rng.integers(*sizes)) ** (1 / 3) for _ in range(prompts)]
    b = [rng.random(rng.integers(*trials)) for _ in range(prompts)]
    if levels:
        a, b = ([np.floor(x * levels) for x in side] for side in (a, b))
    return calibrate(Groups.stack(a), Groups.stack(b))


def beta_law(transform, k):
    """Parameters of the Beta law that the tilt is."""
    return (1 + k, 1) if transform == "log" else (1 + k, 1 - k)


def prompt_likelihoods(calibration, transform, k):
    """Mean over each prompt's samples of log P_c, c beta-binomial; ties: mean over counts."""
    owner = calibration.groups.owner
    if not calibration.equal.any():
        law = beta_law(transform, k)
        each = stats.betabinom.logpmf(calibration.below, calibration.trials, *law)
        return np.bincount(owner, each) / np.bincount(owner)
    each = [
        stats.betabinom.logpmf(np.arange(b, b + e + 1), n, *beta_law(transform, k)).mean()
        for b, e, n in zip(calibration.below, calibration.equal, calibration.trials, strict=True)
    ]
    return np.bincount(owner, each) / np.bincount(owner)


# --------------------------------------------------------------- the likelihood, by another method
@pytest.mark.slow
@pytest.mark.parametrize("transform", ["log", "logit"])
@pytest.mark.parametrize("levels", [None, 4])
def test_fit_maximises_the_beta_binomial_likelihood_with_sandwich_errors(transform, levels):
    calibration = uneven(np.random.default_rng(0), levels=levels)
    fit = fit_tilt(calibration, transform)

    def mean(k):
        return prompt_likelihoods(calibration, transform, k).mean()

    top = 0.93 if transform == "logit" else 30.0
    best = optimize.minimize_scalar(
        lambda k: -mean(k),
        (0.01, 0.3),
        bounds=(-0.9, top),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert fit.k.value == pytest.approx(best.x, abs=2e-6)
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-12)
    h = 1e-4
    low, mid, high = (
        prompt_likelihoods(calibration, transform, fit.k.value + d) for d in (-h, 0.0, h)
    )
    score, curvature = (high - low) / (2 * h), -(high - 2 * mid + low).mean() / h**2
    prompts = score.size
    error = np.sqrt(np.sum(score**2) / (prompts - 1) / prompts) / curvature
    assert fit.k.stderr == pytest.approx(error, rel=1e-5)
    reach = stats.t.ppf(0.975, prompts - 1) * fit.k.stderr
    assert fit.k.ci == pytest.approx((fit.k.value - reach, fit.k.value + reach), rel=1e-12)


@pytest.mark.parametrize("transform", ["identity", "log", "logit", "power:3", "exp:6", "exp:-6"])
def test_implied_numbers_are_those_of_the_engine(transform):
    rng = np.random.default_rng(1)
    fit = fit_tilt(simulate(rng, lambda size: rng.random(size) ** (1 / 1.4)), transform)
    policy = it.align(transform, beta=fit.beta)
    assert fit.kl.value == pytest.approx(policy.kl, rel=1e-9)
    for name in ("standard", "bon:4", "won:4", "bon:1000", "order:2/3"):
        assert fit.win_rate(name).value == pytest.approx(it.win_rate(policy, name), abs=1e-10)
    u = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(fit.density(u), policy.pdf(u), rtol=1e-9)
    # delta method: the error of k times the slope
    step = 1e-4
    up, down = (it.align(transform, beta=1 / (fit.k.value + d)) for d in (step, -step))
    slope = (up.kl - down.kl) / (2 * step)
    assert fit.kl.stderr == pytest.approx(abs(slope) * fit.k.stderr, rel=1e-3)
    slope = (it.win_rate(up, "bon:4") - it.win_rate(down, "bon:4")) / (2 * step)
    assert fit.win_rate("bon:4").stderr == pytest.approx(abs(slope) * fit.k.stderr, rel=1e-3)


def test_the_fitted_exponent_is_the_best_of_all_fixed_ones():
    rng = np.random.default_rng(2)
    calibration = simulate(rng, lambda size: tilted(rng, 5.0, 0.02, size), 200, 24)
    free = fit_tilt(calibration)
    t = free.t.value
    assert free.transform == it.Exponential(t)
    same = fit_tilt(calibration, it.Exponential(t))
    assert same.k.value == pytest.approx(free.k.value, rel=1e-6)
    assert same.log_likelihood == pytest.approx(free.log_likelihood, abs=1e-13)
    grid = [fit_tilt(calibration, it.Exponential(x)) for x in (t - 3, t - 0.3, t + 0.3, t + 3)]
    assert all(other.log_likelihood < free.log_likelihood for other in grid)
    assert all(
        fit_tilt(calibration, name).log_likelihood < free.log_likelihood
        for name in ("identity", "exp:40", "exp:-40")
    )
    low, high = free.k.ci  # a factor either way
    assert 0 < low < free.k.value < high
    assert low * high == pytest.approx(free.k.value**2, rel=1e-9)


def test_reflection_turns_the_exponent_round():
    """Scores negated: k exp:t becomes a tilt down by exp:-t, Best-of-N Worst-of-N of the loser."""
    rng = np.random.default_rng(3)
    a, b = tilted(rng, 4.0, 0.03, (150, 8)), rng.random((150, 12))
    up = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)))
    down = fit_tilt(calibrate(Groups.stack(-a), Groups.stack(-b)))
    assert down.t.value == pytest.approx(-up.t.value, rel=1e-6)
    assert down.k.value < 0 < up.k.value
    assert down.beta == np.inf
    assert down.kl.value == pytest.approx(up.kl.value, rel=1e-8)
    assert down.kl.stderr == pytest.approx(up.kl.stderr, rel=1e-5)
    won, lost = up.win_rate("bon:4"), down.win_rate("won:4")
    assert won.value + lost.value == pytest.approx(1.0, abs=1e-9)


def test_only_ranks_matter_and_ties_are_the_mean_of_all_ways_to_break_them():
    rng = np.random.default_rng(4)
    a, b = rng.random((60, 6)) ** 0.5, rng.random((60, 9))
    plain = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)), "log")
    other = fit_tilt(calibrate(Groups.stack(np.exp(9 * a)), Groups.stack(np.exp(9 * b))), "log")
    assert plain.k == other.k

    coarse = calibrate(Groups.stack(np.floor(5 * a)), Groups.stack(np.floor(5 * b)))
    k = fit_tilt(coarse, "log").k.value
    broken = np.zeros(400)
    for i in range(400):
        count = coarse.below + rng.integers(0, coarse.equal + 1)
        logs = stats.betabinom.logpmf(count, 9, k + 1, 1)
        broken[i] = logs.mean()
    error = broken.std() / np.sqrt(400)
    assert abs(broken.mean() - fit_tilt(coarse, "log").log_likelihood) < 4 * error


# --------------------------------------------------------------------------- more base than a table
@pytest.mark.parametrize(("k", "smaller"), [(7, 7), (30, 12), (400, 1), (900, 90)])
def test_thinned_counts_are_hypergeometric(k, smaller):
    found = ustatistics.averaged_over_thinning(np.eye(smaller + 1), k, smaller)
    c = np.arange(k + 1)[:, None]
    expected = stats.hypergeom.pmf(np.arange(smaller + 1), k, c, smaller)
    np.testing.assert_allclose(found, expected, atol=1e-11)
    weights = np.random.default_rng(5).random(k + 1)
    np.testing.assert_allclose(
        ustatistics.thinned_weights(weights, k, smaller), weights @ found, rtol=1e-10
    )


@pytest.mark.slow
def test_thinning_is_the_mean_over_smaller_sets_of_base_samples(monkeypatch):
    rng = np.random.default_rng(6)
    a, b = rng.random((80, 5)) ** 0.5, rng.random((80, 40))
    whole = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)), "log")
    monkeypatch.setattr(likelihood, "MAX_K", 39)
    thinned = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)), "log")
    monkeypatch.undo()
    steps = likelihood.LADDER
    kept = int(steps[steps <= 40][-1])
    assert kept < 40
    k = thinned.k.value
    logs = []
    for _ in range(300):
        some = calibrate(Groups.stack(a), Groups.stack(rng.permuted(b, axis=1)[:, :kept]))
        logs.append(prompt_likelihoods(some, "log", k).mean())
    assert abs(np.mean(logs) - thinned.log_likelihood) < 4 * np.std(logs) / np.sqrt(300)
    assert abs(k - whole.k.value) < 0.5 * whole.k.stderr
    assert whole.k.stderr == pytest.approx(thinned.k.stderr, rel=0.1)


@pytest.mark.slow
def test_any_mixture_of_base_sizes():
    rng = np.random.default_rng(7)
    b = [rng.random(n) for n in [*range(1, 200, 2), 1500, 4000]]
    a = [rng.random(6) ** (1 / 3) for _ in b]
    fit = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)), "log")
    assert abs(fit.k.value - 2) < 4 * fit.k.stderr
    assert fit.goodness.p_value > 1e-4
    assert fit.shares.expected.sum() == pytest.approx(1.0, abs=1e-12)


# -------------------------------------------------------------------------------------- simulation
@pytest.mark.simulation
@pytest.mark.parametrize(("trials", "runs"), [(8, 250), (24, 150), (100, 100)])
def test_known_k_is_recovered_without_bias_and_covered(trials, runs):
    rng = np.random.default_rng(trials)
    policy = it.align("exp:5", beta=40.0)
    truth = np.array(
        [1 / 40, policy.kl, it.win_rate(policy, "bon:4"), it.win_rate(policy, "won:4")]
    )
    found, naive, p_values = [], [], []
    for i in range(runs):
        calibration = simulate(rng, lambda size: tilted(rng, 5.0, 1 / 40, size), trials=trials)
        fit = fit_tilt(calibration, "exp:5")
        found.append([fit.k, fit.kl, fit.win_rate("bon:4"), fit.win_rate("won:4")])
        p_values.append(fit.goodness.p_value)
        if i < 20:
            plain = fit_tilt(calibration, "exp:5", correct=False)
            naive.append((plain.k.value - truth[0]) / plain.k.stderr)
    z = np.array([[e.value for e in row] for row in found]) - truth
    errors = np.array([[e.stderr for e in row] for row in found])
    bias = z.mean(axis=0) / errors.mean(axis=0)
    assert np.all(np.abs(bias) < 0.25)
    assert np.all(np.abs(z.std(axis=0) / errors.mean(axis=0) - 1) < 4 / np.sqrt(2 * runs))
    covered = np.mean(
        [[e.ci[0] <= x <= e.ci[1] for e, x in zip(row, truth, strict=True)] for row in found],
        axis=0,
    )
    assert np.all(np.abs(covered - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / runs))
    assert stats.kstest(p_values, "uniform").pvalue > 1e-3
    if trials == 8:  # at c/K instead of the count's own probability
        assert np.mean(naive) > 2.0


@pytest.mark.parametrize(
    ("trials", "runs"),
    [
        pytest.param(24, 40, marks=pytest.mark.slow),
        *(pytest.param(*case, marks=pytest.mark.simulation) for case in [(8, 200), (100, 150)]),
    ],
)
def test_known_exponent_and_k_are_recovered_together(trials, runs):
    rng = np.random.default_rng(100 + trials)
    policy = it.align("exp:5", beta=40.0)
    truth = np.array([5.0, np.log(1 / 40), policy.kl, it.win_rate(policy, "bon:4")])
    values, errors = [], []
    for _ in range(runs):
        fit = fit_tilt(
            simulate(rng, lambda size: tilted(rng, 5.0, 1 / 40, size), trials=trials, prompts=300)
        )
        of = [fit.t, fit.kl, fit.win_rate("bon:4")]
        values.append([of[0].value, np.log(fit.k.value), *(e.value for e in of[1:])])
        errors.append([of[0].stderr, fit.k.stderr / fit.k.value, *(e.stderr for e in of[1:])])
    z = (np.array(values) - truth) / np.mean(errors, axis=0)
    assert np.all(np.abs(z.mean(axis=0)) < 3.5 / np.sqrt(runs))
    assert np.all(np.abs(z.std(axis=0) - 1) < 4 / np.sqrt(2 * runs))


def test_the_test_of_fit_sees_the_wrong_transform():
    rng = np.random.default_rng(8)
    calibration = simulate(rng, lambda size: rng.random(size) ** (1 / 4), 300, 24)
    assert fit_tilt(calibration, "log").goodness.p_value > 1e-3
    wrong = fit_tilt(calibration, "exp:30").goodness
    assert wrong.p_value < 1e-6
    shares = fit_tilt(calibration, "exp:30").shares
    assert (shares.edges[0], shares.edges[-1]) == (0.0, 1.0)
    assert shares.observed.sum() == pytest.approx(1.0, abs=1e-12)
    prompts = calibration.groups.prompts
    tail = stats.f.sf(wrong.statistic / wrong.df, wrong.df, wrong.df * (prompts - 1))
    assert wrong.p_value == pytest.approx(tail)


def test_few_base_samples_test_nothing():
    rng = np.random.default_rng(9)
    fit = fit_tilt(simulate(rng, lambda size: rng.random(size) ** 0.5, trials=1), "log")
    assert fit.goodness is None
    assert abs(fit.k.value - 1) < 4 * fit.k.stderr


@pytest.mark.slow
def test_calibrated_kl_stays_below_the_truth_and_is_nothing_at_the_base():
    rng = np.random.default_rng(10)
    truth = np.log(4) - 3 / 4
    found = calibrated_kl(simulate(rng, lambda size: rng.random(size) ** 0.25, 2000, 50), 20)
    assert 0.8 * truth < found.value < truth
    null = [calibrated_kl(simulate(rng, rng.random, 100, 20)).value for _ in range(100)]
    assert np.mean(null) < 0.002


# ----------------------------------------------------------------------------------- hostile input
def test_prompts_without_samples_are_counted():
    rng = np.random.default_rng(11)
    a, b = [rng.random(4) ** 0.5 for _ in range(30)], [rng.random(6) for _ in range(30)]
    full = fit_tilt(calibrate(Groups.stack(a), Groups.stack(b)), "log")
    more = fit_tilt(calibrate(Groups.stack([[], *a, [0.1]]), Groups.stack([[0.2], *b, []])), "log")
    assert more.k.value == full.k.value
    assert (more.prompts, more.excluded, more.k.excluded, full.excluded) == (30, 2, 2, 0)


def test_prompts_that_are_all_alike_leave_no_error():
    base, tuned = [[1.0, 2.0, 3.0, 4.0]] * 3, [[2.5, 3.0, 4.5, 3.5]] * 3
    found = fit_tilt(calibrate(Groups.stack(np.array(tuned)), Groups.stack(np.array(base))), "log")
    assert found.k.stderr == pytest.approx(0.0, abs=1e-12)
    rate = found.win_rate("bon:2")
    assert rate.stderr == pytest.approx(0.0, abs=1e-12)
    policy = it.align("log", beta=1.0 / found.k.value)
    assert rate.value == pytest.approx(it.win_rate(policy, "bon:2"), abs=1e-9)


def test_samples_beyond_every_base_sample_are_out_of_reach(refused):
    rng = np.random.default_rng(12)
    b = rng.random((20, 9))
    for shift in (1.0, -1.0):
        beyond = calibrate(Groups.stack(rng.random((20, 4)) + shift), Groups.stack(b))
        for transform in ("identity", "log", "logit", "exp"):
            refused(
                lambda t=transform, c=beyond: fit_tilt(c, t),
                "as extreme as 9 base samples",
                kind=OutOfReachError,
            )


def test_what_cannot_be_fitted_is_refused(refused):
    rng = np.random.default_rng(13)
    calibration = simulate(rng, rng.random, 30)
    one = calibrate(Groups.stack([[1, 2], [1]]), Groups.stack([[1, 3], []]))
    refused(lambda: fit_tilt(one), "1 prompts", "at least 2")
    refused(lambda: fit_tilt(calibration, "expr:2"), "constant")
    refused(lambda: fit_tilt(calibration, "expr:-1/u"), "faster than any logarithm")
    refused(lambda: fit_tilt(calibration, "log", correct=False), "not finite")
    refused(lambda: fit_tilt(calibration, "nonsense"), "nonsense")
    refused(lambda: fit_tilt(calibration, level=95), "level = 95")
    refused(lambda: fit_tilt(calibration, "identity").density(1.5), "[0, 1]")
    refused(lambda: fit_tilt(calibration, "identity").win_rate("x"), "procedure")
    refused(lambda: calibrated_kl(calibration, 0), "bins")
    # one base sample tells one number, the mean; not two
    single = simulate(rng, lambda size: rng.random(size) ** 0.5, trials=1)
    refused(lambda: fit_tilt(single), "do not determine", kind=PrecisionError)
    fit = fit_tilt(calibration, "identity")
    assert fit.k.ci[0] < 0 < fit.k.ci[1]
