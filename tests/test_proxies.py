"""Truth behind a proxy: conditionals against mpmath, win rates against two other methods."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest
from scipy import special

import infalign_theory as it
from infalign_theory import proxies
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.proxies import (
    Clayton,
    Contaminated,
    Frank,
    Gaussian,
    Gumbel,
    StudentT,
    Tabulated,
    true_win_rate,
)
from infalign_theory.quadrature.points import Points

FAMILIES = [
    Gaussian(0.7),
    Gaussian(-0.4),
    StudentT(0.7, 3.0),
    StudentT(-0.5, 1.5),
    Clayton(2.0),
    Gumbel(2.0),
    Frank(5.0),
    Frank(-5.0),
]


@pytest.mark.parametrize(
    ("rho", "transform", "procedure", "value"),
    [
        (0.7, "identity", "bon:4", 0.669391987),
        (0.7, "exp:10", "bon:4", 0.733195962),
        (0.7, "log", "bon:4", 0.648852971),
        (0.7, "exp:10", "won:4", 0.616603075),
        (0.95, "identity", "bon:4", 0.771453438),
        (0.95, "exp:10", "bon:4", 0.846701454),
    ],
)
def test_gaussian_values_computed_independently_elsewhere(rho, transform, procedure, value):
    policy = it.align(transform, kl=0.5)
    assert abs(true_win_rate(policy, procedure, Gaussian(rho)) - value) <= 1e-9


# ------------------------------------------------------------------------------- conditionals
def copula_cdf(copula, u, v):
    """C(u, v) by mpmath, from the textbook formula of the family."""
    if isinstance(copula, Clayton):
        t = mp.mpf(copula.theta)
        return (u**-t + v**-t - 1) ** (-1 / t)
    if isinstance(copula, Gumbel):
        t = mp.mpf(copula.theta)
        return mp.exp(-(((-mp.log(u)) ** t + (-mp.log(v)) ** t) ** (1 / t)))
    t = mp.mpf(copula.theta)
    return -mp.log(1 + mp.expm1(-t * u) * mp.expm1(-t * v) / mp.expm1(-t)) / t


@pytest.mark.parametrize(
    "copula",
    [Clayton(0.5), Clayton(8.0), Gumbel(1.3), Gumbel(6.0), Frank(3.0), Frank(-9.0), Frank(60.0)],
    ids=lambda c: c.name,
)
@pytest.mark.parametrize(("u", "v"), [(0.3, 0.6), (1e-6, 1e-5), (0.999999, 0.99999), (0.9, 1e-4)])
def test_archimedean_conditionals_are_derivatives_of_their_copulas(copula, u, v):
    with mp.workdps(60):
        exact = float(mp.diff(lambda x: copula_cdf(copula, x, mp.mpf(v)), mp.mpf(u)))
    assert float(copula.cdf(v, u)) == pytest.approx(exact, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("copula", [Gaussian(0.7), Gaussian(-0.95)], ids=lambda c: c.name)
def test_gaussian_conditional_against_mpmath(copula):
    for s_u, s_v in [(0.3, -1.0), (30.0, 33.0), (-40.0, -38.0), (12.0, -3.0)]:
        points = [Points.from_logit(np.array(s)) for s in (s_u, s_v)]
        with mp.workdps(40):

            def score(s):
                p = 1 / (1 + mp.exp(-mp.mpf(abs(s))))  # the upper half, mirrored below
                z = mp.findroot(
                    lambda x: mp.log(mp.ncdf(-x)) - mp.log(1 - p),
                    float(-special.ndtri(float(1 - p))),
                )
                return z if s > 0 else -z

            rho = mp.mpf(copula.rho)
            exact = mp.ncdf((score(s_v) - rho * score(s_u)) / mp.sqrt(1 - rho**2))
        found = float(copula.conditional(points[1], points[0]))
        assert found == pytest.approx(float(exact), rel=1e-9, abs=1e-15)


def test_student_conditional_against_its_joint_density():
    copula = StudentT(0.6, 3.0)
    x, y = special.stdtrit(3.0, [0.85, 0.4])
    with mp.workdps(20):
        rho, nu = mp.mpf("0.6"), 3

        def joint(t):
            form = (x * x - 2 * rho * x * t + t * t) / (nu * (1 - rho**2))
            return (1 + form) ** (-(mp.mpf(nu) + 2) / 2)

        exact = mp.quad(joint, [-mp.inf, 0, y]) / mp.quad(joint, [-mp.inf, 0, mp.inf])
    assert float(copula.cdf(0.4, 0.85)) == pytest.approx(float(exact), abs=1e-12)


# ---------------------------------------------------------------- win rates, by another quadrature
def pick_density(u, transform, kl, n, best):
    """Density in u of the best or worst of n of the identity tilt, in closed form, and base's."""
    k = 1.0 / it.align(transform, kl=kl).beta
    f = k * np.exp(k * u) / np.expm1(k)
    below = np.expm1(k * u) / np.expm1(k)
    if best:
        return n * below ** (n - 1) * f, n * u ** (n - 1)
    return n * (1 - below) ** (n - 1) * f, n * (1 - u) ** (n - 1)


