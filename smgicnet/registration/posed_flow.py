"""A pair's whole map, of which displacements on any grid are made: a global map and a stationary velocity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from smgicnet.registration.fields import compose, resize, sample, warp

POINTS = 1 << 21  # that are moved at a time
SQUARINGS = 3  # after a step by the midpoint, nearer to the map than seven after a plain one


@dataclass(frozen=True)
class PosedFlow:
    """The map ``T_moving o exp(v) o T_fixed^-1`` from the fixed to the moving image; its inverse has ``exp(-v)``.

    Attributes
    ----------
    velocity : ``(1, 3, d, h, w)`` in voxels of its grid, which lies in the frame in which the two images meet
    to_fixed, to_moving : ``(4, 4)`` float64, from the voxels of that grid to places in either image
    factor : how many voxels of the grid on which the map is integrated there are along one of the velocity's. Linear
        interpolation between voxels of 2 mm makes there and back miss by 0.2 mm, between those of 1 mm by 0.07.
    """

    velocity: Tensor
    to_fixed: Tensor
    to_moving: Tensor
    factor: int = 1

    @cached_property
    def _fine(self) -> PosedFlow:
        """The same map with its velocity on the grid on which it is integrated."""
        if self.factor == 1:
            return self
        shape = self.velocity.shape[2:]
        fine = [n * self.factor for n in shape]
        onto = cells(fine, shape)
        return PosedFlow(resize(self.velocity, fine), self.to_fixed @ onto, self.to_moving @ onto)

    @cached_property
    def _forward(self) -> Tensor:
        return integrated(self.velocity)

    @property
    def inverse(self) -> PosedFlow:
        """The map the other way round."""
        return PosedFlow(-self.velocity, self.to_moving, self.to_fixed, self.factor)

    def within(self, fixed: Tensor, moving: Tensor) -> PosedFlow:
        """Return this map between other places, to which ``fixed`` and ``moving (4, 4)`` bring those of the images."""
        return PosedFlow(self.velocity, fixed @ self.to_fixed, moving @ self.to_moving, self.factor)

    def displacement(self, to_places: Tensor, shape: Sequence[int]) -> Tensor:
        """Return the displacement ``(3, *shape)`` of the voxels of a grid, in units of the places.

        ``to_places (4, 4)`` brings the grid's voxels to places in the fixed image. Beyond the velocity's grid the
        displacement of its border holds.
        """
        fine, device = self._fine, self.velocity.device
        into = torch.linalg.inv(fine.to_fixed) @ to_places
        straight = fine.to_moving @ into - to_places  # what the global map alone does, exact however far it leads
        found = torch.empty(3, *shape, device=device)
        for rows in slabs(shape):
            moved = sample(fine._forward, places_of(into, rows, shape, device), padding="border")
            led = places_of(straight, rows, shape, device)
            led += torch.einsum("ij,njp->nip", fine.to_moving[:3, :3].to(moved), moved)
            found[:, rows] = led.view_as(found[:, rows])
        return found


def straight(to_fixed: Tensor, to_moving: Tensor) -> PosedFlow:
    """Return a global map alone, by way of a frame from whose voxels matrices ``(4, 4)`` lead to either image."""
    return PosedFlow(torch.zeros(1, 3, 2, 2, 2), to_fixed, to_moving)


def integrated(velocity: Tensor) -> Tensor:
    """Return the displacement of ``exp(v)``, ``(1, 3, D, H, W)`` as the velocity is, by scaling and squaring.

    The small step that is squared goes by the velocity at its middle, so that few squarings are exact. With more of
    them, as `fields.exp` has, each adds an error of interpolation and none is smaller.
    """
    step = velocity * 0.5**SQUARINGS
    displacement = warp(step, step / 2, padding="border")
    for _ in range(SQUARINGS):
        displacement = compose(displacement, displacement)
    return displacement


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
