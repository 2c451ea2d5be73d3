"""Policies under any divergence: exact numbers, high precision, convex programs, identities."""

import pickle

import numpy as np
import pytest
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.divergences import as_divergence
from infalign_theory.errors import OutOfReachError

DIVERGENCES = ["forward-kl", "chi2", "chi2+kl", "js", "alpha:0.5", "alpha:1.5", "alpha:3"]
BOUNDED_SLOPE = ["forward-kl", "js", "alpha:0.5"]

# ----------------------------------------------------------------------------------- exact numbers

AT_HALF_A_NAT = [
    ("forward-kl", "bon:2", 0.8142842584),
    ("forward-kl", "bon:4", 0.8581602731),
    ("forward-kl", "bon:16", 0.8971972627),
    ("forward-kl", "won:4", 0.7803896257),
    ("forward-kl", "standard", 0.7519667572),
    ("chi2", "bon:4", 0.7361112168),
    ("chi2", "won:4", 0.9419819762),
    ("chi2", "won:16", 0.9993697326),
    ("chi2", "standard", 0.7547470390),
]


@pytest.mark.parametrize(("divergence", "procedure", "exact"), AT_HALF_A_NAT)
def test_identity_at_half_a_nat(divergence, procedure, exact):
    policy = it.align("identity", kl=0.5, divergence=divergence)
    assert it.win_rate(policy, procedure) == pytest.approx(exact, abs=1e-9)
    assert policy.kl == pytest.approx(0.5, rel=1e-12)


def test_beta_of_the_forward_kl():
    policy = it.align("identity", kl=0.5, divergence="forward-kl")
    assert policy.beta == pytest.approx(0.2751490201, abs=1e-10)


@pytest.mark.parametrize(
    ("divergence", "best", "worst"), [("forward-kl", 0.84874, 0.61018), ("chi2", 0.84785, 0.74630)]
)
def test_exponential_at_half_a_nat(divergence, best, worst):
    policy = it.align("exp:10", kl=0.5, divergence=divergence)
    assert it.win_rate(policy, "bon:4") == pytest.approx(best, abs=5e-6)
    assert it.win_rate(policy, "won:4") == pytest.approx(worst, abs=5e-6)


@pytest.mark.parametrize("kl", [0.3, 0.5, 2.0, 10.0, 20.0])
def test_chi_squared_identity_is_a_triangle(kl):
    """f = 2 (u - a)/c^2 on [a, 1], c = 1 - a, KL = log(2/c) - 1/2, once the base's end is left."""
    policy = it.align("identity", kl=kl, divergence="chi2")
    c = 2.0 * np.exp(-kl - 0.5)
    assert policy.beta == pytest.approx(c * c / 2, rel=1e-9)
    assert 1.0 - policy.mean() == pytest.approx(c / 3, rel=1e-9)
    assert policy.std() == pytest.approx(c / np.sqrt(18), rel=1e-9)
    if c > 1e-3:
        u = np.array([0.0, 1 - c - 1e-9, 1 - c / 2, 1 - c / 4, 1.0])
        shares = np.maximum(u - 1 + c, 0.0) / c
        assert policy.pdf(u) == pytest.approx(2 / c * shares, rel=1e-9, abs=1e-12)
        assert policy.cdf(u) == pytest.approx(shares**2, rel=1e-9, abs=1e-14)
        assert policy.ppf(0.25) == pytest.approx(1 - c / 2, rel=1e-10)


