"""Imports go one way: fields <- losses, networks <- methods <- training, evaluation; what draws never needs torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from smgicnet.core.code import TRAINING, own_files
from tests.support.imports import imported as named_imports
from tests.support.imports import module_file
from tests.support.methods import LEARNED

PACKAGE = Path(__file__).parents[2] / "smgicnet"
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
        "import sys, smgicnet.scoring.statistics, smgicnet.scoring.comparisons, smgicnet.publication.tables.paper_tables, smgicnet.publication.figures.score_figures,"
        " smgicnet.publication.figures.plotting, smgicnet.publication.examples, smgicnet.cli, smgicnet.preparation.preprocessing, smgicnet.cohort.participants, smgicnet.publication.audit,"
        " smgicnet.preparation.affine, smgicnet.publication.tables.ablations, smgicnet.publication.tables.published_table, smgicnet.core.download, smgicnet.publication.figures.pair_figures,"
        " smgicnet.publication.figures.run_figures, smgicnet.publication.figures.training_figures, smgicnet.publication.report, smgicnet.cohort.sources, smgicnet.preparation.quality,"
        " smgicnet.preparation.brain_extraction, smgicnet.preparation.bias_field, smgicnet.preparation.segmentation, smgicnet.publication.figures.overview, smgicnet.commands.check,"
        " smgicnet.jobs.tables, smgicnet.jobs.gather, smgicnet.commands.verify, smgicnet.imaging.transform_chain;"
        " sys.exit(bool({'torch', 'ants'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# imported by a training, and no part of what its weights depend on: validation, files, records, messages
BESIDE_TRAINING = {"cohort", "config", "errors", "evaluation", "hausdorff", "images", "interruption", "preprocessing"}
BESIDE_TRAINING |= {"provenance", "refinement", "scripts", "transforms_io", "views"}


@pytest.mark.parametrize("kind", LEARNED)
def test_the_digest_of_a_training_has_all_that_its_weights_depend_on(kind):
    digested = {(PACKAGE / name).resolve() for name in map(str, (*TRAINING, *own_files(kind, "code")))}
    beside = {PACKAGE / f"{name}.py" for name in BESIDE_TRAINING}
    todo, seen = [PACKAGE / "train_job.py", PACKAGE / f"methods/{kind}.py"], set()
    while todo:
        path = todo.pop()
        if path in seen or path in beside or path.name == "__init__.py":
            continue
        seen.add(path)
        files = (module_file(name) for name, _ in named_imports(path) if name.startswith("smgicnet"))
        todo += [file for file in files if file]
    assert seen <= digested
