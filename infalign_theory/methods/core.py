"""What is known of one alignment method."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """One alignment method, as this theory sees it.

    Attributes
    ----------
    name : str
    paper : str
        arXiv identifier.
    transform : str or None
        What it does to the calibrated reward; None outside the theory.
    divergence : str or None
        What it is penalised by, or what its solution amounts to.
    exact : str
        In which limit the entry is exact; outside the theory, the reason why it is.
    spelling : str
        How a trainer spells it, where one does.
    """

    name: str
    paper: str
    transform: str | None
    divergence: str | None
    exact: str
    spelling: str = ""

    @property
    def inside(self) -> bool:
        """Whether the theory gives its win rate."""
        return self.transform is not None
