"""Imports go one way: fields <- losses, networks <- methods <- training, evaluation; what draws never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "smgicnet"
JOBS = ("train_job", "register_job", "register_pair", "align_job")
FORBIDDEN = {
    "errors": {"*"},
    "fields": {"*"},
    "losses": {"networks", "methods", "training", "evaluation", *JOBS},
    "networks": {"losses", "methods", "training", "evaluation", *JOBS},
    "methods": {"training", "evaluation", *JOBS, "cohort", "images", "preprocessing"},
    "training": {"evaluation", *JOBS, "cohort", "plotting", "tables"},
    "evaluation": {"training", *JOBS, "plotting", "tables"},
    **{key: {"fields", "methods", "training", "evaluation", *JOBS} for key in ("affine", "flirt", "ants_affine")},
    "native_grid": {"training", "evaluation", *JOBS, "cohort", "images", "preprocessing"},
    "report": {"fields", "methods", "training", "evaluation", *JOBS},
    "comparisons": {"fields", "methods", "training", "evaluation", "tables", *JOBS},
    "audit": {"methods", "training", "evaluation", "preprocessing", "paper_tables", *JOBS},
    "preprocessing": {"methods", "training", "evaluation", *JOBS},
    **{key: {"fields", "methods", "training", "evaluation", *JOBS} for key in ("field_formats", "transform_chain")},
    "score_transform": {"training", "plotting", *JOBS},
}


def imported(path):
    """First names below ``smgicnet`` that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("smgicnet"):
            tail = node.module.split(".")[1:]
            yield from tail[:1] or [alias.name for alias in node.names]


@pytest.mark.parametrize("module", FORBIDDEN)
def test_direction(module):
    files = sorted((PACKAGE / module).glob("*.py")) or [PACKAGE / f"{module}.py"]
    for path in files:
        found = set(imported(path))
        forbidden = FORBIDDEN[module]
        assert not (found if "*" in forbidden else found & forbidden), path


def test_statistics_tables_plotting_and_help_do_not_import_torch():
    code = (
        "import sys, smgicnet.statistics, smgicnet.comparisons, smgicnet.paper_tables, smgicnet.score_figures,"
        " smgicnet.plotting, smgicnet.examples, smgicnet.cli, smgicnet.preprocessing, smgicnet.cohort, smgicnet.audit,"
        " smgicnet.affine, smgicnet.ablations, smgicnet.published_table, smgicnet.download, smgicnet.pair_figures,"
        " smgicnet.run_figures, smgicnet.training_figures, smgicnet.report, smgicnet.sources, smgicnet.quality,"
        " smgicnet.brain_extraction, smgicnet.bias_field, smgicnet.segmentation, smgicnet.overview, smgicnet.check,"
        " smgicnet.table_job, smgicnet.gathering, smgicnet.verify, smgicnet.transform_chain;"
        " sys.exit(bool({'torch', 'ants'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
