"""Integrals over panels against exact polynomials, SciPy and mpmath."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf
from scipy import integrate

from infalign_theory.quadrature import panels


def on_panels(f, edges):
    half, middle = np.diff(edges) / 2, (edges[1:] + edges[:-1]) / 2
    return f(middle[:, None] + half[:, None] * panels.X), half


def test_the_rule_is_exact_for_polynomials():
    for degree in range(2 * panels.NODES):
        exact = 0.0 if degree % 2 else 2 / (degree + 1)
        assert np.sum(panels.WEIGHTS * panels.X**degree) == pytest.approx(exact, abs=1e-14)
    for degree in range(panels.NODES):
        from_left = (panels.X ** (degree + 1) - (-1) ** (degree + 1)) / (degree + 1)
        from_right = (1 - panels.X ** (degree + 1)) / (degree + 1)
        assert panels.FROM_LEFT @ panels.X**degree == pytest.approx(from_left, abs=1e-13)
        assert panels.FROM_RIGHT @ panels.X**degree == pytest.approx(from_right, abs=1e-13)
        unit = np.eye(panels.NODES)[degree]
        legendre = np.polynomial.legendre.legval(panels.X, unit)
        assert panels.ANALYSIS @ legendre == pytest.approx(unit, abs=1e-13)


@pytest.mark.slow
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_panel_sums_and_running_integrals(count, seed):
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.uniform(0.05, 0.6, count + 1))
    values, half = on_panels(lambda s: np.exp(np.sin(3 * s)), edges)
    masses = panels.panel_sums(values, half, panels.WEIGHTS)
    assert masses == pytest.approx(half * (values @ panels.WEIGHTS), rel=1e-14)

    below, above, edge_below, edge_above = panels.running_integrals(values, half)
    assert edge_below == pytest.approx(np.concatenate([[0], np.cumsum(masses)]), rel=1e-13)
    assert edge_above == pytest.approx(
        np.concatenate([np.cumsum(masses[::-1])[::-1], [0]]), rel=1e-13
    )
    assert below + above == pytest.approx(np.full_like(below, masses.sum()), rel=1e-13)
    nodes = (edges[1:] + edges[:-1])[:, None] / 2 + half[:, None] * panels.X
    for p, j in ((0, 0), (count - 1, 7), (count // 2, 15)):
        exact = integrate.quad(
            lambda s: np.exp(np.sin(3 * s)), edges[0], nodes[p, j], epsabs=1e-13
        )[0]
        assert below[p, j] == pytest.approx(exact, abs=1e-11)


def test_running_integrals_keep_small_tails():
    values, half = on_panels(np.exp, np.linspace(-300.0, 0.0, 301))
    below, *_ = panels.running_integrals(values, half)
    nodes = np.linspace(-299.5, -0.5, 300)[:, None] + 0.5 * panels.X
    assert below == pytest.approx(np.exp(-300.0) * np.expm1(nodes + 300.0), rel=1e-11, abs=0)


@pytest.mark.parametrize("weight", [0.0, -3.0, -600.0])
@pytest.mark.parametrize(
    "log_ratio",
    [-800.0, -40.0, -1.0, -0.051, -0.0499, -1e-4, -1e-9, 1e-150, 1e-9, 0.0499, 0.051, 2.0, 90.0],
)
def test_entropy_terms(log_ratio, weight):
    got = panels.entropy_terms(np.array([[log_ratio]]), np.array([[weight]]))
    with mp.workdps(700):
        a, w = mpf(log_ratio), mp.exp(mpf(weight))
        exact = float(w * (a * mp.exp(a) - mp.exp(a) + 1))
    assert got.shape == (1, 1)
    # at -600 the rounding of the log weight itself is 6e-14, magnified by 1/a^2
    allowed = 1e-10 if weight == -600.0 else 1e-12
    assert float(got[0, 0]) == pytest.approx(exact, rel=allowed, abs=1e-307)


def test_entropy_terms_at_the_ends():
    got = panels.entropy_terms(np.array([-np.inf, 0.0]), np.array([-2.0, 0.0]))
    assert got[0] == pytest.approx(np.exp(-2.0), rel=1e-15)
    assert got[1] == 0.0
    # a large ratio on a weight that underflows by itself
    huge = panels.entropy_terms(np.array([760.0]), np.array([-750.0]))
    assert huge[0] == pytest.approx(759.0 * np.exp(10.0), rel=1e-13)


@given(st.floats(-30, 30), st.floats(-30, 0))
def test_entropy_terms_are_never_negative(log_ratio, weight):
    assert panels.entropy_terms(np.array([log_ratio]), np.array([weight]))[0] >= 0.0
