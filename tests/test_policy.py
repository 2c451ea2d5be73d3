"""The aligned policy: KL and law against exact numbers, closed forms, quadrature and sampling."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from rows import ROWS, folded
from scipy import integrate, stats

import infalign_theory as it
from infalign_theory.errors import OutOfReachError
from infalign_theory.policies import closed_forms
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.quadrature.points import Points

TILTS = list(
    {(r["transform"], r["kl"]): r for r in ROWS if r["kind"] == "tilt"}.values()
)  # one of each law: procedures do not matter here
DISCRETE = [r for r in ROWS if r["kind"] == "discrete" and r["procedure"] == "standard"]
TRANSFORMS = ["identity", "log", "logit", "exp:10", "exp:-10", "power:7", "power:0.5"]
TRANSFORMS += ["expr:exp(3*u)-u", "expr:u-u**2", "expr:step(u-0.7)", "expr:abs(u-0.3)"]
BUILT_IN = [("identity", it.Identity), ("log", it.Log), ("logit", it.Logit)]


def of_transform(row):
    return row["transform"]


@cache
def at_kl(text, kl):
    return it.align(text, kl=kl)


# ------------------------------------------------------------------------------- exact numbers


@folded(TILTS, of_transform)
def test_reference_kl_of_a_beta(row):
    policy = it.align(row["transform"], beta=float(row["beta"]))
    # beta itself is rounded: d log KL / d log beta is about 2
    assert abs(mpf(policy.kl) / mpf(row["kl"]) - 1) <= 1e-12
    assert policy.beta == pytest.approx(float(row["beta"]), rel=4e-16)


@folded(TILTS, of_transform)
def test_reference_beta_of_a_kl(row):
    policy = it.align(row["transform"], kl=float(row["kl"]))
    assert abs(mpf(policy.kl) / mpf(row["kl"]) - 1) <= 1e-12
    assert abs(mpf(policy.beta) / mpf(row["beta"]) - 1) <= 1e-9


@folded(DISCRETE, of_transform)
def test_reference_discrete(row):
    probs = [float(mpf(p.split("/")[0]) / mpf(p.split("/")[1])) for p in row["probs"]]
    base = it.Discrete(probs, row["rewards"])
    policy = it.align(row["transform"], beta=float(row["beta"]), base=base)
    merged = [
        sum(mpf(m) for m, r in zip(row["policy"], row["rewards"], strict=True) if r == reward)
        for reward in base.rewards
    ]
    assert policy.probs == pytest.approx([float(m) for m in merged], rel=1e-14)
    assert policy.kl == pytest.approx(float(mpf(row["kl"])), rel=1e-12)
    again = it.align(row["transform"], kl=policy.kl, base=base)
    assert again.beta == pytest.approx(float(row["beta"]), rel=1e-9)


# -------------------------------------------------------------------------------- closed forms


def exact_kl(name, k):
    """Closed forms of (eq-tilt) and (eq-log), in 60 digits."""
    k = mpf(k)
    if name == "identity":
        return k * (1 / (1 - mp.exp(-k)) - 1 / k) - mp.log(mp.expm1(k) / k)
    if name == "log":
        return mp.log(k + 1) - k / (k + 1)
    beta_law = mp.loggamma(1 + k) + mp.loggamma(1 - k)
    return k * (mp.digamma(1 + k) - mp.digamma(1 - k)) - beta_law


@pytest.mark.parametrize("k", [1e-6, 1e-3, 0.049, 0.051, 0.3, 0.9])
@pytest.mark.parametrize(("name", "kind"), BUILT_IN)
def test_kl_closed_exact_and_by_quadrature(name, kind, k):
    with mp.workdps(60):
        exact = float(exact_kl(name, k))
    closed = closed_forms.KL[kind](k)
    assert closed == pytest.approx(exact, rel=2e-12)
    assert ContinuousTilt.resolve(kind(), k).kl == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("k", [3.0, 700.0, 1e8, 1e17, 1e100])
@pytest.mark.parametrize(("name", "kind"), BUILT_IN[:2])
def test_kl_of_strong_tilts(name, kind, k):
    with mp.workdps(200):
        exact = float(exact_kl(name, k))
    assert closed_forms.KL[kind](k) == pytest.approx(exact, rel=1e-13)
    assert ContinuousTilt.resolve(kind(), k).kl == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("k", [1e-6, 0.5, 0.93])
@pytest.mark.parametrize(("name", "kind"), BUILT_IN)
def test_both_tails_closed_and_by_quadrature(name, kind, k):
    points = Points.from_logit(np.array([-20.0, -9.0, -1.0, 0.0, 0.7, 5.0, 20.0, 40.0, 60.0]))
    policy = ContinuousPolicy(ContinuousTilt.resolve(kind(), k))
    closed = policy.tails(points)
    object.__setattr__(
        policy, "_closed_law", None
    )  # fall back on the grid, which promises tails down to 1e-14
    for by_formula, by_grid in zip(closed, policy.tails(points), strict=True):
        assert by_grid == pytest.approx(by_formula, rel=1e-11, abs=1e-25)


@pytest.mark.parametrize("t", [10.0, -10.0, 0.5])
@pytest.mark.parametrize("kl", [1e-3, 0.5, 5.0])
def test_the_exponential_law_is_an_exponential_integral(t, kl):
    policy = at_kl(f"exp:{t}", kl)
    with mp.workdps(60):
        k, t = 1 / mpf(policy.beta), mpf(t)
        sign = mp.sign(t)

        def climbed(u):
            return mp.ei(sign * k * mp.exp(t * u)) / t

        for u in (0.001, 0.3, 0.9, 0.9999):
            whole = climbed(1) - climbed(0)
            exact = (climbed(mpf(u)) - climbed(0)) / whole
            assert float(policy.cdf(u)) == pytest.approx(float(exact), rel=1e-11)
            assert float(policy.sf(u)) == pytest.approx(float(1 - exact), rel=1e-11)
            density = mp.exp(sign * k * mp.exp(t * mpf(u))) / whole
            assert float(policy.pdf(u)) == pytest.approx(float(density), rel=1e-11)


@pytest.mark.parametrize("n", [2, 4, 32, 1000, 10**6])
def test_the_log_transform_is_best_of_n(n):
    """Best-of-N distillation: F = u^N and KL = log N - (N - 1)/N."""
    policy = it.align("log", beta=1 / (n - 1))
    assert policy.kl == pytest.approx(np.log(n) - (n - 1) / n, rel=1e-12)
    u = np.array([0.01, 0.5, 0.9, 0.999999])
    assert policy.cdf(u) == pytest.approx(u**n, rel=1e-9, abs=1e-300)
    assert policy.pdf(u) == pytest.approx(n * u ** (n - 1.0), rel=1e-9, abs=1e-300)
    assert float(policy.ppf(0.25)) == pytest.approx(0.25 ** (1 / n), rel=1e-13)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("u", "identity"),
        ("exp(10*u)", "exp:10"),
        ("-exp(-10*u)", "exp:-10"),
        ("u**7", "power:7"),
        ("sqrt(u)", "power:0.5"),
        ("log(u)", "log"),
        ("log(u) - log(1-u)", "logit"),
    ],
)
@pytest.mark.parametrize("kl", [1e-8, 0.02, 0.5, 3.0])
def test_a_formula_gives_the_policy_of_the_transform_it_spells(text, same, kl):
    spelt, known = it.align(it.Expression(text), kl=kl), at_kl(same, kl)
    assert spelt.beta == pytest.approx(known.beta, rel=1e-11)
    u = np.array([1e-6, 0.3, 0.7, 0.999])
    assert spelt.cdf(u) == pytest.approx(known.cdf(u), rel=1e-10)
    assert spelt.sf(u) == pytest.approx(known.sf(u), rel=1e-10)


# ------------------------------------------------------------------------- pdf, cdf, ppf and rvs


@pytest.mark.parametrize("kl", [1e-3, 0.4, 1.1])
@pytest.mark.parametrize("text", TRANSFORMS)
def test_the_density_integrates_to_the_cdf(text, kl):
    policy = at_kl(text, kl)
    cuts = [0.0, 0.05, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0]
    pieces = [
        integrate.quad(lambda u: float(policy.pdf(u)), a, b, epsabs=1e-11, limit=200)[0]
        for a, b in pairwise(cuts[:-1])
    ]
    steps = np.diff(policy.cdf(np.array(cuts[:-1])))
    assert steps == pytest.approx(pieces, abs=1e-9)
    assert float(policy.sf(0.99)) == pytest.approx(1 - sum(pieces), abs=1e-9)


@pytest.mark.parametrize("text", TRANSFORMS)
def test_kl_is_the_mean_log_density(text):
    policy = at_kl(text, 0.4)
    cuts = [0.0, 0.3, 0.7, 1.0]

    def term(u):
        f = float(policy.pdf(u))
        return f * np.log(f) if f > 0 else 0.0

    parts = [integrate.quad(term, a, b, epsabs=1e-9, limit=300)[0] for a, b in pairwise(cuts)]
    assert sum(parts) == pytest.approx(0.4, abs=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-8, 0.4, 1.1])
@pytest.mark.parametrize("text", TRANSFORMS)
def test_quantiles_invert_the_cdf(text, kl):
    policy = at_kl(text, kl)
    q = np.concatenate([10.0 ** np.arange(-12, 0), np.linspace(0.15, 0.95, 17), [1 - 1e-6]])
    if text == "logit":
        q = q[q < 0.999]  # its quantiles beyond are closer to 1 than float64 can say
    assert policy.cdf(policy.ppf(q)) == pytest.approx(q, rel=1e-11)
    u = np.linspace(0.02, 0.98, 25)
    held = policy.pdf(u) > 1e-6
    assert policy.ppf(policy.cdf(u[held])) == pytest.approx(u[held], rel=1e-9)
    assert (np.diff(policy.ppf(q)) >= 0).all()
    assert policy.ppf([0.0, 1.0]).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("kl", [0.0, 1e-8, 0.4, 1.1])
@pytest.mark.parametrize("text", TRANSFORMS)
def test_the_two_tails_make_one(text, kl):
    policy = at_kl(text, kl)
    u = np.linspace(0.0, 1.0, 101)
    low, high = policy.cdf(u), policy.sf(u)
    assert low + high == pytest.approx(np.ones(101), rel=1e-13)
    assert (np.diff(low) >= 0).all()
    assert (np.diff(high) <= 0).all()
    assert (low[0], high[0], low[-1], high[-1]) == (0.0, 1.0, 1.0, 0.0)
    assert policy.cdf(0.5).shape == ()
    assert policy.cdf(u.reshape(1, 101)).shape == (1, 101)


def test_tails_far_out():
    policy = it.align("log", beta=0.5)
    assert float(policy.cdf(1e-100)) == pytest.approx(1e-300, rel=1e-12)
    steep = at_kl("exp:-10", 2.0)
    tiny = steep.cdf(np.array([1e-12, 1e-14]))
    # near u = 0 the density is flat: F is f(0) u
    assert tiny == pytest.approx(float(steep.pdf(0.0)) * np.array([1e-12, 1e-14]), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("text", TRANSFORMS)
def test_samples_follow_the_law(text):
    policy = at_kl(text, 0.4)
    sample = policy.rvs(4000, rng=11)
    assert stats.kstest(sample, lambda u: np.asarray(policy.cdf(u))).pvalue > 1e-3
    assert np.array_equal(sample, policy.rvs(4000, rng=np.random.default_rng(11)))


def test_shapes_of_samples():
    policy = at_kl("identity", 0.4)
    assert policy.rvs().shape == (1,)
    assert policy.rvs((2, 3), rng=1).shape == (2, 3)
    assert policy.rvs(0).shape == (0,)
    assert ((policy.rvs(100, rng=2) > 0) & (policy.rvs(100, rng=2) < 1)).all()


# ---------------------------------------------------------------------------- whole-policy laws


@pytest.mark.parametrize("text", TRANSFORMS)
def test_no_budget_is_the_base(text):
    policy = it.align(text, kl=0)
    u = np.linspace(0, 1, 11)
    assert policy.kl == 0.0
    assert policy.beta == np.inf
    assert policy.cdf(u) == pytest.approx(u, rel=1e-13)
    assert policy.pdf(u[1:-1]) == pytest.approx(np.ones(9), rel=1e-13)


@pytest.mark.slow
@given(st.floats(-3, 3).filter(lambda c: abs(c) > 1e-3), st.floats(1e-3, 1e3))
def test_scale_and_offset_of_a_transform_are_beta(offset, scale):
    text = "a*(exp(3*u)-u) + b"
    moved = it.align(it.Expression(text, a=scale, b=offset), beta=5.0 * scale)
    plain = it.align("expr:exp(3*u)-u", beta=5.0)
    assert moved.kl == pytest.approx(plain.kl, rel=1e-11)
    assert moved.cdf(0.6) == pytest.approx(plain.cdf(0.6), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("u", "1-u"),
        ("exp(4*u)", "exp(4*(1-u))"),
        ("u-u**3", "1-u-(1-u)**3"),
        ("log(u)", "log(1-u)"),
    ],
)
def test_reflection(text, mirrored):
    one, two = (it.align(it.Expression(t), kl=0.7) for t in (text, mirrored))
    u = np.linspace(0.05, 0.95, 19)
    assert two.beta == pytest.approx(one.beta, rel=1e-11)
    assert two.cdf(u) == pytest.approx(one.sf(1 - u), rel=1e-10)


@pytest.mark.parametrize("text", ["identity", "log", "exp:10", "exp:-10", "logit"])
def test_kl_falls_with_beta(text):
    betas = np.geomspace(1.2, 1e6, 40)
    spent = [it.align(text, beta=b).kl for b in betas]
    assert (np.diff(spent) < 0).all()


@pytest.mark.parametrize("kl", [*np.geomspace(1e-8, 20, 25).tolist(), 12.5, 13.0, 13.5, 14.0])
def test_logit_spends_any_promised_budget(kl):
    """The heavy tail of the logit tilt, up to the 20 nats promised."""
    policy = it.align("logit", kl=kl)
    with mp.workdps(60):
        assert float(exact_kl("logit", 1 / mpf(policy.beta))) == pytest.approx(kl, rel=1e-9)


@pytest.mark.parametrize("a", [0.05, 0.3, 0.9])
def test_a_step_spends_at_most_the_log_of_its_share(a, refused):
    text = f"expr:step(u-{1 - a})"
    error = refused(lambda: it.align(text, kl=-np.log(a) + 0.01), kind=OutOfReachError)
    assert error.limit == pytest.approx(-np.log(a), rel=1e-9)
    policy = it.align(text, kl=-0.9 * np.log(a))
    inside = float(policy.sf(1 - a))
    kl = inside * np.log(inside / a) + (1 - inside) * np.log((1 - inside) / (1 - a))
    assert kl == pytest.approx(-0.9 * np.log(a), rel=1e-11)


def test_refused_rewards_cost_kl():
    """Minus infinity below 1/4 costs log(4/3) at any beta."""
    policy = it.align(it.Expression("u + log(step(u - 0.25))"), beta=1e9)
    assert policy.kl == pytest.approx(np.log(4 / 3), rel=1e-6)
    assert float(policy.cdf(0.2499)) == 0.0


# ------------------------------------------------------------------------------ discrete policies


def half_tie(text, base, k):
    """p exp(k Phi(u)) by a plain loop."""
    phi = {"identity": lambda u: u, "exp:10": lambda u: mp.exp(10 * u), "log": mp.log}[text]
    tilted = [
        mpf(p) * mp.exp(mpf(k) * phi(mpf(u))) for p, u in zip(base.probs, base.u, strict=True)
    ]
    total = sum(tilted)
    masses = [m / total for m in tilted]
    kl = sum(m * mp.log(m / p) for m, p in zip(masses, base.probs, strict=True) if m > 0)
    return [float(m) for m in masses], float(kl)


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 50), min_size=2, max_size=6),
    st.sampled_from(["identity", "exp:10", "log"]),
    st.floats(-6, 3),
)
def test_atoms_are_tilted(counts, text, log_k):
    base = it.Discrete(np.array(counts) / sum(counts))
    k = np.exp(log_k) / (np.exp(10) if text == "exp:10" else 1.0)
    policy = it.align(text, beta=1 / k, base=base)
    with mp.workdps(40):
        masses, kl = half_tie(text, base, k)
    assert policy.probs == pytest.approx(masses, rel=1e-12)
    assert policy.kl == pytest.approx(kl, rel=1e-12, abs=5e-16)  # the atoms sum to 1 that well
    assert policy.kl <= -np.log(base.probs[-1]) + 1e-12


@pytest.mark.parametrize("probs", [[0.25, 0.25, 0.5], [0.1, 0.2, 0.3, 0.4]])
@pytest.mark.parametrize(
    "text", ["exp:50", "exp:100", "exp:150", "exp:-100", "power:40", "power:200", "expr:exp(100*u)"]
)
def test_steep_transforms_on_coarse_atoms(text, probs):
    """Differences between atoms decide the tilt, however far the top atom is from u = 1."""
    base = it.Discrete(probs)
    number = 100 if text.startswith("expr") else float(text.partition(":")[2])
    with mp.workdps(400):
        if text.startswith("power"):
            phi = [mpf(u) ** mpf(number) for u in base.u]
        else:
            phi = [mp.sign(number) * mp.exp(mpf(number) * mpf(u)) for u in base.u]
        beta = float(phi[-1] - phi[0])
        tilted = [
            mpf(p) * mp.exp((x - phi[-1]) / mpf(beta)) for p, x in zip(probs, phi, strict=True)
        ]
        exact = [float(x / sum(tilted)) for x in tilted]
    policy = it.align(text, beta=beta, base=base)
    assert policy.probs == pytest.approx(exact, rel=1e-12)
    # Phi takes two values in effect, whatever the exponent: the same budget, the same policy
    gap = [it.align(t, kl=0.2, base=base).probs[-1] for t in (text, "exp:40")]
    if number > 0:
        assert gap[0] == pytest.approx(gap[1], abs=1e-3)


def test_the_law_of_a_discrete_policy_is_that_of_its_atoms():
    base = it.Discrete([0.2, 0.3, 0.5], [3.0, 1.0, 2.0])
    policy = it.align("identity", beta=0.4, base=base)
    for i, u in enumerate(base.u):
        assert float(policy.cdf(u)) == pytest.approx(policy.probs[: i + 1].sum(), rel=1e-15)
        assert float(policy.sf(u)) == pytest.approx(policy.probs[i + 1 :].sum(), abs=1e-16)
        assert float(policy.pdf(u)) == pytest.approx(policy.probs[i] / base.probs[i], rel=1e-14)
    assert float(policy.cdf(base.u[0] - 1e-9)) == 0.0
    edges = np.cumsum(policy.probs)
    assert policy.ppf([0.0, edges[0] - 1e-9, edges[0] + 1e-9, 1.0]).tolist() == [
        base.u[0],
        base.u[0],
        base.u[1],
        base.u[2],
    ]
    sample = policy.rvs(20000, rng=3)
    counts = np.array([(sample == u).sum() for u in base.u])
    assert stats.chisquare(counts, 20000 * policy.probs).pvalue > 1e-3


@pytest.mark.parametrize("kl", [1e-12, 1e-6, 0.1, 1.0, 1.6])
@pytest.mark.parametrize("text", ["identity", "log", "exp:10", "exp:-10", "logit", "power:7"])
def test_a_discrete_policy_spends_its_budget(text, kl):
    base = it.Discrete([0.4, 0.1, 0.3, 0.2])  # -log 0.2 = 1.609
    assert it.align(text, kl=kl, base=base).kl == pytest.approx(kl, rel=1e-9)


@pytest.mark.parametrize("kl", [1.61, 5.0, -np.log(0.2)])
def test_a_budget_beyond_the_top_atom_names_the_largest(kl, refused):
    base = it.Discrete([0.4, 0.1, 0.3, 0.2])
    error = refused(
        lambda: it.align("identity", kl=kl, base=base), "1.609", "identity", kind=OutOfReachError
    )
    assert error.limit == pytest.approx(-np.log(0.2), rel=1e-14)


def test_one_atom_and_constant_transforms_spend_nothing(refused):
    one = it.Discrete([1.0])
    assert it.align("exp:10", beta=1.0, base=one).kl == 0.0
    refused(lambda: it.align("exp:10", kl=0.1, base=one), "0.1", kind=OutOfReachError)
    two = it.Discrete([0.5, 0.5])
    refused(lambda: it.align("expr:3", kl=0.1, base=two), "0.1", kind=OutOfReachError)


@pytest.mark.parametrize("top", [1e-300, 1e-30, 1e-5])
def test_a_tiny_top_atom_can_take_everything(top):
    base = it.Discrete([0.5, 0.5 - top, top])
    limit = -np.log(top)
    policy = it.align("identity", kl=0.9 * limit, base=base)
    assert policy.kl == pytest.approx(0.9 * limit, rel=1e-9)
    # the chain rule: KL of 'top atom or not', plus at most log 2 within the two others
    q = policy.probs[-1]
    binary = q * np.log(q / top) + (1 - q) * np.log((1 - q) / (1 - top))
    assert binary - 1e-9 <= policy.kl <= binary + (1 - q) * np.log(2.001) + 1e-9
    assert np.isfinite(policy.probs).all()


@pytest.mark.slow
def test_a_million_atoms_still_sum_to_one():
    rng = np.random.default_rng(1)
    mass = rng.random(1_000_000)
    base = it.Discrete(mass / mass.sum())
    policy = it.align("exp:10", kl=0.5, base=base)
    assert abs(float(np.sum(policy.probs)) - 1.0) <= 1e-12
    assert policy.kl == pytest.approx(0.5, rel=1e-9)
    # atoms this small are a continuum
    assert policy.beta == pytest.approx(at_kl("exp:10", 0.5).beta, rel=1e-5)


# ------------------------------------------------------------------------------------- refusals

HUGE = pytest.param(10**400, id="huge")
NOT_A_NUMBER = [float("nan"), float("inf"), -float("inf"), True, "x", None, [0.5], 1j, HUGE]


@pytest.mark.parametrize("base", [None, it.Discrete([0.5, 0.5])], ids=["continuous", "discrete"])
@pytest.mark.parametrize("value", NOT_A_NUMBER)
@pytest.mark.parametrize("which", ["beta", "kl"])
def test_bad_numbers(which, value, base, refused):
    says = {"None": "neither", repr(10**400): which}.get(repr(value), value)
    refused(lambda: it.align("identity", **{which: value}, base=base), says)


@pytest.mark.parametrize("beta", [0, -1, -0.0, 1e-310])
def test_beta_is_positive(beta, refused):
    refused(lambda: it.align("identity", beta=beta), "beta", "positive")


def test_budgets_are_not_negative(refused):
    refused(lambda: it.align("identity", kl=-0.25), "-0.25", "at least 0")
    refused(lambda: it.align("identity"), "neither", "kl=0.5")
    refused(lambda: it.align("identity", beta=1.0, kl=1.0), "both")


@pytest.mark.parametrize("beta", [1.0, 0.5, 1e-6])
@pytest.mark.parametrize("text", ["logit", "expr:-log(1-u)", "expr:-log(u)"])
def test_a_tilt_without_normaliser_names_a_beta_that_works(text, beta, refused):
    error = refused(lambda: it.align(text, beta=beta), "above 1", f"{beta:g}"[:3])
    assert "normaliser" in str(error)
    assert it.align(text, beta=1.5).kl > 0


def test_no_beta_works_for_a_pole(refused):
    refused(lambda: it.align("expr:1/(1-u)", beta=10.0), "1/(1-u)", "no beta works")
    refused(lambda: it.align("expr:1/u", kl=0.5), "1/u", "no beta works")


@pytest.mark.parametrize("text", ["expr:3", "expr:3+0*u", "expr:step(u+1)"])
def test_a_constant_transform_trains_nothing(text, refused):
    assert it.align(text, kl=0).kl == 0.0
    assert it.align(text, beta=1.0).kl == pytest.approx(0.0, abs=1e-15)
    error = refused(lambda: it.align(text, kl=0.5), "0.5", text, kind=OutOfReachError)
    assert error.limit == 0.0


@pytest.mark.parametrize("q", [-1e-9, 1.1, np.nan, np.inf, [0.5, 2.0], "x", None, HUGE])
@pytest.mark.parametrize("method", ["pdf", "cdf", "sf", "ppf"])
@pytest.mark.parametrize("base", [None, it.Discrete([0.5, 0.5])], ids=["continuous", "discrete"])
def test_arguments_outside_the_unit_interval(method, q, base, refused):
    policy = it.align("log", beta=1.0, base=base)
    refused(lambda: getattr(policy, method)(q), "[0, 1]")


@pytest.mark.parametrize("size", [-1, 2.5, "x", float("nan"), (2, -1)])
def test_sizes_that_are_none(size, refused):
    refused(lambda: at_kl("identity", 0.4).rvs(size), size)


@pytest.mark.parametrize("rng", [-1, 2.5, "x", float("nan")])
def test_generators_that_are_none(rng, refused):
    refused(lambda: at_kl("identity", 0.4).rvs(1, rng), rng)


@pytest.mark.parametrize("transform", [None, 3, "exp:0", "nope", it.BestOfN(2)])
def test_no_transform(transform, refused):
    refused(lambda: it.align(transform, kl=0.5))


def beyond_float64(text, beta):
    """Which extremes are refused: mass closer to an end than float64 reaches, and lost digits."""
    if text == "logit":
        return beta <= 1.0  # no normaliser at all
    if text == "expr:step(u-0.7)":
        return False  # two constants, whatever their distance
    if text.startswith("expr:") and beta > 1e200:
        return True  # k Phi is lost in the smallest numbers
    closest = {"expr:u-u**2": 1e-8, "exp:600": 1e-50, "exp:-600": 0.0}
    return beta < closest.get(text, 1e-200)


@pytest.mark.slow
@pytest.mark.parametrize("beta", [1e-299, 1e-100, 1e-9, 1e-3, 1e6, 1e100, 1e300])
@pytest.mark.parametrize("text", [*TRANSFORMS, "exp:600", "exp:-600", "power:1e+06", "power:1e-06"])
def test_extreme_beta_gives_numbers_or_an_error_that_says_so(text, beta, refused):
    if beyond_float64(text, beta):
        refused(lambda: it.align(text, beta=beta), "beta", text.split(":")[0])
        return
    policy = it.align(text, beta=beta)
    numbers = [policy.kl, *policy.cdf([0, 0.5, 1]), *policy.sf([0, 0.5, 1]), *policy.ppf([0, 0.5])]
    assert not np.isnan(numbers).any()
    assert policy.kl >= 0.0


@pytest.mark.slow
@pytest.mark.parametrize("kl", [5e-324, 1e-300, 1e-20, 50.0, 690.0, 1e300])
@pytest.mark.parametrize("text", [*TRANSFORMS[:8], "exp:600", "exp:-600", "power:1e6"])
def test_extreme_budgets_are_spent_or_refused(text, kl, refused):
    if kl < 1e-100:
        refused(lambda: it.align(text, kl=kl), "too small to be told from 0")
        return
    if kl > 600.0:
        refused(lambda: it.align(text, kl=kl), "smaller")
        return
    policy = it.align(text, kl=kl)
    assert policy.kl == pytest.approx(kl, rel=1e-9, abs=1e-12)
