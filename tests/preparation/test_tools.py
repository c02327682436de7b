"""What is missing for a config is said in one message, before anything runs."""

import pandas as pd
import pytest

from smgicnet.core.errors import InputError
from smgicnet.jobs.starting import tools_of
from smgicnet.jobs.study import Study
from smgicnet.preparation import tools
from smgicnet.preparation.tools import TOOLS, needed_tools, program, require_tools

PLAIN = {"skull_strip": "none", "bias_field": "none", "segmentation": "given"}


@pytest.fixture
def bare(monkeypatch):
    """A machine without any of the tools."""
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("FSLDIR", "FREESURFER_HOME", "FASTSURFER_HOME", "FS_LICENSE", tools.UNCHECKED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    return monkeypatch


def test_which_tools_a_config_needs():
    assert needed_tools(PLAIN) == {}
    assert needed_tools({**PLAIN, "skull_strip": "mask"}) == {}
    assert needed_tools({**PLAIN, "skull_strip": "auto"}) == {"skull_strip": "deepbet"}
    every = {"skull_strip": "bet", "bias_field": "n4", "segmentation": "fastsurfer"}
    assert needed_tools(every) == every


def test_all_that_is_missing_in_one_message(bare):
    wanted = {name: [f"datasets.d.{name}"] for name in TOOLS}
    with pytest.raises(InputError) as caught:
        require_tools(wanted)
    for name in TOOLS:
        assert f"{name} for datasets.d.{name}" in caught.value.problem
    assert caught.value.remedy.count("surfer.nmr.mgh.harvard.edu") == 1
    for word in ("FSLDIR", "github.com/Deep-MI/FastSurfer", "--use-conda", "unchecked_tools=true"):
        assert word in caught.value.remedy


def test_conda_brings_what_it_can(bare):
    brought = [name for name, tool in TOOLS.items() if tool.conda]
    assert brought == ["deepbet", "n4", "bet"]
    require_tools({name: ["key"] for name in brought}, conda=True)
    with pytest.raises(InputError, match="synthseg"):
        require_tools({"synthseg": ["key"], "bet": ["key"]}, conda=True)


@pytest.mark.parametrize("place", ["PATH", "home", "bin of home"])
def test_where_programs_are_looked_for(bare, tmp_path, place):
    folder = tmp_path / "bin" if place == "bin of home" else tmp_path
    folder.mkdir(exist_ok=True)
    file = folder / "mri_synthseg"
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    bare.setenv("PATH" if place == "PATH" else "FREESURFER_HOME", str(tmp_path))
    assert program("synthseg") == str(file)
    require_tools({"synthseg": ["key"]})


def test_recon_all_needs_its_licence(bare, tmp_path):
    (tmp_path / "recon-all").write_text("#!/bin/sh\n")
    (tmp_path / "recon-all").chmod(0o755)
    bare.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="licence file is not there"):
        require_tools({"recon-all": ["key"]})
    (tmp_path / "license.txt").touch()
    bare.setenv("FS_LICENSE", str(tmp_path / "license.txt"))
    require_tools({"recon-all": ["key"]})


def test_what_is_done_needs_no_tool(tmp_path):
    config = {"datasets": {"d": {"preprocessing": {**PLAIN, "segmentation": "recon-all"}}}}
    cohorts = {"d": pd.DataFrame({"split": ["train", ""]}, index=["s1", "s2"])}
    study = Study(config, results=tmp_path, cohorts=cohorts)
    wanted = {"recon-all": ["datasets.d.preprocessing.segmentation"]}
    assert tools_of(study, to_come=True) == wanted
    image = tmp_path / "d/raw/subjects/s1/image.nii"
    image.parent.mkdir(parents=True)
    image.touch()
    assert tools_of(study, to_come=True) == {}
    assert tools_of(study, to_come=False) == wanted
