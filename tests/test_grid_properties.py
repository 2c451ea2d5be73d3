"""What must hold of win rates out to the ends of the grid: N = 10^6, |t| = 100, KL 1e-8 to 20."""

import numpy as np
import pytest

import infalign_theory as it
from tests.attack import laws

BUDGETS = (0.0, 1e-8, 1e-4, 0.5, 5.0, 20.0)
NUMBERS = (1, 4, 1000, 10**6)


@pytest.mark.slow
@pytest.mark.parametrize("transform", laws.TRANSFORMS)
def test_more_kl_wins_more_after_any_number_of_samples(transform):
    policies = [it.align(transform, kl=kl) for kl in BUDGETS]
    for n in NUMBERS:
        for procedure in (it.BestOfN(n), it.WorstOfN(n)):
            won = np.array([it.win_rate(policy, procedure) for policy in policies])
            assert won[0] == pytest.approx(0.5, abs=1e-13)
            assert (np.diff(won) >= -2e-15).all(), (n, won)
            # to first order W - 1/2 grows like sqrt(KL): 1e-8 nats are not lost in rounding
            assert won[1] - 0.5 > 1e-9 or (n == 10**6 and won[1] >= 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-8, 0.5, 20.0])
@pytest.mark.parametrize("t", [10, 100])
def test_a_mirrored_reward_turns_best_into_worst(t, kl):
    """(eq-reflection): what the mirrored policy loses as the best of N, the other wins as the
    worst; a transform that falls is one that rises, of the mirrored reward."""
    falling = it.align(it.Expression(f"-exp({t}*(u-1))"), kl=kl)
    mirrored = it.align(it.Expression(f"-exp(-{t}*u)"), kl=kl)
    assert falling.kl == pytest.approx(mirrored.kl, rel=1e-9)
    for n in NUMBERS:
        lost = 1.0 - it.win_rate(mirrored, it.BestOfN(n))
        assert it.win_rate(falling, it.WorstOfN(n)) == pytest.approx(lost, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("kl", [1e-8, 1e-3, 0.1])
@pytest.mark.parametrize("procedure", ["bon:4", "bon:1000000", "won:4"])
def test_nothing_of_the_grid_wins_more_than_the_optimum(procedure, kl):
    best = it.optimum(procedure, kl=kl).win_rate
    won = [it.win_rate(it.align(text, kl=kl), procedure) for text in laws.TRANSFORMS]
    assert 0.5 < max(won) <= best + 1e-12
