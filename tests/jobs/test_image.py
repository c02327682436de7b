"""With --sdm apptainer jobs run in an image: what it has counts, and what this machine has does not."""

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
    block = {"requires": ["greedy"], "environment": {"container": "docker://greedy:1"}}
    assert missing_programs(block) == []
    assert missing_programs(block, image=True) == ["greedy", "apptainer"]


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
