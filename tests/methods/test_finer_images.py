"""A network of a coarse grid on images of a finer one: it sees their averages, and the refinement all of them."""

from copy import deepcopy

import pytest
import torch

from smgicnet.config.qualities import qualities
from smgicnet.methods import METHODS
from smgicnet.registration.fields import compose, resize, warp
from smgicnet.registration.losses import local_ncc
from tests.support.images import SHAPE, blobs
from tests.support.methods import block, build

TWICE = tuple(2 * n for n in SHAPE)
INNER = (..., *(slice(4, -4),) * 3)


def twice(image):
    for axis in (2, 3, 4):
        image = image.repeat_interleave(2, axis)
    return image


def on_half_the_spacing(quality):
    """The small network as it is elsewhere, refined by a quality, for images of 2 mm where it has 4 mm."""
    refinement = deepcopy(qualities()[quality])
    for stage in refinement["detail"]:
        stage["tissues"] = 0  # blobs have none
    part = block() | {"refinement": refinement}
    method = METHODS["smgicnet"].from_block(part, len(part["stages"]))
    method.network.load_state_dict(build().network.state_dict())
    method.spacing = 4.0
    method.on_spacing(2.0)
    return method


@pytest.fixture
def images():
    return twice(blobs(1)), twice(blobs(2))


def test_the_displacement_is_that_of_the_averages_on_the_finer_grid(images):
    coarse = build().register(blobs(1), blobs(2))
    fine = on_half_the_spacing("fast").register(*images)
    assert coarse.forward.abs().mean() > 0.05
    for found, expected in ((fine.forward, coarse.forward), (fine.inverse, coarse.inverse)):
        assert found.shape == (1, 3, *TWICE)
        torch.testing.assert_close(found[INNER], resize(expected, TWICE)[INNER], rtol=0, atol=0.02)


def test_a_finer_refinement_makes_the_images_more_alike_and_both_directions_agree(images):
    fixed, moving = images
    fast, refined = (on_half_the_spacing(quality).register(fixed, moving) for quality in ("fast", "default"))
    before, after = (local_ncc(warp(moving, one.forward), fixed, 5).item() for one in (fast, refined))
    assert after < before - 0.02
    there, off = (one[INNER].norm(dim=1).mean() for one in (refined.forward, compose(refined.forward, refined.inverse)))
    assert off < 0.1 * there


def test_a_network_whose_grid_is_unknown_has_no_finer_stage(images):
    method = on_half_the_spacing("default")
    method.spacing, method.shrink = float("nan"), 1
    assert method.register(blobs(1), blobs(2)).forward.shape == (1, 3, *SHAPE)
