"""Independent high-precision oracle for win rates, KL and the coupled optimum.

Written from the mathematics alone (mpmath, no import of the library), so that agreement with the
library means something. Everything works at ``DPS`` digits in a private mpmath context and comes
out as decimal strings of ``OUT`` significant digits.

How a tilt f(u) ~ exp(k Phi(u)), k = 1/beta, is integrated: in z = log(u / (1 - u)) every tail of
the problem (large N, large KL, exp:100, an integrable pole of logit) is an O(1)-wide feature, so
Gauss-Legendre panels in z, split until their last Legendre coefficients vanish, resolve all of it.
Log normaliser and KL also have closed forms for every named transform; those are primary, the
panels are the cross-check.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any, NamedTuple

import mpmath
from mpmath import libmp

DPS = 60
OUT = 32
CTX = mpmath.mp.clone()
CTX.dps = DPS
mpf = CTX.mpf

NODES = 40  # Gauss-Legendre nodes a panel
BITS = 240  # fixed-point fraction bits: integer dot products are far cheaper than mpf ones
TAIL = 112  # nats below the peak of the integrand at which a tail is cut: e^-112 = 2e-49
TOL_DENSITY = mpf(10) ** -45
TOL_WIN = mpf(10) ** -28  # on interpolation; the Gauss rule is good to about its square

Number = Any  # an mpf, or anything mpf() reads exactly: decimal string, int, Fraction


def num(x: Number) -> Any:
    """Read a number exactly; floats are refused because 0.1 is not 1/10."""
    if isinstance(x, float):
        raise TypeError("give decimals as strings, so that 30 digits mean something")
    if isinstance(x, Fraction):
        return mpf(x.numerator) / x.denominator
    return mpf(x)


def text(x: Any) -> str:
    """``OUT`` significant digits."""
    return str(CTX.nstr(x, OUT, strip_zeros=False))


# ------------------------------------------------------------------------------------ transforms


class Transform(NamedTuple):
    """Phi minus its value ``top`` at a reference point, as a function of (u, v = 1 - u).

    ``closed(k)`` returns (log of the integral of exp(k (Phi - top)), KL), or is None.
    ``closed_cdf(k, u)`` is F(u), or is None.
    """

    name: str
    shifted: Callable[[Any, Any], Any]
    top: Any
    closed: Callable[[Any], tuple[Any, Any]] | None = None
    closed_cdf: Callable[[Any, Any], Any] | None = None
    max_k: int | None = None


def _identity() -> Transform:
    def closed(k: Any) -> tuple[Any, Any]:
        log_z = CTX.log(-CTX.expm1(-k) / k)  # of exp(k (u - 1))
        mean = -1 / CTX.expm1(-k) - 1 / k  # = standard win rate
        return log_z, k * (mean - 1) - log_z

    return Transform(
        "identity",
        lambda u, v: -v,
        mpf(1),
        closed,
        lambda k, u: CTX.expm1(k * u) / CTX.expm1(k),
    )


def _log() -> Transform:
    return Transform(
        "log",
        lambda u, v: CTX.log(u),
        mpf(0),
        lambda k: (-CTX.log1p(k), CTX.log1p(k) - k / (k + 1)),
        lambda k, u: u ** (k + 1),
    )


def _logit() -> Transform:
    def closed(k: Any) -> tuple[Any, Any]:
        log_z = CTX.loggamma(1 + k) + CTX.loggamma(1 - k)  # Beta(1 + k, 1 - k)
        return log_z, k * (CTX.digamma(1 + k) - CTX.digamma(1 - k)) - log_z

    return Transform(
        "logit",
        lambda u, v: CTX.log(u / v),
        mpf(0),
        closed,
        lambda k, u: CTX.betainc(1 + k, 1 - k, 0, u, regularized=True),
        max_k=1,
    )


def _power(p: Any) -> Transform:
    # integral_0^u exp(k s^p) ds = u 1F1(1/p; 1 + 1/p; k u^p); E u^p follows by parts.
    def kummer(x: Any) -> Any:
        return CTX.hyp1f1(1 / p, 1 + 1 / p, x)

    def closed(k: Any) -> tuple[Any, Any]:
        z = kummer(k)
        return CTX.log(z) - k, (CTX.exp(k) / z - 1) / p - CTX.log(z)

    return Transform(
        f"power:{p}",
        lambda u, v: CTX.expm1(p * (CTX.log(u) if u < 0.5 else CTX.log1p(-v))),
        mpf(1),
        closed,
        lambda k, u: u * kummer(k * u**p) / kummer(k),
    )


def _exponential(t: Any) -> Transform:
    sign = CTX.sign(t)
    top = sign * CTX.exp(t)

    def ei(x: Any) -> Any:
        # e^-400 is below every digit kept, and Ei is slow for astronomically negative x.
        return mpf(0) if x < -400 else CTX.ei(x)

    def mass(k: Any, u: Any) -> Any:  # integral_0^u exp(k sign(t) exp(t s)) ds
        a = sign * k
        hi, lo = a * CTX.exp(t * u), a
        if hi < -300:  # both Ei are tiny: take e^hi out by an honest shift instead
            raise NotImplementedError("closed form underflows; use the panels")
        return (ei(hi) - ei(lo)) / t

    def closed(k: Any) -> tuple[Any, Any]:
        a = sign * k
        e = CTX.exp(t)
        if t < 0 and a * e < -300:
            x = -a * e  # E1(x) e^x, the far end (E1(k)) being below every digit
            if -a - x < 400:
                raise NotImplementedError("both ends matter; use the panels")
            scaled = CTX.expint(1, x) * CTX.exp(x)
            log_z = CTX.log(scaled / -t)
            return log_z, x - 1 / scaled - log_z
        z = mass(k, mpf(1))
        log_z = CTX.log(z)
        k_mean = (CTX.exp(a * e) - (CTX.exp(a) if a > -400 else 0)) / (t * z)
        return log_z - a * e, k_mean - log_z

    return Transform(
        f"exp:{t}",
        lambda u, v: top * CTX.expm1(-t * v),
        top,
        closed,
        lambda k, u: mass(k, u) / mass(k, mpf(1)),
    )


_EXPRESSIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[], Any]]] = {
    "exp(3*u)-u": (lambda u, v: CTX.exp(3 * u) - u, lambda: CTX.exp(3) - 1),
    "u**2+log(u)": (lambda u, v: u * u + CTX.log(u), lambda: mpf(1)),
    "u-u**2": (lambda u, v: u * v, lambda: mpf(1) / 4),  # not monotone
    "exp(-u)*log(u)": (lambda u, v: CTX.exp(-u) * CTX.log(u), lambda: mpf(0)),
}


@cache
def transform(name: str) -> Transform:
    """The transform a text names."""
    kind, _, rest = name.partition(":")
    if kind == "expr":
        phi, top = _EXPRESSIONS[rest]
        top_value = top()
        return Transform(name, lambda u, v: phi(u, v) - top_value, top_value)
    if kind in ("power", "exp"):
        return {"power": _power, "exp": _exponential}[kind](mpf(rest))._replace(name=name)
    return {"identity": _identity, "log": _log, "logit": _logit}[name]()


# --------------------------------------------------------------------- Gauss-Legendre panels in z


class _Rule(NamedTuple):
    x: list[Any]
    w: list[int]  # fixed point, as is all below
    cumulative: list[list[int]]  # [i][j]: weight of node j in the integral from -1 to x_i
    last: list[list[int]]  # rows giving the last three Legendre coefficients


def _fix(x: Any) -> int:
    return int(libmp.to_fixed(x._mpf_, BITS))


def _unfix(n: int) -> Any:
    return CTX.make_mpf(libmp.from_man_exp(n, -BITS, CTX.prec, "n"))


def _legendre(x: Any, n: int) -> list[Any]:
    p = [mpf(1), x]
    for j in range(1, n):
        p.append(((2 * j + 1) * x * p[j] - j * p[j - 1]) / (j + 1))
    return p


@cache
def _rule(n: int = NODES) -> _Rule:
    with CTX.workdps(DPS + 20):
        xs, ws, tables = [], [], []
        for i in range(n, 0, -1):
            x = CTX.cos(CTX.pi * (4 * i - 1) / (4 * n + 2))
            for _ in range(9):
                p = _legendre(x, n)
                slope = n * (p[n - 1] - x * p[n]) / (1 - x * x)
                x -= p[n] / slope
            p = _legendre(x, n)
            slope = n * p[n - 1] / (1 - x * x)
            xs.append(x)
            ws.append(2 / ((1 - x * x) * slope**2))
            tables.append(p)
        cumulative = []
        for pi in tables:
            # integral of P_k from -1 to x is (P_{k+1} - P_{k-1}) / (2k + 1)
            anti = [pi[0] + pi[1]] + [pi[k + 1] - pi[k - 1] for k in range(1, n)]
            cumulative.append(
                [_fix(w * CTX.fdot(anti, pj[:n]) / 2) for w, pj in zip(ws, tables, strict=True)]
            )
        last = [
            [_fix(w * p[k] * (2 * k + 1) / 2) for w, p in zip(ws, tables, strict=True)]
            for k in (n - 3, n - 2, n - 1)
        ]
        return _Rule(xs, [_fix(w) for w in ws], cumulative, last)


def _dot(a: list[int], b: list[int]) -> int:
    return sum(map(int.__mul__, a, b)) >> BITS


def _unresolved(values: list[int], tol: Any) -> bool:
    return any(abs(_dot(row, values)) > _fix(tol) for row in _rule().last)


@lru_cache(maxsize=4096)
def _points(a: float, b: float) -> list[tuple[Any, Any, Any]]:
    """(u, 1 - u, du/dz) at the nodes of the panel [a, b] in z; both of u, 1 - u fully accurate."""
    half, mid = mpf(b - a) / 2, (mpf(a) + mpf(b)) / 2
    out = []
    for x in _rule().x:
        z = mid + half * x
        e = CTX.exp(-abs(z))
        small, big = e / (1 + e), 1 / (1 + e)
        out.append((big, small, small * big) if z > 0 else (small, big, small * big))
    return out


class Panel(NamedTuple):
    """One panel: unnormalised density times du/dz (fixed point) and mass to its left."""

    a: float
    b: float
    h: list[int]
    left: int


class Panels:
    """The tilted law of ``name`` at k = 1/beta as resolved panels in z = logit u."""

    def __init__(self, name: str, k: Any) -> None:
        self.t, self.k = transform(name), k
        lo, hi, self.peak = self._support()
        self.panels: list[Panel] = []
        total = 0
        for a, b, h in self._resolve(lo, hi):
            self.panels.append(Panel(a, b, h, total))
            total += self._mass(a, b, h)
        self.total = total
        self.lo = lo

    def _log_h(self, z: float) -> Any:
        e = CTX.exp(-abs(mpf(z)))
        small, big = e / (1 + e), 1 / (1 + e)
        u, v = (big, small) if z > 0 else (small, big)
        return self.k * self.t.shifted(u, v) + CTX.log(small * big)

    def _support(self) -> tuple[float, float, Any]:
        levels = {float(z): self._log_h(z) for z in range(-140, 141)}
        peak = max(levels.values())
        inside = [z for z, level in levels.items() if level > peak - TAIL]
        lo, hi = min(inside) - 1, max(inside) + 1
        while self._log_h(lo) > peak - TAIL:
            lo -= 32
        while self._log_h(hi) > peak - TAIL:
            hi += 32
        return lo, hi, peak

    def _density(self, a: float, b: float) -> list[int]:
        k, shifted, peak = self.k, self.t.shifted, self.peak
        return [_fix(CTX.exp(k * shifted(u, v) - peak) * d) for u, v, d in _points(a, b)]

    def _resolve(self, a: float, b: float) -> Iterator[tuple[float, float, list[int]]]:
        mid = (a + b) / 2
        wide = b - a > max(4.0, min(abs(a), abs(b)) / 4)
        if not wide:
            h = self._density(a, b)
            if not _unresolved(h, TOL_DENSITY):
                yield a, b, h
                return
            if b - a < 1e-4:
                raise ArithmeticError(f"panel [{a}, {b}] does not converge")
        mid = float(round(mid)) if wide else mid
        yield from self._resolve(a, mid)
        yield from self._resolve(mid, b)

    @staticmethod
    def _mass(a: float, b: float, h: list[int]) -> int:
        return _fix(_unfix(_dot(_rule().w, h)) * mpf(b - a) / 2)

    def log_normaliser(self) -> Any:
        """Log of the integral of exp(k (Phi - top))."""
        return CTX.log(_unfix(self.total)) + self.peak

    def kl(self) -> Any:
        total = mpf(0)
        for p in self.panels:
            phi = [self.t.shifted(u, v) for u, v, _ in _points(p.a, p.b)]
            weights = [_unfix(w * h >> BITS) for w, h in zip(_rule().w, p.h, strict=True)]
            total += CTX.fdot(weights, phi) * mpf(p.b - p.a) / 2
        return self.k * total / _unfix(self.total) - self.log_normaliser()

    def cdf_nodes(self, p: Panel) -> list[Any]:
        """F at the nodes of a panel."""
        half, left, total = mpf(p.b - p.a) / 2, _unfix(p.left), _unfix(self.total)
        return [(left + half * _unfix(_dot(row, p.h))) / total for row in _rule().cumulative]

    def cdf(self, u: Any) -> Any:
        """F(u), by one more panel ending at u."""
        z = CTX.log(u / (1 - u))
        for p in self.panels:
            if p.a <= z < p.b:
                half, mid = (z - p.a) / 2, (z + p.a) / 2
                total = _unfix(p.left)
                for x, w in zip(_rule().x, _rule().w, strict=True):
                    e = CTX.exp(-(mid + half * x))
                    u_x, v_x = 1 / (1 + e), e / (1 + e)
                    h = CTX.exp(self.k * self.t.shifted(u_x, v_x) - self.peak) * u_x * v_x
                    total += _unfix(w) * h * half
                return total / _unfix(self.total)
        return mpf(0) if z < self.lo else mpf(1)

    def win_rate(self, mine: str, theirs: str) -> Any:
        """1 - integral of g(F) dg_ref, in the panels, each split further where g needs it."""
        miss, cdf_ref, pdf_ref = _miss(mine), _distort(theirs), _slope(theirs)
        u0 = 1 / (1 + CTX.exp(-mpf(self.lo)))
        total = cdf_ref(u0)  # left of the panels F = 0; right of them 1 - g(F) = 0
        stack = list(self.panels)
        while stack:
            p = stack.pop()
            values = [
                _fix(miss(f, 1 - f) * pdf_ref(u, v) * d)
                for f, (u, v, d) in zip(self.cdf_nodes(p), _points(p.a, p.b), strict=True)
            ]
            if not _unresolved(values, TOL_WIN):
                total += _unfix(_dot(_rule().w, values)) * mpf(p.b - p.a) / 2
                continue
            mid = (p.a + p.b) / 2
            h1, h2 = self._density(p.a, mid), self._density(mid, p.b)
            stack.append(Panel(p.a, mid, h1, p.left))
            stack.append(Panel(mid, p.b, h2, p.left + self._mass(p.a, mid, h1)))
        return total


# ------------------------------------------------------------------------------------ procedures


def _parse(procedure: str) -> tuple[str, int]:
    kind, _, count = procedure.partition(":")
    return ("bon", 1) if kind == "standard" else (kind, int(count))


def _distort(procedure: str) -> Callable[[Any], Any]:
    kind, n = _parse(procedure)
    return (lambda p: p**n) if kind == "bon" else (lambda p: 1 - (1 - p) ** n)


def _miss(procedure: str) -> Callable[[Any, Any], Any]:
    """1 - g as a function of (p, 1 - p)."""
    kind, n = _parse(procedure)
    return (lambda p, q: 1 - p**n) if kind == "bon" else (lambda p, q: q**n)


def _slope(procedure: str) -> Callable[[Any, Any], Any]:
    """g' as a function of (p, 1 - p)."""
    kind, n = _parse(procedure)
    return (lambda p, q: n * p ** (n - 1)) if kind == "bon" else (lambda p, q: n * q ** (n - 1))


