"""The manual is whole, and what it shows runs as it stands on files that come with the project."""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import infalign_theory as it
from infalign_theory.cli import commands as cli_commands
from infalign_theory.figures import FIGURES

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "docs" / "how-to", ROOT / "docs" / "tutorial")
PAGES = [*sorted(page for folder in FOLDERS for page in folder.glob("*.md")), ROOT / "README.md"]
# opens a page until it is stopped; draws every figure
LONG = ("infalign explore", "infalign reproduce")


def commands(page):
    """Lines of console and bash blocks that call infalign."""
    blocks = re.findall(r"^```(?:bash|console|sh)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    whole = "\n".join(blocks).replace("\\\n", "")
    lines = [line.removeprefix("$ ") for line in whole.splitlines()]
    return [
        line.partition("  #")[0]
        for line in lines
        if "infalign " in line and not line.startswith(LONG) and "pip install" not in line
    ]


SHOWN = [(page.name, line) for page in PAGES for line in commands(page)]


def test_the_manual_shows_commands():
    assert len({name for name, _ in SHOWN}) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_a_command_of_the_manual_runs_as_it_stands(page, line, tmp_path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    infalign = f'infalign() {{ "{sys.executable}" -m infalign_theory "$@"; }}'
    done = subprocess.run(
        [bash, "-c", f"{infalign}; set -o pipefail; {line}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def blocks(page):
    """Python that the page shows and doctest does not run."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    return [block for block in found if not block.startswith(">>>") and not OUTSIDE.search(block)]


# a training run of somebody's model and scorer; a page that waits for a visitor
OUTSIDE = re.compile(r"my_scorer|it\.explore\(")
WITH_CODE = [page for page in PAGES if blocks(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_python_of_the_manual_runs_as_it_stands(page, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks(page))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


REFERENCE = "\n".join(
    page.read_text("utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")
)


def public_names():
    for name in it.__all__:
        thing = getattr(it, name)
        if not inspect.ismodule(thing):
            yield f"infalign_theory.{name}" if name != "InfalignError" else "errors.InfalignError"
        elif name in ("methods", "proxies", "training"):
            yield from (
                f"{name}.{part}" for part in thing.__all__ if callable(getattr(thing, part))
            )


# an abstract class between two that are described; a class that is described at the top level
INSIDE = {"proxies.Copula", "training.Calibrator"}


@pytest.mark.parametrize("name", sorted(set(public_names()) - INSIDE))
def test_the_reference_describes_every_public_name(name):
    assert re.search(rf"{re.escape(name)}$", REFERENCE, re.M)


def test_the_reference_names_every_command():
    page = (ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8")
    commands = {found.name for found in pkgutil.iter_modules(cli_commands.__path__)}
    assert commands == set(re.findall(r"^\| `infalign (\w+)", page, re.M))


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_the_gallery_shows_every_figure_and_says_what_it_shows(figure):
    page = " ".join((ROOT / "docs" / "gallery.md").read_text("utf-8").split())
    assert f"## {figure.title}" in page
    assert figure.shows in page
    assert f"../figures/{figure.name}.png" in page
    assert f"infalign reproduce --only {figure.name}`" in page


MATHEMATICS = sorted((ROOT / "docs" / "mathematics").glob("*.md"))


@pytest.mark.parametrize("page", MATHEMATICS, ids=lambda page: page.stem)
def test_mathematics_names_the_tests_that_hold_it(page):
    text = page.read_text("utf-8")
    held = re.findall(r"`(tests/\w+\.py)`", text)
    assert held or page.stem == "index"
    assert all((ROOT / name).is_file() for name in held)
    outside_mathematics = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|`[^`]*`", "", text, flags=re.S)
    assert not re.search(r"\b\w_\w+\b", outside_mathematics), "a subscript that is not set"


def test_the_bibliography_lists_every_paper_cited():
    arxiv = re.compile(r"\b2\d{3}\.\d{5}\b")
    files = [*ROOT.glob("infalign_theory/**/*.py"), *PAGES, *MATHEMATICS]
    cited = {number for file in files for number in arxiv.findall(file.read_text("utf-8"))}
    listed = set(arxiv.findall((ROOT / "docs" / "bibliography.md").read_text("utf-8")))
    assert cited <= listed
