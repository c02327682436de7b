"""The global map of a pair, found from any pose: a search over all rotations, then Gauss-Newton on the affine map.

Nothing is trained and no label is used. By construction the result for a pair whose images are swapped is the inverse.
A map's determinant stays positive, so that no reflection is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from smgicnet.registration.frames import Frame, Maps, Pair, ball, cube, linear_maps, shifted
from smgicnet.registration.gauss_newton import improve
from smgicnet.registration.likeness import locally_normalised, scaled, trust
from smgicnet.registration.rotation_search import angles, search_rotations

ROTATIONS = 1000  # that are searched unless a config says otherwise; 500 find the same poses
SEARCH = 8  # cells along the longest side while rotations are searched: 24 mm for a field of view of 192 mm
COARSE, MIDDLE, FINE = 12, 24, 48  # cells while maps are improved: 16, 8 and 4 mm
STEPS = (6, 5, 8)  # of Gauss-Newton at these resolutions, at most
DECIDING = 3  # more at the middle one, of `locally_normalised` images, for the two poses that are left
TRUSTING = 2  # times as many for the better of them, each time with the weights of `trust`
SEARCHED, KEPT = 24, 4  # candidates that are improved at the coarse and at the middle one
DISTINCT = math.radians(30)  # poses whose rotations differ by less are the same
OBJECT = 0.25  # of the largest value: what is brighter belongs to the object that a mean image shows
FILLED = 15 / 16  # of the grid in which a network sees images, along each axis, by the box around that object
ALIKE = 0.65  # the correlation below which two images may not show the same thing; two brains have 0.8 or more
LEAST = 1e-3  # that a point counts
MARGIN = 0.06  # between the correlations of two poses, below which one of them is not known to be the right one


@dataclass(frozen=True)
class PoseConfig:
    """The settings by which the global map of a pair is found.

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
    score : the correlation of the two images, averaged over cells of a 24th of the field of view and
        `locally_normalised`
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

    def within(self, places: Tensor) -> Pose:
        """Return the same map between other voxels, to which ``places (4, 4)`` brings those of either image."""
        return replace(self, to_fixed=places @ self.to_fixed, to_moving=places @ self.to_moving)

    @property
    def doubt(self) -> str | None:
        """The reason why the two heads may lie differently; None where nothing speaks against the pose."""
        if self.score - self.runner_up < MARGIN:
            return f"another is nearly as good (correlations of {self.score:.2f} and {self.runner_up:.2f})"
        if self.score < ALIKE:
            return f"the two images hardly agree (a correlation of {self.score:.2f})"
        return None


def find_pose(
    fixed: Tensor,
    moving: Tensor,
    rotations: int,
    mean: Tensor | None = None,
    *,
    rigid: bool = False,
    left_out: Sequence[Tensor] | None = None,
) -> Pose:
    """Return the global map between two images of brains ``(1, 1, D, H, W)`` in any pose, on a background of 0.

    Parameters
    ----------
    rotations : how many are searched
    mean : ``(1, 1, N, N, N)``, an image of `mean_image`, to whose frame both images are brought; without it they
        meet half-way as they lie
    rigid : whether the map only turns and moves
    left_out : how much of each voxel of either image is left out, from 0 to 1, as the images are; by default nothing.
        The search, which only finds where to start, does not look at it.
    """
    with torch.autocast(fixed.device.type, enabled=False):  # a map keeps its precision
        frame = Frame(fixed.shape[2:])
        counted = _Counted(Pair(*(frame.volume(one, MIDDLE) for one in left_out)) if left_out else None)
        return _found(frame, fixed, moving, rotations, mean, partial(improve, rigid=rigid), counted)


class _Counted:
    """How much points of the common frame count, by where they lie in both images."""

    def __init__(self, left_out: Pair | None):
        self.left_out = left_out

    def __call__(self, maps: Maps, points: Tensor, weights: Tensor | None = None) -> Tensor | None:
        """Return ``weights (K, P)``, by default the same for all points, less what does not count."""
        if self.left_out is None:
            return weights
        fixed, moving = (1 - one.at(by, points)[:, 0] for one, by in zip(self.left_out, maps, strict=True))
        here = (fixed * moving).clamp(min=LEAST)
        return here if weights is None else here * weights


