"""A job of a program from outside: a pair that fails costs itself, and its reason is kept."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.completion import complete, complete_method
from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from smgicnet.jobs.decisions import Decisions, decide
from smgicnet.jobs.programs import make_environment
from smgicnet.jobs.register import register_shown
from smgicnet.jobs.registering import MethodFiles
from smgicnet.jobs.starting import what_was_decided
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles
from tests.support.methods import SHIFT
from tests.support.registering import register

NAMES = ("s1", "s2", "s3")
SHAPE = (16, 18, 16)


@pytest.fixture
def subjects(tmp_path):
    """Three cubes in different places, with their label maps; the image of the third has a bright corner."""
    found = {}
    for number, name in enumerate(NAMES):
        image, labels = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
        place = tuple(slice(4 + number, 11 + number) for _ in SHAPE)
        image[place], labels[place] = 0.5, 17
        labels[tuple(slice(4 + number, 7 + number) for _ in SHAPE)] = 10
        if name == "s3":
            image[0, 0, 0] = 1
        files = [tmp_path / f"{name}{kind}" for kind in (".nii", "_labels.nii")]
        for path, data in zip(files, (image, labels), strict=True):
            write_volume(path, data, np.diag([2.0, 2, 2, 1]))
        found[name] = SubjectFiles(name, *files)
    return found


def block(command, **changes):
    part = {"type": "command", "label": "stand-in", "command": command, "transforms": ["t.txt"], **changes}
    return complete_method(part, "test")


WORKS = f"{sys.executable} {SHIFT} {{fixed}} {{moving}} {{out}}/t.txt"
REFUSES_S3 = f"""{sys.executable} - {{moving}} <<'END'
import sys, nibabel
sys.exit("no corner, please" if nibabel.load(sys.argv[1]).dataobj[0, 0, 0] > 0.9 else 0)
END
{WORKS}"""


def test_a_pair_that_fails_costs_itself_and_its_reason_is_kept(tmp_path, subjects):
    rows = register(tmp_path / "run", subjects, NAMES, block(REFUSES_S3), fields=True)
    means = rows[rows["roi"].isna() | rows["roi"].isin(["", "mean"])]
    values = means.set_index(["fixed", "moving", "metric"])["value"].astype(float).to_dict()
    failed = {pair[:2] for pair, value in values.items() if pair[2] == "no_result_percent" and value == 100}
    assert failed == {("s1", "s3"), ("s2", "s3")}
    assert values["s1", "s2", "no_result_percent"] == 0
    assert values["s1", "s2", "dice"] > 0.9
    assert not {pair for pair in values if pair[:2] in failed and pair[2] != "no_result_percent"}
    assert ("s3", "s1", "inverse_consistency_mm") not in values  # there is no way back
    record = json.loads((tmp_path / "run/0/registration.json").read_text())
    assert [(one["fixed"], one["moving"]) for one in record["without_result"]] == [("s1", "s3"), ("s2", "s3")]
    assert all("no corner, please" in one["reason"] for one in record["without_result"])
    assert record["program"] == "not asked for"


def test_a_job_that_is_started_again_runs_nothing_again(tmp_path, subjects):
    counting = f"echo x >> {tmp_path}/count; {REFUSES_S3}"
    first = register(tmp_path / "run", subjects, NAMES, block(counting), fields=True)
    count = (tmp_path / "count").read_text().count("x")
    again = register(tmp_path / "run", subjects, NAMES, block(counting), fields=True)
    pd.testing.assert_frame_equal(again, first)
    assert (tmp_path / "count").read_text().count("x") == count == 6


def test_moved_labels_alone_are_scored_by_what_they_show(tmp_path, subjects):
    config = block("cp {moving_labels} {out}/l.nii.gz # {fixed} {moving}", transforms=[], labels="l.nii.gz")
    rows = register(tmp_path / "run", subjects, NAMES, config, fields=True)
    metrics = set(rows["metric"])
    assert metrics >= {"dice", "hd95_mm", "rois", "no_result_percent"}
    assert not metrics & {"folds_percent", "ndv_percent", "inverse_consistency_mm", "sd_log_jacobian"}
    initial = register(tmp_path / "initial", subjects, NAMES)
    dice = [found.loc[found["metric"] == "dice", "value"].tolist() for found in (rows, initial)]
    assert dice[0] == dice[1]


def test_a_shown_pair_without_a_result_is_shown_as_it_lies(tmp_path, subjects):
    images = {name: files.image for name, files in subjects.items()}
    method = MethodFiles(block(REFUSES_S3), None, "x")
    register_shown(method, [("s1", "s3")], images, tmp_path / "shown", alignments=[])
    from smgicnet.core.layout import shown_files
    from smgicnet.imaging.images import read_image

    warped, _ = shown_files(tmp_path / "shown", "s1", "s3")
    np.testing.assert_allclose(read_image(warped).data, read_image(images["s3"]).data, atol=1e-5)


def test_a_program_that_is_not_there_is_left_out_with_what_to_install():
    methods = {
        "initial": {"type": "initial"},
        "there": {"type": "command", "label": "a", "command": WORKS, "transforms": ["t.txt"], "requires": ["bash"]},
        "missing": {
            "type": "command", "label": "b", "command": WORKS, "transforms": ["t.txt"], "requires": ["no-such-program"],
            "install": "Ask its authors.",
        },
    }  # fmt: skip
    config = complete({"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": methods})
    study = Study(config, decide(config, conda=False))
    assert study.absent == ("missing",)
    assert ("there", "raw") in study.runs
    assert not [run for run in study.runs if run[0] == "missing"]
    assert "missing is left out: no no-such-program on the PATH. Ask its authors." in what_was_decided(study)


@pytest.mark.parametrize(("image", "files"), [("greedy.sif", ["greedy.sif"]), ("docker://greedy:1", [])])
def test_registrations_depend_on_the_file_of_a_container(image, files):
    method = {"type": "command", "label": "a", "command": WORKS, "transforms": ["t.txt"]}
    method["environment"] = {"container": image}
    config = complete({"datasets": {"d": {"source": {"kind": "phantom"}}}, "methods": {"contained": method}})
    found = StudyFiles(Study(config, Decisions("", "", ())))
    assert found.program(SimpleNamespace(method="contained")) == files


def test_an_environment_by_pip_is_made_and_recorded(tmp_path):
    record = tmp_path / "made/program.json"
    make_environment({"pip": ["--no-deps tqdm==4.66.5"]}, record)
    facts = json.loads(record.read_text())
    assert facts["installed"] == ["tqdm==4.66.5"]
    assert (record.parent / "env/bin/tqdm").exists()


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no-such-package-of-this-name"):
        make_environment({"pip": ["no-such-package-of-this-name"]}, tmp_path / "made/program.json")
    assert not (tmp_path / "made/program.json").exists()
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InputError, match="neither mamba nor conda"):
        make_environment({"conda": "x.yaml"}, tmp_path / "other/program.json")


def test_an_environment_by_conda_is_asked_for_by_its_file(tmp_path, monkeypatch):
    """conda has no network here: this takes its arguments."""
    stand_in = tmp_path / "bin/conda"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/bash\necho "$@" >> {tmp_path}/asked\n[ "$1" = list ] && echo greedy=1.4=0\n'
        f"mkdir -p {tmp_path}/made/env/conda-meta; touch {tmp_path}/made/env/conda-meta/history\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:/usr/bin:/bin")
    make_environment({"conda": "greedy.yaml"}, tmp_path / "made/program.json")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == f"env create --yes --prefix {tmp_path}/made/env --file greedy.yaml"
    assert json.loads((tmp_path / "made/program.json").read_text())["installed"] == ["greedy=1.4=0"]


def test_metrics_of_failed_pairs_are_read_as_the_others(tmp_path, subjects):
    register(tmp_path / "run", subjects, NAMES, block(REFUSES_S3))
    frame = pd.read_csv(tmp_path / "run/0/metrics.csv")
    assert frame.groupby("metric")["value"].mean()["no_result_percent"] == pytest.approx(100 / 3)
