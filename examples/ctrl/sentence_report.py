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
from scipy.optimize import brentq
from scipy.stats import t as student

import infalign_theory as it
from infalign_theory.output import write_atomically

PROCEDURES = ("standard", "bon:2", "bon:4", "bon:8", "won:2", "won:4")
TITLES = ("Single samples", "Best-of-2", "Best-of-4", "Best-of-8", "Worst-of-2", "Worst-of-4")
LAWS = {
    "identity": "identity", "exp10": "exp:10", "exp-10": "exp:-10", "log": "log",
    "optimal": "optimal@bon:4", "grpo-identity": "identity", "grpo-exp10": "exp:10",
}  # fmt: skip
LOOK = {
    "raw": ("raw reward", "#777777", "x", ":"), "identity": ("identity", "#000000", "o", "-"),
    "log": ("log", "#009E73", "v", "--"), "exp10": ("exp(10u)", "#D55E00", "^", "-."),
    "exp-10": ("-exp(-10u)", "#0072B2", "s", (0, (5, 1, 1, 1, 1, 1))),
    "optimal": ("optimum for Best-of-4", "#CC79A7", "D", (0, (1, 1))),
}  # fmt: skip
COMPARED = (
    ("exp10", "identity", "bon:4"),
    ("exp10", "identity", "bon:8"),
    ("exp-10", "identity", "won:4"),
    ("exp10", "identity", "won:4"),
    ("optimal", "identity", "bon:4"),
    ("identity", "raw", "standard"),
    ("grpo-exp10", "grpo-identity", "bon:8"),
)
KL = 0.5
LEVEL = 0.95


def judge(folder: Path, out: Path) -> None:
    """Everything from the scores in a folder."""
    runs = {path.stem: pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))}
    base = runs.pop("base-64")
    main = {name: scores for name, scores in runs.items() if name.rpartition("-")[0] in
            {*LAWS, "raw"}}  # fmt: skip
    expected = predictions(base, np.array([KL]))
    found = it.validate(
        {"base": base, **main},
        procedure=PROCEDURES,
        base="base",
        truth="gold",
        log_ratio="log_ratio",
    )
    rows = [row for name in main for row in observed(found, name, main[name], expected)]
    results = {
        "runs": rows,
        "distance": distances(rows),
        "differences": [row for each in COMPARED if (row := difference(main, base, each))],
        "laws": [law(base, main[name], name) for name in main],
        "study": [
            row
            for name in (*runs,)
            if name not in main and not name.startswith("base-")
            for row in studied(runs, base, name, expected)
        ],
    }
    write_atomically(out / "results.json", (json.dumps(rounded(results), indent=1) + "\n").encode())
    found.report(out / "report.html", "python examples/ctrl/sentence_run.py")
    draw(rows, base, out / "win-rates.png")
    for row in results["differences"]:
        sys.stdout.write(f"{row['first']} - {row['second']} under {row['procedure']}: "
                         f"{100 * row['difference']:+.2f} points, {100 * row['low']:+.2f} to "
                         f"{100 * row['high']:+.2f} (predicted {100 * row['predicted']:+.2f})\n")  # fmt: skip
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
    laws = [np.sort(each.to_numpy()) for _, each in base.groupby("prompt")["reward"]]
    for procedure in PROCEDURES:
        out["raw", procedure] = np.array([raw_win_rate(laws, procedure, kl) for kl in nats])
    return out


def raw_win_rate(laws: Sequence[np.ndarray], procedure: str, nats: float) -> float:
    """Win rate of a tilt by the reward itself, one beta for all prompts, KL their mean."""

    def tilted(log_k: float) -> list[np.ndarray]:
        weights = [np.exp(np.exp(log_k) * (each - each[-1])) for each in laws]
        return [weight / weight.sum() for weight in weights]

    def spent(log_k: float) -> float:
        kls = [np.sum(f * np.log(np.maximum(f * f.size, 1e-300))) for f in tilted(log_k)]
        return float(np.mean(kls)) - nats

    def won(f: np.ndarray) -> float:
        kind, _, number = procedure.partition(":")
        n = int(number or 1)
        edges = np.concatenate([[0.0], np.cumsum(f)]), np.arange(f.size + 1) / f.size
        ours, theirs = ((e**n if kind != "won" else 1 - (1 - e) ** n) for e in edges)
        return float(np.sum(np.diff(theirs) * (1 - (ours[1:] + ours[:-1]) / 2)))

    return float(np.mean([won(f) for f in tilted(brentq(spent, -8.0, 5.0))]))


def observed(
    found: Any, name: str, scores: pd.DataFrame, expected: dict[tuple[str, str], np.ndarray]
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
            "predicted": float(expected[arm, row.procedure][0]),
            "true_win_rate": row.truth.win_rate.value,
        }
        for row in policy.win_rates
    ]


