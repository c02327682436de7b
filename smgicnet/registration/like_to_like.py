"""Maps of two brains half-way to each other, such as those of their tissues: the force that brings like to like."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.half_way import counted, slabs_of, warped, widened

SLICES = 16  # of the maps, that are computed at a time


def like_to_like(
    fixed: Tensor,
    moving: Tensor,
    halves: Tensor,
    factor: int,
    weight: float,
    left_out: Sequence[Tensor] | None = None,
) -> tuple[float, Tensor]:
    """Return half of the mean squared difference of maps half-way, summed over channels, and the force on a velocity.

    ``fixed`` and ``moving (1, C, D, H, W)``, ``halves``, ``factor`` and ``left_out`` are as in `half_way.half_way`, and
    so are the units: the force ``(1, 3, d, h, w)`` is the gradient of half of the squared difference, summed over the
    maps' voxels and divided by how many there are in one of the velocity's. Both results are multiplied by ``weight``.
    """
    channels = fixed.shape[1]
    value, forces = 0.0, []
    for here in slabs_of(fixed.shape[2], factor, SLICES):
        known = widened(here, 1, fixed.shape[2])
        pair = warped(moving, fixed, halves, factor, known)[0]
        apart, total = pair[:channels] - pair[channels:], pair[:channels] + pair[channels:]
        first = here.start - known.start
        rows = slice(first, first + len(here))
        weighted = apart * counted(left_out, halves, factor, known)[0] if left_out else apart
        value += float((apart * weighted)[:, rows].sum(dtype=torch.float64))
        slopes = torch.stack([(weighted * slope).sum(0) for slope in torch.gradient(total, dim=(1, 2, 3))])
        forces.append(F.avg_pool3d(slopes[None, :, rows], factor) * (weight * factor / 2))
    return weight * value / (2 * fixed[0, 0].numel()), torch.cat(forces, dim=2)
