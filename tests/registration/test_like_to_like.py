"""Maps half-way: the value is their squared difference, the force its derivative, whatever is computed at a time."""

import pytest
import torch
import torch.nn.functional as F

from smgicnet.registration import like_to_like as module
from smgicnet.registration.fields import resize, warp
from smgicnet.registration.like_to_like import like_to_like

SHAPE = (24, 16, 20)


def smooth(seed, channels, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, channels, 6, 4, 5, generator=generator), shape, mode="trilinear")


def maps_and_halves(factor):
    there = 2 * smooth(2, 3, [n // factor for n in SHAPE]) - 1
    return smooth(0, 4), smooth(1, 4), torch.cat([there, -there])


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("slices", [4, 16])
def test_value_and_force_are_those_of_the_squared_difference(factor, slices, monkeypatch):
    monkeypatch.setattr(module, "SLICES", slices)
    fixed, moving, halves = maps_and_halves(factor)
    value, force = like_to_like(fixed, moving, halves, factor, 3.0)
    whole = resize(halves, SHAPE)
    there, back = warp(moving, whole[:1]), warp(fixed, whole[1:])
    apart = there - back
    assert value == pytest.approx(1.5 * apart.square().sum(1).mean().item(), rel=1e-4)
    slopes = torch.stack([sum(apart[0] * one) for one in torch.gradient((there + back)[0], dim=(1, 2, 3))])
    expected = 3 * F.avg_pool3d(slopes[None] / 2, factor) * factor
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(force, expected, rtol=1e-3, atol=1e-4)


def test_a_step_against_the_force_lowers_the_difference():
    fixed, moving, halves = maps_and_halves(2)
    before, force = like_to_like(fixed, moving, halves, 2, 1.0)
    step = -0.2 * force / force.abs().max()
    after, _ = like_to_like(fixed, moving, halves + torch.cat([step, -step]) / 2, 2, 1.0)
    assert after < before


def test_swapped_maps_turn_the_force_around():
    fixed, moving, halves = maps_and_halves(2)
    value, force = like_to_like(fixed, moving, halves, 2, 1.0)
    other, back = like_to_like(moving, fixed, halves.flip(0), 2, 1.0)
    assert other == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(back, -force, rtol=1e-3, atol=1e-4)
