"""What validation found: plain records, ready for tables, JSON and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from infalign_theory.empirical.fitting.laws import Theory
from infalign_theory.empirical.scores.findings import Finding
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.empirical.validation.departures import Spread
from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Pick:
    """Mean over prompts of a number of the sample that inference returns, by policy."""

    aligned: float
    base: float


@dataclass(frozen=True)
class TrueReward:
    """The same comparison judged by the true reward; picks are still made by the reward.

    ``gap`` is the reward's win rate minus the true one, prompt by prompt. A truth coarser than the
    reward makes a gap of its own, so ``shortfall`` compares with a perfect proxy: the true win rate
    had the reward ordered a prompt's samples by their truths, minus the true one; what is above 0
    is reward hacking. ``picked`` is the mean truth of the pick, ``oracle`` that of a pick made by
    the truth itself (pass@N for Best-of-N and all-N for Worst-of-N where truth is 0 or 1).
    """

    win_rate: Estimate
    gap: Estimate
    shortfall: Estimate
    picked: Pick
    oracle: Pick


@dataclass(frozen=True)
class WinRate:
    """One procedure: what was observed, what theory expected, and what it cost.

    Attributes
    ----------
    procedure : str
    estimate, stderr, ci : float, float or None, pair or None
        Unbiased win rate in [0, 1], mean over prompts; error and interval by prompt.
    predicted, predicted_ci : float or None, pair or None
        Win rate of the theory's law on the same prompts; the interval is that of the fit.
    z : float or None
        (estimate - predicted) over the error of that difference, which knows that both come from
        the same samples and is kept off zero; None without a prediction.
    prompts, excluded : int
        Prompts used, and prompts of both policies with fewer than N samples on a side.
    optimal_kl, optimal_kl_ci : float or None, pair or None
        Least KL in nats of any policy with this win rate, and of all win rates in ``ci``: from 0
        where it holds ``base_win_rate``. None where no finite KL is enough.
    efficiency : float or None
        ``optimal_kl`` over the KL spent; None where the run wins no more than the base itself
        would, or no KL is trusted.
    reward : Pick
    truth : TrueReward or None
    against_procedure : str or None
        What inference does to the base, where that is not ``procedure``.
    base_win_rate : float
        What the base itself would win in the policy's place: 1/2 unless the base has another
        procedure.
    """

    procedure: str
    estimate: float
    stderr: float | None
    ci: tuple[float, float] | None
    predicted: float | None
    predicted_ci: tuple[float, float] | None
    z: float | None
    prompts: int
    excluded: int
    optimal_kl: float | None
    optimal_kl_ci: tuple[float | None, float | None] | None
    efficiency: float | None
    reward: Pick
    truth: TrueReward | None
    against_procedure: str | None = None
    base_win_rate: float = 0.5

    @property
    def duel(self) -> Duel:
        """What stands against what."""
        return Duel.of(self.procedure, self.against_procedure)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the pair only where the base has another procedure."""
        return _paired(self, ("against_procedure", "base_win_rate"))


