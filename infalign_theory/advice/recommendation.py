"""Which transform and beta to train with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.advice.judges import Judge, Scores, Theory
from infalign_theory.advice.search import best_exponential
from infalign_theory.comparison.comparisons import short_of
from infalign_theory.display import html_table, latex_table
from infalign_theory.errors import InfalignError, InputError
from infalign_theory.policies.base import Base, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, power_sides
from infalign_theory.procedures.names import as_procedure, several
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log
from infalign_theory.transforms.exponential import EXPONENT_LIMIT, Exponential
from infalign_theory.transforms.power import Power

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from infalign_theory.empirical.scores.sources import ScoresLike
    from infalign_theory.optima.robust import Robust

__all__ = ["Candidate", "Recommendation", "recommend"]

_SHOWN = 5  # runners-up
_NONE = 1e-9  # a regret below it is none
_TRAINER = "trl-rloo"


@dataclass(frozen=True)
class Candidate:
    """One transform at the budget; with several procedures, where its regret is largest.

    ``scaled_beta`` is beta for the transform mapped to [0, 1]; None where it is unbounded.
    """

    transform: str
    procedure: str
    beta: float
    scaled_beta: float | None
    win_rate: float
    optimal: float
    regret: float


@dataclass(frozen=True, repr=False)
class Recommendation:
    """The transform to train with, and what it is measured by.

    Attributes
    ----------
    kl : float
        Budget in nats.
    procedures : tuple of Procedure
        What inference may do.
    transform : Transform
    beta, scaled_beta : float
        Strength of the regularisation, in the units of the transform, and for the transform
        mapped to [0, 1]; the latter None where it is unbounded.
    win_rate, optimal, regret : float
        Of the transform and of the best possible policy; with several procedures at the one where
        the regret is largest.
    why : str
        One sentence.
    alternatives : tuple of Candidate
        The runners-up, the best first.
    by_procedure : tuple of Candidate
        The transform under each procedure.
    settings : dict
        The arguments of a trainer that spend the budget, where they are known.
    base : Continuous or Discrete or None
        None for a recommendation from scores.
    against_procedure : Procedure or str or None
        What inference does to the base, where it is not the same.
    """

    kl: float
    procedures: tuple[Procedure, ...]
    transform: Transform
    beta: float
    scaled_beta: float | None
    win_rate: float
    optimal: float
    regret: float
    why: str
    alternatives: tuple[Candidate, ...]
    by_procedure: tuple[Candidate, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: Base | None = None
    against_procedure: Procedure | str | None = None

    def robust(self) -> Robust:
        """The policy of any shape whose largest regret over the procedures is smallest.

        With a lower bound that no policy of that KL goes below: how much the recommended transform
        leaves.

        Raises
        ------
        InputError
            For a recommendation from scores, whose prompts have bases of their own.

        Examples
        --------
        >>> found = recommend(["standard", "bon:4"], kl=0.5)
        >>> found.robust().worst_regret < found.regret
        True
        """
        from infalign_theory.optima.robust import robust

        if self.base is None:
            raise InputError(
                "this recommendation is from scores, whose prompts have bases of their own; call "
                "robust(procedures, kl=..., base=Discrete(...)) for one of them."
            )
        return robust(
            self.procedures,
            kl=self.kl,
            base=self.base,
            against_procedure=self.against_procedure,
        )

    def to_frame(self) -> pd.DataFrame:
        """A row a candidate, the recommended one first; columns as :class:`Candidate`."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.candidates()])

    def to_latex(self, digits: int = 4) -> str:
        """The table in LaTeX, for ``booktabs``."""
        return latex_table([asdict(row) for row in self.candidates()], digits)

    def to_dict(self) -> dict[str, Any]:
        """What ``infalign recommend --json`` prints."""
        return {
            "kl": self.kl,
            "procedures": [procedure.name for procedure in self.procedures],
            "transform": self.transform.name,
            "beta": self.beta,
            "scaled_beta": self.scaled_beta,
            "win_rate": self.win_rate,
            "optimal": self.optimal,
            "regret": self.regret,
            "alternatives": [asdict(row) for row in self.alternatives],
            "settings": dict(self.settings),
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the regrets of the candidates as bars."""
        from infalign_theory.plotting.curves import plot_regrets

        rows = self.candidates()
        title = f"{', '.join(p.name for p in self.procedures[:3])}, KL = {self.kl:g} nats"
        return plot_regrets([r.transform for r in rows], [r.regret for r in rows], title, ax)

    def candidates(self) -> list[Candidate]:
        """The recommended transform where its regret is largest, then the runners-up."""
        worst = max(self.by_procedure, key=lambda row: row.regret)
        return [worst, *self.alternatives]

    def __repr__(self) -> str:
        scale = "" if self.scaled_beta is None else f", scaled_beta={self.scaled_beta:.4g}"
        return (
            f"<recommendation {self.transform.name} at beta={self.beta:.4g}{scale}: "
            f"win_rate={self.win_rate:.4f}, regret={self.regret:.2g}>"
        )

    def _repr_html_(self) -> str:
        return html_table([asdict(row) for row in self.candidates()], self.why)


def recommend(
    procedure: Procedure | str | Sequence[Procedure | str],
    *,
    kl: float,
    base: Base | str | None = None,
    against_procedure: Procedure | str | None = None,
    scores: ScoresLike | None = None,
    **columns: object,
) -> Recommendation:
    """The exponential to train with, its beta, and what it falls short of.

    For one procedure it is the exponential of least regret; for several (unknown N) the one whose
    largest regret over them is smallest. Identity takes its place where exponents tend to 0.

    Parameters
    ----------
    procedure : Procedure or str, or a sequence of them
        What inference will do; ``"bon:1-32"`` where N is unknown.
    kl : float
        Budget in nats, positive.
    base : Continuous or Discrete, optional
        Continuous by default. With ``scores``, the name of the base policy.
    against_procedure : Procedure or str, optional
        The base's procedure; that of the policy by default.
    scores : path, sequence of paths, or DataFrame, optional
        Scores of the base model: win rates are then those of :func:`infalign_theory.predict`.
    **columns
        Where to find them, as in :func:`infalign_theory.predict`: ``prompt``, ``reward``,
        ``policy``.

    Returns
    -------
    Recommendation

    Raises
    ------
    InputError
        For bad names or numbers.
    OutOfReachError
        For a budget that no transform can spend.

    Examples
    --------
    >>> found = recommend("bon:8", kl=0.5)
    >>> found.transform, round(found.scaled_beta, 4), round(found.regret, 5)
    (Exponential(t=34.1757), 0.2659, 0.00139)
    >>> [row.transform for row in found.alternatives[:2]]
    ['exp:16', 'power:15']
    >>> recommend(["bon:1-32"], kl=0.5).transform
    Exponential(t=11.1641)
    """
    ours = several(procedure)
    nats = budget(None, kl)[1]
    if nats == 0.0:
        raise InputError("kl = 0: every transform gives the base policy; give a positive KL.")
    judge = _judge(ours, nats, base, against_procedure, scores, columns)
    optimal = judge.optimal()
    best = best_exponential(judge, optimal)
    candidates = _candidates(ours)
    if best is not None:
        candidates = [best, *(c for c in candidates if c != best)]
    rows = _judged(judge, ours, candidates, optimal)
    rows = sorted(rows, key=lambda row: max(each.regret for each in row[1]))
    if best is not None:
        rows = sorted(rows, key=lambda row: row[0] != best)  # ahead of what may not be trained
    transform, mine = rows[0]
    worst = max(mine, key=lambda each: each.regret)
    others = tuple(max(each, key=lambda one: one.regret) for _, each in rows[1:])
    return Recommendation(
        kl=nats,
        procedures=tuple(ours),
        transform=transform,
        beta=worst.beta,
        scaled_beta=worst.scaled_beta,
        win_rate=worst.win_rate,
        optimal=worst.optimal,
        regret=worst.regret,
        why=_why(worst, ours, nats, others, beyond=best is None),
        alternatives=others[:_SHOWN],
        by_procedure=tuple(mine),
        settings=_settings(transform, nats),
        base=None if scores is not None or isinstance(base, str) else as_base(base),
        against_procedure=against_procedure,
    )


def _judge(
    ours: list[Procedure],
    kl: float,
    base: Base | str | None,
    against: Procedure | str | None,
    scores: ScoresLike | None,
    columns: Mapping[str, object],
) -> Judge:
    if scores is None:
        if columns or isinstance(base, str):
            given = ", ".join([*columns, *(["base"] if isinstance(base, str) else [])])
            raise InputError(f"{given}: columns are of scores; give scores=... with them.")
        theirs = ours if against is None else [as_procedure(against)] * len(ours)
        return Theory(ours, theirs, kl, as_base(base))
    if against is not None or not (base is None or isinstance(base, str)):
        raise InputError(
            "scores come with their own base and one procedure on both sides; give neither "
            "against_procedure nor a base other than the name of a policy."
        )
    named = {} if base is None else {"base": base}
    return Scores(ours, kl, scores, {**columns, **named})


def _candidates(procedures: Sequence[Procedure]) -> list[Transform]:
    """What people train with, and what first-order theory names for the sizes given."""
    sizes = sorted(power_sides(p)[1] for p in procedures if isinstance(p, (BestOfN, WorstOfN)))
    n = sizes[len(sizes) // 2] if sizes else 1
    best = any(isinstance(p, BestOfN) for p in procedures)
    worst = any(isinstance(p, WorstOfN) for p in procedures)
    signs = [1.0] * best + [-1.0] * worst or [1.0]
    found: list[Transform] = [Identity(), Log()]
    for sign in signs:
        found += [Exponential(sign * t) for t in (5.0, 10.0, 2.0 * n) if t <= EXPONENT_LIMIT]
    if best and n > 1:
        found.append(Power(2 * n - 1))
    return list(dict.fromkeys(found))


def _judged(
    judge: Judge, ours: Sequence[Procedure], transforms: Sequence[Transform], optimal: np.ndarray
) -> list[tuple[Transform, list[Candidate]]]:
    """Every transform that can spend the budget, under every procedure."""
    out = []
    for transform in transforms:
        try:
            won, beta = judge.win_rates([transform])
        except InfalignError:
            if transform is transforms[0]:
                raise
            continue  # a runner-up that cannot spend the budget here
        scale = scaled_beta(transform, float(beta[0]))
        rows = [
            Candidate(
                transform=transform.name,
                procedure=procedure.name,
                beta=float(beta[0]),
                scaled_beta=scale,
                win_rate=float(won[i, 0]),
                optimal=float(optimal[i]),
                regret=short_of(float(optimal[i]), float(won[i, 0])),
            )
            for i, procedure in enumerate(ours)
        ]
        out.append((transform, rows))
    return out


def _why(
    best: Candidate,
    procedures: Sequence[Procedure],
    kl: float,
    others: Sequence[Candidate],
    *,
    beyond: bool,
) -> str:
    """One sentence a reader can check."""
    plain = next((row for row in others if row.transform == "identity"), None)
    rest = "" if plain is None else f"; the plain calibrated reward loses {_points(plain)}"
    if len(procedures) > 1:
        what = (
            f"over {procedures[0].name} to {procedures[-1].name} it loses at most {_points(best)} "
            f"of the win rate that is possible at {kl:g} nats (at {best.procedure}); every other "
            "exponential loses more somewhere (robust() finds the policy of any shape that loses "
            "least)"
        )
    elif best.transform == "identity":
        what = f"it is what {best.procedure} asks for at {kl:g} nats: it loses {_points(best)}"
    else:
        kind = "more than any other exponential" if not beyond else "the most of what was tried"
        what = (
            f"under {best.procedure} at {kl:g} nats it wins {100 * best.win_rate:.2f} %, {kind}; "
            f"no policy can win more than {100 * best.optimal:.2f} %"
        )
    limit = f" (the best exponent lies beyond {EXPONENT_LIMIT:g})" if beyond else ""
    if beyond and best.regret < _NONE:
        limit = " (it and others win always, to all digits)"
    return f"{best.transform}: {what}{limit}{rest}."


def _points(row: Candidate) -> str:
    """A regret in hundredths of win rate."""
    return f"{100 * row.regret:.2g} points"


def _settings(transform: Transform, kl: float) -> dict[str, Any]:
    """A trainer's own arguments, where the transform has some."""
    from infalign_theory.training.trainers import settings

    try:
        found = settings(transform, kl=kl, trainer=_TRAINER)
    except InfalignError:
        return {}
    return {"trainer": found.trainer, **found.arguments}
