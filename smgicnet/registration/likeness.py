"""The likeness of two images, place by place, which a global registration compares, and where it is trusted."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.frames import Frame, Maps, Pair, Volume, cube

LOCAL_SIGMA, LOCAL_FLOOR = 1.5, 0.05  # of `locally_normalised`, in cells and in intensities
LATTICE = 24  # cells along each axis of the frame in which `trust` looks at both images
TRUST_SIGMA = 2.0  # cells of that lattice over which the mismatch is averaged
TOLERANCE = 2.0  # how many times the mean mismatch a place may have and still count by a half


def smoothed(image: Tensor, sigma: float) -> Tensor:
    """Return an image ``(1, 1, D, H, W)`` after a Gaussian filter of ``sigma`` voxels, with 0 beyond its border."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(image)
    for axis in range(2, 5):
        size = [1] * 5
        size[axis] = len(kernel)
        image = F.conv3d(image, kernel.view(size), padding=[(n - 1) // 2 for n in size[2:]])
    return image


def locally_normalised(pair: Pair) -> Pair:
    """Return both images less their local means, in units of their local standard deviations.

    The windows are Gaussian and so the same in every direction. The squared difference of two such images is, up to a
    factor, one less their local correlation.
    """
    return Pair(*(Volume(normalised(one.data), one.to_index) for one in pair))


def normalised(image: Tensor) -> Tensor:
    mean = smoothed(image, LOCAL_SIGMA)
    variance = (smoothed(image * image, LOCAL_SIGMA) - mean * mean).clamp(min=0)
    return (image - mean) / (variance.sqrt() + LOCAL_FLOOR)


def trust(pair: Pair, maps: Maps, points: Tensor) -> Tensor:
    """Return how much each of ``points (P, 4)`` of the common frame counts, ``(1, P)``, under one pair of ``maps``.

    Where two images of one scale differ over a whole region, one of them lacks something, as a head does that the end
    of the field of view cuts: such a region should not pull. The weights are ``1 / (1 + (m / (t m0))^4)`` of the local
    mismatch m, its mean m0 and the tolerance t.
    """
    lattice = cube(LATTICE, points.device)
    fixed, moving = (
        scaled(one.at(by, lattice)).view(1, 1, *(LATTICE,) * 3) for one, by in zip(pair, maps, strict=True)
    )
    apart, present = (smoothed(one, TRUST_SIGMA) for one in ((fixed - moving) ** 2, fixed**2 + moving**2))
    mismatch = apart / (present + torch.finfo(torch.float32).eps)
    mean = (mismatch * present).sum() / present.sum()
    weights = 1 / (1 + (mismatch / (TOLERANCE * mean + torch.finfo(torch.float32).eps)) ** 4)
    identity = torch.eye(4, dtype=torch.float64)[None]
    return Frame((LATTICE,) * 3).volume(weights, LATTICE).at(identity, points)[:, 0].clamp(min=1e-3)


def scaled(values: Tensor) -> Tensor:
    """Return values with a root mean square of 1."""
    return values / (values.square().mean().sqrt() + torch.finfo(values.dtype).eps)