@dataclass(frozen=True, repr=False)
class PolicyValidation:
    """One aligned policy against the base.

    Attributes
    ----------
    name : str
    prompts, samples : int
        Prompts with samples of both policies; usable samples of this one.
    tie_fraction : float
        Chance that an aligned and a base sample of a prompt score the same, mean over prompts.
    kl_floor : float
        Least KL in nats of any policy with this standard win rate; infinite at 0 and 1.
    kl, kl_k3 : Estimate or None
        Sequence KL from log-ratios: k1 is unbiased, k3 never negative (None where infinite).
    calibrated_kl : Estimate
        KL of the law of calibrated rewards, without any theory: a lower bound of the KL.
    kl_spent, kl_source : float or None, str
        The KL that efficiencies refer to, and whether it is from "log-ratios", "theory" or "none":
        a law's KL is none where the run departs from a planned law or needs more than that.
    theory : Theory or None
    spread : Spread or None
        How prompts differ; None on a discrete base and with fewer than 10 prompts.
    win_rates : tuple of WinRate
    verdict : tuple of str
        What all this says, in sentences.
    notes : tuple of str
    extremes : tuple of (float, str)
        Standard win rate and prompt where it lost and won most.
    """

    name: str
    prompts: int
    samples: int
    tie_fraction: float
    kl_floor: float
    kl: Estimate | None
    kl_k3: Estimate | None
    calibrated_kl: Estimate
    kl_spent: float | None
    kl_source: str
    theory: Theory | None
    spread: Spread | None
    win_rates: tuple[WinRate, ...]
    verdict: tuple[str, ...]
    notes: tuple[str, ...]
    extremes: tuple[tuple[float, str], ...]

    def __repr__(self) -> str:
        rates = _rates(self.win_rates)
        return f"<PolicyValidation {self.name!r} on {self.prompts} prompts: {rates}>"

    def to_frame(self) -> pd.DataFrame:
        """A row a procedure."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        """A row a procedure, ready for a table."""
        names = ["procedure", "estimate", "stderr", "predicted", "z", "prompts", "excluded"]
        names += ["optimal_kl", "efficiency"]
        paired = any(row.against_procedure for row in self.win_rates)
        rows = []
        for row in self.win_rates:
            low, high = row.ci or (None, None)
            shown = {name: getattr(row, name) for name in names}
            truth = None if row.truth is None else row.truth.win_rate.value
            shown |= {"ci_low": low, "ci_high": high, "true_win_rate": truth}
            if paired:
                shown |= {"against_procedure": row.duel.against, "base_win_rate": row.base_win_rate}
            rows.append({"policy": self.name, **shown})
        return rows

    def _repr_html_(self) -> str:
        return _html((self,))

    def plot(self, procedure: str | None = None, ax: Axes | None = None) -> Axes:
        """Draw win rate against KL under one procedure: the run, the optimum, what was expected.

        Parameters
        ----------
        procedure : str, optional
            One of those judged; the first of them by default.
        ax : Axes, optional
            Pyplot's current axes by default.
        """
        from infalign_theory.empirical.report.pictures import draw_run

        return draw_run(self, procedure, ax)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: numbers, texts, lists and dictionaries; None where there is no number."""
        theory, spent = self.theory, self.kl
        return {
            "prompts": self.prompts,
            "samples": self.samples,
            "tie_fraction": self.tie_fraction,
            "kl_floor": self.kl_floor,
            "kl": None if spent is None else spent.value,
            "kl_estimates": None
            if spent is None
            else {"k1": asdict(spent), "k3": self.kl_k3 and asdict(self.kl_k3)},
            "calibrated_kl": asdict(self.calibrated_kl),
            "kl_spent": self.kl_spent,
            "kl_source": self.kl_source,
            "theory": None
            if theory is None
            else {
                "law": theory.law,
                "transform": theory.transform,
                "fitted": theory.fitted,
                "beta": theory.beta,
                "k": asdict(theory.k),
                "t": None if theory.t is None else asdict(theory.t),
                "kl": asdict(theory.kl),
                "goodness_of_fit": None if theory.goodness is None else asdict(theory.goodness),
            },
            "spread": None if self.spread is None else self.spread.to_dict(),
            "win_rates": [row.to_dict() for row in self.win_rates],
            "verdict": list(self.verdict),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Difference:
    """Win rate of one aligned policy minus another's on the same prompts, with its error."""

    first: str
    second: str
    procedure: str
    difference: Estimate
    against_procedure: str | None = None

    @property
    def duel(self) -> Duel:
        """What stands against what."""
        return Duel.of(self.procedure, self.against_procedure)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; the base's procedure only where it is another."""
        return _paired(self, ("against_procedure",))


@dataclass(frozen=True, repr=False)
class Validation:
    """What scores of a base and aligned policies say; see :func:`validate`.

    Attributes
    ----------
    base : str
        Name of the base policy.
    base_samples : int
    base_tie_fraction : float
        Chance that two different base samples of a prompt score the same, mean over prompts.
    policies : dict of str to PolicyValidation
    differences : tuple of Difference
        Every pair of aligned policies under every procedure, paired by prompt.
    findings : tuple of Finding
        What is wrong with the scores and what became of it.
    level : float
        Confidence level of all intervals.
    interval : str
        How intervals of win rates were made.
    """

    base: str
    base_samples: int
    base_tie_fraction: float
    policies: Mapping[str, PolicyValidation]
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]
    level: float
    interval: str

    def __repr__(self) -> str:
        told = "; ".join(
            f"{policy.name!r}: {_rates(policy.win_rates)}" for policy in self.policies.values()
        )
        return f"<Validation against {self.base!r}: {told}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON but for infinities."""
        return {
            "base": {
                "name": self.base,
                "samples": self.base_samples,
                "tie_fraction": self.base_tie_fraction,
            },
            "policies": {name: policy.to_dict() for name, policy in self.policies.items()},
            "differences": [row.to_dict() for row in self.differences],
            "findings": [{**asdict(row), "text": row.text} for row in self.findings],
            "level": self.level,
            "interval": self.interval,
        }

    def to_frame(self) -> pd.DataFrame:
        """A row a policy and procedure."""
        import pandas as pd

        return pd.DataFrame([row for policy in self.policies.values() for row in policy._rows()])

    def plot(
        self, policy: str | None = None, procedure: str | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw one policy's win rate against KL; see :meth:`PolicyValidation.plot`.

        Parameters
        ----------
        policy : str, optional
            The first one by default.
        procedure : str, optional
            The first one judged by default.
        ax : Axes, optional
            Pyplot's current axes by default.
        """
        name = next(iter(self.policies)) if policy is None else policy
        if name not in self.policies:
            raise InputError(
                f"there is no policy {name!r} here; give one of {list(self.policies)}."
            )
        return self.policies[name].plot(procedure, ax)

    def report(self, path: str | Path, command: str | None = None) -> None:
        """Write one self-contained HTML page, whole or not at all.

        ``command`` is told at the end of the page as what made it.
        """
        from infalign_theory.empirical.report.page import write_report

        write_report(self, Path(path), command)

    def _repr_html_(self) -> str:
        return _html(tuple(self.policies.values()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "policies", MappingProxyType(dict(self.policies)))

    def __reduce__(self) -> tuple[type[Validation], tuple[Any, ...]]:
        # a read-only view of a dictionary cannot be pickled
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return type(self), tuple((values | {"policies": dict(self.policies)}).values())


def _rates(rows: tuple[WinRate, ...]) -> str:
    """Win rates in short."""
    return ", ".join(f"{row.duel.label} {row.estimate:.4g}" for row in rows)


def _paired(row: WinRate | Difference, names: tuple[str, ...]) -> dict[str, Any]:
    """A row's values, without those that tell of another procedure of the base where none is."""
    values = asdict(row)
    return values if row.against_procedure else {k: values[k] for k in values if k not in names}


def _html(policies: tuple[PolicyValidation, ...]) -> str:
    """Verdicts and tables for notebooks; names are the users' own and escaped."""
    import pandas as pd

    parts = []
    for policy in policies:
        parts += [f"<p>{escape(sentence)}</p>" for sentence in policy.verdict]
        parts += [f"<p><small>Note: {escape(note)}</small></p>" for note in policy.notes]
    rows = [row for policy in policies for row in policy._rows()]
    return "".join(parts) + pd.DataFrame(rows).to_html(index=False, escape=True)
