"""Imports go one way: fields <- losses, networks <- methods <- training, evaluation; what draws never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smgicnet"
FORBIDDEN = {
    "errors": {"*"},
    "fields": {"*"},
    "losses": {"networks", "methods", "training", "evaluation", "train_job", "register_job"},
    "networks": {"losses", "methods", "training", "evaluation", "train_job", "register_job"},
    "methods": {"training", "evaluation", "train_job", "register_job", "cohort", "images"},
    "training": {"evaluation", "train_job", "register_job", "cohort", "plotting", "tables"},
    "evaluation": {"training", "train_job", "register_job", "plotting", "tables"},
    "preprocessing": {"methods", "training", "evaluation", "train_job", "register_job"},
}


def imported(path):
    """First names below ``smgicnet`` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("smgicnet"):
            tail = node.module.split(".")[1:]
            yield from tail[:1] or [alias.name for alias in node.names]


@pytest.mark.parametrize("module", FORBIDDEN)
def test_direction(module):
    files = [PACKAGE / f"{module}.py"] if module != "methods" else sorted((PACKAGE / "methods").glob("*.py"))
    for path in files:
        found = set(imported(path))
        forbidden = FORBIDDEN[module]
        assert not (found if "*" in forbidden else found & forbidden), path


def test_statistics_tables_plotting_and_help_do_not_import_torch():
    code = (
        "import sys, smgicnet.statistics, smgicnet.tables, smgicnet.plotting, smgicnet.examples, smgicnet.cli,"
        " smgicnet.preprocessing, smgicnet.cohort; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
