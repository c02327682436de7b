"""Filters of fields by their direct neighbours."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def laplacian(field: Tensor) -> Tensor:
    """Return the sum of each value's differences from its neighbours, of which there are fewer at the border.

    ``field`` is ``(N, C, D, H, W)``. Twice the Laplacian of it is the gradient of the sum of its squares.
    """
    total = torch.zeros_like(field)
    for axis in (2, 3, 4):
        difference = field.diff(dim=axis)
        size = difference.shape[axis]
        total.narrow(axis, 0, size).add_(difference)
        total.narrow(axis, 1, size).sub_(difference)
    return total


def binomial(field: Tensor) -> Tensor:
    """Return a field ``(N, C, D, H, W)`` after a binomial filter of three voxels along each axis."""
    padded = F.pad(field, [1] * 6, mode="replicate")
    for axis in (2, 3, 4):
        for _ in range(2):
            size = padded.shape[axis] - 1
            padded = (padded.narrow(axis, 0, size) + padded.narrow(axis, 1, size)) / 2
    return padded
