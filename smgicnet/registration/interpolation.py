"""Resampling of images that keeps their detail: linear interpolation between voxels blurs, between halves of them less.

An image is brought to twice its grid by cubic convolution, which is separable and cheap, and is sampled there linearly.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from smgicnet.registration.fields import identity_grid, sample

# of the voxels before, here, next and after next, at a quarter of a voxel beyond one: Keys (1981) with a = -1/2
QUARTER = (-9 / 128, 111 / 128, 29 / 128, -3 / 128)


@cache
def _doubling(n: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the matrix ``(2n, n)`` of cubic convolution from ``n`` cell centres to twice as many, with 0 beyond."""
    padded = torch.zeros(2 * n, n + 4, device=device, dtype=dtype)  # of two voxels more at either end
    weights = padded.new_tensor(QUARTER)
    for i in range(n):
        padded[2 * i, i : i + 4] = weights.flip(0)
        padded[2 * i + 1, i + 1 : i + 5] = weights
    return padded[:, 2:-2].contiguous()


def doubled(image: Tensor) -> Tensor:
    """Return ``image (N, C, D, H, W)`` at the cell centres of a grid of twice its size and the same extent."""
    with torch.autocast(image.device.type, enabled=False):  # an image keeps its precision
        for axis in range(2, 5):
            matrix = _doubling(image.shape[axis], image.device, image.dtype)
            image = torch.tensordot(image, matrix, dims=([axis], [1])).movedim(-1, axis)
    return image.contiguous()


def pull(image: Tensor, displacement: Tensor) -> Tensor:
    """Return ``image(x + u(x))`` as `fields.warp` does, with less blur; 0 outside the image.

    ``image`` is ``(N, C, D, H, W)`` and at least 0, as is the result; ``displacement (N, 3, *shape)`` is in its voxels,
    on a grid of any ``shape``.
    """
    return pull_doubled(doubled(image), displacement)


def pull_doubled(image: Tensor, displacement: Tensor) -> Tensor:
    """Return the result of `pull` for an image that is `doubled` already; the displacement is in its first voxels."""
    shape = displacement.shape[2:]
    positions = identity_grid(shape, device=displacement.device, dtype=displacement.dtype) + displacement
    found = sample(image, 2 * positions.flatten(2) + 0.5).clamp(min=0)
    return found.view(*found.shape[:2], *shape)
