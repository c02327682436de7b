"""The mean of the training images, in whose frame a network sees every pair, and the place of each image in it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from smgicnet.registration.frames import Frame, Maps, Pair, ball, cube, shifted
from smgicnet.registration.gauss_newton import improve
from smgicnet.registration.likeness import scaled
from smgicnet.registration.pose import COARSE, MIDDLE, STEPS, filling, find_pose, object_box, to_mean
from smgicnet.registration.rotation_search import centre_of_mass

CELLS = MIDDLE  # of the mean image, along each axis


def mean_image(images: Iterable[Tensor], rotations: int) -> Tensor:
    """Return the mean ``(1, 1, N, N, N)`` of images ``(1, 1, D, H, W)``, all brought to the first one's place and size.

    It is averaged with its mirror image, half-way between the two, so that left and right are the same in it: the plane
    between them is the middle of the first axis. N is `CELLS`.
    """
    first, *others = images
    frame = Frame(first.shape[2:])
    middle = centre_of_mass(frame.volume(first, MIDDLE), cube(CELLS, first.device))
    centred = shifted(torch.eye(4, dtype=torch.float64)[None], middle)
    total = scaled(frame.volume(first, MIDDLE).at(centred, cube(CELLS, first.device)))
    for image in others:
        matrix = torch.linalg.inv(frame.to_voxels) @ find_pose(first, image, rotations).matrix @ frame.to_voxels
        total = total + scaled(frame.volume(image, MIDDLE).at(matrix @ centred, cube(CELLS, first.device)))
    return _symmetric((total / (1 + len(others))).view(1, 1, *(CELLS,) * 3))


def _symmetric(mean: Tensor) -> Tensor:
    """Return the mean of an image ``(1, 1, N, N, N)`` and its mirror image along the first axis, half-way.

    The box around the object that it shows is moved to the middle.
    """
    frame, identity = Frame(mean.shape[2:]), torch.eye(4, dtype=torch.float64)[None]
    maps = Maps(identity, identity)
    for count, steps in ((COARSE, STEPS[0]), (MIDDLE, STEPS[1])):
        pair = Pair(frame.volume(mean, count), frame.volume(mean.flip(2), count))
        maps, _ = improve(pair, maps, ball(count, mean.device), steps, rigid=True)
    maps = maps.after(shifted(identity, _centre(mean)))
    halves = [one.at(by, cube(CELLS, mean.device)) for one, by in zip(pair, maps, strict=True)]
    return ((halves[0] + halves[1]) / 2).view_as(mean)


def _centre(mean: Tensor) -> Tensor:
    """Return the centre ``(3,)`` of the box around an image's object, which is in the middle of the first axis."""
    centre = object_box(mean).mean(0)
    return centre * centre.new_tensor([0, 1, 1])


def place_in_mean(image: Tensor, mean: Tensor, rotations: int) -> Tensor:
    """Return the affine map ``(4, 4)`` from the voxels of a grid like that of ``image (1, 1, D, H, W)``, in which
    the object of a `mean_image` fills the grid, to the image's own voxels."""
    shape = image.shape[2:]
    return Frame(shape).voxels(to_mean(image, mean, rotations) @ filling(mean, shape))[0]
