"""Mutants that no test can or need kill, and why."""

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
}
