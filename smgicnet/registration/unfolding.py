"""Velocities whose maps fold nowhere, by the strict measure of a digital diffeomorphism."""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.filters import binomial
from smgicnet.registration.posed_flow import integrated

ROUNDS = 3  # at most; what they leave is less than a voxel in a million


def unfolded(velocity: Tensor) -> Tensor:
    """Return a velocity ``(1, 3, D, H, W)`` in voxels, blurred where it folds the grid in either direction."""
    for _ in range(ROUNDS):
        folds = folded(integrated(velocity)) | folded(integrated(-velocity))
        if not folds.any():
            break
        around = binomial(F.max_pool3d(folds.to(velocity), 3, stride=1, padding=1))
        velocity = torch.lerp(velocity, binomial(velocity), around)
    return velocity


def folded(displacement: Tensor) -> Tensor:
    """Return the voxels at which a displacement folds an octant, ``(1, 1, D, H, W)`` bool.

    That is where one of the eight determinants of forward and backward differences is not positive (Liu et al., "On
    finite difference Jacobian computation in deformable image registration", IJCV 2024). ``displacement`` is
    ``(1, 3, D, H, W)`` in voxels; beyond its border it goes on as it is there.
    """
    octants = [_one_sided(displacement, axis) for axis in (2, 3, 4)]
    # the determinant of I + G is positive where the norm of G is below 1, which is nearly everywhere
    bound = sum(torch.maximum(*(one.square().sum(1, keepdim=True) for one in sides)) for sides in octants)
    suspects = torch.as_tensor(bound >= 1)
    columns = [
        [one.movedim(1, -1)[suspects[:, 0]] + unit for one in sides]
        for sides, unit in zip(octants, torch.eye(3).to(displacement), strict=True)
    ]
    folds = suspects.new_zeros(columns[0][0].shape[0])
    for a, b, c in product(*columns):
        folds |= (a * torch.linalg.cross(b, c)).sum(-1) <= 0
    return suspects.masked_scatter(suspects, folds)


def _one_sided(displacement: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Return the forward and the backward differences along an axis, with zeros where there is no neighbour."""
    ends = [0] * 2 * (4 - axis)
    difference = displacement.diff(dim=axis)
    return F.pad(difference, [*ends, 0, 1]), F.pad(difference, [*ends, 1, 0])
