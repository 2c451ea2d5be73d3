"""What every test file shares: a repeatable Hypothesis and one way to say 'this is refused'."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from infalign_theory.errors import InfalignError

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture
def refused():
    """Call, and check that it raises InfalignError with each of the texts in its message."""

    def check(call, *texts, kind=InfalignError):
        with pytest.raises(kind) as caught:
            call()
        message = str(caught.value)
        for text in texts:
            assert str(text) in message
        return caught.value

    return check


DATA = Path(os.environ.get("INFALIGN_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture
def real_scores():
    """The folder of one set of real scores, by its name; skips, saying why, where it is absent."""

    def find(name):
        folder = DATA / name
        if not folder.is_dir():
            pytest.skip(f"no real scores: {folder} is absent (set INFALIGN_DATA to their folder)")
        return folder

    return find


@pytest.fixture
def judge_scores(real_scores):
    """A judge's integer scores of 120 prompts, with the truth: many ties."""
    return real_scores("judge_goodhart") / "scores.csv"


@pytest.fixture
def maths_scores(real_scores):
    """A reward model's real-valued scores of answers to 100 problems, with the truth."""
    return real_scores("qwen_math_rm") / "scores.jsonl"
