"""Every command that the manual shows runs as it stands, on files that come with the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "docs" / "how-to", ROOT / "docs" / "tutorial")
PAGES = sorted(page for folder in FOLDERS for page in folder.glob("*.md"))
# opens a page until it is stopped; draws every figure
LONG = ("infalign explore", "infalign reproduce")


def commands(page):
    """Lines of console and bash blocks that call infalign."""
    blocks = re.findall(r"^```(?:bash|console|sh)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
    whole = "\n".join(blocks).replace("\\\n", "")
    lines = [line.removeprefix("$ ") for line in whole.splitlines()]
    return [line for line in lines if "infalign " in line and not line.startswith(LONG)]


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
