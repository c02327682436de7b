"""The images that a training step sees: which pairs, in which order, and how they are augmented.

Everything random is a function of the seed and the step alone, so that a resumed training sees what an undisturbed one
would have seen. Noise depends on the kind of device as well.
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
from nibabel.arrayproxy import ArrayProxy
from nibabel.dataobj_images import DataobjImage
from torch import Tensor

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.registration.fields import affine_displacement, warp

DEFORMATION_ORDERS, BIAS_ORDERS = 6, 4  # numbers of cosines along each axis


@dataclass(frozen=True)
class Augmentation:
    """The amounts by which each image is changed at random, each time it is seen.

    Attributes
    ----------
    rotation : the largest angle about each axis, degrees
    scale : the largest change of scale along each axis, a fraction
    translation : the largest translation along each axis, a fraction of the field of view
    deformation : the SD of a smooth displacement, a fraction of the field of view
    gamma : the SD of the logarithm of the intensities' exponent
    bias : the SD of the logarithm of a smooth factor of the intensities
    noise : the largest SD of the noise that is added within the brain, in units of the intensity
    mirror : whether half of the images, drawn anew each time, are mirrored left to right, as if of another person
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
        """Whether anything is changed."""
        return any(value > 0 for value in vars(self).values())


class ImageSet:
    """Preprocessed images, memory-mapped, so that the operating system's page cache holds as many as fit."""

    def __init__(self, paths: Sequence[str | Path]):
        stored = [_stored(path) for path in paths]
        self._arrays = [one.get_unscaled() for one in stored]  # scaling these whole numbers would read the files
        self._scales = [(np.float32(one.slope), np.float32(one.inter)) for one in stored]

    def __len__(self) -> int:
        return len(self._arrays)

    def batch(self, indices: Sequence[int]) -> Tensor:
        """Return images as ``(N, 1, D, H, W)`` float32, the first spatial axis fastest in memory, as NIfTI has it.

        Reordering them here would take twenty times as long as reading them, and a GPU does it in no time.
        """
        shape = self._arrays[0].shape
        images = np.empty((len(indices), 1, *shape[::-1]), np.float32).transpose(0, 1, 4, 3, 2)
        for image, index in zip(images, indices, strict=True):
            slope, inter = self._scales[index]
            np.multiply(self._arrays[index], slope, out=image[0])
            if inter:
                image += inter
        return torch.from_numpy(images)

    def one(self, index: int, device: torch.device) -> Tensor:
        """Return an image as ``(1, 1, D, H, W)`` on a device."""
        return self.batch([index]).to(device).contiguous()


def _stored(path: str | Path) -> ArrayProxy:
    """Return the voxels of an image file, which are read when they are asked for."""
    image = nib.load(path)
    if not (isinstance(image, DataobjImage) and isinstance(image.dataobj, ArrayProxy)):
        raise TypeError(f"{path} is no file of an image")
    return image.dataobj