@pytest.mark.parametrize(("t", "kl"), [(10, 0.5), (100, 2.0), (100, 10.0), (100, 20.0)])
def test_forward_kl_of_an_exponential_in_closed_form(t, kl):
    """With y = exp(t u) the density beta/(level - y) integrates to a logarithm, F to a logit."""
    policy = it.align(it.Exponential(t), kl=kl, divergence="forward-kl")
    with mp.workdps(60):
        beta, top = mpf(float(policy.beta)), mp.exp(t)

        def excess(x):  # level = top (1 + exp(x))
            return t * top * (1 + mp.exp(x)) / beta + x - mp.log(top * (1 + mp.exp(x)) - 1)

        x = mp.findroot(excess, (mpf(-300), mpf(20)), solver="anderson")
        level = top * (1 + mp.exp(x))
        low = mp.log(level - 1)
        whole = t * level / beta
        middle = low / whole  # where y is half the level

        def logistic(p):
            return mp.log1p(mp.exp(p * whole - low))

        edges = [0, *(middle + c / whole for c in (-20, -5, 0, 5)), 1]
        edges = sorted(mpf(e) for e in edges if 0 <= e <= 1)
        spent = mp.log(beta / level) + mp.quad(logistic, edges)

        def won(power):  # E of u at the best of so many of ours, to the same power
            def of(p):
                u = (mp.log(level) + p * whole - low - logistic(p)) / t
                return power * p ** (power - 1) * u**power

            return mp.quad(of, edges)

        assert float(spent) == pytest.approx(kl, rel=1e-10)
        assert it.win_rate(policy) == pytest.approx(float(won(1)), abs=1e-12)
        assert it.win_rate(policy, "bon:4") == pytest.approx(float(won(4)), abs=1e-12)


@pytest.mark.parametrize("beta", [0.05, 0.3, 2.0])
def test_forward_kl_identity_in_closed_form(beta):
    """f = beta/(lambda - u) with lambda = 1/(1 - exp(-1/beta))."""
    policy = it.align("identity", beta=beta, divergence="forward-kl")
    above = 1.0 / np.expm1(1.0 / beta)  # lambda - 1
    u = np.linspace(0, 1, 9)
    assert policy.beta == beta
    assert policy.pdf(u) == pytest.approx(beta / (above + (1 - u)), rel=1e-11)
    exact = beta * np.log((above + 1) / (above + (1 - u)))
    assert policy.cdf(u) == pytest.approx(exact, rel=1e-11)


# --------------------------------------------------------------------- twenty-two digits, by mpmath

PHI = {
    "identity": lambda u: u,
    "log": mp.log,
    "exp:10": lambda u: mp.exp(10 * u),
    "exp:-10": lambda u: -mp.exp(-10 * u),
}
TOP = {"identity": 1, "log": 0, "exp:10": mp.exp(10), "exp:-10": -mp.exp(-10)}


def exact_inverse(name, x):
    """(h')^-1, from the definition."""
    if name == "chi2+kl":
        return mp.lambertw(mp.exp(1 + x)).real
    if name == "js":
        return mp.exp(2 * x) / (2 - mp.exp(2 * x))
    alpha = mpf({"forward-kl": 0, "chi2": 2}.get(name) or name.partition(":")[2] or 0)
    base = 1 + (alpha - 1) * x
    return mp.power(base, 1 / (alpha - 1)) if base > 0 else mpf(0)


def exact_policy(divergence, transform, beta):
    """Density, KL and support's lower end for a beta, from integrals of as many digits."""
    phi, beta = PHI[transform], mpf(beta)
    largest = as_divergence(divergence).largest_slope
    smallest = as_divergence(divergence).smallest_slope

    def lower_end(level):
        if smallest == -np.inf:
            return mpf(0)
        edge = level + beta * mpf(smallest)
        inverse = {
            "identity": lambda y: y,
            "log": mp.exp,
            "exp:10": lambda y: mp.log(y) / 10 if y > 1 else mpf(0),
            "exp:-10": lambda y: -mp.log(-y) / 10 if y < 0 else mpf(1),
        }[transform]
        return max(mpf(0), inverse(edge))

    def pieces(low):
        grid = [1 - (1 - low) * mpf(10) ** -j for j in range(0, 9)] + [mpf(1)]
        inner = [low + (grid[1] - low) * mpf(10) ** -j for j in range(9, 0, -1)]
        return [low, *inner, *grid[1:]]

    def integral(level, g):
        low = lower_end(level)
        return mp.quad(
            lambda u: g(u, exact_inverse(divergence, (phi(u) - level) / beta)), pieces(low)
        )

    # the level lies between these: f >= 1 everywhere, or h' at its bound at the top
    top = mpf(TOP[transform])
    start = top - beta * mpf(largest) * (1 - mpf(10) ** -14) if largest < np.inf else top - 60
    level = mp.findroot(
        lambda x: integral(x, lambda u, f: f) - 1,
        level_guess(divergence, transform, float(beta)),
        tol=mpf(10) ** -36,
    )
    assert level > start - 100
    kl = integral(level, lambda u, f: f * mp.log(f) if f > 0 else mpf(0))
    return level, kl, lower_end(level), integral


