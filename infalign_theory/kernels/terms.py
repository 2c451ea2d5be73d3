"""Functions of a CDF value p and its complement q = 1 - p, in a form that kernels can read.

Two kinds of array:

- five columns, a sum of terms: row (log w, a, b, c, sign) stands for sign w p^a q^b exp(-c q);
- more columns, a table: row (side, low, high, coefficients...) holds a Legendre series on
  low <= p <= high (side 0) or low <= q <= high (side 1), the lower half of p first.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array

TERM_COLUMNS = 5


@kernel
def evaluate(p: float, q: float, terms: Array) -> float:
    """Value at p of the function that ``terms`` describes."""
    if terms.shape[1] != TERM_COLUMNS:
        return _from_table(p, q, terms)
    total = 0.0
    for t in range(terms.shape[0]):
        exponent = terms[t, 0] - terms[t, 3] * q
        if terms[t, 1] > 0.0:
            exponent += terms[t, 1] * (np.log1p(-q) if q < 0.5 else np.log(p))
        if terms[t, 2] > 0.0:
            exponent += terms[t, 2] * (np.log1p(-p) if p < 0.5 else np.log(q))
        total += terms[t, 4] * np.exp(exponent)
    return total


@kernel
def evaluate_all(p: Array, q: Array, terms: Array) -> Array:
    """:func:`evaluate` at arrays of any one shape."""
    out = np.empty(p.shape)
    ps, qs, values = p.ravel(), q.ravel(), out.ravel()
    for i in range(ps.size):
        values[i] = evaluate(ps[i], qs[i], terms)
    return out


@kernel
def single_power(terms: Array) -> bool:
    """Whether the function is w p^a q^b with whole exponents up to 64: cheap without logarithms."""
    if terms.shape[0] != 1 or terms.shape[1] != TERM_COLUMNS:
        return False
    a, b = terms[0, 1], terms[0, 2]
    whole = a == np.floor(a) and b == np.floor(b)
    return bool(whole and a <= 64.0 and b <= 64.0 and terms[0, 3] == 0.0 and terms[0, 4] == 1.0)


@kernel
def integer_power(x: float, n: int) -> float:
    """x^n by repeated squaring."""
    result = 1.0
    while n > 0:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


@kernel
def _from_table(p: float, q: float, table: Array) -> float:
    side = 0.0 if p < q else 1.0
    x = p if p < q else q
    row, last = 0, table.shape[0] - 1
    while row < last:  # the first row of this side that reaches x
        middle = (row + last) // 2
        if table[middle, 0] < side or (table[middle, 0] == side and table[middle, 2] < x):
            row = middle + 1
        else:
            last = middle
    low, high = table[row, 1], table[row, 2]
    t = (2.0 * x - low - high) / (high - low)
    before, current = 1.0, t
    total = table[row, 3] + table[row, 4] * t
    for degree in range(1, table.shape[1] - 4):
        after = ((2 * degree + 1) * t * current - degree * before) / (degree + 1)
        total += table[row, degree + 4] * after
        before, current = current, after
    return float(total)
