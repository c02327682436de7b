"""Refinement on images in all their detail: stages on ever finer grids of the frame in which a pair meets.

A network works on a coarse grid; what it finds is improved on the scans as they are, with images and velocity each on a
grid of its own. Fine images count more than a fine velocity, which folds more easily.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.fields import exp, resample, resize, sample
from smgicnet.registration.filters import binomial, laplacian
from smgicnet.registration.half_way import EPS, half_way, spread_of_noise
from smgicnet.registration.like_to_like import like_to_like
from smgicnet.registration.posed_flow import cells, places_of
from smgicnet.registration.tissue_network import SPACING
from smgicnet.registration.unfolding import unfolded

BETAS = 0.9, 0.999  # of Adam
NOISE = 0.1  # of the product of what noise alone makes in the windows of both images: the floor of the NCC
STEPS = 5  # squarings while a velocity is improved
SPAN = 3  # iterations in which images and tissues have to come nearer by the tolerance
SAMPLES = 1 << 21  # that are taken of an image at a time

Report = Callable[[float, str], None]  # of the part of the work that is done, at most 1, and where it stands
Pull = Callable[..., tuple[float, Tensor]]  # from ``halves``, see `half_way`, to what is lowered, and the force of it
# for a device, what makes maps of tissues (1, C, D, H, W) of an image (1, 1, D, H, W) that fills the frame
Naming = Callable[[torch.device], Callable[[Tensor], Tensor]]


@dataclass(frozen=True)
class DetailStage:
    """Steps with images and a velocity on grids of a pair's common frame.

    Attributes
    ----------
    images : the voxel size of the images in mm; those of scans that are coarser have the scans' own
    velocity : the voxel size of the velocity in mm, at least that of the images
    iterations : steps, at most
    learning_rate : of the steps, in voxels of the velocity's grid
    window : the side of the local NCC's window in voxels of the images
    smoothness : the weight of the squared Laplacian of the velocity, summed over its voxels and counted in its voxels,
        beside the squared NCC, averaged over the images' voxels in each of the velocity's
    tolerance : the stage ends when three iterations bring images and tissues nearer by less than this fraction
    tissues : the weight of half of the squared difference of the tissues' maps, summed, beside the squared NCC
    """

    images: float
    velocity: float
    iterations: int
    learning_rate: float
    window: int
    smoothness: float
    tolerance: float
    tissues: float = 0.0

    @property
    def factor(self) -> int:
        """The number of the images' voxels along one of the velocity's."""
        return max(1, round(self.velocity / self.images))


@dataclass(frozen=True)
class Source:
    """An image in all its detail.

    Attributes
    ----------
    image : ``(1, 1, X, Y, Z)`` on a background of 0, on any grid
    to_voxels : ``(4, 4)`` float64, from voxels of the grid on which a network sees the image to the image's own
    left_out : how much of each voxel is left out, from 0 to 1, as the image is; by default None, for nothing
    """

    image: Tensor
    to_voxels: Tensor
    left_out: Tensor | None = None

    def spacing(self, unit: float) -> float:
        """Return the size of its smallest voxels, where those of the network's grid have the size ``unit``."""
        steps = torch.linalg.inv(self.to_voxels)[:3, :3].norm(dim=0)
        return unit * float(steps.min())