def level_guess(divergence, transform, beta):
    """From our own density at one point: only a place to start the search."""
    policy = it.align(transform, beta=beta, divergence=divergence)
    f = float(policy.pdf(0.97))
    return mpf(PHI[transform](mpf("0.97"))) - mpf(beta) * mpf(
        float(as_divergence(divergence).slope(f))
    )


ORACLE = [
    ("forward-kl", "identity", 1e-6),
    ("forward-kl", "exp:10", 0.5),
    ("chi2", "identity", 0.1),
    ("chi2", "exp:-10", 1.0),
    ("chi2+kl", "log", 0.5),
    ("chi2+kl", "identity", 3.0),
    ("js", "identity", 1.0),
    ("js", "exp:10", 1e-3),
    ("alpha:0.5", "log", 0.5),
    ("alpha:3", "identity", 0.05),
]


@pytest.mark.slow
@pytest.mark.parametrize(("divergence", "transform", "kl"), ORACLE)
def test_against_high_precision(divergence, transform, kl):
    policy = it.align(transform, kl=kl, divergence=divergence)
    with mp.workdps(22):
        level, exact_kl, low, integral = exact_policy(divergence, transform, policy.beta)
        assert float(abs(exact_kl / mpf(policy.kl) - 1)) <= 1e-9
        # standard and both extremes through the exact CDF: E[u], E of 1 - F^2 and (1-F)^2 by parts
        mean = integral(level, lambda u, f: u * f)
        assert policy.mean() == pytest.approx(float(mean), abs=1e-10)
        assert it.win_rate(policy) == pytest.approx(float(mean), abs=1e-10)
        at = mpf("0.6")
        if low < at:
            f = exact_inverse(divergence, (PHI[transform](at) - level) / mpf(policy.beta))
            assert float(policy.pdf(0.6)) == pytest.approx(float(f), rel=1e-9)


# --------------------------------------------------------------------- promises over a whole grid


@pytest.mark.slow
@pytest.mark.parametrize("divergence", DIVERGENCES)
@pytest.mark.parametrize("transform", ["identity", "log", "exp:10", "exp:-10"])
@pytest.mark.parametrize("kl", [1e-8, 1e-3, 1.0, 20.0])
def test_budgets_are_spent(divergence, transform, kl):
    policy = it.align(transform, kl=kl, divergence=divergence)
    assert policy.kl == pytest.approx(kl, rel=1e-9)
    assert float(policy.cdf(1.0)) == pytest.approx(1.0, abs=1e-13)
    again = it.align(transform, beta=policy.beta, divergence=divergence)
    assert again.kl == pytest.approx(kl, rel=1e-8)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_stationarity(divergence):
    """h'(f) is affine in Phi on the support and not above that line elsewhere."""
    policy = it.align("identity", kl=0.7, divergence=divergence)
    u = np.linspace(0.02, 0.99, 40)
    f = policy.pdf(u)
    held = f > 0
    slope = as_divergence(divergence).slope(f)
    level = u - policy.beta * slope
    assert np.ptp(level[held]) <= 1e-11
    if (~held).any():
        smallest = as_divergence(divergence).smallest_slope
        assert (u[~held] - level[held].mean() <= policy.beta * smallest + 1e-12).all()


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_penalty_is_a_transform(divergence):
    """Reverse KL with the effective transform leads to the same policy, at beta 1 or by KL."""
    policy = it.align("identity", kl=0.5, divergence=divergence)
    for again in (
        it.align(policy.effective_transform, beta=1.0),
        it.align(policy.effective_transform, kl=0.5),
    ):
        assert again.kl == pytest.approx(0.5, rel=1e-9)
        for procedure in ("standard", "bon:4", "won:4"):
            ours, theirs = it.win_rate(policy, procedure), it.win_rate(again, procedure)
            assert ours == pytest.approx(theirs, abs=2e-10)


