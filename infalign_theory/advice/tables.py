"""The best exponent and its regret over N and KL, as a table for a page."""

from __future__ import annotations

from collections.abc import Sequence

from infalign_theory.advice.recommendation import recommend
from infalign_theory.transforms.exponential import Exponential

__all__ = ["exponent_table"]

SIZES = (1, 2, 4, 8, 16, 32)
BUDGETS = (0.01, 0.1, 0.3, 0.5, 1.0, 2.0)


def exponent_table(
    kind: str = "bon", sizes: Sequence[int] = SIZES, budgets: Sequence[float] = BUDGETS
) -> str:
    """Best exponent with its regret for each N and KL, in Markdown.

    Parameters
    ----------
    kind : {"bon", "won"}
    sizes : sequence of int
        N, a row each.
    budgets : sequence of float
        KL in nats, a column each.

    Returns
    -------
    str
        ``12.6 (0.054)`` is exponent 12.6 and a regret of 0.054 points (hundredths of win rate);
        ``identity`` where it is optimal, ``beyond 600`` where exponents end.

    Examples
    --------
    >>> print(exponent_table("bon", sizes=[1, 4], budgets=[0.1, 0.5]))
    | N | 0.1 nats | 0.5 nats |
    |---|---|---|
    | 1 | identity | identity |
    | 4 | 9.29 (0.0019) | 12.6 (0.054) |
    """
    lines = [
        "| N | " + " | ".join(f"{kl:g} nat{'s' * (kl != 1)}" for kl in budgets) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    for n in sizes:
        cells = [_cell(f"{kind}:{n}", kl) for kl in budgets]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(procedure: str, kl: float) -> str:
    found = recommend(procedure, kl=kl)
    if not isinstance(found.transform, Exponential):
        return found.transform.name
    if "lies beyond" in found.why:
        return "beyond 600"
    points = 100.0 * found.regret
    regret = f"{points:.2g}" if points >= 0.001 else "<0.001"
    return f"{found.transform.t:.3g} ({regret})"
