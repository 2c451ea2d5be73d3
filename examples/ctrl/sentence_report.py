"""What the trained models of sentences did, beside what was predicted before: numbers and a figure.

Reads the scores that ``sentence_run.py`` keeps; trains nothing and needs no extra.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.stats import t as student

import infalign_theory as it
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.estimators import win_rates
from infalign_theory.output import write_atomically

PROCEDURES = ("standard", "bon:2", "bon:4", "bon:8", "won:2", "won:4")
TITLES = ("Single samples", "Best-of-2", "Best-of-4", "Best-of-8", "Worst-of-2", "Worst-of-4")
LAWS = {
    "identity": "identity", "exp10": "exp:10", "exp-10": "exp:-10", "log": "log",
    "optimal": "optimal@bon:4", "rloo-identity": "identity", "rloo-exp10": "exp:10",
    "identity-600": "identity", "exp10-600": "exp:10", "exp-10-600": "exp:-10",
}  # fmt: skip
LOOK = {
    "raw": ("raw reward", "#777777", "x", ":"), "identity": ("identity", "#000000", "o", "-"),
    "log": ("log", "#009E73", "v", "--"), "exp10": ("exp(10u)", "#D55E00", "^", "-."),
    "exp-10": ("-exp(-10u)", "#0072B2", "s", (0, (5, 1, 1, 1, 1, 1))),
    "optimal": ("optimum for Best-of-4", "#CC79A7", "D", (0, (1, 1))),
}  # fmt: skip
SHOWN = (
    ("{}", "none", ", 300 steps"), ("{}-600", "full", ", 600 steps"), ("rloo-{}", "top", ", RLOO"),
)  # fmt: skip
COMPARED = (
    ("exp10", "identity", "bon:4"),
    ("exp10", "identity", "bon:8"),
    ("exp-10", "identity", "won:4"),
    ("exp10", "identity", "won:4"),
    ("optimal", "identity", "bon:4"),
    ("identity", "raw", "standard"),
    ("rloo-exp10", "rloo-identity", "bon:8"),
    ("exp10-600", "identity-600", "bon:4"),
    ("exp10-600", "identity-600", "bon:8"),
    ("exp-10-600", "identity-600", "won:4"),
    ("exp10-600", "identity-600", "won:4"),
    ("identity-600", "raw-600", "standard"),
)
KL = 0.3  # what arms were steered to
NATS = np.linspace(0.1, 0.5, 7)  # prediction lines; between them by cubics
LEVEL = 0.95


def judge(folder: Path, out: Path) -> None:
    """Everything from the scores in a folder."""
    runs = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    base = runs.pop("base-64")
    known = {*LAWS, "raw", "raw-600"}
    main = {name: each for name, each in runs.items() if name.rpartition("-")[0] in known}
    lines = predictions(base, NATS)
    expected = {where: CubicSpline(NATS, rates) for where, rates in lines.items()}
    found = it.validate(
        {"base": base, **main},
        procedure=PROCEDURES,
        base="base",
        truth="gold",
        log_ratio="log_ratio",
    )
    rows = [row for name in main for row in observed(found, name, main[name], expected)]
    others = [name for name in runs if name not in main and not name.startswith("base-")]
    results = {
        "runs": rows,
        "distance": distances(rows),
        "differences": [
            row for each in COMPARED if (row := difference(base, main, each, expected)) is not None
        ],
        "laws": laws(base, main, found),
        "study": [studied(runs, base, name) for name in others],
    }
    write_atomically(out / "results.json", (json.dumps(rounded(results), indent=1) + "\n").encode())
    found.report(out / "report.html", "python examples/ctrl/sentence_run.py")
    draw(rows, lines, out / "win-rates.png")
    tell(results)


def tell(results: dict[str, Any]) -> None:
    """The summary on standard output."""
    for row in results["differences"]:
        points = {name: 100 * row[name] for name in ("difference", "low", "high", "predicted")}
        sys.stdout.write(
            f"{row['first']} - {row['second']} under {row['procedure']}: "
            f"{points['difference']:+.2f} points, {points['low']:+.2f} to {points['high']:+.2f} "
            f"(predicted {points['predicted']:+.2f})\n"
        )
    for name, value in results["distance"].items():
        sys.stdout.write(f"mean |observed - predicted|, {name}: {100 * value:.2f} points\n")


def predictions(base: pd.DataFrame, nats: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """Win rates by arm and procedure at each KL, from base scores alone."""
    out = {}
    for name, transform in LAWS.items():
        at = [
            it.predict(base, procedure=PROCEDURES, transform=transform, kl=float(kl)).rows
            for kl in nats
        ]
        for i, procedure in enumerate(PROCEDURES):
            out[name, procedure] = np.array([rows[i].win_rate for rows in at])
    rewards = [np.sort(each.to_numpy()) for _, each in base.groupby("prompt")["reward"]]
    raw = [tilted_by_reward(rewards, float(kl)) for kl in nats]
    for procedure in PROCEDURES:
        rates = [np.mean([won(f, procedure) for f in tilts]) for tilts in raw]
        out["raw", procedure] = out["raw-600", procedure] = np.array(rates)
    return out


def tilted_by_reward(rewards: Sequence[np.ndarray], nats: float) -> list[np.ndarray]:
    """Tilts of each prompt's samples by the reward itself, one beta for all, KL their mean."""

    def tilted(log_k: float) -> list[np.ndarray]:
        weights = [np.exp(np.exp(log_k) * (each - each[-1])) for each in rewards]
        return [weight / weight.sum() for weight in weights]

    def excess(log_k: float) -> float:
        kls = [np.sum(f * np.log(np.maximum(f * f.size, 1e-300))) for f in tilted(log_k)]
        return float(np.mean(kls)) - nats

    return tilted(brentq(excess, -8.0, 5.0))


