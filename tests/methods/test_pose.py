"""The pose as a method of its own, and as the first level of SM-GICNet."""

import numpy as np
import pytest
import torch

from smgicnet.methods import METHODS
from smgicnet.registration.fields import affine_field, compose, compose_affine
from tests.support.methods import block, build
from tests.support.turned import SIZE, affine, farthest, head

TRUTH = affine(35, (1, 0, 2), scale=(1.05, 1, 0.95), shift=(2, 1, -1))
TURN = affine(150, (1, 2, 3))


def posed(upright=True, **others):
    """A small network, which says little, with a pose level; its mean image is the head's."""
    part = block(antisymmetric=True, midpoint=True, force_window=5)
    part["pose"] = {"rotations": 1000, "upright": upright}
    method = METHODS["smgicnet"].from_block(part | others, 4)
    method.network.load_state_dict(
        build(antisymmetric=True, midpoint=True, force_window=5).network.state_dict(), strict=False
    )
    if upright:
        assert method.places(lambda index: head(affine(40 * index)), 3).shape == (3, 4, 4)
    return method


def inside(displacement):
    """The displacement in the middle of the grid, where the head is."""
    return displacement[..., 10:38, 10:38, 10:38]


def test_the_pose_alone_is_an_affine_map_and_its_inverse():
    result = METHODS["pose"].from_block({"rotations": 1000}).register(head(), head(TRUTH))
    assert farthest(result.pose.matrix, np.linalg.inv(TRUTH)) < 0.3
    torch.testing.assert_close(result.forward, affine_field(result.pose.matrix, (SIZE,) * 3))
    back = compose_affine(result.pose.matrix, result.inverse)
    assert back.abs().max() < 1e-3


@pytest.mark.parametrize("upright", [True, False])
def test_levels_add_to_the_pose_and_both_directions_are_inverses(upright):
    method = posed(upright)
    result = method.register(head(), head(TRUTH))
    other = method.register(head(TRUTH), head())
    torch.testing.assert_close(result.inverse, other.forward)
    assert inside(compose(result.forward, result.inverse)).norm(dim=1).mean() < 0.1
    left = compose_affine(torch.linalg.inv(result.pose.matrix), result.forward)
    assert 0 < inside(left).norm(dim=1).max() < 3  # an untrained network adds little, and not nothing


def test_a_head_that_is_turned_is_registered_to_the_same_points():
    """``turned(x) = moving(T x)``: the map to the turned head, followed by T, is the map to the head as it was."""
    method = posed()
    straight = method.register(head(), head(TRUTH)).forward
    turned = method.register(head(), head(TRUTH @ TURN)).forward
    distance = inside(compose_affine(torch.from_numpy(TURN), turned) - straight).norm(dim=1)
    assert distance.mean() < 0.15


def test_refinement_goes_on_from_the_pose():
    part = block()["refinement"] | {"iterations": 4}
    plain, refined = (posed(refinement={**part, "iterations": n}).register(head(), head(TRUTH)) for n in (0, 4))
    torch.testing.assert_close(plain.pose.matrix, refined.pose.matrix)
    assert not torch.allclose(plain.forward, refined.forward, atol=1e-2)


def test_without_a_pose_level_nothing_is_found_apart():
    assert build().register(head(), head(TRUTH)).pose is None
    assert build().places(lambda index: head(), 2) is None
    assert "mean_image" not in build().network.state_dict()
