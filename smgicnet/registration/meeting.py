"""A pair of images in the frame in which they meet: where levels and refinement work, and the way back from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smgicnet.registration.fields import affine_field, compose, compose_affine, sample_affine, warp
from smgicnet.registration.interpolation import doubled, pull_doubled
from smgicnet.registration.pose import Pose


class Meeting:
    """Two images ``(1, 1, D, H, W)`` of one grid, and the `Pose` by which they meet; None for images as they lie.

    ``left_out``: how much of each voxel of either image is left out, ``(1, 1, D, H, W)`` each; by default nothing.

    Attributes
    ----------
    pose : the pose
    left_out : how much of each voxel of `given` is left out, in itself or in what the pose brings there, as `given`;
        None where nothing is
    given : the fixed and the moving image as they lie, ``(2, 1, D, H, W)``
    images : the fixed and the moving image in the common frame, ``(1, 1, D, H, W)`` each
    """

    def __init__(self, fixed: Tensor, moving: Tensor, pose: Pose | None, left_out: Sequence[Tensor] | None = None):
        self.pose = pose
        self.given = torch.cat([fixed, moving])
        self.images = (fixed, moving)
        self.left_out = None if left_out is None else self._in_either(*left_out)
        self._moving_first = self.given.flip(0)
        if pose:
            self._moving_first = doubled(self._moving_first)
            self._into = torch.stack([pose.to_moving, pose.to_fixed])
            shape = fixed.shape[2:]
            still = compose_affine(self._into, fixed.new_zeros(2, 3, *shape))
            self.images = pull_doubled(self._moving_first, still).flip(0).split(1)
            self._out = [affine_field(torch.linalg.inv(one), shape, fixed.device) for one in self._into]

    def _in_either(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Return what is left out of an image or of what the pose brings there."""
        shape, pose = fixed.shape[2:], self.pose
        ends = (
            (sample_affine(moving, pose.matrix, shape), sample_affine(fixed, pose.inverse, shape))
            if pose
            else (moving, fixed)
        )
        return torch.maximum(torch.cat([fixed, moving]), torch.cat(ends))

    def moved(self, displacements: Tensor) -> Tensor:
        """Return the moving image on the fixed image's grid, pulled back by the first of two displacements of the
        common frame ``(2, 3, D, H, W)``, and the fixed one on the moving image's grid by the second.

        The result is ``(2, 1, D, H, W)``, beside which `given` has what it should look like; each image is interpolated
        once, and the one that it is compared with is not.
        """
        if not self.pose:
            return warp(self._moving_first, displacements)
        return pull_doubled(self._moving_first, torch.cat(self.apart(*displacements.split(1))))

    def apart(self, there: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """Return a displacement of the common frame and its inverse, ``(1, 3, D, H, W)``, as those of the two images.

        The pose is a matrix, and exact however far it leads.
        """
        if not self.pose:
            return there, back
        out_of_moving, out_of_fixed = self._out
        ends = torch.cat([compose(there, out_of_fixed), compose(back, out_of_moving)])
        forward, inverse = compose_affine(self._into, ends).split(1)
        return forward, inverse
