"""Trainers' settings: a tabular policy ascends each expected update to the law claimed."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from scipy.optimize import brentq

import infalign_theory as it
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.training.penalties import GroupScaling, Penalty, penalty_of, solution
from infalign_theory.training.trainers import settings
from infalign_theory.transforms import as_transform

SIZE = 200
RNG = np.random.default_rng(0)
BASE = RNG.dirichlet(np.full(SIZE, 3.0))
PLACES = np.cumsum(BASE) - BASE / 2


def loss(kind, log_pi, old, reward, beta):
    """A trainer's loss of one sampled response, as a function of its log probability.

    ``old`` is the sampling log probability, which no gradient flows through.
    """
    log_r = np.log(BASE) - log_pi
    ratio = np.exp(log_pi - old)
    if kind == "k1 in reward":
        advantage = reward - beta * (old - np.log(BASE))
        return -ratio * (advantage - np.sum(np.exp(old) * advantage))
    base, _, weighted = kind.partition(" ")
    if base == "k1":
        penalty = -log_r
    else:
        penalty = log_r**2 / 2 if base == "k2" else np.exp(log_r) - 1 - log_r
    if weighted:
        penalty = ratio * penalty
    return -ratio * (reward - np.sum(np.exp(old) * reward)) + beta * penalty


def expected_step(kind, theta, reward, beta, *, scaled):
    """Expected update of the logits over pi, by a complex step through each sample's loss."""
    log_pi = theta - np.log(np.sum(np.exp(theta - theta.max()))) - theta.max()
    pi = np.exp(log_pi)
    if scaled:
        reward = reward / np.sqrt(np.sum(pi * (reward - np.sum(pi * reward)) ** 2))
    slope = -np.imag(loss(kind, log_pi + 1e-30j, log_pi, reward, beta)) / 1e-30
    return slope - np.sum(pi * slope), pi


def ascend(kind, reward, beta, *, scaled=False, steps=60_000):
    theta = np.log(BASE)
    rate = 0.3 / max(beta, 0.2)
    for _ in range(steps):
        step, pi = expected_step(kind, theta, reward, beta, scaled=scaled)
        theta = theta + rate * np.clip(step, -1.0, 1.0)
        if np.max(np.abs(step)) < 1e-13:
            break
    return pi


def tilt(reward, k):
    f = BASE * np.exp(k * (reward - reward.max()))
    return f / f.sum()


def forward(reward, beta):
    def excess(log_gap):
        return np.sum(BASE * beta / (np.exp(log_gap) + (reward.max() - reward))) - 1

    gap = np.exp(brentq(excess, -60, 10, xtol=1e-15))
    f = BASE * beta / (gap + (reward.max() - reward))
    return f / f.sum()


def deviation(pi, reward):
    return np.sqrt(np.sum(pi * (reward - np.sum(pi * reward)) ** 2))


REWARDS = {
    "identity": PLACES,
    "exp:10": np.expm1(10 * PLACES) / np.expm1(10),
    "binary": (PLACES > 0.8).astype(float),
}


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize(
    ("kind", "place", "estimator", "ratio"),
    [
        ("k1 in reward", "reward", "k1", False),
        ("k2", "loss", "k2", False),
        ("k3", "loss", "k3", False),
        ("k3 ratio", "loss", "k3", True),
        ("k1 ratio", "loss", "k1", True),
    ],
)
def test_expected_updates_end_at_the_law_claimed(kind, place, estimator, ratio, name):
    reward, beta = REWARDS[name], 0.3
    law = penalty_of(place=place, estimator=estimator, ratio=ratio)
    claimed = tilt(reward, 1 / beta) if law is Penalty.REVERSE else forward(reward, beta)
    found = ascend(kind, reward, beta)
    assert np.max(np.abs(found / claimed - 1)) < 1e-8


