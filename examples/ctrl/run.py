"""Train with TRL in every setting, and put what comes out beside what theory claims.

    python examples/ctrl/run.py [--out examples/ctrl/results] [--only NAME ...]

Needs the extra ``train``. A few minutes a run on one core. Runs that are not named keep the results
that stand in the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from one_token import PROMPTS, WORDS, World, train
from scipy.optimize import brentq

from infalign_theory.errors import OutOfReachError
from infalign_theory.training import Calibrator, callback, settings

PROCEDURES = ("standard", "bon:2", "bon:4", "bon:8", "won:2", "won:4")
SAMPLES = 4000  # base samples a prompt for the calibration


@dataclass(frozen=True)
class Run:
    """One training run: a transform, a trainer and its choices; beta only to show a collapse."""

    name: str
    transform: str
    trainer: str
    choices: dict[str, Any] = field(default_factory=dict)
    kl: float = 0.5
    collapse_at: float | None = None
    steps: int = 150


RUNS = (
    Run("rloo-identity", "identity", "trl-rloo"),
    Run("rloo-exp10", "exp:10", "trl-rloo"),
    # a beta of a hundredth pulls towards the base slowly: after 150 steps it spends twice its KL
    Run("rloo-exp-10", "exp:-10", "trl-rloo", steps=450),
    Run("grpo-corrected", "identity", "trl-grpo"),
    Run("grpo-uncorrected", "identity", "trl-grpo", {"use_bias_correction_kl": False}),
    Run("grpo-group", "identity", "trl-grpo", {"scale_rewards": "group"}, kl=0.25),
    Run("grpo-group-collapse", "identity", "trl-grpo", {"scale_rewards": "group"},
        collapse_at=0.25, steps=80),
)  # fmt: skip


def claimed_law(
    base: np.ndarray, rewards: np.ndarray, *, beta: float, divergence: str
) -> np.ndarray:
    """The law of a prompt's words that a penalty leads to, rewards in [0, 1]."""
    if divergence == "kl":
        f = base * np.exp((rewards - rewards.max()) / beta)
        return f / f.sum()
    drop = rewards.max() - rewards

    def excess(log_gap: float) -> float:
        return float(np.sum(base * beta / (np.exp(log_gap) + drop))) - 1.0

    f = base * beta / (np.exp(brentq(excess, -200.0, 10.0, xtol=1e-14)) + drop)
    return f / f.sum()


def win_rate(base: np.ndarray, law: np.ndarray, rewards: np.ndarray, procedure: str) -> float:
    """Exact win rate of a law of words against the base law, ties half."""
    order = np.argsort(rewards)
    edges = (
        np.concatenate([[0.0], np.cumsum(law[order])]),
        np.concatenate([[0.0], np.cumsum(base[order])]),
    )
    kind, _, number = procedure.partition(":")
    n = int(number or 1)
    ours, theirs = ((e**n if kind != "won" else 1 - (1 - e) ** n) for e in edges)
    return float(np.sum(np.diff(theirs) * (1 - (ours[1:] + ours[:-1]) / 2)))