def densities_of(copula, zu, zv, u, v):
    """c(u, v) phi(zv) on a tensor grid of normal scores: textbook densities."""
    phi = np.exp(-0.5 * zv**2) / np.sqrt(2 * np.pi)
    if isinstance(copula, Gaussian):
        r = copula.rho
        rest = 1 - r**2
        return np.exp(-((zv - r * zu) ** 2) / (2 * rest)) / np.sqrt(2 * np.pi * rest)
    t = copula.theta
    if isinstance(copula, Clayton):
        c = (1 + t) * (u * v) ** (-1 - t) * (u**-t + v**-t - 1) ** (-2 - 1 / t)
    else:
        a = -np.expm1(-t)
        c = t * a * np.exp(-t * (u + v)) / (a - np.expm1(-t * u) * np.expm1(-t * v)) ** 2
    return c * phi


@pytest.mark.slow
@pytest.mark.parametrize(
    "copula", [Gaussian(0.7), Gaussian(0.95), Clayton(2.0), Frank(5.0)], ids=lambda c: c.name
)
@pytest.mark.parametrize(("n", "best"), [(1, True), (4, True), (4, False)])
def test_win_rates_against_the_trapezoid_in_normal_scores(copula, n, best):
    # the trapezoid converges geometrically for analytic integrands on the whole line
    z = np.linspace(-8.2, 8.2, 1641)
    h = z[1] - z[0]
    u = special.ndtr(z)
    phi = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    ours, theirs = (d * phi * h for d in pick_density(u, "identity", 0.5, n, best))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        density = densities_of(copula, z[:, None], z[None, :], u[:, None], u[None, :])
    density = np.nan_to_num(density)
    reference = theirs @ copula.cdf(
        np.clip(u, 1e-300, 1 - 1e-16)[None, :], np.clip(u, 1e-300, 1 - 1e-16)[:, None]
    )
    exact = float(np.sum((ours @ density) * reference) * h)
    procedure = "standard" if n == 1 else f"{'bon' if best else 'won'}:{n}"
    found = true_win_rate(it.align("identity", kl=0.5), procedure, copula)
    assert abs(found - exact) <= 1e-9


def sampled(copula, size, rng):
    """Pairs (u, v) by latent variables: no conditional law is used."""
    if isinstance(copula, (Gaussian, StudentT)):
        a, b = rng.standard_normal((2, size))
        x, y = a, copula.rho * a + np.sqrt(1 - copula.rho**2) * b
        if isinstance(copula, Gaussian):
            return special.ndtr(x), special.ndtr(y)
        scale = np.sqrt(copula.nu / rng.chisquare(copula.nu, size))
        return special.stdtr(copula.nu, x * scale), special.stdtr(copula.nu, y * scale)
    e = rng.exponential(size=(2, size))
    t = copula.theta
    if isinstance(copula, Clayton):
        return (1 + e / rng.gamma(1 / t, size=size)) ** (-1 / t)
    if isinstance(copula, Gumbel):  # a positive stable frailty (Kanter)
        a, angle = 1 / t, np.pi * rng.random(size)
        stable = (np.sin(a * angle) / np.sin(angle) ** (1 / a)) * (
            np.sin((1 - a) * angle) / rng.exponential(size=size)
        ) ** ((1 - a) / a)
        return np.exp(-((e / stable) ** a))
    frailty = rng.logseries(-np.expm1(-t), size)
    return -np.log1p(np.exp(-e / frailty) * np.expm1(-t)) / t


