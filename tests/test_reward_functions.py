"""Reward functions in the signatures of TRL, verl and OpenRLHF."""

from __future__ import annotations

import asyncio
import inspect
import logging
import pickle

import numpy as np
import pandas as pd
import pytest

import infalign_theory as it
from infalign_theory.errors import InputError
from infalign_theory.training import (
    Calibrator,
    callback,
    openrlhf_reward_func,
    progress,
    verl_compute_score,
)

BASE = pd.DataFrame({"prompt": ["a"] * 9 + ["b"] * 9, "reward": [*range(9), *range(0, 90, 10)]})
CAL = Calibrator.fit(BASE, method="ranks")


def length(prompts, completions):
    return [float(len(c)) for c in completions]


def chat(text):
    return [{"role": "system", "content": "x"}, {"role": "user", "content": text}]


def test_rewards_are_the_scaled_transform_of_calibrated_scores():
    reward = CAL.reward_function(length, transform="exp:10")
    found = reward(prompts=["a", "b"], completions=["xx", "xxxxxxxxxxxxxxxxxxxxx"])
    u = CAL.calibrate(["a", "b"], [2.0, 21.0])
    np.testing.assert_allclose(found, np.expm1(10 * u) / np.expm1(10), rtol=1e-12)
    assert all(isinstance(value, float) for value in found)
    assert reward.__name__ == "calibrated exp:10"


@pytest.mark.parametrize("transform", ["identity", "exp:-10", "power:3", "expr:u-u**2"])
def test_bounded_transforms_fill_the_unit_interval(transform):
    reward = CAL.reward_function(length, transform=transform)
    u = np.linspace(0.0, 1.0, 2001)
    values = reward.scaled(u)
    assert values.min() == pytest.approx(0.0, abs=1e-6)
    assert values.max() == pytest.approx(1.0, abs=1e-6)
    raw = reward.transform(u)
    np.testing.assert_allclose(
        values, (raw - raw.min()) / (raw.max() - raw.min()), rtol=1e-5, atol=1e-6
    )


def test_unbounded_transforms_are_given_as_they_are():
    reward = CAL.reward_function(length, transform="log")
    [value] = reward(["a"], ["xx"])
    assert value == pytest.approx(np.log(CAL.calibrate("a", 2.0)[0]))


def test_chats_columns_and_metrics_are_passed_on():
    seen, logged = {}, {}

    def score(prompts, completions, answer, **rest):
        seen.update(rest, answer=answer, completion=completions[0])
        return np.array([3.0, 4.0])

    reward = CAL.reward_function(score, transform="identity")
    found = reward(
        prompts=[chat("a"), chat("b")],
        completions=[chat("one"), chat("two")],
        answer=["x", "y"],
        trainer_state=None,
        log_metric=logged.__setitem__,
        log_extra=None,
    )
    assert seen["answer"] == ["x", "y"]
    assert seen["completion"] == chat("one")
    assert "log_metric" not in seen
    assert "trainer_state" in seen
    assert logged["calibrated/mean"] == pytest.approx((np.mean(found) * 10 - 0.5) / 9)


def test_prompts_may_be_named_by_a_column(refused):
    reward = CAL.reward_function(length, transform="identity", key="task")
    found = reward(["long text"], ["xx"], task=["a"])
    assert found == pytest.approx(CAL.calibrate("a", [2.0]).tolist())
    refused(lambda: reward(["long text"], ["xx"]), "'task'", "key=")
    refused(lambda: CAL.reward_function(length, transform="identity")([7], ["x"]), "key=")


def test_async_scorers_are_awaited():
    async def score(prompts, completions):
        await asyncio.sleep(0)
        return length(prompts, completions)

    class Scorer:
        async def __call__(self, prompts, completions):
            return length(prompts, completions)

    plain = CAL.reward_function(length, transform="exp:10")(["a"], ["xx"])
    for scorer in (score, Scorer()):
        reward = CAL.reward_function(scorer, transform="exp:10")
        assert asyncio.iscoroutinefunction(type(reward).__call__)
        assert asyncio.run(reward(["a"], ["xx"])) == plain


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ([1.0, np.nan], "nan"),
        ([1.0, None], "None"),
        ([1.0, "3"], "'3'"),
        ([1.0], "1 scores for 2"),
        (None, "returned None"),
        (3.0, "returned 3.0"),
    ],
)
def test_a_bad_score_is_never_a_zero(returned, told, refused):
    reward = CAL.reward_function(lambda prompts, completions: returned, transform="identity")
    refused(lambda: reward(["a", "a"], ["x", "y"]), told, kind=InputError)


