"""Resampling that blurs less than linear interpolation between voxels."""

import torch

from smgicnet.registration.fields import identity_grid, warp
from smgicnet.registration.interpolation import doubled, pull, pull_doubled


def wave(positions):
    """A wave of six voxels along each axis, at ``positions (1, 3, ...)``."""
    return 1 + torch.sin(positions * (2 * torch.pi / 6)).sum(1, keepdim=True) / 3


def test_doubling_keeps_linear_images():
    ramp = identity_grid((8, 10, 12)).sum(1, keepdim=True)
    centres = (identity_grid((16, 20, 24)) + 0.5) / 2 - 0.5
    torch.testing.assert_close(
        doubled(ramp)[..., 4:-4, 4:-4, 4:-4], centres.sum(1, keepdim=True)[..., 4:-4, 4:-4, 4:-4]
    )


def test_it_blurs_less_than_linear_interpolation():
    grid = identity_grid((24, 24, 24))
    shift = torch.full((1, 3, 24, 24, 24), 0.5)
    inside = (..., slice(3, -3), slice(3, -3), slice(3, -3))
    error = (pull(wave(grid), shift) - wave(grid + 0.5))[inside].abs().max()
    assert error < 0.45 * (warp(wave(grid), shift) - wave(grid + 0.5))[inside].abs().max()


def test_the_result_lies_on_any_grid_and_is_never_negative():
    image = wave(identity_grid((20, 20, 20)))
    shift = torch.tensor([4.0, 5.0, 6.0]).view(1, 3, 1, 1, 1).expand(1, 3, 8, 9, 7)
    found = pull(image, shift)
    assert found.shape == (1, 1, 8, 9, 7)
    torch.testing.assert_close(found, image[..., 4:12, 5:14, 6:13], atol=0.15, rtol=0)
    assert pull(-image, shift).min() == 0
    torch.testing.assert_close(pull_doubled(doubled(image), shift), found)


def test_an_image_keeps_its_precision_where_convolutions_have_half_of_it():
    image = torch.rand(1, 1, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        found = doubled(image)
    assert torch.equal(found, doubled(image))
