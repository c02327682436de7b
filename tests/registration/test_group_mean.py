"""The mean of a group: its size and its shape prefer nobody, and known maps give a known mean."""

import pytest
import torch

from smgicnet.registration.fields import exp, sample
from smgicnet.registration.group_mean import GroupMean, Member, sharpness, unstretched
from smgicnet.registration.posed_flow import PosedFlow, straight

SHAPE = (24, 28, 26)
GRID = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0], dtype=torch.float64))
GRID[:3, 3] = -torch.tensor([23.0, 27.0, 25.0])
SAME = torch.eye(4, dtype=torch.float64)


def scaled(x, y, z):
    return torch.diag(torch.tensor([x, y, z, 1.0], dtype=torch.float64))


def turned(angle):
    c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:2, :2] = torch.tensor([[c, -s], [s, c]])
    return matrix


def ball(at=(0.0, 0.0, 0.0), radius=14.0):
    """A soft ball (1, 1, ...) in the world of `GRID`, mm."""
    axes = [2.0 * torch.arange(n) - (n - 1) for n in SHAPE]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    distance = (places - torch.tensor(at).view(3, 1, 1, 1)).norm(dim=0)
    return torch.sigmoid((radius - distance) / 1.5)[None, None]


def test_sizes_have_a_mean_of_one():
    maps = [turned(0.4) @ scaled(1.2, 0.9, 1.1), turned(-1) @ scaled(0.8, 1.0, 1.3)]
    even = unstretched(maps)
    after = unstretched([one @ even for one in maps])
    torch.testing.assert_close(after, SAME, atol=5e-3, rtol=0)
    torch.testing.assert_close(unstretched([turned(0.3)]), SAME)
    torch.testing.assert_close(unstretched([scaled(1.2, 1.2, 1.2)]), scaled(1 / 1.2, 1 / 1.2, 1 / 1.2))


def test_the_mean_of_a_small_and_a_large_ball_is_between_them():
    flows = [straight(SAME, scaled(*(factor,) * 3)) for factor in (0.8, 1.25)]
    images = [ball(radius=0.8 * 14), ball(radius=1.25 * 14)]
    mean = GroupMean.of(flows, GRID, SHAPE)
    assert mean.drift == 0
    image = mean.image([Member(*one) for one in zip(images, [torch.linalg.inv(GRID)] * 2, flows, strict=True)])
    assert float(image.sum() / ball().sum()) == pytest.approx(1, abs=0.02)
    assert sharpness(image) > 0.9 * sharpness(ball())


def test_a_velocity_that_all_have_is_taken_out():
    """Everybody's middle is 4 mm from where the template has it: the next template has it where they do."""
    shift = torch.zeros(1, 3, *(n // 2 for n in SHAPE))
    shift[:, 0] = 1.0  # of voxels of 4 mm
    to_world = GRID.clone()
    to_world[:3, :3] *= 2
    to_world[:3, 3] += 1
    flow = PosedFlow(shift, to_world, to_world)
    people = [Member(ball((4.0, 0.0, 0.0)), torch.linalg.inv(GRID), flow)] * 3
    mean = GroupMean.of([one.flow for one in people], GRID, SHAPE)
    assert mean.drift == pytest.approx(4, rel=1e-3)
    image = mean.image(people)
    torch.testing.assert_close(image[:, :, 4:-4], ball((4.0, 0.0, 0.0))[:, :, 4:-4], atol=0.02, rtol=0)


def test_a_velocity_is_the_same_in_another_frame():
    """Of a map that meets in a frame which is turned, stretched and moved against the template's world."""
    frame = turned(0.5) @ scaled(3.0, 2.5, 2.0)
    frame[:3, 3] = torch.tensor([-35.0, -30.0, -25.0])
    grid = torch.Generator().manual_seed(0)
    velocity = (
        torch.nn.functional.interpolate(torch.randn(1, 3, 4, 4, 4, generator=grid), size=SHAPE, mode="trilinear") / 2
    )
    flow = PosedFlow(velocity, frame, turned(0.2) @ frame)
    mean = GroupMean.of([flow], GRID, SHAPE)
    expected = flow.displacement(SAME + 0, (1, 1, 1))  # at the world's origin
    small = torch.linalg.inv(mean._small)
    moved = exp(mean.velocity)
    place = (small @ torch.tensor([0.0, 0, 0, 1], dtype=torch.float64))[:3].float().view(1, 3, 1)
    led = place[0, :, 0] + sample(moved, place)[0, :, 0]
    world = turned(0.2) @ mean._small @ torch.cat([led.double(), torch.ones(1, dtype=torch.float64)])
    torch.testing.assert_close(world[:3], expected[:, 0, 0, 0].double(), atol=0.05, rtol=0)
