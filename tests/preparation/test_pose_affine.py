"""The pose search as an engine of affine alignment."""

import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import write_volume
from smgicnet.preparation.affine import AffineConfig, align
from smgicnet.preparation.alignments import voxel_matrix
from tests.support.turned import affine, farthest, head

POSE = AffineConfig("pose", 0.0)


def written(path, data, origin):
    grid = np.diag([4.0, 4.0, 4.0, 1.0])
    grid[:3, 3] = origin
    write_volume(path, data.astype(np.float32), grid)
    return path, grid


def test_it_gives_the_map_between_the_worlds_of_two_images(tmp_path):
    truth = affine(140, (1, 0, 2), shift=(2, 0, -1))
    fixed, here = written(tmp_path / "fixed.nii.gz", head()[0, 0].numpy(), (-90, -100, -80))
    moving, there = written(tmp_path / "moving.nii.gz", head(truth)[0, 0].numpy(), (10, 20, 30))
    found = align(fixed, moving, POSE)
    assert farthest(voxel_matrix(found.matrix, here, there), np.linalg.inv(truth)) < 0.3
    assert found.seconds > 0


def test_an_empty_image_and_another_grid_are_refused(tmp_path):
    fixed, _ = written(tmp_path / "fixed.nii.gz", head()[0, 0].numpy(), (0, 0, 0))
    other, _ = written(tmp_path / "other.nii.gz", head()[0, 0, 4:].numpy(), (0, 0, 0))
    with pytest.raises(InputError, match=r"other\.nii\.gz: its grid has the shape"):
        align(fixed, other, POSE)
    empty, _ = written(tmp_path / "empty.nii.gz", 0 * head()[0, 0].numpy(), (0, 0, 0))
    with pytest.raises(InputError, match=r"empty\.nii\.gz: all voxels have the same intensity"):
        align(fixed, empty, POSE)
