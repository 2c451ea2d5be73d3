"""Every notebook runs, prints what it was committed with, and tells the truth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import infalign_theory as it

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
BY_NUMBER = {path.name[:2]: path for path in NOTEBOOKS}


def committed(path: Path) -> dict[str, Any]:
    """The notebook as JSON: nbformat is imported only where one runs, for it takes seconds."""
    return json.loads(path.read_text(encoding="utf-8"))


def printed(notebook: dict[str, Any]) -> list[str]:
    """The text that each code cell prints; a stream may arrive in several pieces."""
    return [
        "".join("".join(out["text"]) for out in cell["outputs"] if out["output_type"] == "stream")
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def pictures(notebook: dict[str, Any]) -> int:
    return sum(
        "image/png" in out.get("data", {})
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for out in cell["outputs"]
    )


def test_there_are_notebooks() -> None:
    assert sorted(BY_NUMBER) == ["00", "01", "02", "03", "04", "05", "06", "07"]


# the kernel's own transport layer warns about its sockets when it is closed
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_and_prints_what_it_was_committed_with(
    path: Path, request: pytest.FixtureRequest
) -> None:
    import nbformat
    from nbclient import NotebookClient

    if path == BY_NUMBER["05"]:
        request.getfixturevalue("judge_scores")  # skips where the real scores are absent
    fresh = nbformat.read(path, as_version=4)
    for cell in fresh.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(fresh, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert printed(fresh) == printed(committed(path))
    assert pictures(fresh) == pictures(committed(path)) >= 2


def test_the_numbers_of_the_first_are_those_of_the_library() -> None:
    text = "\n".join(printed(committed(BY_NUMBER["01"])))
    regrets = dict(re.findall(r"(\S+) (\d\.\d{4})", text.split("bon:4", 1)[1].splitlines()[0]))
    for name, value in regrets.items():
        row = it.compare([name], "bon:4", kl=0.5).rows[0]
        assert abs(row.regret - float(value)) < 5.1e-5
    assert regrets["exp:10"] == "0.0017"
    assert regrets["identity"] == "0.0734"
    slope = float(re.search(r"slope of the frontier = (\S+)", text)[1])
    assert abs(slope - it.optimum("bon:4", kl=0.5).beta) < 2e-6


@pytest.mark.slow
def test_the_second_finds_the_best_parameter() -> None:
    text = "\n".join(printed(committed(BY_NUMBER["02"])))
    best, regret = re.search(r"best steepness (\S+)  regret (\S+)", text).groups()

    def regret_at(s: float) -> float:
        phi = it.Expression("sigmoid(s*(u - 0.9))", s=s)
        return it.compare([phi], "bon:4", kl=0.5).rows[0].regret

    at_best = regret_at(float(best))
    assert abs(at_best - float(regret)) < 5.1e-5
    assert at_best < min(regret_at(float(best) - 1), regret_at(float(best) + 1))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.notebook
def test_the_explorer_is_a_widget_in_a_notebook() -> None:
    """The same widget as the page: shown by its cell, redrawn when an input changes."""
    pytest.importorskip("panel", reason="the extra 'explore' is not installed")
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "import infalign_theory as it\nit.explore('exp(t*u)', 'bon:4', kl=0.5, t=10)",
        """
from infalign_theory.explorer.page import Explorer
page = Explorer()
page.layout()._repr_mimebundle_()
pane = page._panes["frontier"]
before = pane.object
page.inputs.sliders[0].value = 4.0
assert pane.object != before
assert all('yours"' in shown.object for shown in page._panes.values())
print(round(page.found.win_rate, 10))
""",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(FOLDER)}}).execute()
    (shown,) = (o.data for o in notebook.cells[0].outputs if o.output_type == "execute_result")
    assert "application/vnd.holoviews_exec.v0+json" in shown
    assert "data-curve=&quot;frontier/yours&quot;" in shown["text/html"]
    expected = it.win_rate(it.align("exp:4", kl=0.5), "bon:4")
    assert float(notebook.cells[1].outputs[-1].text) == pytest.approx(expected, abs=1e-9)
