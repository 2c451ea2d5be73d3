"""Raw rewards: quantile transforms, and one beta for prompts whose scales differ."""

import pickle

import numpy as np
import pytest
from mpmath import mp
from scipy import integrate, special, stats

import infalign_theory as it
from infalign_theory.transforms import Quantile, as_transform


def over_normal(function, s, nodes=60):
    """Mean over log scales of N(0, s^2), by Gauss-Hermite."""
    z, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return float(weight @ function(np.exp(s * z)) / np.sqrt(2 * np.pi))


# ------------------------------------------------------------------------------ one prompt's scale


@pytest.mark.parametrize("kl", [1e-8, 0.5, 20.0])
def test_a_tilted_normal_law_is_shifted(kl):
    """exp(k r) on N(0, 1) is N(k, 1): KL k^2/2; it wins with Phi(k / sqrt 2)."""
    policy = it.align("quantile:norm", kl=kl)
    k = np.sqrt(2 * kl)
    assert policy.beta == pytest.approx(1 / k, rel=1e-9)
    assert it.win_rate(policy) == pytest.approx(special.ndtr(k / np.sqrt(2)), abs=1e-12)
    u = np.array([1e-6, 0.3, 0.9, 1 - 1e-6])
    assert policy.cdf(u) == pytest.approx(special.ndtr(special.ndtri(u) - k), rel=1e-9)


def test_best_of_four_normal_rewards_by_quadrature():
    """1 - E[F^4] under the best of four base rewards, in the reward itself."""
    policy = it.align(Quantile("normal"), beta=1.0)
    exact = integrate.quad(
        lambda r: special.ndtr(r - 1) ** 4 * 4 * special.ndtr(r) ** 3 * stats.norm.pdf(r), -12, 12
    )[0]
    assert it.win_rate(policy, "bon:4") == pytest.approx(1 - exact, abs=1e-10)


@pytest.mark.parametrize("beta", [1.5, 4.0])
def test_gumbel_rewards_in_closed_form(beta):
    """E exp(k r) = Gamma(1 - k) of a Gumbel law, whose KL is k M'/M - log M; thirty digits."""
    policy = it.align("quantile:gumbel_r", beta=beta)
    with mp.workdps(30):
        k = 1 / mp.mpf(beta)
        kl = -k * mp.digamma(1 - k) - mp.loggamma(1 - k)
        # u = exp(-e^-r): E u under the tilt = 2^-(1 - k)
        won = mp.mpf(2) ** (k - 1)
    assert policy.kl == pytest.approx(float(kl), rel=1e-10)
    assert it.win_rate(policy) == pytest.approx(float(won), abs=1e-11)


def test_uniform_rewards_are_the_identity():
    """Through SciPy's own distribution: (0, 1) is mapped to itself."""
    policy = it.align(Quantile(stats.uniform()), kl=0.5)
    exact = it.align("identity", kl=0.5)
    assert policy.beta == pytest.approx(exact.beta, rel=1e-9)
    assert it.win_rate(policy, "bon:4") == pytest.approx(it.win_rate(exact, "bon:4"), abs=1e-10)


@pytest.mark.slow
def test_heavy_tails_have_a_policy_under_chi_squared():
    """f = (1 + (r - lambda)/beta)_+ on t(3) rewards; the multiplier by quadrature in r."""
    policy = it.align("quantile:t:3", kl=0.5, divergence="chi2")
    law, beta = stats.t(3), policy.beta
    lam = float(-beta * (policy.pdf(0.75) - 1)) + law.ppf(0.75)
    low = lam - beta

    def mean(g):
        def f(r):
            return (1 + (r - lam) / beta) * law.pdf(r)

        parts = ((low, 5.0), (5.0, np.inf))
        return sum(integrate.quad(lambda r: g(r) * f(r), *part, epsabs=1e-13)[0] for part in parts)

    assert mean(lambda r: 1.0) == pytest.approx(1.0, abs=1e-9)
    assert it.win_rate(policy) == pytest.approx(mean(law.cdf), abs=1e-9)
    # chi-squared on log-normal rewards is the reverse KL on their logarithms, at one budget
    other = it.align("quantile:lognorm:1", kl=0.5, divergence="chi2")
    assert it.win_rate(other, "bon:4") == pytest.approx(
        it.win_rate(it.align("quantile:norm", kl=0.5), "bon:4"), abs=1e-10
    )


@pytest.mark.parametrize("degrees", [1.2, 3.0, 50.0])
def test_quantiles_of_t_to_thirty_digits(degrees):
    """Tail probabilities are found back by mpmath's incomplete beta function."""
    phi = Quantile(f"t:{degrees:g}")
    for v in (1e-60, 1e-9, 0.2, 0.4):
        x = mp.mpf(-float(phi(v)))
        with mp.workdps(40):
            share = degrees / (degrees + x * x)
            tail = mp.betainc(mp.mpf(degrees) / 2, 0.5, 0, share, regularized=True) / 2
        assert float(abs(tail / v - 1)) <= 1e-11


# ----------------------------------------------------------------------------- scales that differ


