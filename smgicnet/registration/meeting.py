"""A pair of images in the frame in which they meet: where levels and refinement work, and the way back from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from smgicnet.registration.fields import affine_field, compose, compose_affine, warp
from smgicnet.registration.interpolation import doubled, pull_doubled
from smgicnet.registration.pose import Pose


class Meeting:
    """Two images ``(1, 1, D, H, W)`` of one grid, and the `Pose` by which they meet; None for images as they lie.

    Attributes
    ----------
    pose : the pose
    images : the fixed and the moving image in the common frame, ``(1, 1, D, H, W)`` each
    """

    def __init__(self, fixed: Tensor, moving: Tensor, pose: Pose | None):
        self.pose = pose
        self._shape: Sequence[int] = fixed.shape[2:]
        self._moving_first = torch.cat([moving, fixed])
        self.images = (fixed, moving)
        if pose:
            self._ends = torch.stack([pose.to_moving, pose.to_fixed])
            self._moving_first = doubled(self._moving_first)
            still = self.moved(fixed.new_zeros(2, 3, *self._shape))
            self.images = (still[1:], still[:1])

    def moved(self, displacements: Tensor) -> Tensor:
        """Return the moving image pulled back by the first of ``displacements (2, 3, D, H, W)``, the fixed one by the
        second, as ``(2, 1, D, H, W)``; each is interpolated once."""
        if not self.pose:
            return warp(self._moving_first, displacements)
        return pull_doubled(self._moving_first, compose_affine(self._ends, displacements))

    def apart(self, there: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """Return a displacement of the common frame and its inverse, ``(1, 3, D, H, W)``, as those of the two images.

        The pose is a matrix, and exact however far it leads.
        """
        if not self.pose:
            return there, back
        into_moving, into_fixed = self._ends
        forward, inverse = (
            compose_affine(into, compose(one, affine_field(torch.linalg.inv(out), self._shape, one.device)))
            for one, out, into in ((there, into_fixed, into_moving), (back, into_moving, into_fixed))
        )
        return forward, inverse
