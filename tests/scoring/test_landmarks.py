"""The target registration error, by hand and for fields in closed form."""

import numpy as np
import pytest
import torch
from nibabel.affines import apply_affine

from smgicnet.core.errors import InputError
from smgicnet.imaging.landmarks import Landmarks
from smgicnet.methods.contract import Registration
from smgicnet.registration import fields
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.pair import ScoredSubject
from tests.support.grids import affine, centred
from tests.support.images import label_blobs

ROIS = {2: "white matter", 3: "cortex", 17: "hippocampus"}
FIXED = centred((14, 16, 18), affine((2, 3, 2.5), (-1, 1, 1), 15), (5, -3, 8))
MOVING = centred((14, 16, 18), affine((3, 2, 2), (1, -1, 1), -10), (-4, 6, 1))
AT = np.array([[3.0, 4.0, 5.0], [6.5, 7.25, 8.75], [10.1, 11.6, 2.3]])  # voxels of the fixed grid


def tre(forward, fixed, moving):
    ends = [
        ScoredSubject(name, label_blobs(), matrix, None, None, landmarks=points)
        for name, matrix, points in (("f", FIXED, fixed), ("m", MOVING, moving))
    ]
    rows = score_pair(*ends, Registration(forward, None, 0.1), None, ROIS)
    return {row["metric"]: row["value"] for row in rows if row["roi"] == ""}.get("tre_mm")


def landmarks(points, labels=None, path="l.csv"):
    return Landmarks(path, np.asarray(points, float), labels)


def linear(matrix, shift):
    """``u`` with ``phi(x) = M x + t`` in voxels, ``(1, 3, D, H, W)``: linear, so that interpolation is exact."""
    x = fields.identity_grid((14, 16, 18))
    moved = torch.einsum("ij,njdhw->nidhw", torch.tensor(matrix, dtype=torch.float32), x)
    return moved + torch.tensor(shift, dtype=torch.float32).view(1, 3, 1, 1, 1) - x


MATRIX, SHIFT = [[0.9, 0.1, 0], [-0.1, 1.1, 0.05], [0, 0.1, 0.95]], [1.0, -2.0, 0.5]


def test_a_field_that_is_right_has_no_error_and_others_the_distance_in_mm():
    true = apply_affine(MOVING, AT @ np.transpose(MATRIX) + SHIFT)
    fixed = landmarks(apply_affine(FIXED, AT))
    assert tre(linear(MATRIX, SHIFT), fixed, landmarks(true)) == pytest.approx(0, abs=1e-4)
    off = linear(MATRIX, np.add(SHIFT, [1, 0, 0]))  # a voxel of 3 mm
    assert tre(off, fixed, landmarks(true)) == pytest.approx(3, rel=1e-4)
    apart = true + np.array([[3, 4, 0], [0, 0, 0], [0, 0, 1]])
    assert tre(linear(MATRIX, SHIFT), fixed, landmarks(apart)) == pytest.approx((5 + 0 + 1) / 3, rel=1e-4)


def test_between_voxels_the_displacement_is_interpolated_linearly():
    forward = torch.zeros(1, 3, 14, 16, 18)
    forward[0, 1, 6, 7, 8] = 8.0
    at = np.array([[6.5, 7.25, 8.0]])  # half of one neighbour, a quarter of another: 8 / 2 x 3 / 4 = 3 voxels of 2 mm
    still = landmarks(apply_affine(MOVING, at))
    assert tre(forward, landmarks(apply_affine(FIXED, at)), still) == pytest.approx(3 * 2)


def test_landmarks_are_paired_by_their_labels():
    true = apply_affine(MOVING, AT @ np.transpose(MATRIX) + SHIFT)
    fixed = landmarks(apply_affine(FIXED, AT), ("a", "b", "c"))
    moving = landmarks([true[2], [0, 0, 0], true[0]], ("c", "else", "a"))
    assert tre(linear(MATRIX, SHIFT), fixed, moving) == pytest.approx(0, abs=1e-4)


def test_without_landmarks_of_both_there_is_no_error_and_others_are_refused():
    forward, some = linear(MATRIX, SHIFT), landmarks(apply_affine(FIXED, AT))
    assert tre(forward, some, None) is None
    assert tre(forward, None, some) is None
    with pytest.raises(InputError, match=r"two\.csv: it has 2 landmarks, and l\.csv has 3"):
        tre(forward, some, landmarks(AT[:2], path="two.csv"))