# -------------------------------------------------------------------------------------- the tilt


@lru_cache(maxsize=8)
def _panels(name: str, k: Any) -> Panels:
    return Panels(name, k)


def log_normaliser_and_kl(name: str, k: Any) -> tuple[Any, Any]:
    """Shifted log normaliser and KL: closed form if there is one, else panels."""
    closed = transform(name).closed
    if closed is not None:
        try:
            return closed(k)
        except NotImplementedError:
            pass
    panels = _panels(name, k)
    return panels.log_normaliser(), panels.kl()


def tilt(name: str, beta: Number, points: Sequence[str] = ()) -> dict[str, Any]:
    """Log normaliser log int exp(Phi/beta) du, KL in nats, and pdf, cdf at points."""
    k, t = 1 / num(beta), transform(name)
    log_z, kl = log_normaliser_and_kl(name, k)
    panels = _panels(name, k) if points else None
    us = [mpf(p) for p in points]
    return {
        "log_normaliser": text(log_z + k * t.top),
        "kl": text(kl),
        "pdf": [text(CTX.exp(k * t.shifted(u, 1 - u) - log_z)) for u in us],
        "cdf": [text(panels.cdf(u)) for u in us if panels is not None],
    }


@cache
def solve_k(name: str, kl: str) -> Any:
    """k = 1/beta with the given KL: bracket in log k (logit k if k < 1), then Anderson."""
    target, t = mpf(kl), transform(name)

    def k_of(x: Any) -> Any:
        return 1 / (1 + CTX.exp(-x)) if t.max_k else CTX.exp(x)

    @cache
    def excess(x: Any) -> Any:
        return CTX.log(log_normaliser_and_kl(name, k_of(x))[1] / target)

    a = CTX.log(CTX.sqrt(target)) - CTX.log(max(abs(t.top), mpf(1)))
    fa, step = excess(a), mpf(1)
    while True:
        b = a - step if fa > 0 else a + step
        fb = excess(b)
        if fa * fb <= 0:
            break
        a, fa, step = b, fb, step * 1.5
    root = CTX.findroot(excess, (a, b), solver="anderson", tol=mpf(10) ** -88, verify=False)
    if abs(excess(root)) > mpf(10) ** -34:
        raise ArithmeticError(f"no beta found for {name} at KL {kl}: {excess(root)}")
    return k_of(root)


