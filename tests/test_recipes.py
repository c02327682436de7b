"""The recipes of docs/adding-a-*.md do what they say, followed word for word in a checkout of one's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.recipes import commands, follow

PAGES = ("adding-a-method.md", "adding-a-metric.md", "adding-a-source.md", "adding-a-figure.md")
COPIED = ("Snakefile", "config", "docs", "envs", "profiles", "pyproject.toml", "rules", "smgicnet", "tests", "workflow")
FETCHING = "mine.yaml"  # its programs come from the package index


@pytest.fixture(params=PAGES)
def recipe(request, tmp_path):
    """A page, a checkout in which its files have been written, and their paths."""
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    return request.param, tmp_path, list(follow(request.param, tmp_path))


def run(command, checkout):
    """Run commands as the page has them, with this Python and the package of the checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    known = {**os.environ, "PATH": path, "PYTHONPATH": str(checkout)}
    script = f"set -euo pipefail\n{command}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=checkout, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tests_of_a_recipe_pass_and_its_code_is_clean(recipe):
    page, checkout, written = recipe
    tests = [command for command in commands(page) if "pytest " in command]
    assert tests
    for command in tests:
        assert "passed" in run(command, checkout)
    modules = " ".join(path for path in written if path.endswith(".py"))
    for check in ("ruff check", "ruff format --check"):
        run(f"{check} {modules}", checkout)


@pytest.mark.long
def test_the_run_of_a_recipe_ends_in_what_it_adds(recipe):
    page, checkout, _ = recipe
    runs = [command for command in commands(page) if "pytest " not in command and FETCHING not in command]
    said = [run(command, checkout) for command in runs]
    table = checkout / "results/miniature/tables/table1.md"
    if page == "adding-a-method.md":
        assert "Centroid" in table.read_text()
    elif page == "adding-a-metric.md":
        assert said[-1].splitlines()[-1].startswith("| Volume similarity")
    elif page == "adding-a-source.md":
        assert "3 test subjects" in (checkout / "results/task/tables/table1.md").read_text()
    else:
        assert (checkout / "results/miniature/figures/share.png").stat().st_size > 5000
