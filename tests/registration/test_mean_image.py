"""The mean of the training images, and the place of each in its frame."""

import numpy as np
import pytest
import torch

from smgicnet.registration.fields import sample_affine
from smgicnet.registration.frames import correlation
from smgicnet.registration.mean_image import CELLS, mean_image, place_in_mean
from smgicnet.registration.pose import FILLED, ROTATIONS, filling, object_box
from tests.support.turned import SIZE, affine, head

TURNS = [affine(0), affine(50, (1, 0, 0)), affine(170, (0, 1, 2)), affine(90, (1, 1, 0), shift=(2, 0, -3))]


def test_left_and_right_are_the_same_and_the_object_is_in_the_middle():
    mean = mean_image(map(head, TURNS), ROTATIONS)
    assert mean.shape == (1, 1, *(CELLS,) * 3)
    assert correlation(mean.flatten(), mean.flip(2).flatten()) > 0.98
    filled = (mean[0, 0] > 0.25 * mean.max()).nonzero().float()
    middle = (filled.amin(0) + filled.amax(0)) / 2
    assert (middle - (CELLS - 1) / 2).abs().max() <= 1


def test_each_image_is_found_wherever_it_lies():
    """Two turned copies are seen as one and the same."""
    images = list(map(head, TURNS))
    mean = mean_image(iter(images), ROTATIONS)
    seen = [sample_affine(one, place_in_mean(one, mean, ROTATIONS), (SIZE,) * 3).flatten() for one in images]
    assert min(float(correlation(seen[0], one)) for one in seen[1:]) > 0.97


def test_it_does_not_depend_on_brightness():
    first = mean_image([head(turn) for turn in TURNS], ROTATIONS)
    brighter = mean_image([head(turn) * (1 + k) / 4 for k, turn in enumerate(TURNS)], ROTATIONS)
    assert correlation(first.flatten(), brighter.flatten()) > 0.999
    assert np.isclose(float(first.square().mean()), float(brighter.square().mean()), rtol=0.01)
    assert torch.isfinite(first).all()


@pytest.mark.parametrize("shape", [(48, 48, 48), (40, 48, 32)])
def test_what_the_mean_image_shows_fills_a_grid_of_any_shape(shape):
    mean = torch.zeros(1, 1, *(CELLS,) * 3)
    mean[:, :, 4:20, 2:18, 9:15] = 1
    corners = object_box(mean)
    np.testing.assert_allclose(corners, [[-2 / 3, -5 / 6, -1 / 4], [2 / 3, 1 / 2, 1 / 4]])
    extent = np.array(shape) / max(shape)
    ends = np.stack([-FILLED * extent, FILLED * extent])
    seen = np.c_[ends, np.ones(2)] @ filling(mean, shape)[0].numpy().T
    np.testing.assert_allclose(seen[:, :3], corners, atol=1e-12)
