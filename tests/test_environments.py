"""The conda environments and the lock files name the same versions."""

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
import yaml

from smgicnet.config import schema
from smgicnet.methods import METHODS

ROOT = Path(__file__).parent.parent
PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
NOT_ON_PYPI = ("python", "pip", "fsl-flirt", "fsl-avwutils", "fsl-bet2")


def locked():
    """Versions for Python 3.11 by normalised name."""
    found = {}
    for file in ("requirements.lock", "requirements-nodeps.lock"):
        for line in (ROOT / file).read_text().splitlines():
            match = re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)(?: ; (.*))?$", line)
            if match and ">= '3.12'" not in (match[3] or ""):
                found[match[1].lower().replace("_", "-")] = match[2]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_versions_agree_with_the_lock(path):
    versions = locked()
    for entry in yaml.safe_load(path.read_text())["dependencies"]:
        name, _, version = entry.partition("=")
        if name not in NOT_ON_PYPI:
            assert versions[PYPI_NAMES.get(name, name)] == version, name


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.sh")), ids=lambda path: path.name)
def test_what_pip_adds_agrees_with_the_lock(path):
    versions = locked()
    pins = re.findall(r"([a-z0-9-]+)==([0-9.]+)", path.read_text())
    assert pins
    for name, version in pins:
        assert versions[name] == version, name


def test_torch_is_pinned():
    assert locked()["torch"] == "2.13.0"


def imported(path):
    """Absolute names of the modules that a file imports when it is loaded, ``smgicnet`` ones as ``smgicnet.x``."""
    nodes = ast.parse(path.read_text()).body
    inner = [node.body for node in nodes if isinstance(node, ast.With)]  # a script's own lines
    for node in [*nodes, *(line for body in inner for line in body)]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(name):
    base = ROOT / Path(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def requirements(script):
    """Top names of all that a script imports, directly or through the package."""
    seen, names, todo = set(), set(), [script]
    while todo:
        for name in imported(todo.pop()):
            file = module_file(name)
            if file is None:
                names.add(name.split(".")[0])
            elif file not in seen:
                seen.add(file)
                todo.append(file)
    return names - set(sys.stdlib_module_names) - {"smgicnet"}


# what a rule runs where: the functions that choose an environment are checked for each of their answers
ENVIRONMENTS = {
    "render_phantom": ["torch"], "render_label_map": ["analysis"], "write_cohort": ["analysis"],
    "fetch_archive": ["analysis"], "extract_scan": ["analysis"], "extract_brain": ["deepbet", "fsl", "analysis"],
    "correct_bias": ["ants"], "segment_subject": ["analysis"], "preprocess_subject": ["analysis"],
    "assess_quality": ["analysis"], "write_quality_page": ["analysis"], "align_subject": ["fsl", "ants"],
    "align_pairs": ["fsl", "ants"], "train_level": ["torch"], "register_shard": ["torch", "ants", "icon"],
    "register_shown": ["torch", "ants", "icon"],
    "choose_pairs": ["torch"], "fetch_weights": ["analysis"],
    "gather_metrics": ["analysis"], "write_table1": ["analysis"], "write_table2": ["analysis"],
    "compare_methods": ["analysis"], "plot_comparisons": ["analysis"], "plot_scores": ["analysis"],
    "write_table3": ["analysis"], "write_ablations": ["analysis"], "plot_ablations": ["analysis"],
    "plot_pairs": ["analysis"], "plot_training": ["analysis"], "write_page": ["analysis"], "write_audit": ["torch"],
}  # fmt: skip


def test_every_script_has_its_environments():
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert scripts == ENVIRONMENTS.keys()
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    blocks = {
        re.search(r"scripts/(\w+)\.py", block)[1]: block for block in rules.split("\nrule ") if "scripts/" in block
    }
    for script, names in ENVIRONMENTS.items():
        conda = blocks[script].split("conda:")[1].split("params:")[0].split("threads:")[0]
        found = set(re.findall(r"envs/(\w+)\.yaml", conda)) | set(re.findall(r"'(fsl|ants)'", conda))
        if "tool_environment(" in conda:
            found = {"deepbet", "fsl", "analysis"}
        elif "environment(w.method)" in conda:
            found = {schema(f"methods/{kind}").get("environment", "torch") for kind in METHODS}
        assert found == set(names), script


@pytest.mark.parametrize(("script", "environment"), [(s, e) for s, names in ENVIRONMENTS.items() for e in names])
def test_an_environment_has_what_its_scripts_import(script, environment):
    path = ROOT / "envs" / f"{environment}.yaml"
    brought = {
        PYPI_NAMES.get(e.split("=")[0], e.split("=")[0]) for e in yaml.safe_load(path.read_text())["dependencies"]
    }
    pip = path.with_suffix(".post-deploy.sh")
    brought |= set(re.findall(r"([a-z0-9-]+)==", pip.read_text())) if pip.is_file() else set()
    projects = metadata.packages_distributions()
    for name in requirements(ROOT / "workflow/scripts" / f"{script}.py"):
        assert {project.lower() for project in projects[name]} & {one.lower() for one in brought}, name
