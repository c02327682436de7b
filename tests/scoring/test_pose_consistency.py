"""Pose consistency against cases in which it is known."""

import numpy as np
import pandas as pd
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet.preparation.changes import Changes, Variant
from smgicnet.scoring.changed_rows import over_changes
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.scoring.pose_consistency import pose_consistency, pose_distances
from smgicnet.scoring.statistics import COLUMNS

SHAPE = (12, 14, 10)
FIXED = np.array([[3.0, 0, 0, 5], [0, 3, 0, -7], [0, 0, 3, 2], [0, 0, 0, 1]])
MOVING = np.array([[3.0, 0, 0, -4], [0, 3, 0, 1], [0, 0, 3, 9], [0, 0, 0, 1]])
TO_OWN = Changes((), 20.0, 1).to_own(Variant("rotation", 100), "m", np.array([12.0, 20.0, 22.0]))


def subject(name, affine):
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:9, 4:11, 2:8] = 2
    return ScoredSubject(name, labels, affine, None, None)


def displacement(matrix):
    """That of a map of voxels (4, 4), ``(1, 3, D, H, W)``."""
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return torch.from_numpy(np.moveaxis(apply_affine(matrix, voxels) - voxels, -1, 0))[None]


def distances(as_it_lies, changed):
    ends = subject("m", MOVING), subject("m", TO_OWN @ MOVING)
    return pose_distances(subject("f", FIXED), ends, (as_it_lies, changed))


def test_a_method_that_follows_the_turn_has_none():
    """Its registration of the pair as it lies, in the voxels of the turned image."""
    as_it_lies = np.array([[1.1, 0.1, 0, 1], [-0.1, 0.9, 0, 0], [0, 0, 1.05, -1], [0, 0, 0, 1]])
    followed = np.linalg.inv(TO_OWN @ MOVING) @ MOVING @ as_it_lies
    found = distances(displacement(as_it_lies), displacement(followed))
    np.testing.assert_allclose(found, 0, atol=1e-9)


def test_a_method_that_ignores_the_turn_is_as_far_off_as_the_head_was_moved():
    """It sends every voxel to the same voxel, whatever the moving image shows."""
    same = displacement(np.eye(4))
    points = apply_affine(MOVING, np.argwhere(subject("f", FIXED).labels > 0))
    expected = np.linalg.norm(apply_affine(TO_OWN, points) - points, axis=1)
    np.testing.assert_allclose(distances(same, same), expected)
    assert expected.mean() > 10


def test_a_constant_error_is_its_length_in_mm():
    off = displacement(np.linalg.inv(TO_OWN @ MOVING) @ MOVING) + torch.tensor([2.0, 0, 0]).view(1, 3, 1, 1, 1)
    found = pose_consistency(distances(displacement(np.eye(4)), off))
    assert found == {"pose_consistency_mm": pytest.approx(6), "pose_consistency_p95_mm": pytest.approx(6)}


def test_mean_and_percentile():
    found = pose_consistency(np.arange(101.0))
    assert found == {"pose_consistency_mm": 50, "pose_consistency_p95_mm": 95}


def test_a_pair_has_the_mean_over_its_changed_heads():
    rows = [
        ("d", "raw", "m", 1, fixed, "b", metric, roi, value, "rotation", severity)
        for fixed, metric, roi, value, severity in [
            ("a", "dice", "mean", 0.5, 30),
            ("a", "pose_consistency_mm", "", 1.0, 30),
            ("a", "pose_consistency_p95_mm", "", 7.0, 30),
            ("a", "pose_consistency_mm", "", 3.0, 60),
            ("a", "pose_consistency_p95_mm", "", 9.0, 60),
            ("c", "pose_consistency_mm", "", 4.0, 60),
        ]
    ]
    found = over_changes(pd.DataFrame(rows, columns=[*COLUMNS, "change", "severity"]))
    assert list(found.columns) == [*COLUMNS]
    assert found[["fixed", "metric", "value"]].values.tolist() == [
        ["a", "pose_consistency_mm", 2.0],
        ["a", "pose_consistency_p95_mm", 8.0],
        ["c", "pose_consistency_mm", 4.0],
    ]
