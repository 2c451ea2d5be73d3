"""Make the sample run: scores of a simulated base model and of a model trained on exp(10 u).

Run ``python examples/make_run.py`` to write ``base.jsonl`` and ``tuned.jsonl`` beside this file.
Prompts differ in level and spread of the reward; the tuned model is the exact tilt exp(10 u) of the
base's calibrated reward u at 0.3 nats, so log_ratio is its exact log density ratio. Answers are
correct with a chance that rises with u but falls again at the very top, as with a reward model
that can be fooled.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import special

import infalign_theory as it

PROMPTS, SAMPLES, SEED = 80, 12, 20241228
KL, EXPONENT = 0.3, 10


def rows(label: str) -> list[dict[str, object]]:
    """Samples of one policy, prompt after prompt."""
    rng = np.random.default_rng([SEED, label == "tuned"])
    prompts = np.random.default_rng(SEED)
    policy = it.align(it.Exponential(EXPONENT), kl=KL if label == "tuned" else 0.0)
    out: list[dict[str, object]] = []
    for prompt in range(PROMPTS):
        level, spread, ease = prompts.normal(), prompts.uniform(0.5, 2.0), prompts.uniform(0.2, 0.6)
        u = policy.rvs(SAMPLES, rng)
        logit = level + spread * special.ndtri(u)
        chance = np.clip(ease + 0.5 * u - 2.0 * np.maximum(u - 0.85, 0.0), 0.0, 1.0)
        correct = rng.random(SAMPLES) < chance
        log_ratio = np.log(policy.pdf(u))
        for i in range(SAMPLES):
            out.append(
                {
                    "question": f"q{prompt:03d}",
                    "label": label,
                    "sample": i,
                    "rm_logit": round(float(logit[i]), 4),
                    "correct": bool(correct[i]),
                    "log_ratio": round(float(log_ratio[i]), 4) + 0.0,
                }
            )
    return out


def text(label: str) -> str:
    """The samples of one policy as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows(label))


if __name__ == "__main__":
    for name in ("base", "tuned"):
        (Path(__file__).parent / f"{name}.jsonl").write_text(text(name), encoding="utf-8")
