"""TRL itself: a transformer with one-token responses ends at the law that theory claims."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
EXAMPLE = Path(__file__).parents[1] / "examples" / "ctrl"


@pytest.fixture(scope="module")
def example():
    pytest.importorskip("trl", reason="the extra 'train' is not installed")
    sys.path.insert(0, str(EXAMPLE))
    try:
        import run

        yield run
    finally:
        sys.path.remove(str(EXAMPLE))


@pytest.fixture(scope="module")
def trained(example):
    """One of the example's runs, in fewer steps where so asked."""

    def get(name, steps=None):
        [chosen] = [run for run in example.RUNS if run.name == name]
        short = replace(chosen, steps=steps or chosen.steps)
        return example.execute(short, example.World.make())

    return get


def test_training_ends_at_the_claimed_law(trained):
    found = trained("rloo-exp10", 100)
    assert found["total_variation"] < 0.05
    assert found["kl"] == pytest.approx(found["claimed_kl"], rel=0.1)


@pytest.mark.simulation  # left to the night
@pytest.mark.parametrize(
    "name", ["rloo-identity", "rloo-exp-10", "grpo-corrected", "grpo-uncorrected", "grpo-group"]
)
def test_other_trainers_end_at_the_law_of_theirs(trained, name):
    found = trained(name)
    assert found["total_variation"] < 0.05
    assert found["kl"] == pytest.approx(found["claimed_kl"], rel=0.1)


def test_below_the_critical_beta_the_policy_collapses(trained):
    found = trained("grpo-group-collapse", 40)
    assert "critical beta" in found["warned"]
    assert found["kl"] > 2.0  # .48 nats were asked for


# --------------------------------------------------------------------- the manual, as printed
SCORER = """
def score(prompts, completions):
    return [float(c.count("w1")) + len(c) / 1e3 for c in completions]
"""


def tiny_model(folder, example):
    """A transformer of a few thousand parameters with its tokenizer, as users have theirs."""
    import torch
    from one_token import tokenizer
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    words = tokenizer()
    words.save_pretrained(folder)
    size = len(words)
    ends = {"pad_token_id": size - 3, "eos_token_id": size - 2, "bos_token_id": size - 2}
    config = GPT2Config(vocab_size=size, n_positions=80, n_embd=16, n_layer=1, n_head=2, **ends)
    GPT2LMHeadModel(config).save_pretrained(folder)


def test_the_script_of_the_manual_trains(example, tmp_path):
    page = Path(__file__).parents[1] / "docs" / "how-to" / "train-with-trl.md"
    [script] = [
        block
        for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        if "trainer.train()" in block
    ]
    assert len(script.splitlines()) < 20
    tiny_model(tmp_path / "my" / "model", example)
    (tmp_path / "my_scorer.py").write_text(SCORER)
    prompts = [f"p{i}" for i in range(4)]
    base = [{"prompt": p, "reward": i % 7 + i / 99} for p in prompts for i in range(16)]
    for name, rows in (("base", base), ("prompts", [{"prompt": p} for p in prompts])):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    (tmp_path / "train.py").write_text(script)
    command = [sys.executable, "-m", "infalign_theory", "calibrate", "base.jsonl"]
    for line in ([*command, "--out", "calibration.parquet"], [sys.executable, "train.py"]):
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
    assert "calibrated/win_rate" in done.stdout
    assert (tmp_path / "run" / "checkpoint-3").exists()


# --------------------------------------------------------------------- many tokens, without TRL
def test_a_penalty_token_by_token_leads_to_the_law_of_the_manual():
    """Two tokens: the fixed point by gradient ascent of the expected update, and its formula."""
    rng, beta = np.random.default_rng(0), 0.2
    first, second = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(6), size=5)
    reward = rng.random((5, 6))
    a, b = np.log(first), np.log(second)
    for _ in range(400):  # natural gradient of E[reward - beta log-ratio of the token]
        p, q = (np.exp(x - np.log(np.exp(x).sum(-1, keepdims=True))) for x in (a, b))
        late = reward - beta * np.log(q / second)
        early = (q * reward).sum(1) - beta * np.log(p / first)
        a, b = a + early, b + late
    kl = (p * np.log(p / first)).sum() + (q * np.log(q / second)).sum(1)
    value = (p[:, None] * q * reward).sum()
    claimed = (reward - value) / beta + kl[:, None]
    found = np.log(p / first)[:, None] + np.log(q / second)
    assert np.abs(found - claimed).max() < 1e-8
    assert np.ptp(kl) > 0.05  # that sum matters here


# --------------------------------------------------------------------- intervals of the report
def test_intervals_cover_where_prompts_and_seeds_both_vary(example):
    from sentence_report import interval

    rng = np.random.default_rng(3)
    for prompt, seed, noise in ((1.0, 0.0, 1.0), (0.3, 0.3, 1.0), (0.0, 0.0, 1.0)):
        hits = 0
        for _ in range(1000):
            effects = prompt * rng.normal(size=64) + seed * rng.normal(size=(3, 1))
            mean, reach = interval(effects + noise * rng.normal(size=(3, 64)))
            hits += abs(mean) < reach
        assert hits / 1000 > 0.93  # of 95 %
