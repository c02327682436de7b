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
        self._ends = (pose.to_fixed, pose.to_moving) if pose else ()
        self._doubled = tuple(doubled(image) for image in (fixed, moving)) if pose else ()
        still = fixed.new_zeros(1, 3, *self._shape)
        self.images = (self._seen(0, still), self._seen(1, still)) if pose else (fixed, moving)

    def _seen(self, which: int, displacement: Tensor) -> Tensor:
        """Return the fixed (0) or the moving image (1), moved in the common frame and interpolated once."""
        if not self.pose:
            return warp(self.images[which], displacement)
        return pull_doubled(self._doubled[which], compose_affine(self._ends[which], displacement))

    def moved(self, displacements: Tensor) -> Tensor:
        """Return the moving image pulled back by the first of ``displacements (2, 3, D, H, W)``, the fixed one by the
        second, as ``(2, 1, D, H, W)``."""
        return torch.cat([self._seen(1, displacements[:1]), self._seen(0, displacements[1:])])

    def apart(self, there: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """Return a displacement of the common frame and its inverse, ``(1, 3, D, H, W)``, as those of the two images.

        The pose is a matrix, and exact however far it leads.
        """
        if not self.pose:
            return there, back
        ways = ((there, *self._ends), (back, *self._ends[::-1]))
        forward, inverse = (
            compose_affine(into, compose(one, affine_field(torch.linalg.inv(out), self._shape, one.device)))
            for one, out, into in ways
        )
        return forward, inverse
