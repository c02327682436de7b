"""Methods whose networks expect a grid of their own, to which images are brought, and displacements back from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from smgicnet.methods.contract import Displacements, Method, NativeGrid, PublishedMethod
from smgicnet.registration.fields import orientation_axes, sample_affine


def to_native(shape: Sequence[int], spacing: float, grid: NativeGrid) -> Tensor:
    """Return the matrix ``(4, 4)``, float64, from voxels of a common grid to those of ``grid``.

    The common grid has this ``shape``, this ``spacing`` in mm and RAS axes. The centres of both grids are one point.
    """
    axes, signs = orientation_axes(grid.orientation)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = 0
    for axis, (source, sign) in enumerate(zip(axes, signs, strict=True)):
        scale = grid.shape[axis] / shape[source] if grid.spacing is None else spacing / grid.spacing
        matrix[axis, source] = sign * scale
    centre, other = ((torch.tensor(list(s), dtype=torch.float64) - 1) / 2 for s in (shape, grid.shape))
    matrix[:3, 3] = other - matrix[:3, :3] @ centre
    return matrix


class OnNativeGrid(Method):
    """A method for images on a common grid of voxel size ``spacing`` in mm, whose time includes the resampling."""

    def __init__(self, method: PublishedMethod, spacing: float):
        self.method, self.spacing, self.device = method, spacing, method.device

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int) -> Method:
        """Raise ``TypeError``: it is made from a method and not from a config."""
        raise TypeError("made from a method, not from a block")

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        matrix = to_native(fixed.shape[2:], self.spacing, self.method.grid)
        back = matrix.inverse()
        images = [sample_affine(image, back, self.method.grid.shape) for image in (fixed, moving)]
        found = self.method.fields(*images)
        shape = fixed.shape[2:]
        inverse = None if found.inverse is None else _back(found.inverse, matrix, shape)
        return Displacements(_back(found.forward, matrix, shape), inverse)


def _back(displacement: Tensor, matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Bring a displacement from the native grid to the common grid, in voxels of either.

    With ``y = M x`` it is ``u(x) = M^-1 (M x + u_native(M x)) - x``, of which only the linear part of M is left.
    """
    found = sample_affine(displacement, matrix, shape, padding="border")
    return torch.einsum("ij,njdhw->nidhw", matrix.inverse()[:3, :3].to(found), found)
