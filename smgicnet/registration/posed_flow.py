"""A pair's whole map, of which displacements on any grid are made: a global map and a stationary velocity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from smgicnet.registration.fields import exp, sample

POINTS = 1 << 21  # that are moved at a time


@dataclass(frozen=True)
class PosedFlow:
    """The map ``T_moving o exp(v) o T_fixed^-1`` from the fixed to the moving image; its inverse has ``exp(-v)``.

    Attributes
    ----------
    velocity : ``(1, 3, d, h, w)`` in voxels of its grid, which lies in the frame in which the two images meet
    to_fixed, to_moving : ``(4, 4)`` float64, from the voxels of that grid to places in either image
    steps : squarings of `exp`
    """

    velocity: Tensor
    to_fixed: Tensor
    to_moving: Tensor
    steps: int

    @cached_property
    def _forward(self) -> Tensor:
        return exp(self.velocity, self.steps)

    @property
    def inverse(self) -> PosedFlow:
        """The map the other way round."""
        return PosedFlow(-self.velocity, self.to_moving, self.to_fixed, self.steps)

    def within(self, fixed: Tensor, moving: Tensor) -> PosedFlow:
        """Return this map between other places, to which ``fixed`` and ``moving (4, 4)`` bring those of the images."""
        return PosedFlow(self.velocity, fixed @ self.to_fixed, moving @ self.to_moving, self.steps)

    def displacement(self, to_places: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the displacement ``(3, *shape)`` of the voxels of a grid, in units of the places.

        ``to_places (4, 4)`` brings the grid's voxels to places in the fixed image. Beyond the velocity's grid the
        displacement of its border holds.
        """
        device = self.velocity.device
        into = torch.linalg.inv(self.to_fixed) @ to_places
        straight = self.to_moving @ into - to_places  # what the global map alone does, exact however far it leads
        found = torch.empty(3, *shape, device=device)
        for rows in slabs(shape):
            moved = sample(self._forward, places_of(into, rows, shape, device), padding="border")
            led = places_of(straight, rows, shape, device)
            led += torch.einsum("ij,njp->nip", self.to_moving[:3, :3].to(moved), moved)
            found[:, rows] = led.view_as(found[:, rows])
        return found


def cells(shape: Sequence[int], other: Sequence[int]) -> Tensor:
    """Return the map ``(4, 4)``, float64, from voxels of a grid to those of another grid of the same extent."""
    ratio = torch.tensor([m / n for n, m in zip(shape, other, strict=True)], dtype=torch.float64)
    matrix = torch.diag(torch.cat([ratio, ratio.new_ones(1)]))
    matrix[:3, 3] = (ratio - 1) / 2
    return matrix


def slabs(shape: Sequence[int]) -> list[slice]:
    """Return the rows of a grid, cut into slabs of about `POINTS` voxels."""
    rows = max(1, POINTS // math.prod(shape[1:]))
    return [slice(first, min(first + rows, shape[0])) for first in range(0, shape[0], rows)]


def places_of(matrix: Tensor, rows: slice, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return the places ``(1, 3, P)``, float32, to which ``matrix (4, 4)`` brings the voxels in some rows of a grid."""
    indices = [range(rows.start, rows.stop), *map(range, shape[1:])]
    d, h, w = (
        column[:, None] * torch.tensor(index, dtype=matrix.dtype)
        for column, index in zip(matrix[:3, :3].unbind(1), indices, strict=True)
    )
    d = d + matrix[:3, 3, None]
    sides = [one.float().to(device) for one in ((d[:, :, None] + h[:, None]), w)]
    return (sides[0][..., None] + sides[1][:, None, None]).view(1, 3, -1)
