"""Two images half-way: the value is the local NCC's, the force its derivative, whatever is computed at a time."""

import pytest
import torch
import torch.nn.functional as F

from smgicnet.registration import half_way as module
from smgicnet.registration import losses
from smgicnet.registration.fields import resize, warp
from smgicnet.registration.half_way import box_sum, half_way, spread_of_noise

SHAPE = (24, 16, 20)


def smooth(seed, channels=1, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.rand(1, channels, 6, 4, 5, generator=generator), shape, mode="trilinear")


def pair_and_halves(factor):
    there = 2 * smooth(2, 3, [n // factor for n in SHAPE]) - 1
    return smooth(0), smooth(1), torch.cat([there, -there])


def by_autograd(fixed, moving, halves, factor, window, floor):
    """Value and force, all at once: the NCC's derivative by autograd, times the slopes of what was warped."""
    whole = resize(halves, fixed.shape[2:])
    warped = [warp(moving, whole[:1]).requires_grad_(), warp(fixed, whole[1:]).requires_grad_()]
    value = losses.local_ncc(*warped, window, eps=floor)
    pulls = torch.autograd.grad(value * fixed.numel(), warped)
    slopes = [torch.stack(torch.gradient(one.detach()[0, 0]))[None] for one in warped]
    force = (pulls[0] * slopes[0] - pulls[1] * slopes[1]) / 2
    return value.item(), F.avg_pool3d(force, factor) * factor


@pytest.mark.parametrize(
    ("factor", "window", "floor"), [(1, 3, 1e-5), (2, 5, 1e-5), (2, 3, 1e-5), (4, 7, 1e-5), (2, 3, 0.002)]
)
@pytest.mark.parametrize("slices", [4, 32])
def test_value_and_force_are_those_of_the_local_ncc(factor, window, floor, slices, monkeypatch):
    monkeypatch.setattr(module, "SLICES", slices)
    fixed, moving, halves = pair_and_halves(factor)
    value, force = half_way(fixed, moving, halves, factor, window, floor)
    expected, reference = by_autograd(fixed, moving, halves, factor, window, floor)
    assert value == pytest.approx(expected, rel=1e-4)
    assert reference.abs().max() > 1
    torch.testing.assert_close(force, reference, rtol=1e-2, atol=2e-3 * reference.abs().max().item())


def test_swapped_images_turn_the_force_around():
    fixed, moving, halves = pair_and_halves(2)
    value, force = half_way(fixed, moving, halves, 2, 3)
    other, back = half_way(moving, fixed, halves.flip(0), 2, 3)
    assert other == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(back, -force, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("window", [3, 5, 9])
def test_sums_over_boxes_are_those_of_the_losses(window):
    maps = torch.cat([smooth(3, 2), smooth(4, 2)])
    torch.testing.assert_close(box_sum(maps, window), losses.box_sum(maps, window), rtol=1e-4, atol=1e-4)


def test_what_noise_makes_is_measured_in_quiet_windows_of_the_brain():
    generator = torch.Generator().manual_seed(0)
    noise = 0.02 * torch.randn(1, 1, 40, 40, 40, generator=generator)
    image = torch.zeros(1, 1, 40, 40, 40)
    image[..., 5:35, 5:35, 5:35] = 0.5 + noise[..., 5:35, 5:35, 5:35]
    image[..., 5:35, 5:35, 27:35] += 0.4 * torch.rand(1, 1, 30, 30, 8, generator=generator)
    found = spread_of_noise(image, 5)
    assert found == pytest.approx(124 * 0.02**2, rel=0.15)
    assert spread_of_noise(torch.zeros(1, 1, 8, 8, 8), 3) == 0
    assert spread_of_noise(image[..., :4, :4, :4], 5) == 0
