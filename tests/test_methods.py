"""The map of alignment methods: every entry cited, closed forms right, numbers as published."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory import methods
from infalign_theory.divergences import as_divergence


@pytest.mark.parametrize("entry", methods.METHODS.values(), ids=lambda entry: entry.name)
def test_every_entry_is_complete(entry):
    assert re.fullmatch(r"\d{4}\.\d{5}", entry.paper)
    assert len(entry.exact) > 20
    assert (entry.transform is None) == (entry.divergence is None)
    if entry.inside:
        assert as_divergence(entry.divergence).name == entry.divergence
        policy = methods.table("standard", kl=0.1, methods=[entry.name]).rows[0]
        assert 0.5 < policy.win_rate < 1.0


@pytest.mark.slow
def test_half_a_nat_of_best_of_four():
    found = methods.table("bon:4", kl=0.5)
    rates = {row.method: row.win_rate for row in found.rows}
    assert rates["grpo-k3"] == pytest.approx(0.8581602731, abs=1e-9)
    assert rates["rloo"] == pytest.approx(0.79983, abs=5e-6)
    assert found.optimal == pytest.approx(0.87325, abs=5e-6)
    assert list(found.to_frame().columns) == [
        "method",
        "paper",
        "transform",
        "divergence",
        "kl",
        "win_rate",
        "regret",
    ]
    assert all(row.regret >= 0 for row in found.rows)
    assert (np.diff([row.win_rate for row in found.rows]) <= 0).all()
    assert {entry.name for entry in found.outside} >= {"slic", "deal", "grpo-k1-loss"}


def test_the_base_may_do_something_else():
    found = methods.table("bon:4", kl=0.5, methods=["rloo"], against_procedure="standard")
    policy = it.align("identity", kl=0.5)
    won = it.win_rate(policy, "bon:4", against_procedure="standard")
    assert found.rows[0].win_rate == pytest.approx(won, abs=1e-10)
    best = it.optimum("bon:4", kl=0.5, against_procedure="standard").win_rate
    assert found.rows[0].regret == pytest.approx(best - won, abs=1e-9)


@pytest.mark.parametrize("n", [2, 4, 9])
def test_distilled_best_of_n(n):
    """BOND's policy is Best-of-N itself: u^N, win rate n/(n+1) for every procedure N."""
    entry = methods.method("bond")
    policy = it.align(entry.transform, beta=1 / (n - 1), divergence=entry.divergence)
    u = np.linspace(0, 1, 11)
    assert policy.cdf(u) == pytest.approx(u**n, rel=1e-12)
    assert it.win_rate(policy, "bon:7") == pytest.approx(n / (n + 1), rel=1e-12)


@pytest.mark.parametrize("beta", [0.2, 0.5, 2.0])
def test_self_play_is_forward_kl(beta):
    """The policy is its own best response: f is proportional to exp(F/beta)."""
    entry = methods.method("nash-md")
    policy = it.align(entry.transform, beta=beta, divergence=entry.divergence)
    u = np.linspace(0, 1, 33)
    level = np.log(policy.pdf(u)) - policy.cdf(u) / beta
    assert np.ptp(level) <= 1e-9
    if beta == 0.5:
        assert policy.kl == pytest.approx(0.16143936, abs=5e-9)


def test_logistic_rewards_under_dpo():
    """Raw rewards that are logistic under the base: exp(r/beta) on them is the logit transform."""
    from scipy import integrate, stats

    beta = 2.5
    policy = it.align(methods.method("dpo").transform, beta=beta)
    z = integrate.quad(lambda r: np.exp(r / beta) * stats.logistic.pdf(r), -60, 200)[0]
    below = integrate.quad(lambda r: np.exp(r / beta) * stats.logistic.pdf(r), -60, 1.0)[0]
    assert float(policy.cdf(stats.logistic.cdf(1.0))) == pytest.approx(below / z, rel=1e-7)


def test_unknown_method(refused):
    refused(lambda: methods.table("bon:4", kl=0.5, methods=["grpo-k4"]), "grpo-k3")
    refused(lambda: methods.table("bon:4", kl=0.5, methods=["grpo"]), "grpo-k3 or grpo-corrected")
    refused(lambda: methods.table("bon:4", kl=0.5, methods=["slic"]), "no method")


@pytest.mark.slow
def test_command_line():
    command = [
        sys.executable,
        "-c",
        "from infalign_theory.cli.app import main; main(['methods', '-p', 'bon:4', '--kl', '0.5', "
        "'-m', 'grpo-k3', '-m', 'rloo', '--json'])",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first = json.loads(done.stdout)[0]
    assert first["method"] == "grpo-k3"
    assert first["win_rate"] == pytest.approx(0.8581602731, abs=1e-9)
    assert set(first) >= {"method", "paper", "transform", "divergence", "win_rate", "regret"}
