"""Mutants that no test can or need kill, and why."""
# ruff: noqa: E501

_START = "the walk may start anywhere near the mode: the law is divided by its sum"
_MEASURE_ZERO = "differs only where two floats are equal, and there both sides give the same"

EXPLAINED: dict[str, str] = {
    "kernels.ustatistics._kept #22: `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 2.0)), "
    "low), high)` -> `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k - 2.0)), low), high)`": (
        _START
    ),
    "kernels.ustatistics._kept #25: `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 2.0)), "
    "low), high)` -> `mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 0.0)), low), high)`": (
        _START
    ),
    "kernels.descent._unit #16: `return (near, far) if s < 0.0 else (far, near)` -> "
    "`return (near, far) if s <= 0.0 else (far, near)`": _MEASURE_ZERO,
    "kernels.ustatistics.thinned_weights #12: `if weights[c] > 0.0:` -> `if weights[c] >= 0.0:`": (
        "a weight of zero adds zero: the line only saves work"
    ),
    "kernels.sums.cumulative_sums #17: `carry += total - step + mass[i] if total >= mass[i] else mass[i] - step + total` -> `carry += total - step + mass[i] if total > mass[i] else mass[i] - step + total`": "where both are equal either order is exact",
    "kernels.sums.divergence #6: `elif abs(a) < NEAR:` -> `elif abs(a) <= NEAR:`": "differs only where |a| is NEAR itself, where both forms hold",
    "kernels.terms.evaluate #28: `exponent += terms[t, 1] * (np.log1p(-q) if q < 0.5 else np.log(p))` -> `exponent += terms[t, 1] * (np.log1p(-q) if q < 1.0 else np.log(p))`": "the two forms are the same number; they differ in digits near p = 0 alone",
    "kernels.terms.single_power #19: `whole = a == np.floor(a) and b == np.floor(b)` -> `whole = a == np.floor(a) and b == np.ceil(b)`": "b is whole where it equals its floor, and where it equals its ceiling",
    "kernels.terms.single_power #21: `return bool(whole and a <= 64.0 and (b <= 64.0) and (terms[0, 3] == 0.0) and (terms[0, 4] == 1.0))` -> `return bool(whole and a < 64.0 and (b <= 64.0) and (terms[0, 3] == 0.0) and (terms[0, 4] == 1.0))`": "a power of 64 is right by either way; the line only saves work",
    "kernels.sorting.any_missing #2: `missing = missing or np.isnan(values[i])` -> `missing = missing or np.isnan(values[i - 1])`": "all entries are looked at, the last one first",
    "kernels.segments.leave_out #51: `ends = np.zeros(copies + 1, dtype=np.intp)` -> `ends = np.zeros(copies + 2, dtype=np.intp)`": "one entry more is allocated, and cut off at the end",
}
