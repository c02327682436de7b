"""The Hausdorff distance against hand-computed values and brute force."""

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, generate_binary_structure
from scipy.spatial.distance import cdist

from smgicnet.scoring.hausdorff import RADIUS, hausdorff95_mm, surface
from tests.support.images import label_blobs

SHAPE = (14, 16, 18)


def test_surface_is_what_erosion_removes():
    labels = label_blobs(seed=4)
    labels[:4, :5, :6] = 2  # at a corner of the grid: outside is not the ROI
    labels[10:, 11:, 13:] = 1
    expected = np.zeros(SHAPE, dtype=bool)
    for label in (1, 2, 3, 17):
        roi = labels == label
        expected |= roi & ~binary_erosion(roi, generate_binary_structure(3, 1), border_value=0)
    np.testing.assert_array_equal(surface(labels), expected)


def test_hausdorff_by_hand():
    a, b = np.zeros(SHAPE, dtype=np.uint8), np.zeros(SHAPE, dtype=np.uint8)
    a[5, 2:12, 5] = 3
    b[5, 2:11, 5] = 3
    b[5, 15, 5] = 3
    # ten distances each: nine 0 and one of 1 (from a) or 4 voxels (from b); the 95th percentile is 0.55 of the last
    result = hausdorff95_mm(a, b, [3, 2], np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(result, [0.55 * 4 * 2, np.nan])
    np.testing.assert_allclose(hausdorff95_mm(b, a, [3], np.array([1.0, 2.0, 1.0])), [0.55 * 4 * 2])


def brute_force_hausdorff(a, b, label, spacing):
    points = []
    for labels in (a, b):
        roi = labels == label
        points.append(np.argwhere(roi & ~binary_erosion(roi, border_value=0)) * spacing)
    distances = cdist(*points)
    return max(np.percentile(distances.min(axis=1), 95), np.percentile(distances.min(axis=0), 95))


@pytest.mark.parametrize("seed", range(5))
def test_hausdorff_agrees_with_brute_force(seed):
    spacing = np.array([1.0, 1.5, 0.7])
    a, b = label_blobs(seed), label_blobs(seed + 100)
    b[a.shape[0] - 1, 0, 0] = 3  # an outlier in a corner, next to no voxel of its own ROI
    among = [17, 2, 3]
    expected = [brute_force_hausdorff(a, b, label, spacing) for label in among]
    np.testing.assert_allclose(hausdorff95_mm(a, b, among, spacing), expected)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 1.0, 0.8)])
@pytest.mark.parametrize("shift", [0, 1, 3, RADIUS, RADIUS + 1, 12])
def test_hausdorff_of_regions_near_and_far(shift, spacing):
    """Those within the ball of neighbours, those beyond it, and a region of which only a part is beyond."""
    spacing, shape = np.array(spacing), (26, 12, 12)
    a = np.zeros(shape, dtype=np.uint8)
    a[1:6, 2:8, 2:9], a[6:9, 2:7, 3:9], a[2:4, 3:6, 8:12], a[20:24, :3, :3] = 2, 17, 3, 2
    b = np.roll(a, shift, axis=0)
    b[20:24, :3, :3] = 2  # where it was
    expected = [brute_force_hausdorff(a, b, label, spacing) for label in (2, 3, 17)]
    np.testing.assert_allclose(hausdorff95_mm(a, b, [2, 3, 17], spacing), expected)


def test_a_label_that_a_map_lacks_has_no_distance():
    a, b = label_blobs(0), label_blobs(1, labels=(2, 3))
    assert np.isnan(hausdorff95_mm(a, b, [2, 3, 17, 99], np.ones(3))).tolist() == [False, False, True, True]
    assert np.isnan(hausdorff95_mm(a, np.zeros_like(a), [2, 3], np.ones(3))).all()


def test_the_background_is_no_region():
    a = label_blobs(0)
    assert np.isnan(hausdorff95_mm(a, a, [0], np.ones(3))).all()
    assert hausdorff95_mm(a, a, [2, 3, 17], np.ones(3)).tolist() == [0, 0, 0]