def moments(transform, n, sign):
    """E[x Phi_0], E[x^2 Phi_0] and E[x^3] with x the standardised values of Phi under the base.

    Phi_0' = g'(u)^2 is the derivative of the win rate at the base.
    """
    with mp.workdps(20):
        phi = PHI[transform]

        def mean(g):
            return mp.quad(g, [0, 0.25, 0.5, 0.75, 0.9, 1])

        centre = mean(phi)
        sd = mp.sqrt(mean(lambda u: (phi(u) - centre) ** 2))

        def best(u):
            v = u if sign > 0 else 1 - u
            return sign * mpf(n) ** 2 * v ** (2 * n - 1) / (2 * n - 1)

        middle = mean(best)

        def cov(power):
            return mean(lambda u: ((phi(u) - centre) / sd) ** power * (best(u) - middle))

        return float(cov(1)), float(cov(2)), float(mean(lambda u: ((phi(u) - centre) / sd) ** 3))


# minus the third over the second derivative of h at 1
BEND = {"kl": 1.0, "forward-kl": 2.0, "chi2": 0.0, "chi2+kl": 0.5, "js": 1.5, "alpha:0.5": 1.5}
BEND |= {"alpha:1.5": 0.5, "alpha:3": -1.0}


@pytest.mark.parametrize("transform", ["identity", "exp:-10"])
@pytest.mark.parametrize(("n", "sign"), [(1, 1), (4, 1), (4, -1)])
def test_where_divergences_part(transform, n, sign):
    """All W agree to order sqrt(KL); at order KL they are linear in the bend of h at 1."""
    procedure = f"{'bon' if sign > 0 else 'won'}:{n}"
    first, second, skew = moments(transform, n, sign)
    for kl in (1e-4, 1e-6):
        won = {
            name: it.win_rate(it.align(transform, kl=kl, divergence=name), procedure)
            for name in BEND
        }
        for name, bend in BEND.items():
            assert abs(won[name] - 0.5 - np.sqrt(2 * kl) * first) <= 12.0 * kl
            parted = (bend - 1.0) * kl * (second - skew * first)
            assert won[name] - won["kl"] == pytest.approx(parted, abs=30.0 * kl**1.5 + 2e-10)


@pytest.mark.slow
def test_friends_of_best_and_worst():
    """At half a nat a lower alpha wins more under Best-of-N and less under Worst-of-N."""
    order = ["forward-kl", "alpha:0.5", "kl", "alpha:1.5", "chi2", "alpha:3"]
    policies = [it.align("identity", kl=0.5, divergence=d) for d in order]
    for n in (4, 16):
        best = [it.win_rate(p, f"bon:{n}") for p in policies]
        worst = [it.win_rate(p, f"won:{n}") for p in policies]
        assert (np.diff(best) < 0).all()
        assert (np.diff(worst) > 0).all()


@pytest.mark.slow
def test_a_hump_keeps_both_edges():
    """A transform that is not monotone: the support is an interval inside (0, 1)."""
    policy = it.align("expr:u-u**2", kl=0.5, divergence="chi2")
    # f = (3/2)(1 - x^2)/c on [1/2 - c, 1/2 + c], x = (u - 1/2)/c; h = 1/(2c) in units of the base
    c = 0.75 * np.exp(-0.5 + hump_entropy())
    assert policy.pdf(0.5) == pytest.approx(0.75 / c, rel=1e-9)
    assert policy.cdf([0.5 - c - 1e-9, 0.5, 0.5 + c]) == pytest.approx([0, 0.5, 1], abs=1e-12)


def hump_entropy():
    """Mean of log(1 - x^2) under (3/4)(1 - x^2) on [-1, 1]."""
    return 2 * np.log(2) - 5 / 3


# ------------------------------------------------------------------------------------- discrete


