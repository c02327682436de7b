"""Test-time augmentation: a pair is registered as it is and in other views, and the velocities are averaged.

A network's error changes with the view, and the mean has less of it. No label is used and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from smgicnet.registration.fields import resize


@dataclass(frozen=True)
class Views:
    """``mirror``: also left to right. ``shift``: also moved by so many of the images' voxels along each axis, there and
    back."""

    mirror: bool
    shift: int

    @property
    def all(self) -> list[tuple[bool, int]]:
        """Of each view whether it is mirrored and how far it is moved."""
        shifts = (0, self.shift, -self.shift) if self.shift else (0,)
        return [(mirror, shift) for shift in shifts for mirror in ((False, True) if self.mirror else (False,))]


def mean_velocity(predict: Callable[[Tensor, Tensor], Tensor], moving: Tensor, fixed: Tensor, views: Views) -> Tensor:
    """The mean of ``predict(moving, fixed)``, a velocity ``(1, 3, ...)`` in voxels of its grid, over the views of a
    pair of images ``(1, 1, D, H, W)``; of several views on the images' grid."""
    if len(views.all) == 1:
        return predict(moving, fixed)
    found = [(predict(_seen(moving, *view), _seen(fixed, *view)), *view) for view in views.all]
    return torch.stack([_undone(resize(one, fixed.shape[2:]), *view) for one, *view in found]).mean(0)


def _seen(volume: Tensor, mirror: bool, shift: int) -> Tensor:
    volume = _moved(volume, shift)
    return volume.flip(2) if mirror else volume


def _undone(velocity: Tensor, mirror: bool, shift: int) -> Tensor:
    if mirror:
        velocity = velocity.flip(2) * velocity.new_tensor([-1, 1, 1]).view(1, 3, 1, 1, 1)
    return _moved(velocity, -shift)


def _moved(volume: Tensor, shift: int) -> Tensor:
    """By ``shift`` voxels along each axis; what comes in from outside is as the border."""
    for axis, size in enumerate(volume.shape[2:], start=2):
        volume = volume.index_select(axis, (torch.arange(size, device=volume.device) - shift).clamp(0, size - 1))
    return volume