@pytest.mark.parametrize(
    ("s", "won"),
    [(0.0, 0.7602), (0.5, 0.7222), pytest.param(1.0, 0.6418, marks=pytest.mark.slow)],
)
def test_what_miscalibration_costs(s, won):
    """Published to four digits; exact by Gauss-Hermite and k = sqrt(2 KL) exp(-s^2)."""
    policy = it.align(Quantile("norm", spread=s), kl=0.5)
    k = np.exp(-s * s)
    assert policy.kl == pytest.approx(0.5, rel=1e-12)
    assert policy.beta == pytest.approx(1 / k, rel=1e-9)
    exact = over_normal(lambda scale: special.ndtr(k * scale / np.sqrt(2)), s, 240)
    assert it.win_rate(policy) == pytest.approx(exact, abs=1e-11)
    assert round(exact, 4) == won
    assert policy.mean() == pytest.approx(exact, abs=1e-11)


@pytest.mark.slow
def test_prompts_by_monte_carlo():
    """Best-of-4 with scales drawn at random, and the mean law itself."""
    policy = it.align("quantile:norm@0.5", kl=0.5)
    rng = np.random.default_rng(5)
    k = np.exp(0.5 * rng.standard_normal(250_000)) / policy.beta
    best = k + rng.standard_normal((4, k.size)).max(axis=0)
    beaten = best > rng.standard_normal((4, k.size)).max(axis=0)
    error = 4 * beaten.std() / np.sqrt(k.size)
    assert abs(beaten.mean() - it.win_rate(policy, "bon:4")) <= error
    once = k + rng.standard_normal(k.size)
    u = np.array([0.2, 0.7, 0.95])
    below = once[:, None] <= special.ndtri(u)
    assert (abs(below.mean(axis=0) - policy.cdf(u)) <= 4 * below.std() / np.sqrt(k.size)).all()
    assert policy.cdf(policy.ppf(u)) == pytest.approx(u, abs=1e-9)
    assert policy.cdf(u) + policy.sf(u) == pytest.approx(1, abs=1e-12)
    assert (0.5 * k**2).mean() == pytest.approx(0.5, abs=4 * (0.5 * k**2).std() / np.sqrt(k.size))


def test_prompts_on_atoms():
    """Every prompt its own tilt of the same atoms: the means, by Gauss-Hermite."""
    base = it.Discrete([0.2, 0.3, 0.5])
    policy = it.align(Quantile("norm", spread=0.4), beta=1.5, base=base)
    reward = special.ndtri(base.u)

    def masses(scale):
        weight = base.probs * np.exp(np.outer(scale / 1.5, reward))
        return weight / weight.sum(axis=1, keepdims=True)

    kl = over_normal(lambda t: (masses(t) * np.log(masses(t) / base.probs)).sum(axis=1), 0.4)
    assert policy.kl == pytest.approx(kl, rel=1e-10)
    assert policy.mean() == pytest.approx(over_normal(lambda t: masses(t) @ base.u, 0.4), abs=1e-11)
    assert it.align(Quantile("norm", 0.4), kl=kl, base=base).beta == pytest.approx(1.5, rel=1e-9)


@pytest.mark.slow
def test_other_rewards_with_a_spread():
    """Gumbel's other tail: KL = k psi(1 + k) - log Gamma(1 + k), prompt by prompt."""
    policy = it.align("quantile:gumbel_l@0.3", kl=0.3)
    exact = over_normal(
        lambda t: (
            t / policy.beta * special.digamma(1 + t / policy.beta)
            - special.gammaln(1 + t / policy.beta)
        ),
        0.3,
    )
    assert exact == pytest.approx(0.3, rel=1e-9)


# ------------------------------------------------------------------------------------ texts, edges


@pytest.mark.slow
def test_texts():
    assert as_transform("quantile:norm@0.5") == Quantile("norm", spread=0.5)
    assert as_transform("quantile:Normal") == Quantile("norm")
    assert as_transform("quantile:t:3.0").name == "quantile:t:3"
    frontiers = it.frontier(["quantile:norm@0.5,1"], "standard", kl=[0.5])
    assert [curve.name for curve in frontiers] == ["quantile:norm@0.5", "quantile:norm@1"]
    assert frontiers["quantile:norm@0.5"].win_rate == pytest.approx([0.7222], abs=5e-5)
    rows = it.compare(["identity", "quantile:norm"], "standard", kl=0.5).rows
    assert [round(row.win_rate, 4) for row in rows] == [0.7737, 0.7602]
    assert frontiers["quantile:norm@0.5"].scaled_beta == [None]
    again = pickle.loads(pickle.dumps(it.align("quantile:norm@0.1", kl=0.1)))
    assert again.kl == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: Quantile("nrom"), "did you mean norm"),
        (lambda: Quantile("t"), "takes df"),
        (lambda: Quantile("gamma:-1"), "shapes are finite numbers"),
        (lambda: Quantile("t:" + "9" * 400), "shapes are finite numbers"),
        (lambda: as_transform("quantile:"), "no distribution is named"),
        (lambda: Quantile(stats.poisson(3)), "discrete"),
        (lambda: Quantile(3), "is not one"),
        (lambda: Quantile("norm", spread=-1), "0 to 3"),
        (lambda: Quantile("__class__"), "not known"),
        (lambda: it.align("quantile:norm@x", kl=0.1), "is not a number"),
        (lambda: it.align("quantile:t:3", kl=0.5), "no beta works"),
        (lambda: it.align("quantile:gumbel_r@0.5", kl=0.5), "lighter"),
        (lambda: Quantile("norm", spread=0.5)(0.3), "another one at every prompt"),
        (lambda: it.align("quantile:norm@0.5", kl=0.5).effective_transform, "parts"),
        (lambda: it.align("quantile:norm@0.5", kl=0.5).tilt, "parts"),
    ],
)
def test_refusals(given, told, refused):
    refused(given, told)
