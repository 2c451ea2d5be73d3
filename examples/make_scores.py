"""Make the sample scores: a simulated base model judged on a scale of 0 to 100.

Run ``python examples/make_scores.py`` to write ``scores.csv`` beside this file. Prompts differ in
difficulty and spread; a judge rounds to multiples of five, so scores tie as real ones do.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

PROMPTS, SAMPLES, SEED = 40, 32, 20241228


def table() -> str:
    """The sample scores as CSV text."""
    rng = np.random.default_rng(SEED)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["prompt", "sample", "reward"])
    for prompt in range(PROMPTS):
        middle, spread = rng.uniform(35.0, 80.0), rng.uniform(6.0, 20.0)
        quality = rng.normal(middle, spread, SAMPLES)
        scores = np.clip(5 * np.round(quality / 5), 0, 100).astype(int)
        for sample, score in enumerate(scores):
            writer.writerow([f"p{prompt:02d}", sample, int(score)])
    return text.getvalue()


if __name__ == "__main__":
    (Path(__file__).parent / "scores.csv").write_text(table(), encoding="utf-8")
