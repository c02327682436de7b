"""The conda environments and the lock files name the same versions."""

import re

import pytest

from smgicnet.config.schemas import schema
from smgicnet.jobs.preparation_files import STRIPPING_ENVIRONMENTS
from smgicnet.methods import METHODS
from tests.support import ROOT
from tests.support.environments import (
    ENVIRONMENT_FILES,
    ENVIRONMENTS,
    NOT_ON_PYPI,
    UNNAMED,
    brought,
    listed,
    locked,
    problems,
)

ANY_VERSION = {("snakemake", "numpy")}


@pytest.mark.parametrize("path", ENVIRONMENT_FILES, ids=lambda path: path.name)
def test_conda_versions_agree_with_the_lock(path):
    versions = locked()
    for name, version in listed(path):
        if name not in NOT_ON_PYPI and (path.stem, name) not in ANY_VERSION:
            assert versions[name] == version, name


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.sh")), ids=lambda path: path.name)
def test_what_pip_adds_agrees_with_the_lock(path):
    versions = locked()
    pins = re.findall(r"([a-z0-9-]+)==([0-9.]+)", path.read_text())
    assert pins
    for name, version in pins:
        assert versions[name] == version, name


def test_torch_is_pinned():
    assert locked()["torch"] == "2.13.0"


def test_every_script_has_its_environments():
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert scripts == ENVIRONMENTS.keys()
    rules = "".join(path.read_text() for path in (ROOT / "rules").rglob("*.smk"))
    blocks = {
        re.search(r"scripts/(\w+)\.py", block)[1]: block for block in rules.split("\nrule ") if "scripts/" in block
    }
    for script, names in ENVIRONMENTS.items():
        conda = blocks[script].split("conda:")[1].split("params:")[0].split("threads:")[0]
        found = set(re.findall(r"environment\([\"'](\w+)[\"']\)", conda))
        if "ALIGNING" in conda:
            found = {"fsl", "ants"}
        elif "stripping_environment(" in conda:
            found = {*STRIPPING_ENVIRONMENTS.values(), "analysis"}
        elif "files.environment(w)" in conda:
            found = {schema(f"methods/{kind}").get("environment", "torch") for kind in METHODS}
        assert found == set(names), script


@pytest.mark.parametrize("path", ENVIRONMENT_FILES, ids=lambda path: path.stem)
def test_an_environment_has_what_its_scripts_import_and_nothing_else(path):
    lacks, unused = problems(path.stem, path)
    assert not lacks, f"{path}: add what brings {sorted(lacks)}"
    assert not unused, f"{path}: nothing imports {sorted(unused)}; remove it, or say who needs it in UNNAMED"
    assert UNNAMED.get(path.stem, {}).keys() <= brought(path)


SLOW = [path for path in ENVIRONMENT_FILES if path.stem != "analysis"]


@pytest.mark.parametrize(
    "path",
    [path if path not in SLOW else pytest.param(path, marks=pytest.mark.long) for path in ENVIRONMENT_FILES],
    ids=lambda path: path.stem,
)
def test_what_an_environment_lacks_or_has_too_much_is_seen(path, tmp_path):
    text = path.read_text()
    first = next(name for name, _ in listed(path) if name not in NOT_ON_PYPI)
    copy = tmp_path / path.name
    copy.write_text(re.sub(rf"  - {first}\b.*\n", "  - wheel=0.45.1\n", text))
    if (pip := path.with_suffix(".post-deploy.sh")).is_file():
        copy.with_suffix(".post-deploy.sh").write_text(pip.read_text())
    lacks, unused = problems(path.stem, copy)
    assert {name.split(".")[0] for name in lacks} == {first.split("-")[0]}
    assert unused == {"wheel"}