def kl_to_beta(name: str, kl: str) -> str:
    """The beta at which the tilt of a transform has this KL."""
    return text(1 / solve_k(name, kl))


def win_rate(
    name: str,
    beta: Number = None,
    procedure: str = "standard",
    against_procedure: str | None = None,
    *,
    kl: str | None = None,
) -> str:
    """Win rate of the tilt, given beta or kl, over the base; each side under its procedure."""
    k = solve_k(name, kl) if kl is not None else 1 / num(beta)
    return text(_panels(name, k).win_rate(procedure, against_procedure or procedure))


# ----------------------------------------------------------------------------------- the optimum

ORDER = 56


class _Step(NamedTuple):
    """Taylor polynomials in (l - at) of log r, a, kappa, KL, valid for l up to ``end``."""

    at: Any
    end: Any
    rho: list[Any]
    a: list[Any]
    kappa: list[Any]
    kl: list[Any]


def _exp(x: Any) -> Any:
    """exp(x) where it is added to 1: zero once it cannot matter, cheap at x = -1e200."""
    return CTX.exp(x) if x > -400 else mpf(0)


class Frontier:
    """All optima of Best-of-n against base Best-of-m (sign +1) or Worst-of (sign -1, reflected).

    Of G'' = sign n m G' G^(n-1) x^(m-1) take q = x^m G^(n-1) = 1/beta, r = x G'/G, a = log(G/x),
    kappa = int_0^x G^n t^(m-1) dt / G. With D = x d/dx,
        D q = q (m + (n-1) r),  D r = r (sign n m q - r + 1),  D a = r - 1,  D kappa = q - kappa r,
        D KL = 1 - r + sign n m kappa r  (KL = log r - sign n m kappa, cancelling for Worst-of),
    so l = log q can be the independent variable and beta is hit exactly: no shooting for lambda.
    Power series in q start it at q = 0 (r = 1, a = kappa = 0); Taylor steps in l carry it on.
    log G' = log r + a.
    """

    def __init__(self, n: int, m: int, sign: int) -> None:
        self.n, self.m, self.sign = n, m, sign
        self._start()
        self.steps: list[_Step] = []

    def _start(self) -> None:
        n, m, c = self.n, self.m, self.sign * self.n * self.m
        size = 40
        r, a, kappa = [mpf(1)], [mpf(0)], [mpf(0)]
        # q d/dq X * (m + (n-1) r) = D X, coefficient by coefficient.
        for j in range(1, size + 1):
            p = n + m - 1
            lhs = (n - 1) * sum(i * r[i] * r[j - i] for i in range(1, j))
            rhs = c * r[j - 1] - sum(r[i] * r[j - i] for i in range(1, j))
            r.append((rhs - lhs) / (j * p + 1))
            lhs = (n - 1) * sum(i * a[i] * r[j - i] for i in range(1, j))
            a.append((r[j] - lhs) / (j * p))
            lhs = (n - 1) * sum(i * kappa[i] * r[j - i] for i in range(1, j))
            rhs = mpf(j == 1) - sum(kappa[i] * r[j - i] for i in range(1, j))
            kappa.append((rhs - lhs) / (j * p + 1))
        self.series = r, a, kappa
        bound = max(
            (abs(x[j]) / 10 ** -mpf(DPS)) ** (mpf(1) / (j - 1))
            for x in self.series
            for j in (size - 1, size)
            if x[j] != 0
        )
        self.log_q0 = CTX.log(1 / bound) - mpf(1) / 4

    def _begin(self, log_q: Any) -> tuple[Any, Any, Any, Any]:
        q = CTX.exp(log_q)
        a, kappa = (CTX.polyval(x[::-1], q) for x in self.series[1:])
        rho = CTX.log1p(CTX.polyval([*self.series[0][:0:-1], 0], q))
        return rho, a, kappa, rho - self.sign * self.n * self.m * kappa

    def _advance(self) -> None:
        if self.steps:
            at = self.steps[-1].end
            rho0, a0, kappa0, kl0 = self._eval(self.steps[-1], at)
        else:
            at = self.log_q0
            rho0, a0, kappa0, kl0 = self._begin(at)
        n, m, c = self.n, self.m, self.sign * self.n * self.m
        q = [CTX.exp(at)]
        rho, a, kappa, kl, r = [rho0], [a0], [kappa0], [kl0], [_exp(rho0)]
        w = [1 / (m + (n - 1) * r[0])]
        push, pull, flow, cost = [], [], [], []  # c q - r + 1, r - 1, q - kappa r, D KL
        for j in range(ORDER):
            push.append(c * q[j] - r[j] + (j == 0))
            pull.append(r[j] - (j == 0))
            eaten = CTX.fdot(kappa, r[::-1])
            flow.append(q[j] - eaten)
            cost.append(c * eaten - pull[j])
            back = w[::-1]
            rho.append(CTX.fdot(push, back) / (j + 1))
            a.append(CTX.fdot(pull, back) / (j + 1))
            kappa.append(CTX.fdot(flow, back) / (j + 1))
            kl.append(CTX.fdot(cost, back) / (j + 1))
            slope = [(i + 1) * rho[i + 1] for i in range(j + 1)]
            q.append(q[j] / (j + 1))
            r.append(CTX.fdot(r, slope[::-1]) / (j + 1))
            w.append(-(n - 1) * CTX.fdot(r[1:], w[::-1]) * w[0])
        unit = mpf(10) ** -(DPS - 2)
        reach = mpf(4)
        scales = (max(1, abs(rho0)), 1 + abs(a0), abs(kappa0), 1, 1 + r[0])
        for x, scale in zip((rho, a, kappa, kl, r), scales, strict=True):
            for j in (ORDER - 1, ORDER):
                if x[j] != 0:
                    reach = min(reach, (unit * scale / abs(x[j])) ** (mpf(1) / j))
        self.steps.append(_Step(at, at + reach, rho, a, kappa, kl))

    @staticmethod
    def _eval(step: _Step, log_q: Any) -> tuple[Any, Any, Any, Any]:
        d = log_q - step.at
        rho, a, kappa, kl = (
            CTX.polyval(x[::-1], d) for x in (step.rho, step.a, step.kappa, step.kl)
        )
        return rho, a, kappa, kl

    def state(self, log_q: Any) -> tuple[Any, Any, Any, Any]:
        """(log r, a, kappa, KL) at log q = log(1/beta)."""
        if log_q <= self.log_q0:
            return self._begin(log_q)
        if self.n == self.m == 1 and self.sign > 0:  # G = e^x - 1; Taylor steps would be stiff
            q = CTX.exp(log_q)
            a = CTX.log(CTX.expm1(q) / q)
            kappa = 1 - q / CTX.expm1(q)
            return q - a, a, kappa, q - a - kappa
        while not self.steps or self.steps[-1].end < log_q:
            if self.steps and self.steps[-1].rho[0] < -400:
                return self._extinct(log_q)
            self._advance()
        return self._eval(next(s for s in self.steps if s.end >= log_q), log_q)

    def _extinct(self, log_q: Any) -> tuple[Any, Any, Any, Any]:
        """Worst-of with r below every digit: D q = m q, D a = -1, D kappa = q, D KL = 1."""
        at = self.steps[-1].at
        _, a0, kappa0, kl0 = self._eval(self.steps[-1], at)
        d = (log_q - at) / self.m
        kappa = kappa0 + (CTX.exp(log_q) - CTX.exp(at)) / self.m
        kl = kl0 + d
        return kl - self.n * self.m * kappa, a0 - d, kappa, kl

    def kl(self, log_q: Any) -> Any:
        return self.state(log_q)[3]

    def win_rate(self, log_q: Any) -> Any:
        part = self.m * self.state(log_q)[2] / CTX.exp(log_q)
        return 1 - part if self.sign > 0 else part

    def log_q_at_kl(self, kl: Any) -> Any:
        """Newton on log KL, with dKL/dl = (1 - r + sign n m kappa r) / (m + (n-1) r)."""
        n, m, c = self.n, self.m, self.sign * self.n * self.m
        low, high = self.log_q0 - 60, self.log_q0
        while self.kl(high) < kl:
            low, high = high, high + 2
        x = high
        for _ in range(200):
            rho, _, kappa, value = self.state(x)
            low, high = (x, high) if value < kl else (low, x)
            r = _exp(rho)
            slope = (1 - r + c * kappa * r) / (m + (n - 1) * r)
            move = -CTX.log(value / kl) * value / slope if value > 0 and slope > 0 else mpf(1e9)
            nxt = x + move if low <= x + move <= high else (low + high) / 2
            if abs(nxt - x) < mpf(10) ** -48 * (1 + abs(x)):
                return nxt
            x = nxt
        raise ArithmeticError(f"no optimum at KL {kl}")

    def log_density(self, log_q: Any, u: Any) -> Any:
        """log f(u) = log G'(lambda x) - log(G(lambda) / lambda), x = u, or 1 - u reflected."""
        rho, a, *_ = self.state(log_q)
        x = u if self.sign > 0 else 1 - u
        if x == 0:
            return -a
        if x == 1:
            return rho  # walking back to x = 1 would be ill-conditioned next to the blow-up
        n, m = self.n, self.m
        # log of x^(n+m-1) on the curve is l - (n-1) a(l); walk back to the point lambda x.
        target = log_q - (n - 1) * a + (n + m - 1) * CTX.log(x)
        low, high = -(mpf(10) ** 9), log_q
        at = min(log_q, target) if self.sign > 0 else log_q
        for _ in range(400):
            rho, a_at, *_ = self.state(at)
            error = at - (n - 1) * a_at - target
            low, high = (at, high) if error < 0 else (low, at)
            slope = (n + m - 1) / (m + (n - 1) * _exp(rho))
            nxt = at - error / slope
            if abs(nxt - at) < mpf(10) ** -50 * (1 + abs(at)):
                rho, a_at, *_ = self.state(nxt)
                return rho + a_at - a
            at = nxt if low <= nxt <= high else (low + high) / 2
        raise ArithmeticError(f"no density at {u}")


