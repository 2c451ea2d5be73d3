"""The symbols all closed forms are written in."""

from __future__ import annotations

import sympy as sp

u = sp.Symbol("u", positive=True)


k = sp.Symbol("k", positive=True)


t = sp.Symbol("t", real=True, nonzero=True)


x = sp.Symbol("x", positive=True)


alpha = sp.Symbol("alpha", positive=True)


rate = sp.Symbol("a", positive=True)  # sign known, or SymPy integrates to a list of cases
