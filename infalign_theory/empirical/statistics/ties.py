"""Which base a prompt's scores stand for: a continuous one, or the discrete one of their ties."""

from __future__ import annotations

from enum import StrEnum

from infalign_theory.errors import InputError

# from this chance of a tie on, win rates behind Best-of-N feel the grades
FREQUENT_TIES = 0.02


class BaseLaw(StrEnum):
    """The base that theory takes for each prompt."""

    AUTO = "auto"
    CONTINUOUS = "continuous"
    DISCRETE = "discrete"

    @classmethod
    def of(cls, text: str) -> BaseLaw:
        """From its text, or one clear message."""
        try:
            return cls(text)
        except ValueError:
            raise InputError(
                f"law = {text!r} is not known; give 'auto', 'continuous' or 'discrete'."
            ) from None

    def chosen(self, tie_fraction: float) -> BaseLaw:
        """Itself; for "auto" the discrete one where ties are frequent."""
        if self is not BaseLaw.AUTO:
            return self
        return BaseLaw.DISCRETE if tie_fraction > FREQUENT_TIES else BaseLaw.CONTINUOUS