@cache
def frontier(procedure: str, against: str) -> Frontier:
    """The optimal frontier of a pair of procedures of the same kind."""
    (kind, n), (other, m) = _parse(procedure), _parse(against)
    if kind != other and 1 not in (n, m):
        raise NotImplementedError("optimum: Best-of against Best-of, or Worst-of against Worst-of")
    worst = "won" in (kind if n > 1 else "", other if m > 1 else "")
    return Frontier(n, m, -1 if worst else 1)


def _report(curve: Frontier, log_q: Any, points: Sequence[str]) -> dict[str, Any]:
    return {
        "beta": text(CTX.exp(-log_q)),
        "kl": text(curve.kl(log_q)),
        "win_rate": text(curve.win_rate(log_q)),
        "log_f0": text(curve.log_density(log_q, mpf(0))),
        "log_f1": text(curve.log_density(log_q, mpf(1))),
        "log_density": {p: text(curve.log_density(log_q, mpf(p))) for p in points},
    }


def optimum(
    procedure: str, beta: Number, against: str | None = None, points: Sequence[str] = ()
) -> dict[str, Any]:
    """The policy maximising W - beta KL: W, KL, log density at the ends and at points."""
    curve = frontier(procedure, against or procedure)
    return _report(curve, -CTX.log(num(beta)), points)