@pytest.mark.slow
@pytest.mark.parametrize(
    "copula",
    [
        Gaussian(-0.4),
        StudentT(0.7, 3.0),
        StudentT(-0.5, 1.5),
        Clayton(2.0),
        Gumbel(2.0),
        Frank(5.0),
    ],
    ids=lambda c: c.name,
)
def test_win_rates_against_simulation(copula):
    rng = np.random.default_rng(12)
    draws, n = 200_000, 4
    policy = it.align("exp:10", kl=0.5)
    u, v = (np.reshape(x, (draws, 2 * n)) for x in sampled(copula, draws * 2 * n, rng))
    weight = policy.pdf(u[:, :n]).prod(axis=1)  # the first n answers are the policy's
    rows = np.arange(draws)
    won = v[rows, u[:, :n].argmax(axis=1)] > v[rows, n + u[:, n:].argmax(axis=1)]
    estimate = np.sum(weight * won) / np.sum(weight)
    error = np.sqrt(np.sum((weight * (won - estimate)) ** 2)) / np.sum(weight)
    assert abs(true_win_rate(policy, "bon:4", copula) - estimate) < 4.5 * error


# ---------------------------------------------------------------------------------- identities
@pytest.mark.slow
@pytest.mark.parametrize("copula", FAMILIES, ids=lambda c: c.name)
def test_the_base_against_itself_wins_half_and_sides_swap(copula):
    base = it.align("identity", kl=0)
    assert abs(true_win_rate(base, "bon:4", copula) - 0.5) <= 1e-11
    one = true_win_rate(base, "bon:4", copula, "won:2")
    other = true_win_rate(base, "won:2", copula, "bon:4")
    assert abs(one + other - 1.0) <= 1e-11


@pytest.mark.slow
def test_independent_proxies_win_nothing_and_perfect_ones_everything():
    policy = it.align("exp:10", kl=0.5)
    for copula in (Gaussian(0.0), Gumbel(1.0), Frank(0.0)):
        assert abs(true_win_rate(policy, "bon:4", copula) - 0.5) <= 1e-11
    own = it.win_rate(policy, "bon:4")
    gaps = [own - true_win_rate(policy, "bon:4", Gaussian(rho)) for rho in (0.99, 0.999, 0.9999)]
    assert gaps[0] > gaps[1] > gaps[2] > 0.0
    assert gaps[2] < 1e-4


@pytest.mark.parametrize("theta", [3.0, 12.0])
def test_frank_is_symmetric_so_best_and_worst_reflect(theta):
    # C is its own survival copula: reflecting u and v turns Best-of-N into Worst-of-N
    up, down = it.align("identity", kl=0.7), it.align("expr:-u", kl=0.7)
    won = true_win_rate(up, "bon:3", Frank(theta)) + true_win_rate(down, "won:3", Frank(theta))
    assert abs(won - 1.0) <= 1e-11


def test_a_negative_proxy_loses_what_its_mirror_wins():
    policy = it.align("exp:10", kl=0.5)
    for good, bad in ((Gaussian(0.6), Gaussian(-0.6)), (Frank(4.0), Frank(-4.0))):
        won = true_win_rate(policy, "bon:4", good) + true_win_rate(policy, "bon:4", bad)
        assert abs(won - 1.0) <= 1e-10


@pytest.mark.slow
def test_the_student_limit_is_that_of_its_conditional_at_the_top():
    rho, nu = 0.7, 3.0
    top = special.stdtr(nu + 1, rho * np.sqrt((nu + 1) / (1 - rho**2)))
    policy = it.align("exp:100", kl=20)
    assert abs(true_win_rate(policy, "bon:1000000", StudentT(rho, nu), "standard") - top) < 1e-4


@pytest.mark.slow
def test_accuracy_at_the_edges_of_the_promise():
    # 20 nats, N = 10^6 and nearly perfect dependence: bounded by the exact value 1
    policy = it.align("exp:100", kl=20)
    won = true_win_rate(policy, "bon:1000000", Gaussian(0.99))
    assert 0.99999 < won < 1.0


