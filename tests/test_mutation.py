"""The harness that breaks code on purpose: its mutants are what they say, and tests see them."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import Way, all_mutants, functions, sampled, text_of
from tests.mutation.targets import GROUPS, ROOT
from tests.pages import replace_part

SOURCE = '''
def half_tie(a: float, b: float, best: bool = True) -> float:
    """P(a > b), ties 1 / 2."""
    if a < 0.0:
        raise ValueError(f"a = {a + 1}")
    return 1.0 - (b + min(a, b) / 2) if best else b[0]
'''


def test_a_mutant_is_one_change_of_the_code_that_computes():
    mutants = all_mutants(SOURCE, "half_tie")
    sound = text_of(dict(functions(ast.parse(SOURCE)))["half_tie"]).splitlines()
    for mutant in mutants:
        lines = zip(sound, mutant.source.splitlines(), strict=True)
        changed = [(old.strip(), new.strip()) for old, new in lines if old != new]
        assert changed == [(mutant.before, mutant.after)]
        compile(mutant.source, "mutant", "exec")
    found = {mutant.after: mutant.way for mutant in mutants}
    assert found["return 1.0 - (b + min(a, b)) if best else b[0]"] is Way.HALF
    assert found["return 1.0 - (b + max(a, b) / 2) if best else b[0]"] is Way.EXTREME
    assert found["return b + min(a, b) / 2 if best else b[0]"] is Way.TAIL
    assert found["return 1.0 - (b - min(a, b) / 2) if best else b[0]"] is Way.SIGN
    assert found["return 1.0 - (b + min(a, b) / 2) if best else b[1]"] is Way.OFF_BY_ONE
    assert found["if a <= 0.0:"] is Way.BOUNDARY
    assert not any(mutant.before.startswith("def ") for mutant in mutants)
    assert not any("raise" in mutant.before or '"""' in mutant.before for mutant in mutants)


def test_samples_are_spread_over_the_ways_and_repeatable():
    one, again = (sampled(SOURCE, "half_tie", 6, 3) for _ in range(2))
    assert one == again
    assert len({mutant.way for mutant in one}) == 6
    assert len({mutant.source for mutant in sampled(SOURCE, "half_tie", 99, 3)}) > 15


def test_targets_are_there():
    for group in GROUPS:
        for path in (*group.modules, *group.tests):
            assert (ROOT / path).exists(), path
        for module in group.modules:
            source = (ROOT / module).read_text(encoding="utf-8")
            assert dict(functions(ast.parse(source))), module


@pytest.mark.simulation
def test_broken_code_is_noticed_and_what_nobody_reaches_survives():
    def told(only):
        command = [sys.executable, "-m", "tests.mutation", "--only", only, "--each", "4"]
        asked = ["--group", "formulas", "--tests", "tests/test_choices.py"]
        return subprocess.run([*command, *asked], cwd=ROOT, capture_output=True, text=True)

    done = told("choices.rewind_chances")
    assert "4 mutants" in done.stdout, done.stderr
    assert "4 killed (100.0 %)" in done.stdout
    assert "rewinding is the mean over orders" in done.stdout
    assert done.returncode == 0
    done = told("turning._crossing")
    assert "0 killed" in done.stdout
    assert done.stdout.count("UNEXPLAINED") == 4
    assert done.returncode == 1


def test_a_part_of_a_page_is_replaced_and_nothing_else(tmp_path):
    page = Path(tmp_path) / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n", encoding="utf-8")
    for _ in range(2):
        replace_part(page, "x", "new\n")
        said = page.read_text(encoding="utf-8")
        assert said == "a\n<!-- begin x -->\n\nnew\n\n<!-- end x -->\nb\n"
    with pytest.raises(AssertionError, match="no part y"):
        replace_part(page, "y", "new")