def won(law: np.ndarray, procedure: str) -> float:
    """Win rate of a law of sorted samples against their even one."""
    kind, _, number = procedure.partition(":")
    n = int(number or 1)
    edges = np.concatenate([[0.0], np.cumsum(law)]), np.arange(law.size + 1) / law.size
    ours, theirs = ((e**n if kind != "won" else 1 - (1 - e) ** n) for e in edges)
    return float(np.sum(np.diff(theirs) * (1 - (ours[1:] + ours[:-1]) / 2)))


def observed(
    found: Any, name: str, scores: pd.DataFrame, expected: dict[tuple[str, str], CubicSpline]
) -> list[dict[str, Any]]:
    """A row a procedure of one run."""
    policy = found.policies[name]
    arm, _, seed = name.rpartition("-")
    return [
        {
            "arm": arm,
            "seed": int(seed),
            "procedure": row.procedure,
            "kl": policy.kl.value,
            "kl_ci": list(policy.kl.ci),
            "calibrated_kl": policy.calibrated_kl.value,
            "beta_asked": float(scores["beta_asked"].iloc[0]),
            "beta_ended": float(scores["beta_ended"].iloc[0]),
            "observed": row.estimate,
            "ci": list(row.ci),
            "planned": float(expected[arm, row.procedure](KL)),
            "predicted": float(expected[arm, row.procedure](policy.kl.value)),
            "true_win_rate": row.truth.win_rate.value,
        }
        for row in policy.win_rates
    ]


