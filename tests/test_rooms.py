"""The rooms of the package: what each may import, as a table. Whatever is not in it is wrong."""

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.support import ROOT
from tests.support.imports import module_file

PACKAGE = ROOT / "smgicnet"
# by room, downwards: the rooms that it imports, and no others
ROOMS = {
    "core": set(),
    "config": {"core"},
    "registration": set(),
    "imaging": {"core"},
    "preparation": {"core", "registration", "imaging"},
    "cohort": {"core", "registration", "imaging", "preparation"},
    "methods": {"core", "config", "registration", "imaging", "preparation"},
    "training": {"core", "registration", "preparation", "methods"},
    "scoring": {"core", "registration", "imaging", "preparation", "methods"},
    "publication": {"core", "registration", "imaging", "preparation", "cohort", "scoring"},
}
ROOMS["jobs"] = {*ROOMS}
ROOMS["commands"] = {*ROOMS}
# Beside the rooms is the command line; these are the modules that it imports, "room.*" for any of a room.
CLI = {
    "core.*", "commands.*", "imaging.templates", "imaging.transform_chain",
    "methods.published_weights", "methods.weights",
}  # fmt: skip
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def targets(node):
    """Dotted names of the modules of the package that a node imports; an entry of a registry counts."""
    if isinstance(node, ast.Import):
        named = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and not node.level:
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        named = [name if module_file(name) else node.module for name in below]
    elif isinstance(node, ast.Constant) and re.fullmatch(r"smgicnet(\.\w+)+:\w+", str(node.value)):
        named = [node.value.partition(":")[0]]
    else:
        named = []
    return {name for name in named if name.split(".")[0] == "smgicnet"}


def imports(name, late=True):
    """Modules of the package that a module imports; without ``late`` only those that it needs to be loaded."""
    todo, found = [ast.parse(FILES[name].read_bytes())], set()
    while todo:
        node = todo.pop()
        found |= targets(node)
        if late or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            todo += ast.iter_child_nodes(node)
    return found - {"smgicnet", name}  # of the package itself, its version


def room_of(name):
    return name.split(".")[1]


def between_rooms(room):
    """Modules of a room, each with one of another room that it imports."""
    modules = [name for name in FILES if name != "smgicnet" and room_of(name) == room]
    return {(name, other) for name in modules for other in imports(name) if room_of(other) != room}


def test_every_module_is_in_a_room():
    assert {room_of(name) for name in FILES if name != "smgicnet"} == {*ROOMS, "cli"}
    assert not imports("smgicnet")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_the_rooms_of_the_table_and_no_others(room):
    found = between_rooms(room)
    assert {(name, other) for name, other in found if room_of(other) not in ROOMS[room]} == set()
    if room not in ("jobs", "commands"):  # those may import all, and need not
        assert {room_of(other) for _, other in found} == ROOMS[room], "the table has an arrow that nothing needs"


def test_the_command_line_imports_the_modules_of_the_table_and_no_others():
    found = {other.removeprefix("smgicnet.") for other in imports("smgicnet.cli")}
    assert {other for other in found if not {other, f"{other.split('.')[0]}.*"} & CLI} == set()
    assert {one for one in CLI if not one.endswith("*")} <= found


def test_all_arrows_go_downwards():
    order = list(ROOMS)
    for room, others in ROOMS.items():
        assert all(order.index(other) < order.index(room) for other in others), room


def test_no_module_needs_itself_to_be_loaded():
    graph = {name: imports(name, late=False) for name in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"these import each other: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_docstring_says_what_the_table_says(room):
    said = " ".join(ast.get_docstring(ast.parse(FILES[f"smgicnet.{room}"].read_text())).split())
    sentence = re.search(r"It (?:may import|imports)[^.]*", said)[0]
    if "every room" in sentence:
        named = {*ROOMS} - {room} - ({"commands"} if "every room but commands" in sentence else set())
    else:
        named = set() if "no other room" in sentence else {*re.findall(r"\w+", sentence)} & {*ROOMS}
    assert named == ROOMS[room], sentence


WITHOUT_TORCH = """
cli
core.download
imaging.transform_chain
preparation.affine preparation.bias_field preparation.brain_extraction preparation.preprocessing preparation.quality
preparation.segmentation
cohort.participants cohort.sources
scoring.comparisons scoring.resampling scoring.statistics
publication.audit publication.examples
publication.report publication.report.quality_page publication.report.screenshot
publication.figures.overview publication.figures.pair_figures publication.figures.plotting
publication.figures.run_figures publication.figures.score_figures publication.figures.time_figure
publication.figures.training_figures
publication.tables.ablations publication.tables.paper_tables publication.tables.published_table
jobs.gather jobs.tables
commands.check commands.verify
"""


def said_by(*lines):
    """What a new process with these lines of Python prints."""
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_statistics_tables_figures_and_help_do_not_import_torch():
    modules = ", ".join(f"smgicnet.{name}" for name in WITHOUT_TORCH.split())
    assert said_by(f"import sys, {modules}", "print(*sorted({'torch', 'ants'} & sys.modules.keys()))") == ""


def test_importing_sets_nothing_in_the_process():
    modules = ", ".join(sorted(FILES))
    lines = ["import os, signal, torch, ants", "before = dict(os.environ), signal.getsignal(signal.SIGTERM)"]
    lines += [f"import {modules}", "print((dict(os.environ), signal.getsignal(signal.SIGTERM)) == before)"]
    assert said_by(*lines) == "True"


def test_no_file_imports_a_test_file():
    """Also not in the programs that tests write out and start; what tests share is in conftest.py and tests.support."""
    found = {}
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        for module, names in re.findall(r"\bfrom (tests[\w.]*) import (\([^)]*\)|.*)", text):
            found[path, module] = re.findall(r"\w+", f"{module} {names}")
        for module in re.findall(r"\bimport (tests[\w.]+)", text):
            found[path, module] = module.split(".")
    assert len(found) > 50  # so many imports between the files of tests are looked at
    assert {one for one, parts in found.items() if any(part.startswith("test_") for part in parts)} == set()


@pytest.mark.parametrize("folder", sorted(path for path in (ROOT / "tests").iterdir() if any(path.glob("test_*.py"))))
def test_a_folder_of_tests_is_that_of_a_room(folder):
    assert folder.name in {*ROOMS, "workflow", "docs"}
