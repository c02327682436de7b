"""What a training step sees: the images, which pairs in which order, and their augmentation.

Everything random is a function of the seed and the step alone, so that a resumed training sees what an
undisturbed one would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import radians
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from smgicnet.fields import affine_displacement, warp


@dataclass(frozen=True)
class Augmentation:
    """Random affine pose of each image, uniform up to: ``rotation`` (degrees about each axis), ``scale`` (fraction,
    along each axis), ``translation`` (fraction of the field of view)."""

    rotation: float
    scale: float
    translation: float

    @property
    def active(self) -> bool:
        return max(self.rotation, self.scale, self.translation) > 0


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


def draw_poses(count: int, config: Augmentation, generator: torch.Generator) -> Tensor:
    """Random poses, ``(N, 3, 4)``: a matrix about the centre and a translation in fractions of the field of view."""

    def uniform() -> Tensor:
        return torch.rand(count, 3, generator=generator) * 2 - 1

    angles = uniform() * radians(config.rotation)
    matrix = _rotations(angles) * (1 + uniform() * config.scale)[:, None, :]
    return torch.cat([matrix, (uniform() * config.translation)[:, :, None]], dim=2)


def augment(images: Tensor, poses: Tensor) -> Tensor:
    """Each image of ``(N, 1, D, H, W)`` under its own pose, of `draw_poses`."""
    translation = poses[:, :, 3] * torch.tensor(images.shape[2:])
    field = affine_displacement(poses[:, :, :3], translation, images.shape[2:])
    return warp(images, field.to(images.device))


def _rotations(angles: Tensor) -> Tensor:
    """``(N, 3)`` angles about the three axes to ``(N, 3, 3)``."""
    generators = torch.zeros(3, 3, 3)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        generators[k, j, i], generators[k, i, j] = 1, -1
    return torch.linalg.matrix_exp(torch.einsum("nk,kij->nij", angles, generators))
