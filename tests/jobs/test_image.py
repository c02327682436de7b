"""With --sdm apptainer jobs run in an image: what it has counts, and what this machine has does not."""

import os
import sys
from pathlib import Path

import pytest

from smgicnet.config.completion import complete
from smgicnet.config.origin import Origin
from smgicnet.core.errors import InputError
from smgicnet.jobs.decisions import decide, missing_programs
from smgicnet.jobs.starting import open_study, what_was_decided
from tests.support import ROOT
from tests.support.snakemake import snakemake

METHODS = {"initial": {"type": "initial"}}
PHANTOM = {"mini": {"source": {"kind": "phantom"}, "grid": {"shape": [16, 16, 16], "spacing": 13}}}


def given(**more):
    return {"datasets": PHANTOM, "methods": METHODS, **more}


@pytest.fixture
def everything_here(monkeypatch, tmp_path):
    """Every program is on this machine's PATH, and a FLIRT that runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    monkeypatch.setattr("smgicnet.preparation.affine.find_flirt", lambda: "/usr/bin/flirt")


@pytest.mark.usefixtures("everything_here")
def test_the_engine_is_the_images():
    config = complete(given(), "test")
    assert decide(config, conda=False).engine == "flirt"
    found = decide(config, conda=False, image=True)
    assert (found.engine, found.reason) == ("ants", "ANTs, as the image of the workflow's container has it.")
    asked = complete(given(affine={"engine": "pose"}), "test")
    assert decide(asked, conda=False, image=True).engine == "pose"
    with pytest.raises(InputError, match=r"affine\.engine: it is flirt, which the image .* does not have"):
        decide(complete(given(affine={"engine": "flirt"}), "test"), conda=False, image=True)


@pytest.mark.usefixtures("everything_here")
def test_programs_of_this_machine_are_not_in_the_image():
    block = {"requires": ["greedy", "python"], "environment": {"container": "docker://greedy:1"}}
    assert missing_programs(block) == []
    assert missing_programs(block, image=True) == ["greedy", "apptainer"]
    assert missing_programs({"environment": {"conda": "greedy.yaml"}}, image=True) == ["conda"]
    assert missing_programs({"environment": {"pip": ["picsl-greedy"]}}, image=True) == []


def test_an_environment_of_conda_needs_one_that_makes_it(monkeypatch):
    block = {"environment": {"conda": "greedy.yaml"}}
    for known, missing in ({"mamba"}, []), ({"conda"}, []), (set(), ["conda"]):
        monkeypatch.setattr("shutil.which", lambda name, known=known: f"/usr/bin/{name}" if name in known else None)
        assert missing_programs(block) == missing


@pytest.mark.usefixtures("everything_here")
def test_a_study_opens_with_the_tools_of_the_image_alone():
    def opened(tool, **more):
        content = given(datasets={"mini": PHANTOM["mini"] | {"preprocessing": {"skull_strip": tool}}}, **more)
        return open_study(content, Origin("test"), conda=False, in_job=False, image=True)

    assert what_was_decided(opened("deepbet"), image=True) == [
        "Affine pre-registration: ANTs, as the image of the workflow's container has it."
    ]
    with pytest.raises(InputError, match=r"has no synthstrip\. Name deepbet, n4 or none"):
        opened("synthstrip")
    opened("synthstrip", unchecked_tools=True)


def test_snakemake_runs_jobs_in_the_image(tmp_path):
    config = ("--configfile", str(ROOT / "config/miniature.yaml"))
    done = snakemake(tmp_path, "-n", "--sdm", "apptainer", *config, check=False)
    assert done.returncode != 0
    assert "smgicnet.sif: the image for --sdm apptainer is not there. Build it (docs/containers.md)" in done.stdout
    done = snakemake(tmp_path, "-n", "--sdm", "apptainer", "conda", *config, check=False)
    assert done.returncode != 0
    assert "The image of --sdm apptainer has no conda" in done.stdout


STAND_IN = """#!/bin/sh
# Keeps the arguments, and runs the command at their end on this machine.
[ "$1" != --version ] || { echo apptainer version 1.4.5; exit; }
printf '%s\\n' "$@" >>APPTAINER_CALLS
for command; do :; done
exec bash -c "$command"
"""


@pytest.fixture
def apptainer_calls(tmp_path, monkeypatch):
    """The file of the arguments that a program named apptainer on the PATH was given, a line each."""
    calls, program = tmp_path / "calls", tmp_path / "bin/apptainer"
    program.parent.mkdir()
    program.write_text(STAND_IN.replace("APPTAINER_CALLS", str(calls)))
    program.chmod(0o755)
    folders = (program.parent, Path(sys.executable).parent, os.environ["PATH"])
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    return calls


def test_a_job_is_given_to_apptainer_with_the_image_and_this_package(apptainer_calls, tmp_path):
    folder, image = tmp_path / "run", tmp_path / "run/images/other.sif"
    image.parent.mkdir(parents=True)
    image.touch()
    config = ("--configfile", str(ROOT / "config/miniature.yaml"), "--config", "image=images/other.sif")
    target = "results/miniature/cohort/participants.tsv"
    snakemake(folder, "--sdm", "apptainer", *config, "--", target)
    assert (folder / target).is_file()
    given = apptainer_calls.read_text().splitlines()
    assert given[:3] == ["exec", "--home", str(folder)]
    assert given[given.index("bash") - 1] == str(image)
    assert ["--bind", str(ROOT)] in [given[at : at + 2] for at in range(len(given))]


@pytest.mark.usefixtures("apptainer_calls")
def test_the_image_can_have_an_address(tmp_path):
    address = "docker://example.org/smgicnet:0.2.0"
    config = ("--configfile", str(ROOT / "config/miniature.yaml"), "--config", f"image={address}")
    done = snakemake(tmp_path, "-n", "--sdm", "apptainer", *config, "--", "table1")
    assert f"image {address} will be pulled" in done.stdout