@pytest.mark.parametrize("divergence", ["kl", *DIVERGENCES])
def test_convex_program_on_atoms(divergence):
    """E[Phi] - beta D is maximal, and no feasible direction climbs (KKT), against CVXPY."""
    cp = pytest.importorskip("cvxpy")
    p = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
    base = it.Discrete(p)
    policy = it.align("identity", kl=0.6, base=base, divergence=divergence)
    h = as_divergence(divergence)
    f = cp.Variable(p.size)
    penalty = {
        "kl": lambda: -cp.entr(f),
        "forward-kl": lambda: -cp.log(f),
        "chi2": lambda: cp.square(f - 1) / 2,
        "chi2+kl": lambda: cp.square(f - 1) / 2 - cp.entr(f),
        "js": lambda: (cp.rel_entr(f, (1 + f) / 2) + cp.rel_entr(1, (1 + f) / 2)) / 2,
        "alpha:0.5": lambda: -4 * cp.sqrt(f),
        "alpha:1.5": lambda: cp.power(f, 1.5) / 0.75,
        "alpha:3": lambda: cp.power(f, 3) / 6,
    }[divergence]()
    gain = cp.sum(cp.multiply(p * base.u, f)) - policy.beta * cp.sum(cp.multiply(p, penalty))
    cp.Problem(cp.Maximize(gain), [p @ f == 1, f >= 0]).solve(
        solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )

    def objective(density):
        return float(np.sum(p * (base.u * density - policy.beta * h.value(density))))

    ours = policy.probs / p
    theirs = np.maximum(f.value, 0.0)
    theirs = theirs / (p @ theirs)
    assert objective(ours) >= objective(theirs) - 1e-12
    assert ours == pytest.approx(theirs, abs=2e-4)
    assert policy.kl == pytest.approx(0.6, rel=1e-9)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_atoms_up_to_their_limit(divergence, refused):
    base = it.Discrete([0.5, 0.3, 0.2])
    limit = -np.log(0.2)
    near = it.align("identity", kl=0.999 * limit, base=base, divergence=divergence)
    assert near.kl == pytest.approx(0.999 * limit, rel=1e-9)
    error = refused(
        lambda: it.align("identity", kl=limit + 0.01, base=base, divergence=divergence),
        divergence,
        kind=OutOfReachError,
    )
    assert error.limit == pytest.approx(limit, rel=1e-12)
    tiny = it.align("identity", kl=1e-8, base=base, divergence=divergence)
    assert tiny.kl == pytest.approx(1e-8, rel=1e-9)


@pytest.mark.slow
def test_many_atoms_are_a_continuum():
    base = it.Discrete(np.full(20000, 1 / 20000))
    for divergence in ("forward-kl", "chi2", "chi2+kl", "js"):
        fine = it.align("identity", kl=0.5, divergence=divergence)
        atoms = it.align("identity", kl=0.5, base=base, divergence=divergence)
        assert atoms.beta == pytest.approx(fine.beta, rel=1e-4)
        assert it.win_rate(atoms, "bon:4") == pytest.approx(it.win_rate(fine, "bon:4"), abs=1e-4)


# -------------------------------------------------------------------------------- limits, refusals


@pytest.mark.slow
def test_condensation_names_the_limit(refused):
    """alpha = -1: f tends to 1/(2 sqrt(1 - u)), whose KL is 1 - log 2: no density spends more."""
    error = refused(
        lambda: it.align("identity", kl=0.5, divergence="alpha:-1"), kind=OutOfReachError
    )
    assert error.limit == pytest.approx(1 - np.log(2), rel=1e-6)
    error = refused(
        lambda: it.align("identity", beta=0.01, divergence="alpha:-1"),
        "beta above",
        kind=OutOfReachError,
    )
    # 1 = integral of (2 v/beta)^(-1/2)
    assert error.limit == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("divergence", BOUNDED_SLOPE)
def test_unbounded_transforms_need_an_unbounded_slope(divergence, refused):
    refused(lambda: it.align("logit", kl=0.5, divergence=divergence), "logit", "bounded above")
    assert it.align("logit", kl=0.5, divergence="chi2").kl == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize(
    ("text", "hint"), [("foward-kl", "forward-kl"), ("alpha:x", "alpha:0.5"), (3, "chi2")]
)
def test_unknown_divergences(text, hint, refused):
    refused(lambda: it.align("identity", kl=0.5, divergence=text), hint)