def distances(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mean |observed - predicted| by arm, over procedures and seeds."""
    frame = pd.DataFrame(rows)
    frame["distance"] = (frame["observed"] - frame["predicted"]).abs()
    out = {str(arm): float(each.mean()) for arm, each in frame.groupby("arm")["distance"]}
    return out | {"all": float(frame["distance"].mean())}


def difference(
    runs: dict[str, pd.DataFrame], base: pd.DataFrame, which: tuple[str, str, str]
) -> dict[str, Any] | None:
    """One arm minus another, paired by prompt, over all seeds.

    Its error joins that over prompts (as large as if seeds shared all of it) and that over seeds.
    """
    first, second, procedure = which
    found = []
    for seed in range(100):
        ours, theirs = (runs.get(f"{name}-{seed}") for name in (first, second))
        if ours is None or theirs is None:
            break
        judged = it.validate(
            {"base": base, "ours": ours, "theirs": theirs},
            procedure=procedure,
            base="base",
            log_ratio="log_ratio",
        )
        pair = next(row for row in judged.differences if row.procedure == procedure)
        kls = judged.policies["ours"].kl, judged.policies["theirs"].kl
        found.append((pair.difference.value, pair.difference.stderr, *(kl.value for kl in kls)))
    if not found:
        return None
    values, errors, ours_kl, theirs_kl = np.array(found).T
    between = values.var(ddof=1) / values.size if values.size > 1 else 0.0
    error = float(np.hypot(errors.mean(), np.sqrt(between)))
    reach = error * float(student.ppf((1 + LEVEL) / 2, base["prompt"].nunique() - 1))
    mean = float(values.mean())
    at = predictions_pair(base, first, second, procedure)
    return {
        "first": first, "second": second, "procedure": procedure, "seeds": values.size,
        "difference": mean, "low": mean - reach, "high": mean + reach, "predicted": at,
        "kl_first": float(ours_kl.mean()), "kl_second": float(theirs_kl.mean()),
    }  # fmt: skip


def predictions_pair(base: pd.DataFrame, first: str, second: str, procedure: str) -> float:
    """The difference predicted at the KL of all arms."""
    made = predictions(base, np.array([KL]))
    return float(made[first, procedure][0] - made[second, procedure][0])


def law(base: pd.DataFrame, scores: pd.DataFrame, name: str) -> dict[str, Any]:
    """Where KL went: the tilt a run behaves like, what calibrated rewards show, what prompts."""
    arm = name.rpartition("-")[0]
    free = it.validate(
        {"base": base, name: scores}, base="base", procedure=PROCEDURES, log_ratio="log_ratio"
    ).policies[name]
    named = None
    if arm in LAWS and not LAWS[arm].startswith("optimal"):
        named = it.validate(
            {"base": base, name: scores},
            base="base",
            procedure=PROCEDURES,
            log_ratio="log_ratio",
            transform=LAWS[arm],
        ).policies[name]
    return {
        "run": name,
        "behaves_like": None if free.theory is None else free.theory.transform,
        "kl": free.kl.value,
        "calibrated_kl": free.calibrated_kl.value,
        "spread": None if named is None or named.spread is None else named.spread.to_dict(),
        "verdict": list((named or free).verdict),
    }


def studied(
    runs: dict[str, pd.DataFrame],
    base: pd.DataFrame,
    name: str,
    expected: dict[tuple[str, str], np.ndarray],
) -> list[dict[str, Any]]:
    """One run of the study of steps, batch and width, and its distance from the prediction."""
    arm = name.rpartition("-")[0]
    kind, _, number = arm.partition("-")
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
    return [
        {
            "what": kind,
            "value": int(number),
            "kl": found.kl.value,
            "calibrated_kl": found.calibrated_kl.value,
            "gaps": dict(zip(PROCEDURES, gaps, strict=True)),
            "distance": float(np.mean(np.abs(gaps))),
            "spread": None if found.spread is None else found.spread.to_dict(),
        }
    ]


def draw(rows: list[dict[str, Any]], base: pd.DataFrame, path: Path) -> None:
    """Win rate against KL, a panel a procedure: runs with intervals, prediction lines."""
    from matplotlib.figure import Figure

    from infalign_theory.plotting.rendering import drawing_style, image

    nats = np.linspace(0.2, 0.8, 13)
    lines = predictions(base, nats)
    with drawing_style():
        figure = Figure(figsize=(10.5, 7.2), layout="constrained")
        panels = figure.subplots(2, 3)
        for ax, procedure, title in zip(panels.flat, PROCEDURES, TITLES, strict=True):
            for arm, (label, colour, marker, line) in LOOK.items():
                ax.plot(nats, lines[arm, procedure], color=colour, linestyle=line, linewidth=1.2)
                mine = [r for r in rows if r["arm"] == arm and r["procedure"] == procedure]
                if mine:
                    ys = np.array([r["observed"] for r in mine])
                    ci = np.array([r["ci"] for r in mine]).T
                    ax.errorbar(
                        [r["kl"] for r in mine], ys, yerr=np.abs(ci - ys), fmt=marker,
                        color=colour, markersize=5, fillstyle="none", linewidth=0.9, label=label,
                    )  # fmt: skip
            ax.set_title(title)
            ax.set_xlabel("KL of whole sentences, nats")
            ax.set_ylabel("Win rate against the base")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
        content = image(figure, "png")
    write_atomically(path, content)


def rounded(value: Any) -> Any:
    """Numbers with four decimals."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
