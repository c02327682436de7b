"""What a training step sees: the images, which pairs in which order, and their augmentation.

Everything random is a function of the seed and the step alone, so that a resumed training sees what an
undisturbed one would have seen; noise, of the kind of device too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from math import radians
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.registration.fields import affine_displacement, warp

DEFORMATION_ORDERS, BIAS_ORDERS = 6, 4  # of cosines along each axis


@dataclass(frozen=True)
class Augmentation:
    """What is changed at random in each image, each time it is seen.

    Its pose, uniform up to: ``rotation`` (degrees about each axis), ``scale`` (fraction, along each axis),
    ``translation`` (fraction of the field of view). Its shape: ``deformation``, the SD of a smooth displacement
    (fraction of the field of view). Its intensities: ``gamma``, the SD of the logarithm of their exponent; ``bias``,
    that of the logarithm of a smooth factor; ``noise``, the largest SD of noise that is added within the brain.
    ``mirror``: half of the images, drawn anew each time, are seen left to right, as of another person.
    """

    rotation: float
    scale: float
    translation: float
    deformation: float
    gamma: float
    bias: float
    noise: float
    mirror: bool

    @property
    def active(self) -> bool:
        return max(vars(self).values()) > 0


class ImageSet:
    """Preprocessed images, memory-mapped: the operating system's page cache holds what fits."""

    def __init__(self, paths: Sequence[str | Path]):
        stored = [nib.load(path).dataobj for path in paths]
        self._arrays = [one.get_unscaled() for one in stored]  # whole numbers; scaling them would read the files
        self._scales = [(np.float32(one.slope), np.float32(one.inter)) for one in stored]

    def __len__(self) -> int:
        return len(self._arrays)

    def batch(self, indices: Sequence[int]) -> Tensor:
        """``(N, 1, D, H, W)`` float32, the first spatial axis fastest, as NIfTI has it: turning it here would take
        twenty times as long as reading it, and a GPU does it in no time."""
        shape = self._arrays[0].shape
        images = np.empty((len(indices), 1, *shape[::-1]), np.float32).transpose(0, 1, 4, 3, 2)
        for image, index in zip(images, indices, strict=True):
            slope, inter = self._scales[index]
            np.multiply(self._arrays[index], slope, out=image[0])
            if inter:
                image += inter
        return torch.from_numpy(images)