def distances(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean |observed - predicted at the KL spent| by arm, over procedures and seeds."""
    frame = pd.DataFrame(rows)
    frame["distance"] = (frame["observed"] - frame["predicted"]).abs()
    out = {str(arm): float(each.mean()) for arm, each in frame.groupby("arm")["distance"]}
    return out | {"all": float(frame["distance"].mean())}


def by_prompt(scores: pd.DataFrame, base: pd.DataFrame, procedure: str) -> np.ndarray:
    """Unbiased win rate against the base of each prompt."""
    ours, theirs = (
        Groups.stack([each.to_numpy() for _, each in frame.groupby("prompt")["reward"]])
        for frame in (scores, base)
    )
    return win_rates(ours, theirs, procedure)


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean of a table of seeds and prompts, both of which are drawn, and half its interval.

    The variances of the mean over prompts and over seeds add up, each as if the other were not
    there: what is in both counts twice, so that the interval is rather wide than narrow with few
    seeds. Degrees of freedom by Satterthwaite.
    """
    seeds, prompts = values.shape
    over_prompts = values.mean(axis=0).var(ddof=1) / prompts
    over_seeds = values.mean(axis=1).var(ddof=1) / seeds if seeds > 1 else 0.0
    total = over_prompts + over_seeds
    freedom = total**2 / (over_prompts**2 / (prompts - 1) + over_seeds**2 / max(seeds - 1, 1))
    reach = np.sqrt(total) * student.ppf((1 + LEVEL) / 2, freedom)
    return float(values.mean()), float(reach)


def difference(
    base: pd.DataFrame,
    main: dict[str, pd.DataFrame],
    which: tuple[str, str, str],
    expected: dict[tuple[str, str], CubicSpline],
) -> dict[str, Any] | None:
    """One arm minus another, paired by prompt and seed, over all seeds that both have."""
    first, second, procedure = which
    numbers = {arm: {n.rpartition("-")[2] for n in main if n.rpartition("-")[0] == arm}
               for arm in (first, second)}  # fmt: skip
    seeds = sorted(numbers[first] & numbers[second])
    if not seeds:
        return None
    values = np.array(
        [
            by_prompt(main[f"{first}-{seed}"], base, procedure)
            - by_prompt(main[f"{second}-{seed}"], base, procedure)
            for seed in seeds
        ]
    )
    mean, reach = interval(values)
    spent = {
        arm: float(np.mean([main[f"{arm}-{seed}"]["log_ratio"].mean() for seed in seeds]))
        for arm in (first, second)
    }
    return {
        "first": first,
        "second": second,
        "procedure": procedure,
        "seeds": len(seeds),
        "by_seed": values.mean(axis=1).tolist(),
        "difference": mean,
        "low": mean - reach,
        "high": mean + reach,
        "planned": float(expected[first, procedure](KL) - expected[second, procedure](KL)),
        "predicted": float(
            expected[first, procedure](spent[first]) - expected[second, procedure](spent[second])
        ),
        "kl_first": spent[first],
        "kl_second": spent[second],
    }


def laws(base: pd.DataFrame, main: dict[str, pd.DataFrame], found: Any) -> list[dict[str, Any]]:
    """Where KL went: the tilt a run behaves like, what calibrated rewards show, what prompts."""
    out = []
    for arm in dict.fromkeys(name.rpartition("-")[0] for name in main):
        mine = {name: each for name, each in main.items() if name.rpartition("-")[0] == arm}
        named: Any = {}
        if arm in LAWS and not LAWS[arm].startswith("optimal"):
            named = it.validate(
                {"base": base, **mine},
                base="base",
                procedure=PROCEDURES,
                log_ratio="log_ratio",
                transform=LAWS[arm],
            ).policies
        for name in mine:
            free = found.policies[name]
            judged = named.get(name, free)
            out.append(
                {
                    "run": name,
                    "behaves_like": None if free.theory is None else free.theory.transform,
                    "kl": free.kl.value,
                    "calibrated_kl": free.calibrated_kl.value,
                    "spread": None if judged.spread is None else judged.spread.to_dict(),
                    "verdict": list(judged.verdict),
                }
            )
    return out


def studied(runs: dict[str, pd.DataFrame], base: pd.DataFrame, name: str) -> dict[str, Any]:
    """One run of the study of steps, batch and width, and its distance from the prediction."""
    kind, _, number = name.rpartition("-")[0].partition("-")
    against = runs.get(f"base-{number}", base) if kind == "width" else base
    found = it.validate(
        {"base": against, name: runs[name]},
        base="base",
        procedure=PROCEDURES,
        log_ratio="log_ratio",
        transform="identity",
    ).policies[name]
    at = it.predict(base, procedure=PROCEDURES, transform="identity", kl=found.kl.value).rows
    gaps = [row.estimate - law.win_rate for row, law in zip(found.win_rates, at, strict=True)]
    return {
        "what": kind,
        "value": int(number),
        "kl": found.kl.value,
        "calibrated_kl": found.calibrated_kl.value,
        "gaps": dict(zip(PROCEDURES, gaps, strict=True)),
        "distance": float(np.mean(np.abs(gaps))),
        "spread": None if found.spread is None else found.spread.to_dict(),
    }


def draw(rows: list[dict[str, Any]], lines: dict[tuple[str, str], np.ndarray], path: Path) -> None:
    """Win rate against KL, a panel a procedure: runs with intervals, prediction lines."""
    from matplotlib.figure import Figure

    from infalign_theory.plotting.rendering import drawing_style, image

    with drawing_style():
        figure = Figure(figsize=(10.5, 7.2), layout="constrained")
        panels, fine = figure.subplots(2, 3), np.linspace(NATS[0], NATS[-1], 81)
        for ax, procedure, title in zip(panels.flat, PROCEDURES, TITLES, strict=True):
            for arm, (label, colour, marker, line) in LOOK.items():
                law = CubicSpline(NATS, lines[arm, procedure])(fine)
                ax.plot(fine, law, color=colour, linestyle=line, linewidth=1.2)
                if ax is panels.flat[0]:
                    ax.plot([], [], color=colour, linestyle=line, label=f"{label}, predicted")
                for form, fill, told in SHOWN:
                    mine = [
                        r
                        for r in rows
                        if r["arm"] == form.format(arm) and r["procedure"] == procedure
                    ]
                    if mine:
                        ys = np.array([r["observed"] for r in mine])
                        ci = np.array([r["ci"] for r in mine]).T
                        ax.errorbar(
                            [r["kl"] for r in mine], ys, yerr=np.abs(ci - ys), fmt=marker,
                            color=colour, markersize=5, fillstyle=fill, linewidth=0.9,
                            label=label + told,
                        )  # fmt: skip
            ax.set_title(title)
            ax.set_xlabel("KL of whole sentences, nats")
            ax.set_ylabel("Win rate against the base")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
        content = image(figure, "png")
    write_atomically(path, content)


def rounded(value: Any) -> Any:
    """Numbers with four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
