"""Interpolation between voxels, against ANTs' own."""

import ants
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from smgicnet.imaging.resampling import INTERPOLATIONS, OF_LABELS, interpolated

SHAPE = 20, 22, 24
NAMES = {"linear": "linear", "cubic": "bSpline", "lanczos": "lanczosWindowedSinc"}
NAMES |= {"nearest": "nearestNeighbor", "label": "genericLabel"}
# what rounding and, for Lanczos, a sum of weights of not quite 1 in ANTs make, in parts of the image's range
TOLERANCE = {"linear": 1e-5, "cubic": 2e-4, "lanczos": 0.02}


def image(kind):
    rng = np.random.default_rng(1)
    smooth = gaussian_filter(rng.random(SHAPE), 1.5)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return np.floor(6 * smooth).astype(np.float32) if kind in OF_LABELS else smooth.astype(np.float32)


def indices():
    """Those of a grid that is turned, shifted and coarser, and reaches beyond the image."""
    grid = np.stack(np.meshgrid(*map(np.arange, (15, 16, 17)), indexing="ij")).reshape(3, -1)
    turn = np.array([[0.9, 0.3, 0.1], [-0.3, 0.95, 0.05], [-0.05, -0.1, 1.1]])
    return 1.3 * turn @ grid + np.array([[-2.1], [3.3], [0.7]])


@pytest.mark.parametrize("kind", INTERPOLATIONS)
def test_values_are_those_of_ants(kind, tmp_path):
    data, index = image(kind), indices()
    fixed, moving = ants.from_numpy(np.zeros((15, 16, 17), np.float32)), ants.from_numpy(data)
    matrix = 1.3 * np.array([[0.9, 0.3, 0.1], [-0.3, 0.95, 0.05], [-0.05, -0.1, 1.1]])
    transform = ants.new_ants_transform(parameters=[*matrix.ravel(), -2.1, 3.3, 0.7])
    ants.write_transform(transform, str(tmp_path / "t.mat"))
    theirs = ants.apply_transforms(fixed, moving, [str(tmp_path / "t.mat")], interpolator=NAMES[kind]).numpy()
    ours = interpolated(data, index, kind).reshape(theirs.shape)
    assert ours.dtype == (data.dtype if kind in OF_LABELS else np.float32)
    # not where rounding decides: at the image's border, and for Lanczos near it, where ANTs has 0 beyond
    inside = np.minimum(index + 0.5, np.array(SHAPE)[:, None] - 0.5 - index).min(axis=0)
    clear = (np.abs(inside) > 1e-3) & (np.abs(index % 1 - 0.5).min(axis=0) > 1e-3)
    if kind == "lanczos":
        clear &= inside > 3.5
    ours, theirs = ours.ravel()[clear], theirs.ravel()[clear]
    if kind in OF_LABELS:
        assert (ours == theirs).mean() == 1
        assert set(np.unique(ours)) <= set(np.unique(data))
    else:
        assert np.abs(ours - theirs).max() < TOLERANCE[kind]
    assert (theirs != 0).sum() > 100


@pytest.mark.parametrize("kind", INTERPOLATIONS)
def test_voxels_keep_their_values_and_beyond_the_image_is_what_fills(kind):
    data = image(kind)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij")).reshape(3, -1).astype(float)
    np.testing.assert_allclose(interpolated(data, index, kind).reshape(SHAPE), data, atol=1e-5)
    outside = np.array([[-0.51, 3, 19.5, 3], [3, 21.51, 3, 3], [3, 3, 3, 3]])
    assert interpolated(data, outside, kind, fill=7)[:3].tolist() == [7, 7, 7]
    assert interpolated(data, outside, kind, fill=7)[3] == pytest.approx(data[3, 3, 3], abs=1e-5)


@pytest.mark.parametrize("kind", INTERPOLATIONS)
def test_an_even_image_stays_even(kind):
    data = np.full(SHAPE, 3.0, np.float32)
    index = np.random.default_rng(2).uniform(0, 19, (3, 500))
    np.testing.assert_allclose(interpolated(data, index, kind), 3, rtol=1e-5)


def test_the_label_is_that_of_the_largest_share():
    labels = np.zeros((4, 4, 4), np.int32)
    labels[2:] = 5
    labels[2:, 2:] = 9
    index = np.array([[1.6, 1.4, 1.7], [0.5, 0.5, 1.9], [1.5, 1.5, 1.5]])
    assert interpolated(labels, index, "label").tolist() == [5, 0, 9]
    many = np.arange(64, dtype=np.int32).reshape(4, 4, 4)
    assert interpolated(many, np.array([[1.5], [1.5], [1.5]]), "label").tolist() == [many[1, 1, 1]]
