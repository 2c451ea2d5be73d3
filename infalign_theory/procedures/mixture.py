"""One of several procedures, drawn anew for every answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.tabulation import tabulate
from infalign_theory.typing import Array


class Mixture(Procedure):
    """One of several procedures, drawn anew for every answer: g is their weighted mean.

    Parameters
    ----------
    parts : iterable of (weight, Procedure)
        Positive weights that sum to 1 within 1e-9.

    Examples
    --------
    >>> from infalign_theory.procedures.powers import BestOfN, Standard
    >>> Mixture([(0.25, BestOfN(4)), (0.75, Standard())]).name
    'mix:0.25*bon:4+0.75*standard'
    """

    def __init__(self, parts: Iterable[tuple[float, Procedure]]) -> None:
        given = list(parts)
        if not given:
            raise InputError("a mixture has no parts; give (weight, procedure) pairs.")
        weights = [real(w, "mixture: weight", "a positive weight") for w, _ in given]
        for weight, (_, inner) in zip(weights, given, strict=True):
            if weight <= 0.0 or not isinstance(inner, Procedure):
                raise InputError(
                    f"mixture: ({plain_number(weight)}, {inner!r}) is not a positive weight with "
                    "a procedure; give pairs such as (0.5, BestOfN(4))."
                )
        if abs(sum(weights) - 1.0) > 1e-9:
            raise InputError(f"mixture: weights sum to {sum(weights):.12g}; they must sum to 1.")
        total = sum(weights)
        self.parts = tuple((w / total, inner) for w, (_, inner) in zip(weights, given, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Mixture({list(self.parts)!r})"

    @property
    def name(self) -> str:
        return "mix:" + "+".join(f"{plain_number(w)}*{inner.name}" for w, inner in self.parts)

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        pairs = [(w, inner.cdf(p, q)) for w, inner in self.parts]
        below = sum(w * pair[0] for w, pair in pairs)
        return np.asarray(below), np.asarray(sum(w * pair[1] for w, pair in pairs))

    def pdf(self, p: Array, q: Array) -> Array:
        return np.asarray(sum(w * inner.pdf(p, q) for w, inner in self.parts))

    @property
    def breaks(self) -> tuple[float, ...]:
        return tuple(sorted({s for _, inner in self.parts for s in inner.breaks}))

    @property
    def slope_terms(self) -> Array:
        return self._joined([inner.slope_terms for _, inner in self.parts], self.pdf)

    @property
    def value_terms(self) -> Array:
        return self._joined([inner.value_terms for _, inner in self.parts], self._value)

    def _value(self, p: Array, q: Array) -> Array:
        return self.cdf(p, q)[0]

    def _joined(
        self, blocks: list[Array], whole_function: Callable[[Array, Array], Array]
    ) -> Array:
        if any(block.shape[1] != 5 for block in blocks):
            return tabulate(whole_function, self.breaks)
        rows = []
        for (weight, _), block in zip(self.parts, blocks, strict=True):
            scaled = block.copy()
            scaled[:, 0] += np.log(weight)
            rows.append(scaled)
        return np.concatenate(rows)

    @property
    def curvature(self) -> int:
        signs = {inner.curvature for _, inner in self.parts}
        # a linear part (one sample) bends neither way
        signs -= {1} if signs == {1, -1} and self._linear_only_convex() else set()
        return signs.pop() if len(signs) == 1 else 0

    def _linear_only_convex(self) -> bool:
        return all(
            inner.name in ("standard", "bon:1", "won:1")
            for _, inner in self.parts
            if inner.curvature == 1
        )
