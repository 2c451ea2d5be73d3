"""Estimates from scores against pandas' group-by with NumPy for each prompt."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb

import numpy as np
import pandas as pd

from benchmarks.clock import Row, clock
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.estimators import pass_at, win_rates

N, SAMPLES = 4, 16


def one_prompt(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The unbiased Best-of-N win rate of one prompt."""
    a, b = np.sort(ours), np.sort(theirs)
    w = np.array([comb(i, N - 1) for i in range(a.size)]) / comb(a.size, N)
    v = np.cumsum([0.0, *(comb(i, N - 1) for i in range(b.size))]) / comb(b.size, N)
    low, high = np.searchsorted(b, a, "left"), np.searchsorted(b, a, "right")
    return float(w @ (v[low] + v[high]) / 2)


def human_eval_pass_at(total: int, right: int, k: int) -> float:
    """The product form of 1 - C(n-c, k)/C(n, k)."""
    if total - right < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(total - right + 1, total + 1)))


def rows() -> Iterator[Row]:
    """Win rates and pass@k of 20,000 prompts."""
    prompts = 20_000
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.2, 1.0, (prompts, SAMPLES)), rng.normal(size=(prompts, SAMPLES))
    a, b = Groups.stack(ours), Groups.stack(theirs)
    frame = pd.DataFrame(
        {"prompt": np.repeat(np.arange(prompts), SAMPLES), "a": ours.ravel(), "b": theirs.ravel()}
    )

    def by_pandas() -> np.ndarray:
        grouped = frame.groupby("prompt", sort=False)
        return np.array([one_prompt(g["a"].to_numpy(), g["b"].to_numpy()) for _, g in grouped])

    worst = np.max(np.abs(by_pandas() - win_rates(a, b, f"bon:{N}")))
    yield Row(
        work=f"win rates bon:{N} of {prompts} prompts, {SAMPLES} samples each",
        ours=clock(lambda: win_rates(a, b, f"bon:{N}")),
        peer="pandas group-by, NumPy a prompt",
        theirs=clock(by_pandas, 3),
        accuracy=f"they differ by {worst:.0e}",
        wanted="20",
    )
    right = (ours > 0.5).astype(float)
    truth = Groups.stack(right)
    counts = right.sum(axis=1).astype(int)

    def by_product() -> list[float]:
        return [human_eval_pass_at(SAMPLES, c, N) for c in counts]

    worst = np.max(np.abs(np.array(by_product()) - pass_at(truth, N)))
    yield Row(
        work=f"pass@{N} of {prompts} prompts",
        ours=clock(lambda: pass_at(truth, N)),
        peer="the product form, a prompt at a time",
        theirs=clock(by_product, 3),
        accuracy=f"they differ by {worst:.0e}",
        wanted="20",
    )
