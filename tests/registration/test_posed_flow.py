"""A pair's map on any grid: exact for its global part, and each direction the inverse of the other."""

import math

import pytest
import torch
import torch.nn.functional as F

from smgicnet.registration import posed_flow as module
from smgicnet.registration.fields import affine_field, compose, exp, warp
from smgicnet.registration.filters import binomial
from smgicnet.registration.posed_flow import PosedFlow, cells

SHAPE = (20, 18, 16)
HERE = torch.eye(4, dtype=torch.float64)


def matrix(angle, shift):
    found = torch.eye(4, dtype=torch.float64)
    found[0, 0] = found[1, 1] = math.cos(angle)
    found[0, 1], found[1, 0] = -math.sin(angle), math.sin(angle)
    found[:3, 3] = torch.tensor(shift)
    return found


def flow(size=1.5):
    generator = torch.Generator().manual_seed(0)
    velocity = torch.rand(1, 3, 5, 5, 4, generator=generator) * 2 - 1
    velocity = size * F.interpolate(velocity, SHAPE, mode="trilinear")
    return PosedFlow(velocity, matrix(0.3, [2.0, -3.0, 1.0]), matrix(-0.2, [0.0, 1.0, 4.0]))


def test_without_a_velocity_it_is_the_global_map_however_far_that_leads():
    still = flow(0)
    far = still.within(matrix(0, [300.0, 0, 0]), HERE).displacement(HERE, (9, 7, 5))
    expected = affine_field(still.to_moving @ torch.linalg.inv(matrix(0, [300.0, 0, 0]) @ still.to_fixed), (9, 7, 5))
    torch.testing.assert_close(far[None], expected, rtol=1e-5, atol=1e-3)


def test_without_a_pose_it_is_exp_of_the_velocity():
    """As near to where a point drifts in many small steps as seven squarings of a plain step are."""
    velocity = flow().velocity
    drifted = torch.zeros_like(velocity)
    for _ in range(256):
        drifted = drifted + warp(velocity, drifted, padding="border") / 256
    inner = (slice(None), slice(None), *(slice(3, -3),) * 3)
    ours, theirs = (
        (found - drifted)[inner].norm(dim=1)
        for found in (PosedFlow(velocity, HERE, HERE).displacement(HERE, SHAPE)[None], exp(velocity, 7))
    )
    assert ours.mean() < 1.1 * theirs.mean() < 0.01
    assert ours.max() < 0.1


def test_on_a_finer_grid_there_and_back_misses_by_less():
    """With a velocity as rough as its grid, between whose voxels linear interpolation is wrong."""
    velocity = binomial(torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(4)))
    shape, half = [2 * n for n in SHAPE], cells([2 * n for n in SHAPE], SHAPE)
    off, moved = [], []
    for factor in (1, 2):
        ours = PosedFlow(velocity, HERE, HERE, factor)
        there, back = (one.displacement(half, shape)[None] for one in (ours, ours.inverse))
        inner = (slice(None), slice(None), *(slice(6, -6),) * 3)
        apart = there + warp(back, 2 * there, padding="border")
        off.append(apart[inner].norm(dim=1).mean())
        moved.append(there)
    assert off[1] < 0.7 * off[0]
    assert (moved[1] - moved[0]).norm(dim=1).mean() < 0.3 * moved[0].norm(dim=1).mean()


def test_there_and_back_is_where_one_was():
    ours, shape = PosedFlow(flow(0.5).velocity, HERE, HERE), SHAPE
    there, back = (one.displacement(HERE, shape)[None] for one in (ours, ours.inverse))
    assert there.norm(dim=1).mean() > 0.2
    inner = (slice(None), slice(None), *(slice(3, -3),) * 3)
    off = compose(there, back)[inner].norm(dim=1)
    assert off.mean() < 0.01
    assert off.max() < 0.1


@pytest.mark.parametrize("points", [100, 1 << 21])
def test_places_are_those_of_the_grid_that_is_asked_for(points, monkeypatch):
    """A grid of half the spacing has the same displacements at the voxels that both share."""
    monkeypatch.setattr(module, "POINTS", points)
    half = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1.0], dtype=torch.float64))
    fine = flow().displacement(half, [2 * n for n in SHAPE])
    torch.testing.assert_close(fine[:, ::2, ::2, ::2], flow().displacement(HERE, SHAPE), rtol=1e-4, atol=1e-4)
