"""Folds: where they are found, and velocities without them."""

import numpy as np
import pytest
import torch

from smgicnet.registration.posed_flow import integrated
from smgicnet.registration.unfolding import folded, unfolded
from smgicnet.scoring.pair_metrics import ndv_percent

SHAPE = 10, 11, 12


def torn(size):
    """A velocity that draws two of its middle voxels past each other."""
    velocity = 0.1 * torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(1))
    velocity[0, 0, 4, 5, 6] += size
    velocity[0, 0, 5, 5, 6] -= size
    return velocity


def test_a_fold_is_where_one_of_eight_octants_is_turned_over():
    displacement = torch.zeros(1, 3, *SHAPE)
    displacement[0, 0, 5, 5, 6] = -1.5  # beyond its neighbour, at which the octants on its side are turned over too
    assert [tuple(place) for place in folded(displacement)[0, 0].nonzero().tolist()] == [(4, 5, 6), (5, 5, 6)]
    displacement[0, 0, 5, 5, 6] = -0.9
    assert not folded(displacement).any()


@pytest.mark.parametrize("scale", [0.05, 0.3, 3.0])
def test_folds_are_those_of_the_determinants_of_all_voxels(scale):
    moved = scale * torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(2))
    places = (torch.stack(torch.meshgrid(*map(torch.arange, SHAPE), indexing="ij")) + moved[0]).double()
    before, after = ([places.roll(way, axis) for axis in (1, 2, 3)] for way in (1, -1))
    expected = torch.zeros(SHAPE, dtype=torch.bool)
    for corner in range(8):
        sides = [after[i] - places if corner >> i & 1 else places - before[i] for i in range(3)]
        expected |= torch.linalg.det(torch.stack(sides).permute(2, 3, 4, 0, 1)) <= 0
    inner = (slice(1, -1),) * 3
    assert torch.equal(folded(moved)[0, 0][inner], expected[inner])
    assert bool(expected[inner].any()) == (scale > 0.1)


def test_a_torn_velocity_is_mended_where_it_is_torn_and_nowhere_else():
    velocity = torn(4.0)
    assert folded(integrated(velocity)).any()
    mended = unfolded(velocity)
    changed = (mended != velocity).any(1)[0]
    assert not changed[:1].any()
    assert not changed[-1:].any()
    assert 0 < int(changed.sum()) < 0.5 * changed.numel()
    brain = np.ones(SHAPE, bool)
    before, after = (ndv_percent(integrated(one), brain) for one in (velocity, mended))
    assert after < 0.01 * before


def test_a_smooth_velocity_is_left_as_it_is():
    velocity = torn(0.0)
    assert unfolded(velocity) is velocity


def test_both_directions_are_alike():
    velocity = torn(4.0)
    torch.testing.assert_close(unfolded(-velocity), -unfolded(velocity))
