"""Where a pair meets, and the way back."""

import torch

from smgicnet.registration.fields import affine_field, compose_affine
from smgicnet.registration.frames import correlation
from smgicnet.registration.meeting import Meeting
from smgicnet.registration.pose import Pose
from tests.support.turned import SIZE, affine, head

ENDS = [torch.from_numpy(affine(degrees, (1, 2, 0), shift=(1, -2, 0))) for degrees in (20, 110)]
POSE = Pose(*ENDS, 0.9, 0.1)
SHAPE = (SIZE,) * 3


def pair():
    """Two turned copies of a head, which lie on each other in the common frame of `POSE`."""
    return [head(torch.linalg.inv(end).numpy()) for end in ENDS]


def test_both_images_lie_on_each_other_where_they_meet():
    meeting = Meeting(*pair(), POSE)
    assert correlation(*(image.flatten() for image in meeting.images)) > 0.99
    assert correlation(meeting.images[0].flatten(), head().flatten()) > 0.98


def test_each_image_is_moved_to_the_grid_of_the_other_one_by_way_of_the_frame():
    """They are interpolated once, and what they are compared with never."""
    fixed, moving = pair()
    meeting = Meeting(fixed, moving, POSE)
    assert torch.equal(meeting.given, torch.cat([fixed, moving]))
    still = torch.zeros(2, 3, *SHAPE)
    for found, given in zip(meeting.moved(still), meeting.given, strict=True):
        assert correlation(found.flatten(), given.flatten()) > 0.99
    shifted = still.clone()
    shifted[:1, 0] = 6  # of the moving image alone, along the frame's first axis
    found = meeting.moved(shifted)
    assert correlation(found[0].flatten(), fixed.flatten()) < 0.9
    assert correlation(found[1].flatten(), moving.flatten()) > 0.99


def test_a_displacement_of_the_frame_becomes_one_of_the_images():
    still = torch.zeros(1, 3, *SHAPE)
    meeting = Meeting(*pair(), POSE)
    forward, inverse = meeting.apart(still, still)
    torch.testing.assert_close(forward, affine_field(POSE.matrix, SHAPE), atol=1e-3, rtol=0)
    torch.testing.assert_close(inverse, affine_field(POSE.inverse, SHAPE), atol=1e-3, rtol=0)
    step = torch.tensor([2.0, 0, 0]).view(1, 3, 1, 1, 1)
    moved, _ = meeting.apart(still + step, still)
    through = ENDS[1][:3, :3].float() @ step.flatten()
    torch.testing.assert_close(moved - forward, through.view(1, 3, 1, 1, 1).expand_as(moved), atol=1e-3, rtol=0)


def test_displacements_that_differ_from_place_to_place_follow_the_way_into_the_frame():
    """Stretches of the frame, whose maps do not commute with the poses: all of it is matrices."""
    stretch, other = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    stretch[0, 0], other[1, 1] = 1.1, 0.9
    there, back = (affine_field(one, SHAPE) for one in (stretch, other))
    to_fixed, to_moving = ENDS
    expected = (
        affine_field(to_moving @ stretch @ torch.linalg.inv(to_fixed), SHAPE),
        affine_field(to_fixed @ other @ torch.linalg.inv(to_moving), SHAPE),
    )
    inside = (..., *[slice(SIZE // 3, -SIZE // 3)] * 3)  # turned, it stays within the frame's grid
    for found, one in zip(Meeting(*pair(), POSE).apart(there, back), expected, strict=True):
        torch.testing.assert_close(found[inside], one[inside], atol=2e-3, rtol=0)


def test_without_a_pose_images_meet_as_they_lie():
    fixed, moving = pair()
    meeting = Meeting(fixed, moving, None)
    assert meeting.images == (fixed, moving)
    field = compose_affine(torch.eye(4), torch.ones(2, 3, *SHAPE))
    torch.testing.assert_close(meeting.moved(0 * field), torch.cat([moving, fixed]))
    there, back = field.split(1)
    assert [id(one) for one in meeting.apart(there, back)] == [id(there), id(back)]
