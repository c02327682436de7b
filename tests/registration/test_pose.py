"""The global map of a pair, from any pose."""

import numpy as np
import pytest
import torch

from smgicnet.registration.fields import sample_affine
from smgicnet.registration.frames import correlation
from smgicnet.registration.mean_image import mean_image
from smgicnet.registration.pose import ROTATIONS, find_pose
from tests.support.turned import SIZE, affine, farthest, head

FIXED = head()


def pose_of(moving, fixed=FIXED, **options):
    return find_pose(fixed, moving, ROTATIONS, **options)


@pytest.mark.parametrize("degrees", [0, 40, 90, 135, 180])
def test_a_known_affine_map_is_found_from_any_pose(degrees):
    """``moving(x) = fixed(A x)``, so that a point x of the fixed image lies at A^-1 x of the moving one."""
    truth = affine(degrees, (degrees, 2, -1), scale=(1.1, 0.92, 1.0), shift=(3, -2, 1))
    found = pose_of(head(truth))
    assert farthest(found.matrix, np.linalg.inv(truth)) < 0.3
    assert found.score > 0.98
    assert not found.doubt


def test_half_of_the_field_of_view_is_no_distance():
    """The object of the moving image is cut by the end of its grid: the overlap decides."""
    truth = affine(70, shift=(0, 0, 6))
    assert farthest(pose_of(head(truth)).matrix, np.linalg.inv(truth)) < 1.5


def test_swapped_images_give_the_inverse():
    moving = head(affine(120, shift=(1, 2, 3), scale=(1.1, 1, 0.9)))
    there, back = pose_of(moving), find_pose(moving, FIXED, ROTATIONS)
    torch.testing.assert_close(there.matrix @ back.matrix, torch.eye(4, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(there.inverse, back.matrix)
    torch.testing.assert_close(there.to_fixed, back.to_moving)
    assert there.score == pytest.approx(back.score)


def test_a_mirror_image_is_not_turned_inside_out():
    found = pose_of(FIXED.flip(2))
    assert torch.linalg.det(found.matrix[:3, :3]) > 0
    assert found.score < pose_of(FIXED).score


def test_a_ball_is_doubtful_in_any_pose():
    axes = torch.linspace(-1, 1, SIZE)
    radius = torch.stack(torch.meshgrid(axes, axes, axes, indexing="ij")).norm(dim=0)
    ball = torch.sigmoid(40 * (0.6 - radius))[None, None]
    assert find_pose(ball, ball, ROTATIONS).doubt


def test_a_map_stretches_nothing_beyond_people(monkeypatch):
    """A rod and a plate have no map between them that a brain could have."""
    rod, plate = torch.zeros(2, 1, 1, SIZE, SIZE, SIZE)
    rod[..., 20:28, 20:28, 4:44], plate[..., 4:44, 4:44, 22:26] = 1, 1
    stretches = torch.linalg.svdvals(find_pose(rod, plate, 200).matrix[:3, :3])
    assert stretches.max() <= 1.8 + 1e-6
    assert stretches.min() >= 1 / 1.8 - 1e-6


def test_grids_need_not_be_cubes_nor_of_the_resolutions_size():
    """51 x 60 x 44 voxels: none of the resolutions divides them, and each axis has a centre of its own."""
    shape = (51, 60, 44)
    turn = affine(100, (0, 1, 1))
    centre = (np.array(shape) - 1) / 2
    turn[:3, 3] = centre - turn[:3, :3] @ centre
    found = find_pose(head(shape=shape), head(turn, shape=shape), ROTATIONS)
    assert farthest(found.matrix, np.linalg.inv(turn)) < 0.4


def test_empty_images_have_no_pose_and_doubt():
    found = find_pose(FIXED, torch.zeros_like(FIXED), 100)
    assert torch.isfinite(found.matrix).all()
    assert found.doubt


def test_both_images_meet_where_the_mean_image_lies():
    """Whatever the poses of a pair, its frame is the mean's: up to the brain's own shape it always looks the same."""
    mean = mean_image([head(affine(20 * k, (k, 1, -1))) for k in range(4)], ROTATIONS)
    seen = []
    for turn in (affine(0), affine(150, (2, 1, 0))):
        found = pose_of(head(affine(-80) @ turn), head(turn), mean=mean)
        seen += [sample_affine(head(turn), found.to_fixed, (SIZE,) * 3)]
        seen += [sample_affine(head(affine(-80) @ turn), found.to_moving, (SIZE,) * 3)]
    first, *others = (one.flatten() for one in seen)
    assert min(float(correlation(first, other)) for other in others) > 0.97
