"""Threads, processes, copies: every result is the same and travels."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import infalign_theory as it

EXAMPLES = Path(__file__).parents[1] / "examples"
PROGRAM = """
import infalign_theory as it
print(it.win_rate(it.align("exp:10", kl=0.5), "bon:4").hex())
"""


def numbers(case: int) -> tuple[str, ...]:
    """Numbers of several rooms, to the last bit."""
    kl = 0.1 + 0.05 * case
    rng = np.random.default_rng(case)
    base = it.Discrete(rng.dirichlet(np.ones(50)))
    policy = it.align("u + 0.1*sin(9*u)", kl=kl)
    found = [
        it.win_rate(policy, "bon:4"),
        it.optimum("won:3", kl=kl).win_rate,
        it.optimum("bon:4", kl=kl, base=base).win_rate,
        it.frontier("log", "bon:2", kl=[kl, 2 * kl]).win_rate[1],
        float(policy.ppf(0.3)),
    ]
    return tuple(float(x).hex() for x in found)


@pytest.mark.slow
def test_threads_give_the_same_bits():
    cases = [0, 1, 2, 3] * 4
    alone = {case: numbers(case) for case in set(cases)}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(numbers, cases)) == [alone[case] for case in cases]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_give_the_same_bits(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"there is no {method} here")
    alone = [numbers(case) for case in range(2)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map_async(numbers, range(2)).get(timeout=300) == alone


@pytest.mark.slow
def test_two_processes_may_fill_one_empty_cache(tmp_path):
    place = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.Popen([sys.executable, "-c", PROGRAM], env=place, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    first, second = (run.communicate(timeout=300)[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    assert first == second != b""
    again = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=place, stdout=subprocess.PIPE, check=True
    )
    assert again.stdout == first  # machine code from disk gives the bits of that in memory


def run_of_examples() -> object:
    files = [EXAMPLES / "base.jsonl", EXAMPLES / "tuned.jsonl"]
    return it.validate(
        files, prompt="question", policy="label", base="base", reward="rm_logit", procedure="bon:2"
    )


def hacking_of_examples() -> object:
    from infalign_theory.empirical.hacking.entry import hacking

    return hacking(EXAMPLES / "base.jsonl", prompt="question", reward="rm_logit", truth="correct")


RESULTS = {
    "continuous policy": lambda: it.align("exp:10", kl=0.5),
    "discrete policy": lambda: it.align("log", kl=0.2, base=it.Discrete([0.5, 0.3, 0.2])),
    "penalised policy": lambda: it.align("identity", kl=0.3, divergence="chi2"),
    "formula": lambda: it.align(it.Expression("exp(t*u) - u", t=3.0), kl=0.3),
    "optimum": lambda: it.optimum("won:4", kl=0.5),
    "discrete optimum": lambda: it.optimum("bon:2", beta=0.1, base=it.Discrete([0.6, 0.4])),
    "general optimum": lambda: it.optimum("order:2/3", beta=0.3),
    "rewind optimum": lambda: it.optimum("rewind:4@0.8", beta=0.3),
    "equilibrium": lambda: it.equilibrium("bon:2", beta=0.3),
    "frontier": lambda: it.frontier("log", "bon:2", kl=[0.1, 0.5]),
    "frontiers": lambda: it.frontier(["log", "optimal"], "bon:2", kl=[0.1, 0.5]),
    "comparison": lambda: it.compare(["log", "exp:5"], "bon:4", kl=0.5),
    "recommendation": lambda: it.recommend("bon:4", kl=0.5),
    "prediction": lambda: it.predict(
        EXAMPLES / "scores.csv", procedure="bon:4", transform="exp:10", kl=0.3
    ),
    "validation": run_of_examples,
    "robust": lambda: it.robust(["bon:2", "bon:8"], kl=0.3),
    "table of methods": lambda: it.methods.table("bon:4", kl=0.3, methods=["rloo", "chi-po"]),
    "hacking": hacking_of_examples,
    "turning": lambda: it.proxies.tuned_n(it.align("identity", kl=0.3), it.proxies.Clayton(2.0)),
    "resistance": lambda: it.proxies.resistance(
        ["log", "exp:5"], "bon:2", it.proxies.Gaussian(0.6), kl=0.3
    ),
    "true frontier": lambda: it.proxies.frontier(
        "log", "bon:2", it.proxies.Frank(5.0), kl=[0.1, 0.3]
    ),
    "settings": lambda: it.training.settings("exp:10", trainer="trl-grpo", kl=0.3),
    "cost of calibration": lambda: it.training.calibration_cost(
        "exp:10", "bon:4", kl=0.3, samples=8
    ),
    "calibrator": lambda: it.Calibrator.fit(EXAMPLES / "scores.csv"),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", RESULTS.values(), ids=RESULTS.keys())
def test_every_result_can_be_pickled_and_copied(make):
    found = make()
    for other in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert type(other) is type(found)
        assert repr(other) == repr(found)
        if hasattr(found, "to_frame"):
            assert other.to_frame().equals(found.to_frame())
        for name in ("kl", "win_rate", "beta"):
            value = getattr(found, name, None)
            if isinstance(value, float):
                assert getattr(other, name) == value