# ------------------------------------------------------------------------------ hacked proxies
@pytest.mark.slow
def test_contamination_by_its_definition():
    honest, share, cut = Gaussian(0.7), 0.4, 0.9
    policy = it.align("identity", kl=0.5)
    hacked = Contaminated(honest, share, cut)
    # the law of total probability, each term from other functions
    above = float(policy.sf(cut)), 1.0 - cut
    tied = share**2 * above[0] * above[1] / 2.0
    base_only = (1.0 - share * above[0]) * share * above[1]
    found = true_win_rate(policy, "standard", hacked)
    # both honest: a contaminated win rate with share s is quadratic in s
    values = [true_win_rate(policy, "standard", Contaminated(honest, s, cut)) for s in (0, 0.5, 1)]
    curve = np.polyfit([0, 0.5, 1], values, 2)
    assert abs(np.polyval(curve, share) - found) <= 1e-11
    assert values[0] == pytest.approx(true_win_rate(policy, "standard", honest), abs=1e-12)
    assert found > tied + base_only


def test_hacking_everything_alike_leaves_half():
    policy = it.align("exp:10", kl=1.0)
    assert abs(true_win_rate(policy, "bon:4", Contaminated(Gaussian(0.7), 1.0, 0.0)) - 0.5) < 1e-12


def test_nested_contaminations_hack_their_union():
    policy = it.align("identity", kl=0.5)
    twice = Contaminated(Contaminated(Clayton(2.0), 0.5, 0.8), 0.5, 0.8)
    once = Contaminated(Clayton(2.0), 0.75, 0.8)
    assert (
        abs(true_win_rate(policy, "bon:2", twice) - true_win_rate(policy, "bon:2", once)) <= 1e-11
    )


# ------------------------------------------------------------------------------- from samples
def test_tabulated_by_brute_force_over_atoms():
    rng = np.random.default_rng(3)
    reward, truth = rng.integers(0, 5, 12), rng.integers(0, 3, 12)
    known = Tabulated(reward, truth)
    policy = it.align("exp:3", kl=0.3, base=known.base)
    grown = np.cumsum(policy.probs) ** 3
    own = np.diff(grown, prepend=0.0)
    base = np.diff(np.cumsum(known.base.probs) ** 3, prepend=0.0)
    won = 0.0
    for i, x in enumerate(known.base.rewards):
        for j, y in enumerate(known.base.rewards):
            a, b = truth[reward == x][:, None], truth[reward == y][None, :]
            won += own[i] * base[j] * np.mean((a > b) + 0.5 * (a == b))
    assert true_win_rate(policy, "bon:3", known) == pytest.approx(won, abs=1e-13)


def test_many_samples_tabulated_approach_their_copula():
    rng = np.random.default_rng(8)
    u, v = sampled(Frank(5.0), 2000, rng)
    policy = it.align("identity", kl=0.5)
    rough = true_win_rate(policy, "bon:2", Tabulated(u, v))
    assert abs(rough - true_win_rate(policy, "bon:2", Frank(5.0))) < 0.02


@pytest.mark.slow
def test_a_discrete_proxy_rounds_a_continuous_one():
    fine = it.Discrete(np.full(1000, 1 / 1000))
    policy = it.align("identity", kl=0.5, base=fine)
    smooth = true_win_rate(it.align("identity", kl=0.5), "bon:4", Gaussian(0.7))
    assert abs(true_win_rate(policy, "bon:4", Gaussian(0.7)) - smooth) < 1e-5


# -------------------------------------------------------------------------- where truth turns
@pytest.mark.slow
@pytest.mark.parametrize("copula", [c for c in FAMILIES if c.increasing], ids=lambda c: c.name)
@pytest.mark.parametrize("procedure", ["standard", "bon:4", "won:4"])
def test_truth_rises_with_kl_where_it_is_stochastically_increasing(copula, procedure):
    curve = proxies.frontier("exp:5", procedure, copula, kl=[0.01, 0.1, 0.5, 1.5, 4.0])
    assert (np.diff(curve.true_win_rate) > 0.0).all()
    s = np.linspace(-30, 30, 241)
    law = copula.conditional(Points.from_logit(s[None, :]), Points.from_logit(s[:, None]))
    assert (np.diff(law, axis=0) <= 1e-12).all()


