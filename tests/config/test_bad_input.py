"""Whatever is wrong with a config: a message with file, problem and remedy, before anything is trained."""

import pytest
import yaml

from smgicnet import cli
from smgicnet.config.completion import complete, load
from smgicnet.core.errors import InputError

BASE = {"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"m": {"type": "smgicnet"}}}
CONFIG_FAULTS = {
    "unknown key": ({"seed": 3}, "'seed' was unexpected"),
    "typo deep inside": ({"methods": {"m": {"type": "smgicnet", "network": {"chanels": 8}}}}, "chanels"),
    "impossible value": ({"methods": {"m": {"type": "smgicnet", "network": {"channels": -3}}}}, "network.channels: -3"),
    "wrong type": ({"seeds": "one"}, "seeds"),
    "unknown method": ({"methods": {"m": {"type": "voxelfrog"}}}, "voxelfrog"),
    "unknown source": ({"datasets": {"d": {"source": {"kind": "cloud"}}}}, "cloud"),
    "grid that does not divide": (
        {"datasets": {"d": {"source": {"kind": "phantom"}, "grid": {"shape": [50, 48, 48]}}}}, "not divisible by 16",
    ),
    "too few stages": ({"methods": {"m": {"type": "smgicnet", "stages": [{"epochs": 1}]}}}, "stages has 1 entries"),
    "iterations and epochs": (
        {"methods": {"m": {"type": "smgicnet", "stages": [{"epochs": 1, "iterations": 1}] * 4}}}, "exactly one of them",
    ),
    "one direction with paired terms": (
        {"methods": {"m": {"type": "smgicnet", "network": {"symmetric": False}}}}, "compare two directions",
    ),
    "even window": (
        {"methods": {"m": {"type": "smgicnet", "objective": {"windows": [3, 4, 7, 9]}}}}, "objective.windows.1",
    ),
    "hostile dataset name": ({"datasets": {"../up": {"source": {"kind": "phantom"}}}}, "../up"),
    "one test subject": (
        {"datasets": {"d": {"source": {"kind": "phantom", "subjects": {"test": 1}}}}}, "subjects.test: 1",
    ),
    "weights and a network": (
        {"methods": {"m": {"type": "lapirn", "weights": "w.pt", "network": {"channels": 8}}}}, "['network'] stand",
    ),
    "weights that are not there": ({"methods": {"m": {"type": "lapirn", "weights": "none.pt"}}}, "no file none.pt"),
    "reference that does not run": (
        {"evaluation": {"reference": {"method": "smgicnt"}}}, "no method smgicnt runs in the arm raw",
    ),
    "two rows of one name": (
        {"methods": {"quick": {"type": "syn"}, "slow": {"type": "syn"}}}, "methods.quick and methods.slow are both",
    ),
    "the global map twice": (
        {"methods": {"pose": {"type": "pose"}, "none": {"type": "initial"}}, "affine": {"engine": "pose"}},
        "both called 'Initial w.pose'",
    ),
    "unknown arm": ({"methods": {"m": {"type": "icnet", "arms": ["rigid"]}}}, "arms.0"),
    "unknown engine": ({"affine": {"engine": "elastix"}}, "affine.engine"),
    "a window that a coarser scale cannot have": (
        {"methods": {"m": {"type": "lapirn", "objective": {"windows": [3, 3, 7]}}}}, "objective.windows.1",
    ),
    "no datasets": ({"datasets": {}}, "datasets"),
    "not a number": (
        {"methods": {"m": {"type": "smgicnet", "objective": {"weights": {"smoothness": float("nan")}}}}}, "is nan",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_unusable_config(fault):
    complete(BASE)
    change, problem = CONFIG_FAULTS[fault]
    with pytest.raises(InputError) as caught:
        complete({**BASE, **change}, "my.yaml")
    assert caught.value.source == "my.yaml"
    assert problem in str(caught.value)


def test_config_files_that_are_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,\nb")
    with pytest.raises(InputError, match="not valid YAML"):
        load(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match="no mapping"):
        load(tmp_path / "list.yaml")


def test_command_line_says_it_in_one_line(tmp_path, capsys):
    arguments = [
        "--fixed",
        "f.nii.gz",
        "--moving",
        "m.nii.gz",
        "--weights",
        str(tmp_path / "w.pt"),
        "--out",
        str(tmp_path),
    ]
    assert cli.main(["register", *arguments]) == 2
    error = capsys.readouterr().err
    assert "w.pt: no such weights file" in error
    assert error.count("\n") == 1
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**BASE, "sedes": [1]}))
    assert cli.main(["check", str(path)]) == 1
    assert "sedes" in capsys.readouterr().out
    path.write_text(yaml.safe_dump(BASE))
    assert cli.main(["check", str(path)]) == 0
    assert "16 train, 2 val, 6 test; 15 test pairs" in capsys.readouterr().out