def test_spellings():
    for text, name in [
        ("Forward KL", "forward-kl"),
        ("chi-squared", "chi2"),
        ("χ²", "chi2"),
        ("KL+chi2", "chi2+kl"),
        ("Jensen-Shannon", "js"),
        ("reverse_kl", "kl"),
        ("alpha=0.5", "alpha:0.5"),
        ("alpha:1", "kl"),
        ("alpha:0", "forward-kl"),
    ]:
        assert as_divergence(text).name == name
        assert as_divergence(as_divergence(text).name) == as_divergence(text)


def test_a_bare_number_is_neither_beta_nor_kl(refused):
    refused(lambda: it.align("exp:10", 0.5), "beta=0.5", "kl=0.5")


@pytest.mark.parametrize("base", [None, it.Discrete([0.5, 0.3, 0.2])], ids=["continuous", "atoms"])
@pytest.mark.parametrize("divergence", ["kl", "chi2", "forward-kl"])
def test_policies_are_values(base, divergence):
    policy = it.align("identity", kl=0.3, base=base, divergence=divergence)
    again = pickle.loads(pickle.dumps(policy))
    assert repr(again) == repr(policy)
    assert it.win_rate(again, "bon:4") == it.win_rate(policy, "bon:4")
    assert divergence in policy._repr_html_()
    with pytest.raises(AttributeError, match="immutable"):
        policy.beta = 1.0
    sample = policy.rvs(4000, rng=1)
    assert sample.mean() == pytest.approx(policy.mean(), abs=5 * policy.std() / np.sqrt(4000))
    assert sample.std() == pytest.approx(policy.std(), rel=0.1)
    assert float(policy.ppf(float(policy.cdf(0.8)))) <= 0.8 + 1e-12


@pytest.mark.slow
def test_compare_and_frontier_under_a_divergence(refused):
    """Published values; regret is against the same optimum as under the reverse KL."""
    rows = it.compare(["identity", "optimal"], "bon:4", kl=0.5, divergence="forward-kl").rows
    assert rows[0].win_rate == pytest.approx(0.8581602731, abs=1e-9)
    best = it.optimum("bon:4", kl=0.5).win_rate
    assert rows[0].optimal == pytest.approx(best, abs=1e-12)
    assert rows[0].regret == pytest.approx(best - 0.8581602731, abs=1e-9)
    assert rows[1].regret == 0.0
    curve = it.frontier("identity", "won:4", kl=[0.0, 0.5], divergence="chi2")
    assert curve.win_rate == pytest.approx([0.5, 0.9419819762], abs=1e-9)
    assert curve.divergence.name == "chi2"
    plain = it.frontier("identity", "bon:4", kl=[0.5], divergence="kl")
    assert plain.win_rate == it.frontier("identity", "bon:4", kl=[0.5]).win_rate
    refused(lambda: it.compare("identity", "bon:4", kl=0.5, divergence="forward"), "divergence")


def test_alpha_one_and_zero_agree_with_the_named_frontiers():
    near = it.frontier("identity", "bon:4", kl=[0.5], divergence="alpha:0.001").win_rate
    ends = [
        it.frontier("identity", "bon:4", kl=[0.5], divergence=name).win_rate
        for name in ("kl", "forward-kl")
    ]
    assert min(abs(near - end) for end in ends) < 1e-3


@pytest.mark.slow
def test_best_exponent_under_the_forward_kl():
    """No exponent on either side of it wins more, and the identity does not."""
    best = it.best_exponent("bon:16", kl=0.5, divergence="forward-kl")

    def won(t):
        policy = it.align(f"exp:{t}", kl=0.5, divergence="forward-kl")
        return it.win_rate(policy, "bon:16")

    assert won(best) >= max(won(best * 1.05), won(best / 1.05), won(best * 2), won(best / 2))
    assert won(best) >= it.win_rate(it.align("identity", kl=0.5, divergence="forward-kl"), "bon:16")
