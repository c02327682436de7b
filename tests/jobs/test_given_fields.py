"""Displacements of another program, scored as those of a method that registers."""

from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from smgicnet.cohort.participants import unordered_pairs
from smgicnet.config.completion import complete, complete_method
from smgicnet.core.errors import InputError
from smgicnet.core.layout import given_file
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.jobs.code import registering_code
from smgicnet.jobs.register import ShardOutputs, register_shard, register_shown
from smgicnet.jobs.registering import MethodFiles
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles
from tests.support.compare import timeless
from tests.support.images import SHAPE
from tests.support.registering import SCORING, register

NAMES = ["s1", "s2"]


@pytest.fixture
def method(tmp_path):
    """A method whose displacements, in voxels, shift everything by a voxel, in files."""
    folder = tmp_path / "given"
    folder.mkdir()
    shift = np.zeros((3, *SHAPE), np.float32)
    shift[1] = 1.0
    for pair in (("s1", "s2"), ("s2", "s1")):
        write_itk(given_file(folder, "pairs", *pair), to_world(shift, np.eye(4), np.eye(4)), np.eye(4))
    block = complete_method({"type": "fields", "folder": str(folder)}, "test")
    return MethodFiles(block, None, registering_code("fields"))


def score(folder, method, subjects):
    outputs = ShardOutputs({"method": "mine"}, folder / "0/metrics.csv", folder / "0/registration.json")
    register_shard(method, unordered_pairs(NAMES), subjects, outputs, alignments=[], scoring=SCORING)
    return timeless(outputs.metrics)


def mean_dice(rows):
    return rows[(rows["metric"] == "dice") & (rows["roi"] == "mean")]["value"].astype(float).tolist()


def test_the_layout_of_learn2reg_gives_the_same(tmp_path, subjects, method):
    folder = tmp_path / "learn2reg"
    folder.mkdir()
    shift = np.zeros((*SHAPE, 3), np.float32)
    shift[..., 1] = 1.0
    for name in ("disp_s1_s2.nii.gz", "disp_s2_s1.nii.gz"):
        nib.save(nib.Nifti1Image(shift, np.eye(4)), folder / name)
    block = complete_method({"type": "fields", "folder": str(folder), "layout": "learn2reg"}, "test")
    theirs = score(tmp_path / "theirs", MethodFiles(block, None, registering_code("fields")), subjects)
    assert mean_dice(theirs) == mean_dice(score(tmp_path / "ours", method, subjects))


def test_a_field_that_two_pairs_have_is_warned_of(tmp_path, subjects, method, caplog):
    score(tmp_path / "run", method, subjects)
    assert "holds the same field as" in caplog.text


def test_given_displacements_are_scored_and_shown(tmp_path, subjects, method):
    rows = score(tmp_path / "run", method, subjects)
    assert set(rows["metric"]) >= {"dice", "hd95_mm", "folds_percent", "inverse_consistency_mm"}
    back_and_forth = rows[rows["metric"] == "inverse_consistency_mm"]["value"].astype(float)
    assert np.allclose(back_and_forth, 2, atol=0.2)  # a voxel there and another one back, less at the border
    assert mean_dice(rows) != mean_dice(register(tmp_path / "initial", subjects, NAMES))
    assert "seconds" not in pd.read_csv(tmp_path / "run/0/metrics.csv")["metric"].tolist()
    images = {name: files.image for name, files in subjects.items()}
    register_shown(method, [("s1", "s2")], images, tmp_path / "shown", alignments=[])
    assert len(list((tmp_path / "shown").iterdir())) == 4


def test_other_files_are_scored_again_and_a_missing_one_is_said(tmp_path, subjects, method):
    before = score(tmp_path / "run", method, subjects)
    path = given_file(method.block["folder"], "pairs", "s1", "s2")
    write_itk(path, to_world(np.zeros((3, *SHAPE), np.float32), np.eye(4), np.eye(4)), np.eye(4))
    assert mean_dice(score(tmp_path / "run", method, subjects)) != mean_dice(before)
    path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"fixed-s1_moving-s2\.nii\.gz"):
        score(tmp_path / "run", method, subjects)


def test_a_job_waits_for_the_files_of_its_pairs_in_both_directions():
    config = complete(
        {
            "datasets": {"d": {"source": {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 2}}}},
            "methods": {"mine": {"type": "fields", "folder": "fields/mine"}, "syn": {"type": "syn"}},
        }
    )
    files = StudyFiles(Study(config))
    job = SimpleNamespace(dataset="d", arm="raw", method="mine", seed="0", shard="0")
    first, second = files.study.subjects("d", "test")
    wanted = [f"fields/mine/fixed-{a}_moving-{b}.nii.gz" for a, b in ((first, second), (second, first))]
    assert files.given_fields(job) == wanted
    assert files.given_fields(SimpleNamespace(dataset="d", method="mine")) == wanted
    assert files.given_fields(SimpleNamespace(dataset="d", method="syn", shard="0")) == []
    assert not files.study.keeps_fields("mine")


def test_a_folder_has_to_be_named_and_there_is_no_affine_arm():
    with pytest.raises(InputError, match="folder"):
        complete_method({"type": "fields"}, "test")
    with pytest.raises(InputError, match="arms"):
        complete_method({"type": "fields", "folder": "f", "arms": ["raw", "affine"]}, "test")
