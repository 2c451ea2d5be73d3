"""The package as imported: light, complete, documented."""

import inspect
import subprocess
import sys

import pytest

import infalign_theory as it
from infalign_theory import errors

HEAVY = ["numba", "scipy", "sympy", "pandas", "matplotlib", "duckdb", "typer", "rich"]
CONTRACT = ["align", "win_rate", "optimum", "frontier", "compare", "best_exponent", "Expression"]
CONTRACT += ["Identity", "Log", "Exponential", "Power", "Logit", "Standard", "BestOfN", "WorstOfN"]
CONTRACT += ["Continuous", "Discrete", "predict", "validate"]


def loaded_after(statement):
    code = f"import sys; {statement}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return run.stdout.split()


def test_importing_loads_nothing_heavy():
    assert loaded_after("import infalign_theory; dir(infalign_theory)") == []


def test_the_engine_needs_no_tables_no_plots_no_algebra():
    used = loaded_after(
        "import infalign_theory as it; it.win_rate(it.align('exp:10', beta=2000.0), 'bon:4')"
    )
    assert set(used) <= {"numba", "scipy"}


@pytest.mark.parametrize("name", CONTRACT)
def test_the_contract_is_public(name):
    assert name in it.__all__


@pytest.mark.parametrize("name", it.__all__)
def test_every_public_name_resolves_and_explains_itself(name):
    thing = getattr(it, name)
    assert thing is getattr(it, name)
    assert len(inspect.getdoc(thing) or "") > 20
    assert name in dir(it)


@pytest.mark.parametrize(
    "name", ["align", "win_rate", "optimum", "frontier", "compare", "best_exponent"]
)
def test_every_function_documents_its_arguments_and_shows_an_example(name):
    text = inspect.getdoc(getattr(it, name))
    assert "Parameters" in text
    assert "Returns" in text
    assert ">>>" in text
    for argument in inspect.signature(getattr(it, name)).parameters:
        assert argument in text


def test_there_are_few_names():
    assert len(it.__all__) == len(set(it.__all__)) <= 40
    assert sorted(it.__all__) == list(it.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        it.no_such_name  # noqa: B018


def test_one_family_of_errors():
    assert issubclass(errors.InfalignError, ValueError)
    kinds = [thing for thing in vars(errors).values() if inspect.isclass(thing)]
    assert all(issubclass(kind, errors.InfalignError) for kind in kinds)
    assert it.InfalignError is errors.InfalignError
