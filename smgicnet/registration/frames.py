"""Coordinates in which images are compared under affine maps: about a grid's centre, the same along all axes.

A map is ``(4, 4)``, float64, and several are ``(K, 4, 4)``; points are ``(P, 4)``, with a 1 at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.fields import identity_grid, sample


@dataclass(frozen=True)
class Volume:
    """Channels ``(1, C, D, H, W)``, and the map ``(4, 4)`` from the coordinates of a `Frame` to their voxels."""

    data: Tensor
    to_index: Tensor

    def at(self, maps: Tensor, points: Tensor) -> Tensor:
        """Return the channels ``(K, C, P)`` at the images of ``points (P, 4)`` under each of ``maps (K, 4, 4)``."""
        matrices = (self.to_index @ maps)[:, :3].to(points)
        return sample(self.data, torch.einsum("kij,pj->kip", matrices, points))

    def with_gradient(self) -> Volume:
        """Return the image of this volume and, as three more channels, its derivatives along the voxels' axes."""
        derivatives = torch.gradient(self.data[:, 0], dim=(1, 2, 3))
        return Volume(torch.stack([self.data[:, 0], *derivatives], dim=1), self.to_index)


class Pair(NamedTuple):
    """The two images that are registered."""

    fixed: Volume
    moving: Volume


class Maps(NamedTuple):
    """K global maps of a pair, by way of a frame in which the two images meet: from there into either, ``(K, 4, 4)``.

    Swapping the images swaps the two, so that one direction is the inverse of the other by construction.
    """

    fixed: Tensor
    moving: Tensor

    @property
    def through(self) -> Tensor:
        """The maps from the fixed to the moving image, ``(K, 4, 4)``."""
        through: Tensor = self.moving @ torch.linalg.inv(self.fixed)
        return through

    def chosen(self, indices: Tensor) -> Maps:
        """Return some of them."""
        return Maps(self.fixed[indices], self.moving[indices])

    def after(self, maps: Tensor) -> Maps:
        """Return these maps by way of another frame, from which ``maps (K, 4, 4)`` lead to this one."""
        return Maps(self.fixed @ maps, self.moving @ maps)


class Frame:
    """Coordinates about the centre of a grid of this ``shape``, in units of half of its longest side."""

    def __init__(self, shape: Sequence[int]):
        self.shape = tuple(shape)
        self.to_voxels = torch.eye(4, dtype=torch.float64)
        self.to_voxels[:3, :3] *= max(shape) / 2
        self.to_voxels[:3, 3] = (torch.tensor(self.shape, dtype=torch.float64) - 1) / 2

    def voxels(self, maps: Tensor) -> Tensor:
        """Return maps of this frame as maps of voxels."""
        voxels: Tensor = self.to_voxels @ maps @ torch.linalg.inv(self.to_voxels)
        return voxels

    def volume(self, image: Tensor, count: int) -> Volume:
        """Return an image averaged over cubes of voxels, about ``count`` of them along the longest side."""
        size = max(1, round(max(self.shape) / count))
        if size > 1:
            missing = [-n % size for n in reversed(self.shape)]
            image = F.avg_pool3d(F.pad(image, [pad for n in missing for pad in (0, n)]), size)
        to_cells = torch.eye(4, dtype=torch.float64)
        to_cells[:3, :3] /= size
        to_cells[:3, 3] = (1 / size - 1) / 2
        return Volume(image, to_cells @ self.to_voxels)


@lru_cache(maxsize=8)
def cube(count: int, device: torch.device) -> Tensor:
    """Return the centres ``(P, 4)`` of ``count`` cubed cells that fill the cube from -1 to 1."""
    points = ((identity_grid((count,) * 3, device=device)[0].flatten(1).T + 0.5) * (2 / count)) - 1
    return torch.cat([points, points.new_ones(len(points), 1)], dim=1)


@lru_cache(maxsize=8)
def ball(count: int, device: torch.device) -> Tensor:
    """Return those of the points of `cube` that lie in the unit ball."""
    points = cube(count, device)
    return points[points[:, :3].norm(dim=1) < 1]


def linear_maps(matrices: Tensor) -> Tensor:
    """Return ``matrices (K, 3, 3)`` as maps ``(K, 4, 4)`` that keep the origin."""
    maps = torch.eye(4, dtype=torch.float64).repeat(len(matrices), 1, 1)
    maps[:, :3, :3] = matrices
    return maps


def shifted(maps: Tensor, origin: Tensor) -> Tensor:
    """Return ``maps (K, 4, 4)``, each followed by a translation by ``origin (3,)``."""
    maps = maps.clone()
    maps[:, :3, 3] += origin
    return maps


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of ``a`` and ``b`` over their last axis, 0 where one of them is constant."""
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    product = (a * a).sum(-1) * (b * b).sum(-1)
    return (a * b).sum(-1) / (product.sqrt() + torch.finfo(product.dtype).eps)