def test_k1_in_the_loss_is_no_penalty():
    assert penalty_of(place="loss", estimator="k1") is Penalty.NONE
    for beta in (0.3, 30.0):
        step, pi = expected_step("k1", np.log(BASE), PLACES, beta, scaled=False)
        np.testing.assert_allclose(step, PLACES - np.sum(pi * PLACES), atol=1e-12)
    with pytest.raises(InputError, match="not regularised at all"):
        settings("identity", kl=0.5, trainer="verl", use_kl_in_reward=False, kl_loss_type="kl")


@pytest.mark.parametrize("kind", ["k2", "k3 ratio", "k3"])
@pytest.mark.parametrize("name", ["identity", "exp:10"])
def test_group_scaling_changes_the_strength_as_claimed(kind, name):
    reward, beta = REWARDS[name], 1.6
    found = ascend(kind, reward, beta, scaled=True)
    law = forward if kind == "k3" else lambda r, b: tilt(r, 1 / b)

    def excess(log_strength):
        strength = np.exp(log_strength)
        return strength - beta * deviation(law(reward, strength), reward)

    claimed = law(reward, np.exp(brentq(excess, np.log(0.15), 3.0, xtol=1e-15)))
    assert np.max(np.abs(found / claimed - 1)) < 1e-8


def test_penalty_in_the_reward_is_not_changed_by_scaling():
    """The advantage vanishes on the law, whatever it is divided by."""
    claimed = np.log(tilt(PLACES, 4.0))
    step, _ = expected_step("k1 in reward", claimed, PLACES, 0.25, scaled=False)
    assert np.max(np.abs(step)) < 1e-13


def test_below_the_critical_beta_the_policy_collapses():
    theta, spent = np.log(BASE), [0.0]
    while spent[-1] < 4.0 and len(spent) < 1000:  # .48 nats were asked for
        step, pi = expected_step("k2", theta, PLACES, 0.25, scaled=True)
        spent.append(float(np.sum(pi * np.log(pi / BASE))))
        theta = theta + 0.1 * step
    assert spent[-1] > 4.0
    assert (np.diff(spent[1:]) > 0).all()
    stable = ascend("k2", PLACES, 1.5, scaled=True)
    assert np.sum(stable * np.log(stable / BASE)) == pytest.approx(0.2627, abs=0.005)


# --------------------------------------------------------------- continuous laws and settings
def test_forward_law_is_that_of_the_closed_form():
    """Identity: f = beta/(lambda - u), whose moments are elementary."""
    law = solution(as_transform("identity"), Penalty.FORWARD, 3.634394189791418)
    assert law.kl == pytest.approx(0.5, abs=1e-9)  # beta = .2751490201 spends half a nat
    beta = 1 / law.k
    lam = 1 / -np.expm1(-1 / beta)
    mean = lam - beta
    second = beta * (lam**2 * np.log(lam / (lam - 1)) - lam - 0.5)
    assert law.deviation == pytest.approx(np.sqrt(second - mean**2), rel=1e-8)


@pytest.mark.parametrize("transform", ["identity", "exp:10", "exp:-10", "power:3"])
def test_settings_spend_what_was_asked(transform):
    unit = as_transform(transform)
    for trainer, choices in [
        ("trl-rloo", {}),
        ("trl-grpo", {}),
        ("verl", {}),
        ("openrlhf", {}),
        ("verl", {"use_kl_in_reward": False}),
        ("openrlhf", {"use_kl_loss": True, "kl_estimator": "k2"}),
    ]:
        found = settings(transform, kl=0.5, trainer=trainer, **choices)
        assert found.divergence == "kl"
        assert found.kl == pytest.approx(0.5, rel=1e-9)
        policy = it.align(transform, kl=0.5)
        span = abs(float(unit(1.0) - unit(0.0)))
        assert found.scaled_beta == pytest.approx(policy.beta / span, rel=1e-9)
        assert found.scaled_beta in found.arguments.values()


