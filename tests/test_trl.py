"""TRL itself: a transformer with one-token responses ends at the law that theory claims."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

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
def results(example):
    """Every run of the example, made once each."""
    made = {}

    def get(name):
        if name not in made:
            [chosen] = [run for run in example.RUNS if run.name == name]
            made[name] = example.execute(chosen, example.World.make())
        return made[name]

    return get


LONG = pytest.mark.simulation  # left to the night


@pytest.mark.parametrize(
    "name",
    [
        "rloo-exp10",
        "grpo-corrected",
        "grpo-uncorrected",
        pytest.param("rloo-identity", marks=LONG),
        pytest.param("grpo-group", marks=LONG),
    ],
)
def test_training_ends_at_the_claimed_law(results, name):
    found = results(name)
    assert found["total_variation"] < 0.05
    assert found["kl"] == pytest.approx(found["claimed_kl"], rel=0.1)


def test_below_the_critical_beta_the_policy_collapses(results):
    found = results("grpo-group-collapse")
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
