"""TRL itself: a transformer with one-token responses ends at the law that theory claims."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "name", ["rloo-identity", "rloo-exp10", "grpo-corrected", "grpo-uncorrected", "grpo-group"]
)
def test_training_ends_at_the_claimed_law(results, name):
    found = results(name)
    assert found["total_variation"] < 0.05
    assert found["kl"] == pytest.approx(found["claimed_kl"], rel=0.1)


def test_below_the_critical_beta_the_policy_collapses(results):
    found = results("grpo-group-collapse")
    assert "critical beta" in found["warned"]
    assert found["kl"] > 2.0  # .48 nats were asked for
