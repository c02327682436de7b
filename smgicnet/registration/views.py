"""Test-time augmentation: a pair is registered as it is and in other views, and the velocities are averaged.

The network's errors differ between views, so that their mean is smaller. No label is used and nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from smgicnet.registration.fields import resize


class View(NamedTuple):
    """One way to see a pair.

    Attributes
    ----------
    mirror : whether the images are mirrored left to right
    shift : how far the images are moved along each axis, in voxels
    """

    mirror: bool
    shift: int


@dataclass(frozen=True)
class Views:
    """The views in which a pair is registered besides the pair as it is.

    Attributes
    ----------
    mirror : whether the pair is also mirrored left to right
    shift : how far the pair is also moved along each axis, there and back, in voxels of the images; 0 for not at all
    """

    mirror: bool
    shift: int

    @property
    def all(self) -> list[View]:
        """All views, the first of which is the pair as it is."""
        shifts = (0, self.shift, -self.shift) if self.shift else (0,)
        return [View(mirror, shift) for shift in shifts for mirror in ((False, True) if self.mirror else (False,))]


def mean_velocity(predict: Callable[[Tensor, Tensor], Tensor], moving: Tensor, fixed: Tensor, views: Views) -> Tensor:
    """Return the mean of ``predict(moving, fixed)`` over the views of a pair of images ``(1, 1, D, H, W)``.

    A prediction is a velocity ``(1, 3, ...)`` in voxels of its own grid, and so is the result of a single view; the
    mean over several views is on the images' grid.
    """
    if len(views.all) == 1:
        return predict(moving, fixed)
    found = [(predict(_seen(moving, view), _seen(fixed, view)), view) for view in views.all]
    return torch.stack([_undone(resize(one, fixed.shape[2:]), view) for one, view in found]).mean(0)


def _seen(image: Tensor, view: View) -> Tensor:
    """Return an image as it looks in a view."""
    image = _moved(image, view.shift)
    return image.flip(2) if view.mirror else image


def _undone(velocity: Tensor, view: View) -> Tensor:
    """Bring a velocity that was found in a view back to the images as they are."""
    if view.mirror:
        velocity = velocity.flip(2) * velocity.new_tensor([-1, 1, 1]).view(1, 3, 1, 1, 1)
    return _moved(velocity, -view.shift)


def _moved(volume: Tensor, shift: int) -> Tensor:
    """Move a volume by ``shift`` voxels along each axis; the border's values come in from outside."""
    for axis, size in enumerate(volume.shape[2:], start=2):
        volume = volume.index_select(axis, (torch.arange(size, device=volume.device) - shift).clamp(0, size - 1))
    return volume