@pytest.mark.slow
def test_beta_and_kl_are_two_ways_to_say_the_same():
    for choices in (
        {},
        {"use_bias_correction_kl": False},
        {"scale_rewards": "group"},
        {"scale_rewards": "batch", "use_bias_correction_kl": False},
    ):
        by_kl = settings("exp:10", kl=0.2, trainer="trl-grpo", **choices)
        by_beta = settings("exp:10", beta=by_kl.arguments["beta"], trainer="trl-grpo", **choices)
        assert by_beta.kl == pytest.approx(0.2, rel=1e-7)
        assert by_beta.scaled_beta == pytest.approx(by_kl.scaled_beta, rel=1e-7)


@pytest.mark.slow
def test_group_scaling_has_a_critical_beta():
    assert GroupScaling.of(as_transform("identity")).critical_beta == pytest.approx(1.0, abs=1e-6)
    bounds = GroupScaling.of(as_transform("exp:10"))
    assert bounds.largest == pytest.approx(1.76, abs=0.01)
    u = (np.arange(100_000) + 0.5) / 100_000
    phi = np.expm1(10 * u) / np.expm1(10)
    best = 0.0
    for k in np.linspace(4, 8, 41):
        f = np.exp(k * (phi - 1))
        f /= f.sum()
        best = max(best, k * np.sqrt(np.sum(f * (phi - np.sum(f * phi)) ** 2)))
    assert bounds.largest == pytest.approx(best, abs=1e-4)
    with pytest.raises(OutOfReachError, match="critical beta 1") as caught:
        settings("identity", beta=0.25, trainer="trl-grpo", scale_rewards="group")
    assert caught.value.limit == pytest.approx(1.0, abs=1e-6)
    found = settings("identity", beta=1.5, trainer="trl-grpo", scale_rewards="group")
    assert found.kl == pytest.approx(0.2627, abs=5e-5)
    assert found.critical_beta == pytest.approx(1.0, abs=1e-6)
    assert "collapses" in found.notes[0]
    with pytest.raises(OutOfReachError, match="repel"):
        settings("exp:10", kl=2.0, trainer="trl-grpo", scale_rewards="group")


def test_two_rewards_scaled_by_their_deviation():
    """Binary rewards: k sqrt(p(1-p)) with p the tilted chance, from the formula itself."""
    top = 0.2
    ks = np.linspace(0.01, 20, 4000)
    p = top * np.exp(ks) / (1 - top + top * np.exp(ks))
    beta = 1.05 / np.max(ks * np.sqrt(p * (1 - p)))
    reward = (PLACES > 0.8).astype(float)
    mass = BASE[reward == 1].sum()
    found = ascend("k2", reward, 1.2 * beta, scaled=True)
    share = found[reward == 1].sum()
    k = np.log(share / (1 - share)) - np.log(mass / (1 - mass))
    assert k * np.sqrt(share * (1 - share)) == pytest.approx(1 / (1.2 * beta), rel=1e-7)


def test_unbounded_transforms_say_so():
    found = settings("log", kl=0.5, trainer="trl-rloo")
    assert found.scaled_beta is None
    assert found.arguments["beta"] == pytest.approx(it.align("log", kl=0.5).beta)
    assert "unbounded" in found.notes[-1]


def test_settings_are_plain_values():
    found = settings("exp:10", kl=0.5, trainer="trl-grpo")
    assert json.loads(json.dumps(found.to_dict()))["arguments"]["scale_rewards"] == "none"
    assert pickle.loads(pickle.dumps(found)).to_dict() == found.to_dict()


def test_what_is_not_known_is_told(refused):
    refused(lambda: settings("exp:10", kl=0.5, trainer="trl"), "trl-rloo, trl-grpo")
    refused(lambda: settings("exp:10", trainer="trl-rloo"), "beta", "kl")
    refused(lambda: settings("exp:10", kl=0.5, trainer="verl", loss_type="x"), "kl_loss_type")
    refused(lambda: settings("exp:10", kl=0.5, trainer="trl-grpo", loss_type="vespo"), "'dr_grpo'")
    refused(
        lambda: settings("exp:10", kl=0.5, trainer="openrlhf", kl_estimator="k3"), "in the reward"
    )