class PairSampler:
    """Ordered pairs of ``subjects`` in a new random order each epoch, without a pair twice in an epoch."""

    def __init__(self, subjects: int, batch_size: int, seed: int):
        self.subjects, self.batch_size, self.seed = subjects, batch_size, seed
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    @property
    def pairs(self) -> int:
        """n (n - 1) ordered pairs: the length of an epoch."""
        return self.subjects * (self.subjects - 1)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.pairs)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """The pairs of one step."""
        pairs = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            code = int(self._order(position // self.pairs)[position % self.pairs])
            first, second = divmod(code, self.subjects - 1)
            pairs.append((first, second + (second >= first)))
        return pairs


class Changes(NamedTuple):
    """What augmentation does to N images; the first dimension of each is N. None: nothing of that kind.

    ``poses (N, 3, 4)``: a matrix about the centre, of a negative determinant if it mirrors, and a translation in
    fractions of the field of view.
    ``deformation (N, 3, K, K, K)``: coefficients for `smooth`, in the same fractions; ``gamma (N, 1, 1, 1, 1)``, the
    exponent's logarithm; ``bias (N, 1, K, K, K)``: coefficients of a logarithm; ``noise (N, 1, 1, 1, 1)``: its SD, and
    ``noise_seed``, N numbers, as it is made where the images are.
    """

    poses: Tensor
    deformation: Tensor | None
    gamma: Tensor | None
    bias: Tensor | None
    noise: Tensor | None
    noise_seed: tuple[int, ...]

    def of(self, chosen: Sequence[int], device: torch.device) -> Changes:
        """Those of some of the images, on a device."""
        *tensors, seeds = self
        mine = (None if one is None else one[chosen].to(device) for one in tensors)
        return Changes(*mine, tuple(seeds[index] for index in chosen))


def draw_changes(count: int, config: Augmentation, generator: torch.Generator) -> Changes:
    """For ``count`` images; an image's are the same however many processes share the step."""

    def uniform() -> Tensor:
        return torch.rand(count, 3, generator=generator) * 2 - 1

    def normal(amount: float, *size: int) -> Tensor | None:
        return torch.randn(count, *size, generator=generator) * amount if amount else None

    angles = uniform() * radians(config.rotation)
    matrix = _rotations(angles) * (1 + uniform() * config.scale)[:, None, :]
    poses = torch.cat([matrix, (uniform() * config.translation)[:, :, None]], dim=2)
    deformation = normal(config.deformation, 3, *[DEFORMATION_ORDERS] * 3)
    gamma, bias = normal(config.gamma, 1, 1, 1, 1), normal(config.bias, 1, *[BIAS_ORDERS] * 3)
    noise = config.noise * torch.rand(count, 1, 1, 1, 1, generator=generator) if config.noise else None
    noise_seed = tuple(torch.randint(2**62, (count,), generator=generator).tolist())
    if config.mirror:
        poses[:, :, 0] *= 1 - 2 * torch.randint(2, (count, 1), generator=generator)
    return Changes(poses, deformation, gamma, bias, noise, noise_seed)


def smooth(coefficients: Tensor, shape: Sequence[int]) -> Tensor:
    """A sum of cosines of the orders 0 to K - 1 along each axis; ``(N, C, K, K, K)`` to ``(N, C, *shape)``.

    Independent coefficients of SD s make a field of SD s, on average over the grid.
    """
    field = coefficients / coefficients[0, 0].numel() ** 0.5
    for axis, size in enumerate(shape, start=2):
        orders = torch.arange(field.shape[axis], device=field.device, dtype=field.dtype)
        place = (torch.arange(size, device=field.device, dtype=field.dtype) + 0.5) / size
        basis = torch.cos(torch.pi * orders[:, None] * place)
        basis[1:] *= 2**0.5  # the mean square of each is 1
        field = torch.tensordot(field, basis, dims=([axis], [0])).movedim(-1, axis)
    return field


def displacement_of(changes: Changes, shape: Sequence[int]) -> Tensor:
    """The deformation, then the pose: ``A(x + d(x)) - x``, in voxels; ``(N, 3, D, H, W)``."""
    extent = changes.poses.new_tensor(list(shape))
    matrix = changes.poses[:, :, :3]
    field = affine_displacement(matrix, changes.poses[:, :, 3] * extent, shape)
    if changes.deformation is not None:
        deformation = smooth(changes.deformation, shape) * extent.view(1, 3, 1, 1, 1)
        field = field + torch.einsum("nij,njdhw->nidhw", matrix, deformation)
    return field


def augment(images: Tensor, changes: Changes, displacement: Tensor) -> Tensor:
    """Each image of ``(N, 1, D, H, W)`` in [0, 1] under its own ``changes``, moved by their `displacement_of`.

    Bias and noise may lead beyond [0, 1], as in a scan.
    """
    images = warp(images, displacement)
    brain = images > 1e-3  # interpolation leaves traces of it around
    if changes.gamma is not None:
        images = images.clamp(min=0) ** changes.gamma.exp()
    if changes.bias is not None:
        images = images * smooth(changes.bias, images.shape[2:]).exp()
    if changes.noise is not None:
        images = images + _white(changes.noise_seed, images) * changes.noise * brain
    return images


def _white(seeds: Sequence[int], images: Tensor) -> Tensor:
    """Noise of SD 1, each image's by its own seed."""
    noise = torch.empty_like(images)
    for one, seed in zip(noise, seeds, strict=True):
        one.normal_(generator=torch.Generator(images.device).manual_seed(seed))
    return noise


def augment_labels(labels: Tensor, changes: Changes, displacement: Tensor) -> Tensor:
    """The label maps ``(N, 1, D, H, W)`` of the images that `augment` changes; mirrored, sides change their names."""
    labels = warp(labels, displacement, mode="nearest")
    mirrored = torch.linalg.det(changes.poses[:, :, :3]) < 0
    if mirrored.any():
        labels[mirrored] = torch.from_numpy(opposite_rois()).to(labels)[labels[mirrored].long()]
    return labels


@cache
def opposite_rois() -> np.ndarray:
    """``(256,)`` uint8: each id's counterpart on the other side of the body; of an id without sides, itself."""
    ids = {name: roi for roi, name in roi_names().items()}
    opposite = np.arange(256, dtype=np.uint8)
    for name, roi in ids.items():
        if name.startswith("Left-"):
            other = ids["Right-" + name.removeprefix("Left-")]
            opposite[[roi, other]] = other, roi
    return opposite


def _rotations(angles: Tensor) -> Tensor:
    """``(N, 3)`` angles about the three axes to ``(N, 3, 3)``."""
    generators = torch.zeros(3, 3, 3)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        generators[k, j, i], generators[k, i, j] = 1, -1
    return torch.linalg.matrix_exp(torch.einsum("nk,kij->nij", angles, generators))
