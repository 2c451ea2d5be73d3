"""Exact win rates, optimal reward transforms and honest validation for inference-time alignment.

See the README for a tour; every public name is listed in ``__all__`` and loads when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "align": "policies.alignment",
    "win_rate": "policies.win_rates",
    "optimum": "optima.solve",
    "frontier": "comparison.frontiers",
    "compare": "comparison.comparisons",
    "best_exponent": "comparison.exponents",
    "first_order_efficiency": "comparison.efficiency",
    "Continuous": "policies.base",
    "Discrete": "policies.base",
    "Transform": "transforms",
    "Identity": "transforms",
    "Log": "transforms",
    "Logit": "transforms",
    "Exponential": "transforms",
    "Power": "transforms",
    "Expression": "transforms",
    "Procedure": "procedures",
    "Standard": "procedures",
    "BestOfN": "procedures",
    "WorstOfN": "procedures",
    "OrderStatistic": "procedures",
    "BestOfPoisson": "procedures",
    "Mixture": "procedures",
    "Distortion": "procedures",
    "predict": "empirical.prediction.entry",
    "validate": "empirical.validation.entry",
    "Optimum": "optima.record",
    "InfalignError": "errors",
    "InputError": "errors",
    "OutOfReachError": "errors",
    "PrecisionError": "errors",
}

_MODULES = ("figures", "plotting", "symbolic")

__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    """Load a public name from its module the first time it is asked for."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    try:
        module = import_module(f"{__name__}.{_HOME[name]}")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
