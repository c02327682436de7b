"""A pair's whole map, of which displacements on any grid are made: a global map and a stationary velocity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from smgicnet.registration.fields import exp, identity_grid, sample

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
            voxels = voxels_of(rows, shape, device)
            moved = sample(self._forward, mapped(into, voxels), padding="border")
            bent = torch.einsum("ij,njp->nip", self.to_moving[:3, :3].to(moved), moved)
            found[:, rows] = (mapped(straight, voxels) + bent).view_as(found[:, rows])
        return found


def slabs(shape: Sequence[int]) -> list[slice]:
    """Return the rows of a grid, cut into slabs of about `POINTS` voxels."""
    rows = max(1, POINTS // math.prod(shape[1:]))
    return [slice(first, min(first + rows, shape[0])) for first in range(0, shape[0], rows)]


def voxels_of(rows: slice, shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return the indices ``(1, 3, P)`` of the voxels in some rows of a grid."""
    voxels = identity_grid([rows.stop - rows.start, *shape[1:]], device=device)
    voxels[:, 0] += rows.start
    return voxels.flatten(2)


def mapped(matrix: Tensor, points: Tensor) -> Tensor:
    """Return ``points (1, 3, P)`` mapped by a matrix ``(4, 4)``."""
    moved = torch.einsum("ij,njp->nip", matrix[:3, :3].to(points), points)
    return moved + matrix[:3, 3, None].to(points)