def calibrator(world: World, base: np.ndarray, seed: int = 0) -> Calibrator:
    """From scores of sampled base responses, as in life."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(WORDS, SAMPLES, p=base[p]) for p in range(PROMPTS)]
    return Calibrator.fit(
        pd.DataFrame(
            {
                "prompt": np.repeat([f"p{p}" for p in range(PROMPTS)], SAMPLES),
                "reward": np.concatenate([world.rewards[p, d] for p, d in enumerate(drawn)]),
            }
        )
    )


def scorer(world: World) -> Any:
    """The gold reward of each one-word response; anything else is worst."""
    worst = world.rewards.min(axis=1)

    def score(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return [
            float(world.rewards[int(p[1:]), int(c.strip()[1:])])
            if c.strip().startswith("w")
            else float(worst[int(p[1:])])
            for p, c in zip(prompts, completions, strict=True)
        ]

    return score


def execute(run: Run, world: World) -> dict[str, Any]:
    """Train, and compare laws and win rates with the claim."""
    cal = calibrator(world, world.base)
    reward = cal.reward_function(scorer(world), transform=run.transform)
    warned = None
    if run.collapse_at is None:
        found = settings(run.transform, kl=run.kl, trainer=run.trainer, **run.choices)
        arguments, beta, divergence = dict(found.arguments), found.scaled_beta, found.divergence
    else:
        try:
            settings(run.transform, beta=run.collapse_at, trainer=run.trainer, **run.choices)
        except OutOfReachError as error:
            warned = str(error)
        stated = settings(run.transform, kl=0.1, trainer=run.trainer, **run.choices)
        arguments = dict(stated.arguments) | {"beta": run.collapse_at}
        beta, divergence = run.collapse_at, "kl"
    base, law = train(
        world,
        reward,
        run.trainer,
        arguments,
        steps=run.steps,
        callbacks=[callback(reward, "bon:4")],
    )
    places = reward.scaled(world.calibrated().ravel()).reshape(world.rewards.shape)
    claims = np.array(
        [
            claimed_law(b, r, beta=beta, divergence=divergence)
            for b, r in zip(base, places, strict=True)
        ]
    )
    rows = [
        {
            "procedure": procedure,
            "observed": _mean_win_rate(base, law, world, procedure),
            "predicted": _mean_win_rate(base, claims, world, procedure),
        }
        for procedure in PROCEDURES
    ]
    return {
        "run": run.name,
        "transform": run.transform,
        "trainer": run.trainer,
        "arguments": arguments,
        "divergence": divergence,
        "warned": warned,
        "total_variation": float(np.abs(law - claims).sum(axis=1).mean() / 2),
        "kl": float(np.sum(law * np.log(law / base), axis=1).mean()),
        "claimed_kl": float(np.sum(claims * np.log(claims / base), axis=1).mean()),
        "win_rates": rows,
    }


def _mean_win_rate(base: np.ndarray, law: np.ndarray, world: World, procedure: str) -> float:
    return float(
        np.mean(
            [win_rate(b, f, r, procedure) for b, f, r in zip(base, law, world.rewards, strict=True)]
        )
    )


def draw(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Observed against predicted win rates, one marker a run."""
    from matplotlib.figure import Figure

    from infalign_theory.output import write_atomically
    from infalign_theory.plotting.rendering import drawing_style, image

    with drawing_style():
        figure = Figure(figsize=(6.2, 5.6))
        ax = figure.subplots()
        ax.axline((0.5, 0.5), slope=1.0, color="#6f6f6f", linewidth=1.0)
        for at, result in enumerate(results):
            ax.plot(
                [row["predicted"] for row in result["win_rates"]],
                [row["observed"] for row in result["win_rates"]],
                "os^Dvp"[at % 6],
                label=result["run"],
                fillstyle="none",
            )
        ax.set_xlabel("Win rate predicted before training")
        ax.set_ylabel("Win rate of the trained model")
        ax.legend()
        content = image(figure, "png")
    write_atomically(path, content)


def main() -> None:
    """Run, write the numbers and the figure, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", nargs="*", default=[run.name for run in RUNS])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    numbers = given.out / "results.json"
    held = json.loads(numbers.read_text()) if numbers.exists() else []
    made = {result["run"]: result for result in held}
    world = World.make()
    for run in RUNS:
        if run.name in given.only:
            made[run.name] = execute(run, world)
            sys.stderr.write(f"{run.name}: {made[run.name]['total_variation']:.3f}\n")
            results = [_rounded(made[run.name]) for run in RUNS if run.name in made]
            numbers.write_text(json.dumps(results, indent=1) + "\n")
    results = [made[run.name] for run in RUNS if run.name in made]
    kept = [result for result in results if result["warned"] is None]
    errors = [abs(r["observed"] - r["predicted"]) for x in kept for r in x["win_rates"]]
    sys.stdout.write(f"mean |observed - predicted| = {100 * np.mean(errors):.2f} points\n")
    draw(kept, given.out / "win-rates.png")


def _rounded(value: Any) -> Any:
    """Numbers with the digits that a repeated run gives again."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
