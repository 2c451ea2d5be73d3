"""The house itself: sizes, lengths, calls, names and floors stay within what a reader can hold."""

import ast
import configparser
import functools
from pathlib import Path

import pytest

import infalign_theory as it

ROOT = Path(it.__file__).parent
MOST_LINES = 400
LONGEST_FUNCTION = 60  # signature and body, the docstring not counted
MOST_POSITIONAL = 6
MOST_FLOORS = 13
# Compiled kernels take arrays one by one and are called by place; so are they from these
# modules, the only doors from plain Python into kernels of many arguments.
KERNEL_DOORS = {
    "empirical/statistics/calibration.py": {"ustatistics.rank_counts"},
    "empirical/statistics/estimators.py": {
        "ustatistics.cross_tie_fractions",
        "ustatistics.picked_means",
        "ustatistics.picked_win_rates",
        "ustatistics.win_rates",
    },
    "empirical/statistics/prompt_bases.py": {"shooting.best_roots"},
}


@functools.cache
def modules():
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found[path.relative_to(ROOT).as_posix()] = text, ast.parse(text)
    assert len(found) > 100
    return found


def nodes(*kinds):
    for name, (_, tree) in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, kinds):
                yield name, node


def length(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        lines -= function.body[0].end_lineno - function.body[0].lineno + 1
    return lines


def test_no_module_is_long():
    sizes = {name: len(text.splitlines()) for name, (text, _) in modules().items()}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150


def test_every_function_fits_on_a_screen():
    found = nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    lengths = {f"{name}:{node.lineno} {node.name}": length(node) for name, node in found}
    assert {name: size for name, size in lengths.items() if size > LONGEST_FUNCTION} == {}


@pytest.mark.slow
def test_no_call_counts_on_the_place_of_many_arguments():
    found = [
        (name, ast.unparse(node.func))
        for name, node in nodes(ast.Call)
        if len(node.args) > MOST_POSITIONAL and not name.startswith("kernels/")
    ]
    assert [call for call in found if call[1] not in KERNEL_DOORS.get(call[0], ())] == []
    # a door that is no longer used is taken off the list
    assert {(name, call) for name, calls in KERNEL_DOORS.items() for call in calls} == set(found)


@pytest.mark.parametrize("folder", ["", "training", "methods", "proxies", "plotting", "symbolic"])
def test_no_module_is_named_like_a_public_function_beside_it(folder):
    """Importing such a module would put it in the place of the lazily loaded function."""
    package = getattr(it, folder) if folder else it
    functions = {name for name in package.__all__ if callable(getattr(package, name))}
    assert functions
    beside = {path.stem for path in (ROOT / folder).glob("*") if path.stem[0] != "_"}
    assert beside & functions == set()


def doors():
    """Imports that the contracts leave out: results that load the pictures when asked to draw."""
    config = configparser.ConfigParser()
    config.read(ROOT.parent / ".importlinter")
    lines = [
        line for part in config.values() for line in part.get("ignore_imports", "").split("\n")
    ]
    pairs = [line.split("->") for line in lines if "->" in line]
    return {(one.strip(), other.strip()) for one, other in pairs}


def test_the_house_has_few_floors():
    """The longest chain of rooms, each of which imports the next."""
    grimp = pytest.importorskip("grimp")
    graph = grimp.build_graph("infalign_theory", exclude_type_checking_imports=True, cache_dir=None)
    imported, left_out = {}, doors()
    assert len(left_out) < 10
    # the package as a program is a door of three lines, not a room
    for module in graph.modules - {"infalign_theory", "infalign_theory.__main__"}:
        for other in graph.find_modules_directly_imported_by(module) - {"infalign_theory"}:
            one, two = module.split(".")[1], other.split(".")[1]
            if one != two and (module, other) not in left_out:
                imported.setdefault(one, set()).add(two)

    @functools.cache
    def chain(room):
        below = max((chain(other) for other in imported.get(room, ())), key=len, default=())
        return (room, *below)

    longest = max((chain(room) for room in imported), key=len)
    assert "kernels" in longest
    assert len(longest) <= MOST_FLOORS, longest
