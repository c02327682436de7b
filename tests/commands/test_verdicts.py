"""The verdict where users meet it: on the terminal, in the record, from Python, and as the exit code."""

import json

import nibabel as nib
import numpy as np
import pytest

import smgicnet
from smgicnet import cli
from smgicnet.methods.verdict import FAILED, GOOD


@pytest.fixture(scope="module")
def wrong(scans, tmp_path_factory):
    """Something as large as a brain that is none."""
    path = tmp_path_factory.mktemp("wrong") / "organ.nii.gz"
    brain = nib.load(scans / "brain.nii.gz")
    places = np.indices(brain.shape) - np.reshape(brain.shape, (3, 1, 1, 1)) / 2
    inside = (np.square(places / np.reshape((36, 24, 20), (3, 1, 1, 1))).sum(0) < 1).astype(float)
    texture = 1 + 0.1 * np.sin(places / 3).sum(0)
    nib.save(nib.Nifti1Image((500 * inside * texture).astype(np.float32), brain.affine), path)
    return path


def register(fixed, moving, out, *more):
    given = ["--fixed", fixed, "--moving", moving, "--out", out, "--quality", "fast"]
    status = cli.main(["register", *map(str, given), *more])
    return status, json.loads((out / "registration.json").read_text())


def test_a_good_pair_is_good(scans, tmp_path, capsys):
    pair = scans / "brain.nii.gz", scans / "moved-brain.nii.gz"
    status, record = register(*pair, tmp_path, "--strict")
    assert status == 0
    assert capsys.readouterr().out.splitlines()[-1] == record["verdict"]["summary"]
    assert record["verdict"]["verdict"] == GOOD
    low, high = record["verdict"]["error_mm"][1:]
    assert low < 2.5 < high or high < 2.5
    found = smgicnet.register(*pair, quality="fast")
    assert found.verdict.facts() == {key: record["verdict"][key] for key in found.verdict.facts()}
    assert str(found.verdict) in repr(found)


def test_another_organ_fails_and_a_strict_command_with_it(scans, wrong, tmp_path, capsys):
    status, record = register(scans / "brain.nii.gz", wrong, tmp_path, "--strict", "--stripped")
    assert status == 3
    assert record["verdict"]["verdict"] == FAILED
    assert record["verdict"]["failure_probability"] > 0.9
    assert capsys.readouterr().out.splitlines()[-1].startswith("failed: with a probability of ")
    assert register(scans / "brain.nii.gz", wrong, tmp_path, "--stripped")[0] == 0


def test_what_ends_at_a_matrix_is_not_judged(scans, tmp_path):
    given = ["--fixed", scans / "brain.nii.gz", "--moving", scans / "moved-brain.nii.gz", "--out", tmp_path]
    assert cli.main(["register", *map(str, given), "--transform", "affine", "--strict"]) == 3
    assert "verdict" not in json.loads((tmp_path / "registration.json").read_text())


def test_what_is_left_out_does_not_count(scans, tmp_path):
    """A hole in one image speaks against a registration, unless it is said to be one."""
    scan = nib.load(scans / "moved-brain.nii.gz")
    data = scan.get_fdata(dtype=np.float32)
    middle = np.argwhere(data > 0).mean(0)
    away = np.indices(data.shape) - np.reshape(middle, (3, 1, 1, 1)) - np.reshape((6, 0, 0), (3, 1, 1, 1))
    near = np.linalg.norm(away, axis=0) < 7
    data[near & (data > 0)] = np.percentile(data[data > 0], 10)
    nib.save(nib.Nifti1Image(data, scan.affine), tmp_path / "ill.nii.gz")
    nib.save(nib.Nifti1Image(near.astype(np.uint8), scan.affine), tmp_path / "lesion.nii.gz")
    pair = scans / "brain.nii.gz", tmp_path / "ill.nii.gz"
    plain = register(*pair, tmp_path / "plain")[1]["verdict"]
    masked = register(*pair, tmp_path / "masked", "--mask-moving", str(tmp_path / "lesion.nii.gz"))[1]["verdict"]
    assert masked["evidence"]["likeness_least"] > plain["evidence"]["likeness_least"] + 0.05
    assert masked["failure_probability"] < plain["failure_probability"]
