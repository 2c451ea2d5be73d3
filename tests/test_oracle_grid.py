"""Policies and win rates against thirty digits: some of the grid, or all of it."""

import pytest

from tests.attack import laws

SOME = [
    ("kl", "exp:10", 1e-6),
    ("chi2", "exp:-10", 0.5),
    ("alpha:3", "power:7", 10.0),
]


def check(divergence, transform, kl):
    found, reason = laws.attack(divergence, transform, kl, (*laws.POINTWISE, *laws.WHOLE[:2]))
    assert found is not None, reason
    off, off_kl = found
    assert max(off.values()) <= laws.ALLOWED_WIN_RATE, off
    assert off_kl <= laws.ALLOWED_KL


@pytest.mark.slow
@pytest.mark.parametrize(("divergence", "transform", "kl"), SOME)
def test_some_of_the_grid(divergence, transform, kl):
    check(divergence, transform, kl)


@pytest.mark.simulation
def test_all_of_the_grid():
    assert laws.main() == []
