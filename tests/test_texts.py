"""A first few of the random texts, files and command lines of ``tests.attack.texts``."""

import numpy as np
import pytest

from tests.attack import texts


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "count"), [(texts.texts, 3000), (texts.files, 30), (texts.commands, 20)]
)
def test_nothing_escapes(attack, count, capsys):
    assert attack(count, np.random.default_rng(1)) == 0, capsys.readouterr().out