def test_a_failing_scorer_is_told_with_its_cause():
    def score(prompts, completions):
        raise TimeoutError("no answer")

    reward = CAL.reward_function(score, transform="identity")
    with pytest.raises(InputError, match="TimeoutError: no answer") as caught:
        reward(["a"], ["x"])
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_a_slow_scorer_is_logged(caplog):
    reward = CAL.reward_function(length, transform="identity", slow=0.0)
    with caplog.at_level(logging.WARNING):
        reward(["a"], ["x"])
    assert "for a batch of 1" in caplog.text


def test_unseen_prompts_stop_the_run_unless_asked(refused):
    refused(lambda: CAL.reward_function(length, transform="identity")(["new"], ["x"]), "'new'")
    reward = CAL.reward_function(length, transform="identity", unseen="pooled")
    assert 0.0 < reward(["new"], ["x"])[0] < 1.0


def test_added_samples_reach_a_reward_function_that_runs():
    cal = Calibrator.fit(BASE, method="ranks")
    reward = cal.reward_function(length, transform="identity")
    before = reward(["a"], ["xx"])[0]
    cal.add(["a"] * 50, np.full(50, -1.0))
    assert reward(["a"], ["xx"])[0] > before


def test_reward_functions_cross_processes():
    reward = CAL.reward_function(length, transform="exp:10")
    assert pickle.loads(pickle.dumps(reward))(["a"], ["xx"]) == reward(["a"], ["xx"])


# --------------------------------------------------------------- other trainers
def test_verl(refused):
    def score(prompts, completions, ground_truth):
        return [len(completions[0]) + float(ground_truth[0])]

    compute = verl_compute_score(CAL.reward_function(score, transform="exp:10"))
    found = compute(data_source="d", solution_str="xx", ground_truth=1, extra_info={"prompt": "a"})
    expected = CAL.reward_function(length, transform="exp:10")(["a"], ["xxx"])[0]
    assert found["score"] == expected
    assert found["calibrated"] == pytest.approx(CAL.without_bias(["a"], CAL.calibrate("a", [3.0])))
    refused(lambda: compute("d", "xx", 1), "extra_info")


def test_verl_awaits_an_asynchronous_scorer():
    async def score(prompts, completions):
        return [len(completions[0])]

    compute = verl_compute_score(CAL.reward_function(score, transform="exp:10"))
    assert inspect.iscoroutinefunction(compute)  # what verl's managers look at
    row = {"data_source": "d", "solution_str": "xxx", "ground_truth": None}
    found = asyncio.run(compute(**row, extra_info={"prompt": "a"}))
    assert found["score"] == CAL.reward_function(length, transform="exp:10")(["a"], ["xxx"])[0]


@pytest.mark.slow
def test_openrlhf(refused):
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    reward = openrlhf_reward_func(CAL.reward_function(length, transform="exp:10"))
    found = reward(["axx", "bxxx"], ["a", "b"], [None, None])
    expected = CAL.reward_function(length, transform="exp:10")(["a", "b"], ["xx", "xxx"])
    np.testing.assert_allclose(found["rewards"].tolist(), expected, rtol=1e-6)
    assert set(found) == {"rewards", "scores", "extra_logs"}
    # OpenRLHF joins the logs of batches and cuts them by samples: an entry a query
    assert [log.shape for log in found["extra_logs"].values()] == [(2,)]
    refused(lambda: reward(["xx"], ["a"], [None]), "does not hold its prompt")
    # queries are decoded with special tokens
    plain = openrlhf_reward_func(CAL.reward_function(length, transform="exp:10"), end="</s>")
    assert plain(["<s>axx</s>"], ["a"], [None])["rewards"].tolist() == pytest.approx(expected[:1])


# --------------------------------------------------------------- what a run has reached
@pytest.mark.slow
def test_progress_reads_the_tilt_off_its_mean():
    for transform in ("identity", "exp:10"):
        policy = it.align(transform, kl=0.4)
        found = progress(it.win_rate(policy), transform, "bon:4")
        assert found.win_rate == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-7)
        assert found.kl_floor <= 0.4 + 1e-9
    assert found.kl_floor < 0.39  # exp(10u) spends more than its mean needs
    policy = it.align("identity", kl=0.4)
    assert progress(it.win_rate(policy), "identity", "bon:2").kl_floor == pytest.approx(0.4)
    assert progress(0.4, "identity", "bon:2").win_rate == 0.5


@pytest.mark.slow
def test_callback_logs_mean_floor_and_prediction():
    pytest.importorskip("transformers", reason="the extra 'train' is not installed")
    reward = CAL.reward_function(length, transform="identity")
    reward(["a"], ["x" * 7])
    logs = {}
    callback(reward, "bon:4").on_log(None, None, None, logs=logs)
    assert logs["calibrated/mean"] == pytest.approx(7.5 / 9)
    found = progress(7.5 / 9, "identity", "bon:4")
    assert logs["calibrated/kl_floor"] == found.kl_floor
    assert logs["calibrated/win_rate"] == found.win_rate
    assert not reward.means