def optimum_at_kl(
    procedure: str, kl: str, against: str | None = None, points: Sequence[str] = ()
) -> dict[str, Any]:
    """The same, at a given KL."""
    curve = frontier(procedure, against or procedure)
    return _report(curve, curve.log_q_at_kl(mpf(kl)), points)


def regret(name: str, procedure: str, kl: str) -> str:
    """Optimal win rate minus a transform's, at one KL and procedure."""
    curve = frontier(procedure, procedure)
    best = curve.win_rate(curve.log_q_at_kl(mpf(kl)))
    return text(best - _panels(name, solve_k(name, kl)).win_rate(procedure, procedure))


# -------------------------------------------------------------------------------- discrete bases


def discrete_tilt(
    name: str, beta: Number, probs: Sequence[Fraction], rewards: Sequence[int]
) -> tuple[list[Any], Any]:
    """(policy masses, KL) of atoms; equal rewards share the calibrated reward u = below + half."""
    k, t = 1 / num(beta), transform(name)
    weights = []
    for reward in rewards:
        below = sum((p for p, x in zip(probs, rewards, strict=True) if x < reward), Fraction(0))
        equal = sum((p for p, x in zip(probs, rewards, strict=True) if x == reward), Fraction(0))
        u = below + equal / 2
        weights.append(CTX.exp(k * t.shifted(num(u), num(1 - u))))
    total = sum(num(p) * w for p, w in zip(probs, weights, strict=True))
    policy = [num(p) * w / total for p, w in zip(probs, weights, strict=True)]
    kl = sum(x * CTX.log(w / total) for x, w in zip(policy, weights, strict=True))
    return policy, kl


def _outcomes(masses: Sequence[Any], rewards: Sequence[int], procedure: str) -> dict[int, Any]:
    """Law of the reward a procedure ends with, by enumerating every tuple of draws."""
    kind, n = _parse(procedure)
    pick = max if kind == "bon" else min
    law: dict[int, Any] = {}
    for draw in itertools.product(range(len(masses)), repeat=n):
        mass = masses[draw[0]]
        for j in draw[1:]:
            mass = mass * masses[j]
        reward = pick(rewards[j] for j in draw)
        law[reward] = law.get(reward, 0) + mass
    return law


def discrete_win_rate(
    policy: Sequence[Any],
    base: Sequence[Any],
    rewards: Sequence[int],
    procedure: str,
    against_procedure: str | None = None,
) -> Any:
    """Exact win rate, ties half, by brute force; Fractions in, Fraction out."""
    ours = _outcomes(policy, rewards, procedure)
    theirs = _outcomes(base, rewards, against_procedure or procedure)
    twice = sum(
        p * q * ((x > y) + (x >= y))
        for (x, p), (y, q) in itertools.product(ours.items(), theirs.items())
    )
    return twice / 2