@pytest.mark.parametrize("copula", [c for c in FAMILIES if not c.increasing], ids=lambda c: c.name)
def test_what_is_not_called_increasing_is_not(copula):
    s = np.linspace(-30, 30, 241)
    law = copula.conditional(Points.from_logit(s[None, :]), Points.from_logit(s[:, None]))
    assert np.diff(law, axis=0).max() > 1e-4


@pytest.mark.slow
def test_tuned_kl_by_hand_for_a_wholly_hacked_top():
    # every answer above c loses: standard sampling, identity; the truth by direct search
    hacked = Contaminated(Gaussian(0.8), 1.0, 0.9)
    found = proxies.tuned_kl("identity", "standard", hacked, largest_kl=2.0)
    around = [
        true_win_rate(it.align("identity", kl=found.at * (1 + d)), "standard", hacked)
        for d in (-0.02, 0.0, 0.02)
    ]
    assert around[1] == max(around)
    assert around[1] == pytest.approx(found.true_win_rate, abs=1e-12)
    assert "peaks" in found.text


@pytest.mark.slow
def test_tuned_n_is_the_best_of_all_n():
    base = it.align("identity", kl=0)
    hacked = Contaminated(Gaussian(0.7), 0.4, 0.97)
    values = [true_win_rate(base, f"bon:{n}", hacked, "standard") for n in range(1, 41)]
    found = proxies.tuned_n(base, hacked, largest_n=256)
    assert found.at == 1 + int(np.argmax(values))
    assert found.true_win_rate == max(values)


@pytest.mark.slow
def test_never_is_a_theorem_or_a_search():
    base = it.align("identity", kl=0)
    assert proxies.tuned_n(base, Clayton(2.0), largest_n=32).proved
    searched = proxies.tuned_n(base, Contaminated(Clayton(2.0), 0.0, 0.5), largest_n=32)
    assert searched.proved
    student = proxies.tuned_n(base, StudentT(0.9, 30.0), largest_n=32)
    assert student.at is None
    assert not student.proved
    assert "up to 32" in student.text


@pytest.mark.slow
def test_resistance_at_equal_proxy_win_rate():
    hacked = Contaminated(Gaussian(0.7), 0.5, 0.95)
    rows = proxies.resistance(
        ["identity", "log", "exp:10"], "bon:4", hacked, proxy_win_rate=0.75
    ).rows
    assert all(abs(row.proxy_win_rate - 0.75) < 1e-10 for row in rows)
    won = [row.true_win_rate for row in rows]
    assert won == sorted(won, reverse=True)
    assert won[0] - won[-1] > 0.001


# ------------------------------------------------------------------------------------ refusals
def test_what_is_refused(refused):
    policy = it.align("identity", kl=0.5)
    refused(lambda: Gaussian(1.0), "rho = 1", kind=InputError)
    refused(lambda: StudentT(0.5, 0.1), "nu = 0.1", kind=InputError)
    refused(lambda: Clayton(0.0), "theta = 0", kind=InputError)
    refused(lambda: Gumbel(0.5), "theta = 0.5", kind=InputError)
    refused(lambda: Contaminated(Gaussian(0.5), 1.5, 0.5), "share = 1.5", kind=InputError)
    refused(lambda: Contaminated(Gaussian(0.5), 0.5, 1.0), "from_u = 1", kind=InputError)
    refused(lambda: Contaminated("gaussian", 0.5, 0.5), "copula", kind=InputError)
    refused(lambda: Tabulated([1, 2], [1]), "proxy has 2", kind=InputError)
    refused(lambda: true_win_rate(policy, "bon:4", 0.7), "not a proxy", kind=InputError)
    refused(lambda: true_win_rate("identity", "bon:4", Gaussian(0.7)), "not a policy")
    other = it.align("identity", kl=0.1, base=it.Discrete([0.5, 0.5]))
    refused(lambda: true_win_rate(other, "bon:4", Tabulated([1, 2, 3], [1, 2, 3])), "base")
    refused(lambda: Gaussian(0.5).cdf(0.0, 0.5), "strictly between", kind=InputError)
    refused(
        lambda: proxies.resistance(["log"], "bon:4", Gaussian(0.5), kl=1, proxy_win_rate=0.6),
        "exactly one",
    )
    refused(
        lambda: proxies.resistance(["log"], "standard", Gaussian(0.5), proxy_win_rate=1 - 1e-12),
        "log",
        kind=OutOfReachError,
    )