class Frame:
    """The common frame of a pair, as a box that grids of any spacing fill.

    ``shape``: of the network's grid. ``maps``: from its voxels to those of the fixed and of the moving image,
    ``(4, 4)`` each. ``spacing``: of the images on the network's grid, in mm.
    """

    def __init__(self, shape: Sequence[int], maps: Sequence[Tensor], spacing: float):
        self.shape, self.maps = tuple(shape), tuple(maps)
        steps = torch.stack([one[:3, :3].norm(dim=0) for one in self.maps]).mean(0)
        self.extent = [spacing * n * float(step) for n, step in zip(self.shape, steps, strict=True)]  # in mm

    def grid(self, spacing: float, factor: int) -> list[int]:
        """Return the shape of a grid of about this spacing in mm, along each axis a multiple of ``factor``."""
        return [max(1, round(length / spacing / factor)) * factor for length in self.extent]

    def images(self, sources: Sequence[Source], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return both images on a grid of the frame, ``(1, 1, *shape)``; each voxel is a mean over its volume."""
        fixed, moving = _on_grid([one.image for one in sources], sources, self._places(shape), shape)
        return fixed, moving

    def left_out(self, sources: Sequence[Source], shape: Sequence[int]) -> list[Tensor] | None:
        """Return how much of each voxel of such a grid is left out of both images, None where nothing is."""
        return left_out_of(sources, shape, self._places(shape))

    def _places(self, shape: Sequence[int]) -> list[Tensor]:
        """Return the maps from the voxels of a grid of the frame to those of the network's grid of either image."""
        into = cells(shape, self.shape)
        return [one @ into for one in self.maps]


def left_out_of(
    sources: Sequence[Source], shape: Sequence[int], places: Sequence[Tensor] | None = None
) -> list[Tensor] | None:
    """Return how much of each voxel of a grid of this ``shape`` is left out of either image, None where nothing is.

    ``places``: the maps from the grid's voxels to those of the network's grid; by default it is that grid.
    """
    if all(one.left_out is None for one in sources):
        return None
    masks = [torch.zeros_like(one.image) if one.left_out is None else one.left_out for one in sources]
    return _on_grid(masks, sources, places or [torch.eye(4, dtype=torch.float64)] * len(masks), shape)


def _on_grid(
    images: Sequence[Tensor], sources: Sequence[Source], places: Sequence[Tensor], shape: Sequence[int]
) -> list[Tensor]:
    """Return images that lie as ``sources`` do on a grid of which ``places`` lead to the network's."""
    maps = (source.to_voxels @ place for source, place in zip(sources, places, strict=True))
    return [_averaged(image, one, shape) for image, one in zip(images, maps, strict=True)]


def _averaged(image: Tensor, matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Return an image on a grid of ``shape`` that ``matrix`` brings to its voxels, the mean over each of the grid's."""
    over = max(1, round(float(matrix[:3, :3].norm(dim=0).min())))
    fine = [n * over for n in shape]
    inner = matrix @ cells(fine, shape)
    rows = max(1, SAMPLES // (over**3 * shape[1] * shape[2]))
    parts = []
    for first in range(0, shape[0], rows):
        part = slice(first * over, min(first + rows, shape[0]) * over)
        places = places_of(inner, part, fine, image.device)
        parts.append(F.avg_pool3d(sample(image, places).view(1, 1, -1, *fine[1:]), over))
    return torch.cat(parts, dim=2)


def wanted(stages: Sequence[DetailStage], spacing: float) -> list[DetailStage]:
    """Return the stages for images of this ``spacing`` in mm, with images no finer than these.

    Those whose images would have half of that spacing, or less, are left out.
    """
    fitting = [stage for stage in stages if 2 * stage.images > spacing]
    coarse = [replace(stage, images=max(stage.images, spacing)) for stage in fitting]
    return [replace(stage, velocity=max(stage.velocity, stage.images)) for stage in coarse]


def refine_detail(
    velocity: Tensor,
    frame: Frame,
    sources: Sequence[Source],
    stages: Sequence[DetailStage],
    naming: Naming,
    report: Report,
) -> Tensor:
    """Return ``velocity (1, 3, ...)``, of a grid that fills the frame, in its voxels, after the steps of all stages.

    The result is on the grid of the last stage, smoothed where it folds (`unfolded`). ``naming`` is asked for where a
    stage compares tissues. ``report`` is called before each step.
    """
    tissues = _Tissues(frame, sources, naming)
    shapes = [frame.grid(stage.images, stage.factor) for stage in stages]
    costs = [stage.iterations * math.prod(shape) for stage, shape in zip(stages, shapes, strict=True)]
    for number, (stage, shape) in enumerate(zip(stages, shapes, strict=True)):

        def tell(step: int, similarity: float, stage: DetailStage = stage, number: int = number) -> None:
            done = sum(costs[:number]) + costs[number] * (step - 1) / stage.iterations
            report(done / sum(costs), f"{stage.images:.2g} mm, similarity {similarity:.4f}")

        velocity = resize(velocity, [n // stage.factor for n in shape])
        fixed, moving = frame.images(sources, shape)
        floor = EPS + NOISE * math.prod(spread_of_noise(image, stage.window) for image in (fixed, moving))
        out = frame.left_out(sources, shape)
        pull = partial(half_way, fixed, moving, factor=stage.factor, window=stage.window, floor=floor, left_out=out)
        pulls: list[Pull] = [pull, tissues.pull(stage, velocity.shape[2:])] if stage.tissues else [pull]
        velocity = _descend(velocity, pulls, stage, tell)
    return unfolded(velocity) if stages else velocity


class _Tissues:
    """Both images' maps of tissues, which are made once."""

    def __init__(self, frame: Frame, sources: Sequence[Source], naming: Naming):
        self.frame, self.sources, self.naming = frame, sources, naming

    def pull(self, stage: DetailStage, shape: Sequence[int]) -> Pull:
        """Return the force between the maps on a velocity of this ``shape``."""
        factor = max(1, round(stage.velocity / SPACING))
        size = [n * factor for n in shape]
        fixed, moving = (resample(one, size) for one in self._maps)
        out = self.frame.left_out(self.sources, size)
        return partial(like_to_like, fixed, moving, factor=factor, weight=stage.tissues, left_out=out)

    @cached_property
    def _maps(self) -> list[Tensor]:
        images = self.frame.images(self.sources, self.frame.grid(SPACING, 1))
        named = self.naming(images[0].device)
        return [named(image) for image in images]


def _descend(
    velocity: Tensor, pulls: Sequence[Pull], stage: DetailStage, report: Callable[[int, float], None]
) -> Tensor:
    """Return a velocity after the steps of a stage; ``report`` is told the similarity, minus the first of ``pulls``.

    The steps are those of Adam (Kingma and Ba 2015) along the blurred gradient, but that each component of it is
    divided by the root of its own mean square plus the field's: where there is little to be gained little is moved.
    """
    mean, square = torch.zeros_like(velocity), torch.zeros_like(velocity)
    values: list[float] = []
    for step in range(1, stage.iterations + 1):
        halves = exp(torch.cat([velocity, -velocity]) / 2, STEPS)
        found, forces = zip(*(pull(halves=halves) for pull in pulls), strict=True)
        report(step, -found[0])
        values.append(sum(found))
        if step > SPAN and min(values[:-SPAN]) - min(values[-SPAN:]) < stage.tolerance * abs(values[-1]):
            break
        force = binomial(sum(forces, start=2 * stage.smoothness * laplacian(laplacian(velocity))))
        mean.lerp_(force, 1 - BETAS[0])
        square.lerp_(force * force, 1 - BETAS[1])
        size = ((square + square.mean()) / (1 - BETAS[1] ** step)).sqrt_().add_(1e-8)
        velocity = velocity - stage.learning_rate / (1 - BETAS[0] ** step) * mean / size
    return velocity