class PairSampler:
    """The ordered pairs of ``subjects``, in a new random order each epoch, without a pair twice in an epoch."""

    def __init__(self, subjects: int, batch_size: int, seed: int):
        self.subjects, self.batch_size, self.seed = subjects, batch_size, seed
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    @property
    def pairs(self) -> int:
        """The number of ordered pairs, n (n - 1), which is the length of an epoch."""
        return self.subjects * (self.subjects - 1)

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch]).permutation(self.pairs)

    def batch(self, step: int) -> list[tuple[int, int]]:
        """Return the pairs of one step, each as the indices of its two subjects."""
        pairs = []
        for position in range(step * self.batch_size, (step + 1) * self.batch_size):
            code = int(self._order(position // self.pairs)[position % self.pairs])
            first, second = divmod(code, self.subjects - 1)
            pairs.append((first, second + (second >= first)))
        return pairs


class Changes(NamedTuple):
    """The changes that augmentation makes to N images; None stands for no change of that kind.

    Attributes
    ----------
    poses : ``(N, 3, 4)``, a matrix about the centre, with a negative determinant if it mirrors, and a translation in
        fractions of the field of view
    deformation : ``(N, 3, K, K, K)``, coefficients for `smooth`, in fractions of the field of view
    gamma : ``(N, 1, 1, 1, 1)``, the logarithm of the intensities' exponent
    bias : ``(N, 1, K, K, K)``, coefficients for `smooth` of the logarithm of a factor
    noise : ``(N, 1, 1, 1, 1)``, the SD of the noise
    noise_seed : N numbers, from which the noise is made on the device of the images
    """

    poses: Tensor
    deformation: Tensor | None
    gamma: Tensor | None
    bias: Tensor | None
    noise: Tensor | None
    noise_seed: tuple[int, ...]

    def of(self, chosen: Sequence[int], device: torch.device) -> Changes:
        """Return the changes of the ``chosen`` images, on a device."""

        def taken(one: Tensor | None) -> Tensor | None:
            return None if one is None else one[chosen].to(device)

        poses, seeds = self.poses[chosen].to(device), tuple(self.noise_seed[index] for index in chosen)
        return Changes(poses, taken(self.deformation), taken(self.gamma), taken(self.bias), taken(self.noise), seeds)


def draw_changes(count: int, config: Augmentation, generator: torch.Generator) -> Changes:
    """Draw the changes of ``count`` images; an image's are the same however many processes share the step."""

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
    """Return a sum of cosines of the orders 0 to K - 1 along each axis.

    ``coefficients`` are ``(N, C, K, K, K)`` and the result is ``(N, C, *shape)``. Independent coefficients of SD s make
    a field of SD s, on average over the grid.
    """
    field: Tensor = coefficients / coefficients[0, 0].numel() ** 0.5
    for axis, size in enumerate(shape, start=2):
        orders = torch.arange(field.shape[axis], device=field.device, dtype=field.dtype)
        place = (torch.arange(size, device=field.device, dtype=field.dtype) + 0.5) / size
        basis = torch.cos(torch.pi * orders[:, None] * place)
        basis[1:] *= 2**0.5  # the mean square of each is 1
        field = torch.tensordot(field, basis, dims=([axis], [0])).movedim(-1, axis)
    return field


def displacement_of(changes: Changes, shape: Sequence[int]) -> Tensor:
    """Return the displacement of the deformation and then the pose, ``A(x + d(x)) - x``.

    It is ``(N, 3, D, H, W)`` in voxels of a grid of this ``shape``.
    """
    extent = changes.poses.new_tensor(list(shape))
    matrix = changes.poses[:, :, :3]
    field = affine_displacement(matrix, changes.poses[:, :, 3] * extent, shape)
    if changes.deformation is not None:
        deformation = smooth(changes.deformation, shape) * extent.view(1, 3, 1, 1, 1)
        field = field + torch.einsum("nij,njdhw->nidhw", matrix, deformation)
    return field


def change_intensities(images: Tensor, changes: Changes) -> Tensor:
    """Apply its own ``changes`` of intensities to each image of ``(N, 1, D, H, W)`` in [0, 1].

    Bias and noise may lead beyond [0, 1], as in a scan.
    """
    brain = images > 1e-3  # interpolation leaves traces of it around
    if changes.gamma is not None:
        images = images.clamp(min=0) ** changes.gamma.exp()
    if changes.bias is not None:
        images = images * smooth(changes.bias, images.shape[2:]).exp()
    if changes.noise is not None:
        images = images + _white(changes.noise_seed, images) * changes.noise * brain
    return images


def _white(seeds: Sequence[int], images: Tensor) -> Tensor:
    """Return noise of SD 1 in the shape of ``images``, each image's by its own seed."""
    noise = torch.empty_like(images)
    for one, seed in zip(noise, seeds, strict=True):
        one.normal_(generator=torch.Generator(images.device).manual_seed(seed))
    return noise


def augment_labels(labels: Tensor, changes: Changes, displacement: Tensor) -> Tensor:
    """Apply `augment`'s changes to the images' label maps ``(N, 1, D, H, W)``; a mirrored map's sides are renamed."""
    labels = warp(labels, displacement, mode="nearest")
    mirrored = torch.linalg.det(changes.poses[:, :, :3]) < 0
    if mirrored.any():
        labels[mirrored] = torch.from_numpy(opposite_rois()).to(labels)[labels[mirrored].long()]
    return labels


@cache
def opposite_rois() -> np.ndarray:
    """Return each id's counterpart on the other side of the body, or the id itself; ``(256,)`` uint8."""
    ids = {name: roi for roi, name in roi_names().items()}
    opposite = np.arange(256, dtype=np.uint8)
    for name, roi in ids.items():
        if name.startswith("Left-"):
            other = ids["Right-" + name.removeprefix("Left-")]
            opposite[[roi, other]] = other, roi
    return opposite


def _rotations(angles: Tensor) -> Tensor:
    """Return the rotations ``(N, 3, 3)`` by the angles ``(N, 3)`` about the three axes, in radians."""
    generators = torch.zeros(3, 3, 3)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        generators[k, j, i], generators[k, i, j] = 1, -1
    rotations: Tensor = torch.linalg.matrix_exp(torch.einsum("nk,kij->nij", angles, generators))
    return rotations
