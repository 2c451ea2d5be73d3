"""The package as imported: light, complete, documented."""

import inspect
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import infalign_theory as it
from infalign_theory import errors

HEAVY = ["numba", "scipy", "sympy", "pandas", "matplotlib", "duckdb", "typer", "rich"]
SUBPACKAGES = ["figures", "methods", "plotting", "proxies", "symbolic", "training"]
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


@pytest.mark.slow
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
    assert len(set(it.__all__) - set(SUBPACKAGES)) <= 28
    assert sorted(it.__all__) == list(it.__all__)


def test_no_module_is_named_like_a_public_function():
    """Importing such a module would put it in the place of the lazily loaded function."""
    functions = {name for name in it.__all__ if name not in SUBPACKAGES}
    modules = {path.stem for path in Path(it.__file__).parent.glob("*") if path.stem[0] != "_"}
    assert modules & functions == set()


CLIENT = """
import infalign_theory as it

policy = it.align("exp:10", kl=0.5)
reveal_type(it.align)
reveal_type(it.win_rate(policy, "bon:4"))
reveal_type(it.optimum("bon:4", kl=0.5))
reveal_type(it.best_exponent("bon:4", kl=0.5))
reveal_type(it.predict("scores.csv", procedure="bon:4", transform="exp:10", kl=0.3))
"""


ROOT = Path(__file__).parents[1]
# with the project's own options and cache, mypy reads what `nox -s types` has found out already
CHECKERS = [
    [
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(ROOT / ".mypy_cache"),
    ],
    ["pyright"],
]


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS, ids=["mypy", "pyright"])
def test_type_checkers_see_through_the_lazy_names(checker, tmp_path):
    runs = shutil.which(checker[0]) and subprocess.run([checker[0], "--version"]).returncode == 0
    if not runs:
        pytest.skip(f"{checker[0]} is not installed, or cannot fetch its own parts")
    root = str(Path(it.__file__).parents[1])
    program = tmp_path / "client.py"
    program.write_text(CLIENT)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [root]}))
    run = subprocess.run(
        [*checker, program.name],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": root},
        capture_output=True,
        text=True,
    )
    shown = [
        line.replace('"', "")
        for line in run.stdout.splitlines()
        if "eveal" in line or "ype of" in line
    ]
    assert len(shown) == 5, run.stdout + run.stderr
    assert not any(re.search(r"\bAny\b|[Uu]nknown", line) for line in shown[1:])
    assert "Transform" in shown[0]
    assert shown[1].endswith("float")
    assert "Optimum" in shown[2]
    assert shown[3].endswith("float")
    assert "Prediction" in shown[4]
    assert run.returncode == 0, run.stdout


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no_such_name"):
        it.no_such_name  # noqa: B018


def test_one_family_of_errors():
    assert issubclass(errors.InfalignError, ValueError)
    kinds = [thing for thing in vars(errors).values() if inspect.isclass(thing)]
    assert all(issubclass(kind, errors.InfalignError) for kind in kinds)
    assert it.InfalignError is errors.InfalignError


# ------------------------------------------------------------------------------------- the release
BUILT = ("infalign_theory", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")


def built(kind, source, into):
    """A wheel or source distribution, by the build backend itself."""
    code = (
        "import sys; from setuptools import build_meta as backend; "
        f"print(backend.build_{kind}(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(into)],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """Where the wheel lies, made from the source distribution alone, and the latter's files."""
    setuptools = pytest.importorskip("setuptools", "77", reason="the build backend")
    assert setuptools
    folder = tmp_path_factory.mktemp("release")
    source = folder / "source"
    source.mkdir()
    junk = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in BUILT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=junk)
        else:
            shutil.copy(ROOT / name, source)
    packed = built("sdist", source, folder)
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    wheel = built("wheel", unpacked, folder)
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site, unpacked


@pytest.mark.slow
def test_the_release_holds_the_package_and_nothing_else(distributions):
    site, unpacked = distributions
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "infalign_theory").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    installed = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    facts = {name for name in installed if name.split("/")[0].endswith(".dist-info")}
    assert installed - facts == ours
    assert {name.split("/")[-1] for name in facts} >= {"METADATA", "LICENSE", "entry_points.txt"}
    assert not (unpacked / "tests").exists()  # which would need the rest of the repository


@pytest.mark.slow
def test_the_release_works_away_from_the_repository(distributions, tmp_path):
    site, _ = distributions
    scores = tmp_path / "scores.csv"
    rows = [
        f"{p},{who},{0.1 * p + 0.3 * i * i - (who == 'base')}"
        for p, i, who in itertools.product(range(4), range(4), ("base", "tuned"))
    ]
    scores.write_text("prompt,policy,reward\n" + "\n".join(rows) + "\n")
    judged = ["validate", str(scores), "--policy", "policy", "-p", "bon:2", "--report", "r.html"]
    calls = {
        "where": ["-c", "import infalign_theory; print(infalign_theory.__file__)"],
        "compare": ["-m", "infalign_theory", "compare", "-p", "bon:4", "log", "--kl", "0.5"],
        "validate": ["-m", "infalign_theory", *judged],
        "reproduce": ["-m", "infalign_theory", "reproduce", "--help"],
    }
    said = {
        name: subprocess.run(
            [sys.executable, "-W", "error", *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name, words in calls.items()
    }
    assert Path(said["where"].strip()).is_relative_to(site)
    assert "bon:4" in said["compare"]
    assert (tmp_path / "r.html").read_text().rstrip().endswith("</html>")
    assert "--format" in said["reproduce"]
