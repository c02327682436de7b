"""Pairs that `smgicnet register`, with the shipped weights, brings together from any pose, and pairs that it cannot."""

import json

import numpy as np
import pytest

from smgicnet import cli
from smgicnet.imaging.displacements import apply_field, read_itk
from smgicnet.imaging.images import write_volume
from tests.support.turned import SIZE, affine, head

PLACE = np.diag([-3.5, -3.5, 3.5, 1.0])  # voxels of 3.5 mm
AWAY = PLACE.copy()
AWAY[:3, 3] = 2000, -500, 900  # no point of the world lies in both images
TURN = affine(140, (1, 2, 3), shift=(3, -2, 1))


def ball():
    """A round object without a pose."""
    distance = np.linalg.norm(np.indices((SIZE,) * 3) - (SIZE - 1) / 2, axis=0)
    return np.clip(20 - distance, 0, 1) * (1 + 0.2 * np.cos(distance))


def registered(tmp_path, moving, place=PLACE):
    """Exit status of `smgicnet register` of an array to the head, and its record where there is one."""
    for name, data, where in (("fixed", head()[0, 0].numpy(), PLACE), ("moving", np.asarray(moving), place)):
        brain = np.where(data > 0.02, data, 0).astype(np.float32)
        write_volume(tmp_path / f"{name}.nii.gz", brain, where)
    given = ["--fixed", tmp_path / "fixed.nii.gz", "--moving", tmp_path / "moving.nii.gz", "--out", tmp_path / "out"]
    status = cli.main(["register", *map(str, given), "--quality", "fast"])
    record = tmp_path / "out" / "registration.json"
    return status, json.loads(record.read_text()) if record.is_file() else None


def test_a_turned_head_in_another_world_is_found_without_doubt(tmp_path, caplog):
    status, record = registered(tmp_path, head(TURN)[0, 0], AWAY)
    assert status == 0
    assert record["pose"]["doubt"] is None
    assert "in doubt" not in caplog.text
    centre = PLACE @ np.append(np.full(3, (SIZE - 1) / 2), 1)
    expected = AWAY @ np.linalg.inv(TURN) @ np.linalg.inv(PLACE) @ centre
    found = apply_field(read_itk(tmp_path / "out" / "displacement.nii.gz"), centre[None, :3])[0]
    assert np.linalg.norm(found - expected[:3]) < 4
    assert np.linalg.norm(np.array(record["pose"]["matrix"]) @ centre - expected) < 4


@pytest.mark.parametrize(
    "moving",
    [
        pytest.param(head(TURN, cut=24)[0, 0], id="a half is missing"),
        pytest.param(ball(), id="another organ"),
    ],
)
def test_what_has_no_sure_pose_is_said_to_be_in_doubt(tmp_path, caplog, moving):
    status, record = registered(tmp_path, moving)
    assert status == 0
    assert "an image may be cut, or show something else" in record["pose"]["doubt"]
    assert "The pose is in doubt" in caplog.text
    assert "overview.png" in record["pose"]["doubt"]


@pytest.mark.parametrize(
    ("moving", "said"),
    [
        pytest.param(head()[0, 0, :, :, 20:21], "a 3D volume is needed", id="a slice"),
        pytest.param(head()[0, 0, :, :, 20], "a 3D volume is needed", id="a picture"),
        pytest.param(np.ones((SIZE,) * 3), "all voxels have the same intensity", id="one value"),
        pytest.param(np.zeros((SIZE,) * 3), "all voxels have the same intensity", id="nothing"),
    ],
)
def test_what_is_no_image_of_a_head_is_refused(tmp_path, capsys, moving, said):
    status, record = registered(tmp_path, moving)
    assert (status, record) == (2, None)
    assert f"moving.nii.gz: {said}" in capsys.readouterr().err
