"""The trajectory of power procedures against SciPy's integrator, series and quadrature."""

import numpy as np
import pytest
from scipy import integrate, optimize

from infalign_theory.optima import trajectory
from infalign_theory.optima.trajectory import Equation
from infalign_theory.optima.trajectory_density import Shape
from infalign_theory.quadrature import panels


def by_scipy(sign, n, m, x):
    """G, G' and I of the module's first equation at x, and (kappa, h, W, KL) from them."""

    def rates(t, y):
        g, log_slope, _ = y
        force = sign * n * m * g ** (n - 1) * t ** (m - 1)
        return [np.exp(log_slope), force, g**n * t ** (m - 1)]

    done = integrate.solve_ivp(
        rates, (0.0, x), [0.0, 0.0, 0.0], method="DOP853", rtol=1e-13, atol=1e-18
    )
    g, log_slope, moment = done.y[:, -1]
    share = m * moment / (g**n * x**m)
    won = 1 - share if sign > 0 else share
    h = np.log(x) + log_slope - np.log(g)
    return m * np.log(x) + (n - 1) * np.log(g), h, won, h - sign * n * m * moment / g


def marched(sign, n, m, kappa):
    """The state at one kappa, from where the leading term is exact."""
    first = np.log(1e-17 * (n + m) / (n * m))
    equation = Equation(sign=float(sign), n=float(n), m=float(m))
    kappas, nodes, edges = trajectory.march(equation, first, kappa, np.inf)
    assert kappas[-1] == kappa
    return nodes, edges


CASES = [(1, 2, 2, 1.0), (1, 4, 4, 0.9), (1, 4, 4, 0.6), (1, 4, 16, 0.8), (1, 8, 2, 0.7)]
CASES += [(-1, 2, 2, 1.5), (-1, 4, 4, 1.2), (-1, 4, 4, 3.0), (-1, 2, 8, 1.1), (-1, 8, 2, 1.5)]


@pytest.mark.parametrize(("sign", "n", "m", "x"), CASES)
def test_march_against_scipy(sign, n, m, x):
    kappa, h, won, kl = by_scipy(sign, n, m, x)
    nodes, edges = marched(sign, n, m, kappa)
    start = n / (n + m) if sign > 0 else m / (n + m)
    assert edges[-1, 0] == pytest.approx(h, abs=1e-9)
    assert start + edges[-1, 1] == pytest.approx(won, abs=1e-10)
    assert 1 - edges[-1, 2] == pytest.approx(won, abs=1e-10)
    assert edges[-1, 3] == pytest.approx(kl, abs=1e-9)
    assert np.isfinite(nodes).all()


def test_march_stops_at_a_budget():
    first = np.log(1e-17)
    equation = Equation(sign=1.0, n=4.0, m=4.0)
    kappas, nodes, edges = trajectory.march(equation, first, 2000.0, 0.7)
    assert edges[-2, 3] < 0.7 <= edges[-1, 3]
    assert len(nodes) == len(edges) - 1 == len(kappas) - 1 < 4000


@pytest.mark.parametrize(("sign", "n", "m"), [(1, 4, 4), (-1, 4, 4), (1, 32, 2), (-1, 2, 32)])
def test_start_values_are_the_leading_term(sign, n, m):
    """Series of F at small k: F'' = sign n m k F' F^(n-1) u^(m-1), to first order."""
    equation = Equation(sign=float(sign), n=float(n), m=float(m))
    for k in (1e-3, 1e-4):
        h, gain, loss, kl = equation.start(np.log(k))
        _, edges = marched(sign, n, m, np.log(k))
        exact = edges[-1]
        order = 50 * n * m * k  # the next term, relatively
        assert h == pytest.approx(exact[0], rel=order)
        assert gain == pytest.approx(exact[1], rel=order)
        assert kl == pytest.approx(exact[3], rel=order)
        assert gain + loss == pytest.approx((m if sign > 0 else n) / (n + m), abs=1e-15)


@pytest.mark.parametrize(("sign", "n", "m"), [(1, 4, 4), (-1, 4, 4), (1, 8, 2), (-1, 2, 8)])
def test_win_rate_slope_is_a_derivative(sign, n, m):
    equation = Equation(sign=float(sign), n=float(n), m=float(m))
    for kappa in (-3.0, 0.0, 2.0):
        states = [marched(sign, n, m, kappa + d)[1][-1] for d in (-1e-3, 0.0, 1e-3)]
        numeric = (states[2] - states[0])[1] / 2e-3
        slope = equation.win_rate_slope(*states[1][:3])
        assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-11)
        # dKL = k dW
        numeric = (states[2] - states[0])[3] / 2e-3
        assert np.exp(kappa) * slope == pytest.approx(numeric, rel=1e-5, abs=1e-11)


@pytest.mark.parametrize("from_end", [True, False])
def test_along_trajectory(from_end):
    """int force at the point where the remaining integral of speed is given: by quad and brentq."""
    half, count = 0.4, 5
    edges = np.arange(count + 1) * 2 * half

    def speed(x):
        return 1.2 + 0.5 * np.sin(x)

    def force(x):
        return np.exp(-0.3 * x) * (2 + np.cos(2 * x))

    nodes = edges[:-1, None] + half * (1.0 + panels.X)

    def area(f, a, b):
        return integrate.quad(f, a, b, epsabs=1e-13)[0]

    speed_after = np.array([area(speed, e, edges[-1]) for e in edges[1:]])
    before = 0.7
    if from_end:
        force_edge = np.array([area(force, e, edges[-1]) for e in edges[1:]])
    else:
        force_edge = np.array([before + area(force, edges[0], e) for e in edges[1:]])
    goals = np.array([0.0, 0.1, 1.0, 2.7, 4.0])
    shape = Shape(
        speed=speed(nodes) @ panels.ANALYSIS.T,
        force=force(nodes) @ panels.ANALYSIS.T,
        speed_after=speed_after,
        force_edge=force_edge,
        half=np.full(count, half),
        from_end=from_end,
        tail_rate=3.0,
        tail_force=before,
    )
    got = shape.along(goals)
    for goal, value in zip(goals, got, strict=True):
        x = optimize.brentq(
            lambda x, g=goal: area(speed, x, edges[-1]) - g, 0, edges[-1], xtol=1e-14
        )
        exact = area(force, x, edges[-1]) if from_end else before + area(force, edges[0], x)
        assert value == pytest.approx(exact, abs=1e-11)
    # before the first panel the force decays exponentially
    whole = area(speed, edges[0], edges[-1])
    beyond = shape.along(np.array([whole + 0.2]))[0]
    rest = before * np.exp(-0.2 * 3.0)
    exact = area(force, edges[0], edges[-1]) + before - rest if from_end else rest
    assert beyond == pytest.approx(exact, abs=1e-11)


def test_a_sharp_turn_is_halved():
    """Panels are split until they are resolved."""
    equation = Equation(sign=-1.0, n=8.0, m=1.0)
    kappas, _, edges = trajectory.march(equation, -40.0, 6.0, np.inf)
    assert kappas[-1] == 6.0
    assert np.diff(kappas).min() <= 0.5 * trajectory.WIDTH
    assert np.all(np.diff(edges[:, 3]) > 0.0)  # KL never falls along it