def _found(
    frame: Frame,
    fixed: Tensor,
    moving: Tensor,
    rotations: int,
    mean: Tensor | None,
    better: Callable[..., tuple[Maps, Tensor]],
    counted: _Counted,
) -> Pose:
    """Return the pose; ``better`` is `improve`."""
    device = fixed.device
    search, coarse, middle, fine = (
        Pair(frame.volume(fixed, count), frame.volume(moving, count)) for count in (SEARCH, COARSE, MIDDLE, FINE)
    )
    maps = _rigid_maps(search, coarse, rotations, SEARCHED, KEPT)
    local, points = locally_normalised(middle), ball(MIDDLE, device)
    maps, _ = _distinct(*better(middle, maps, points, STEPS[1], weights=counted(maps, points)), 2)
    maps, scores = _distinct(*better(local, maps, points, DECIDING, weights=counted(maps, points)), 2)
    best = maps.chosen(torch.tensor([0]))
    for _ in range(TRUSTING):
        best, _ = better(local, best, points, DECIDING, weights=counted(best, points, trust(local, best, points)))
    if mean is not None:
        best = best.after(_turn_upright(mean, middle, best, rotations) @ filling(mean, frame.shape))
    local, points = locally_normalised(fine), ball(FINE, device)
    best, _ = better(local, best, points, STEPS[2], weights=counted(best, points, trust(local, best, points)))
    to_fixed, to_moving = (frame.voxels(one)[0] for one in best)
    return Pose(to_fixed, to_moving, float(scores[0]), float(scores[1]) if len(scores) > 1 else -1.0)


def _rigid_maps(search: Pair, coarse: Pair, rotations: int, searched: int, kept: int) -> Maps:
    """Return the best rigid maps, at most ``kept`` distinct ones, of those that start from the ``searched`` best of all
    rotations; the pair is given at both resolutions."""
    device = coarse.fixed.data.device
    maps = search_rotations(search, ball(SEARCH, device), rotations, searched)
    maps, _ = _distinct(*improve(coarse, maps, ball(COARSE, device), STEPS[0], rigid=True), kept)
    return maps


def _distinct(maps: Maps, scores: Tensor, kept: int) -> tuple[Maps, Tensor]:
    """Return the best maps, at most ``kept``, of which no two differ by a rotation of less than `DISTINCT`."""
    left, _, right = torch.linalg.svd(maps.through[:, :3, :3])
    turns = left @ right  # the nearest rotations
    chosen: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if len(chosen) < kept and (not chosen or bool((angles(turns[index], turns[chosen]) > DISTINCT).all())):
            chosen.append(index)
    return maps.chosen(torch.tensor(chosen)), scores[chosen]


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
    search, coarse, middle = (
        Pair(frames[0].volume(mean, count), frames[1].volume(image, count)) for count in (SEARCH, COARSE, MIDDLE)
    )
    maps = _rigid_maps(search, coarse, rotations, KEPT, 1)
    maps, _ = improve(middle, maps, ball(MIDDLE, mean.device), STEPS[1])
    return maps.through


def object_box(mean: Tensor) -> Tensor:
    """Return the lower and the upper corner ``(2, 3)`` of the box around what a mean image shows, in its frame."""
    filled = mean[0, 0] > OBJECT * mean.max()
    ends = torch.stack([filled.any(a).any(b).nonzero()[:, 0][[0, -1]] for a, b in ((2, 1), (2, 0), (1, 0))], dim=1)
    ends[1] += 1
    return ends.to("cpu", torch.float64) * (2 / len(filled)) - 1


def filling(mean: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the map ``(1, 4, 4)`` to the frame of a ``mean`` image from one in which its object fills a grid.

    A grid of this ``shape`` is used as well as it can be: the network and the refinement see more of a brain.
    """
    low, high = object_box(mean)
    extent = torch.tensor(list(shape), dtype=torch.float64) / max(shape)
    return shifted(linear_maps(torch.diag((high - low) / 2 / (FILLED * extent))[None]), (low + high) / 2)
