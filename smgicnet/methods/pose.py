"""The global map of a pair alone, which is the first level of SM-GICNet beyond the paper: no deformation follows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from smgicnet.methods.contract import Displacements, Method
from smgicnet.registration.fields import affine_field
from smgicnet.registration.pose import find_pose


class PoseAlone(Method):
    """Rotation, translation and affine shape, found from any pose; ``rotations`` are searched."""

    def __init__(self, rotations: int):
        self.rotations = rotations

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int = 0) -> PoseAlone:
        return cls(block["rotations"])

    def warm_up(self, fixed: Tensor, moving: Tensor) -> None:
        self.register(fixed, moving)

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        pose = find_pose(fixed, moving, self.rotations)
        shape = fixed.shape[2:]
        there, back = (affine_field(one, shape, fixed.device) for one in (pose.matrix, pose.inverse))
        return Displacements(there, back, pose)
