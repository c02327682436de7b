"""Methods whose networks expect a grid of their own: images are brought there, and displacements back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from smgicnet.methods.contract import Method, NativeGrid, PublishedMethod
from smgicnet.registration.fields import orientation_axes, sample_affine


def to_native(shape: Sequence[int], spacing: float, grid: NativeGrid) -> Tensor:
    """``(4, 4)``, float64: voxels of a common grid (``shape``, ``spacing`` in mm, RAS axes) to those of ``grid``.

    The centres of both grids are the same point.
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
    """``method`` for images on a common grid of voxel size ``spacing`` (mm): resampling is part of its time."""

    def __init__(self, method: PublishedMethod, spacing: float):
        self.method, self.spacing, self.device = method, spacing, method.device

    @classmethod
    def from_config(cls, config: Mapping, stage: int) -> Method:
        raise TypeError("made from a method, not from a config")

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)

    def fields(self, fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor | None]:
        matrix = to_native(fixed.shape[2:], self.spacing, self.method.grid)
        back = matrix.inverse()
        images = [sample_affine(image, back, self.method.grid.shape) for image in (fixed, moving)]
        forward, inverse = self.method.fields(*images)
        shape = fixed.shape[2:]
        return _back(forward, matrix, shape), None if inverse is None else _back(inverse, matrix, shape)


def _back(displacement: Tensor, matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """A displacement in voxels of the native grid as one on the common grid, in its voxels.

    With ``y = M x`` it is ``u(x) = M^-1 (M x + u_native(M x)) - x``, of which only the linear part of M is left.
    """
    found = sample_affine(displacement, matrix, shape, padding="border")
    return torch.einsum("ij,njdhw->nidhw", matrix.inverse()[:3, :3].to(found), found)
