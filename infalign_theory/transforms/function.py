"""A transform given as a Python function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.domain import interior, refuse_undefined
from infalign_theory.typing import Array

_SPACING = 2.0**-52
_FEW = 4.0  # units in the last place that a careful function may be off


@dataclass(frozen=True)
class FunctionTransform(Transform):
    """A transform given as a Python function of u.

    Parameters
    ----------
    function : callable
        Takes an array of u in [0, 1] and returns Phi at each, finite at both ends; minus infinity
        inside refuses a reward. Pickles and copies if the function does.
    label : str, optional
        Name in tables and pictures, the function's own by default.

    Raises
    ------
    InputError
        For a function that fails on arrays, and for values that are not finite.

    Notes
    -----
    A function cannot be looked into, as a formula can, so three things are assumed: it varies on
    no scale finer than the nodes it is sampled at (about 0.05 in the logit of u; kinks and jumps
    are found by bisection if they are wide enough to be seen), it is accurate to a few units in
    the last place of its values, and it depends on u alone. Prefer
    :class:`~infalign_theory.transforms.expression.Expression` where the function can be written
    as a formula: its kinks are located and its narrow features proven absent or resolved.

    Examples
    --------
    >>> phi = FunctionTransform(np.tanh, label="tanh")
    >>> phi.name, round(float(phi(1.0)), 6)
    ('tanh', 0.761594)
    """

    function: Callable[[Array], Any]
    label: str = ""
    _end: float = field(init=False, repr=False, compare=False)
    _top: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise InputError(
                f"{self.function!r:.80} is not a function of u; give one such as "
                "lambda u: np.exp(3 * u)."
            )
        if not self.label:
            given = getattr(self.function, "__name__", "function")
            object.__setattr__(self, "label", "function" if given == "<lambda>" else given)
        points = interior()
        values = self._called(points.u)
        refuse_undefined(f"function {self.label}", points, values)
        ends = self._called(np.array([0.0, 1.0]))
        if not np.isfinite(ends).all():
            u = 0.0 if not np.isfinite(ends[0]) else 1.0
            raise InputError(
                f"function {self.label} is not finite at u = {u:g}; bound it there, or write it as "
                "a formula (expr:...), which may be infinite at an end."
            )
        end = 1.0 if np.argmax(values) >= values.size // 2 else 0.0
        object.__setattr__(self, "_end", end)
        object.__setattr__(self, "_top", float(ends[int(end)]))

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return self.label

    @property
    def anchor(self) -> float:
        return self._top

    def differences(self, points: Points) -> Array:
        return self.measured(points)[0]

    def measured(self, points: Points) -> tuple[Array, Array]:
        """Phi(u) - anchor, and what rounding may have done to it."""
        values = self._called(points.u)
        error = _FEW * _SPACING * (np.abs(values) + abs(self._top))
        return values - self._top, np.where(np.isfinite(values), error, 0.0)

    def _values(self, points: Points) -> Array:
        return self._called(points.u)

    def _called(self, u: Array) -> Array:
        try:
            with np.errstate(all="ignore"):
                values = np.asarray(self.function(u), dtype=np.float64)
            return np.array(np.broadcast_to(values, np.shape(u)))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"function {self.label} fails on an array of u ({error}); write it with NumPy, as "
                "in lambda u: np.exp(3 * u), and return one number each."
            ) from None
