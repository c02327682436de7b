"""The global map of a pair, found from any pose: a search over all rotations, then Gauss-Newton on the affine map.

Nothing is trained and no label is used. By construction the result for a pair whose images are swapped is the inverse.
A map's determinant stays positive, so that no reflection is found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.frames import Frame, Maps, Pair, Volume, ball, cube
from smgicnet.registration.gauss_newton import improve
from smgicnet.registration.rotation_search import angles, search_rotations

ROTATIONS = 1000  # that are searched unless a config says otherwise; 500 find the same poses
COARSE, MIDDLE, FINE = 12, 24, 48  # cells along the longest side: 16, 8 and 4 mm for a field of view of 192 mm
STEPS = (6, 5, 8)  # of Gauss-Newton at these resolutions
SEARCHED, KEPT = 24, 4  # candidates that are improved at the coarse and at the middle one
DISTINCT = math.radians(30)  # poses whose rotations differ by less are the same
LOCAL_SIGMA, LOCAL_FLOOR = 1.5, 0.05  # of `locally_normalised` at the fine one, in cells and in intensities
DOUBTFUL = 0.01  # where the runner-up's correlation is as near, the pose is in doubt


@dataclass(frozen=True)
class PoseConfig:
    """How the global map of a pair is found.

    Attributes
    ----------
    rotations : how many are searched, an even number; 0 for no search, and no global map
    upright : whether the common frame in which a network sees both images is that of the mean training image
    """

    rotations: int
    upright: bool


@dataclass(frozen=True)
class Pose:
    """The global map of a pair, by way of a common frame in which the two images meet.

    Attributes
    ----------
    to_fixed, to_moving : ``(4, 4)`` float64, from the voxels of the common frame to those of either image
    score : the correlation of the two images, averaged over cells of a 24th of the field of view
    runner_up : the same of the best pose that differs by a rotation of more than 30 degrees, -1 for none
    """

    to_fixed: Tensor
    to_moving: Tensor
    score: float
    runner_up: float

    @property
    def matrix(self) -> Tensor:
        """The map from voxels of the fixed image to voxels of the moving one, ``(4, 4)`` float64."""
        matrix: Tensor = self.to_moving @ torch.linalg.inv(self.to_fixed)
        return matrix

    @property
    def inverse(self) -> Tensor:
        """The map from voxels of the moving image to voxels of the fixed one, ``(4, 4)`` float64."""
        inverse: Tensor = self.to_fixed @ torch.linalg.inv(self.to_moving)
        return inverse

    @property
    def doubtful(self) -> bool:
        """Whether another pose is nearly as good."""
        return self.score - self.runner_up < DOUBTFUL


def find_pose(fixed: Tensor, moving: Tensor, rotations: int, mean: Tensor | None = None) -> Pose:
    """Return the global map between two images of brains ``(1, 1, D, H, W)`` in any pose, on a background of 0.

    Parameters
    ----------
    rotations : how many are searched
    mean : ``(1, 1, N, N, N)``, an image of `mean_image`, to whose frame both images are brought; without it they
        meet half-way as they lie
    """
    frame, device = Frame(fixed.shape[2:]), fixed.device
    coarse, middle, fine = (
        Pair(frame.volume(fixed, count), frame.volume(moving, count)) for count in (COARSE, MIDDLE, FINE)
    )
    maps = search_rotations(coarse, ball(COARSE, device), rotations, SEARCHED)
    maps, _ = _distinct(*improve(coarse, maps, ball(COARSE, device), STEPS[0], rigid=True), KEPT)
    maps, scores = _distinct(*improve(middle, maps, ball(MIDDLE, device), STEPS[1]), 2)
    best = maps.chosen(torch.tensor([0]))
    if mean is not None:
        best = best.after(_turn_upright(mean, middle, best, rotations))
    fine = Pair(*(Volume(locally_normalised(one.data), one.to_index) for one in fine))
    best, _ = improve(fine, best, ball(FINE, device), STEPS[2])
    to_fixed, to_moving = (frame.voxels(one)[0] for one in best)
    return Pose(to_fixed, to_moving, float(scores[0]), float(scores[1]) if len(scores) > 1 else -1.0)


def _distinct(maps: Maps, scores: Tensor, kept: int) -> tuple[Maps, Tensor]:
    """Return the best maps, at most ``kept``, of which no two differ by a rotation of less than `DISTINCT`."""
    left, _, right = torch.linalg.svd(maps.through[:, :3, :3])
    turns = left @ right  # the nearest rotations
    chosen: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if len(chosen) < kept and (not chosen or bool((angles(turns[index], turns[chosen]) > DISTINCT).all())):
            chosen.append(index)
    return maps.chosen(torch.tensor(chosen)), scores[chosen]


def locally_normalised(image: Tensor) -> Tensor:
    """Return an image ``(1, 1, D, H, W)`` less its local mean, in units of its local standard deviation.

    The windows are Gaussian and so the same in every direction: the squared difference of two such images is, up to a
    factor, one less their local correlation.
    """
    mean = _smoothed(image)
    variance = (_smoothed(image * image) - mean * mean).clamp(min=0)
    return (image - mean) / (variance.sqrt() + LOCAL_FLOOR)


def _smoothed(image: Tensor) -> Tensor:
    reach = math.ceil(3 * LOCAL_SIGMA)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / LOCAL_SIGMA) ** 2)
    kernel = (kernel / kernel.sum()).to(image)
    for axis in range(2, 5):
        size = [1] * 5
        size[axis] = len(kernel)
        image = F.conv3d(image, kernel.view(size), padding=[(n - 1) // 2 for n in size[2:]])
    return image


def _turn_upright(mean: Tensor, pair: Pair, maps: Maps, rotations: int) -> Tensor:
    """Return the affine map ``(1, 4, 4)`` from the frame of ``mean`` to that in which a pair meets.

    The mean of both images there is registered to ``mean``.
    """
    points = cube(MIDDLE, mean.device)
    both = [scaled(one.at(by, points)) for one, by in zip(pair, maps, strict=True)]
    return to_mean((both[0] + both[1]).view(1, 1, *(MIDDLE,) * 3), mean, rotations // 2)


def to_mean(image: Tensor, mean: Tensor, rotations: int) -> Tensor:
    """Return the affine map ``(1, 4, 4)`` from the frame of a ``mean`` image to that of an ``image``, each about its
    own centre and in units of half of its own longest side."""
    frames = Frame(mean.shape[2:]), Frame(image.shape[2:])
    coarse, middle = (Pair(frames[0].volume(mean, count), frames[1].volume(image, count)) for count in (COARSE, MIDDLE))
    points = ball(COARSE, mean.device)
    maps = search_rotations(coarse, points, rotations, KEPT)
    maps, _ = _distinct(*improve(coarse, maps, points, STEPS[0], rigid=True), 1)
    maps, _ = improve(middle, maps, ball(MIDDLE, mean.device), STEPS[1])
    return maps.through


def scaled(values: Tensor) -> Tensor:
    """Return values with a root mean square of 1."""
    return values / (values.square().mean().sqrt() + torch.finfo(values.dtype).eps)
