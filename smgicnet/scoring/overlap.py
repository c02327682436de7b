"""Label maps: warped, counted, and how much two of them overlap."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from smgicnet.registration import fields


def warp_labels(labels: np.ndarray, displacement: Tensor) -> np.ndarray:
    """Return ``labels (D, H, W)`` uint8 pulled back by ``displacement (1, 3, D, H, W)``, nearest neighbour, 0 outside.

    ``labels`` may lie on a grid of another size: the displacement then leads from one grid's voxels to the other's.
    """
    shape = tuple(displacement.shape[2:])
    image = torch.from_numpy(labels.astype(np.float32))[None, None]
    if labels.shape != shape:  # `fields.warp` wants one grid: both are continued at their far ends
        common = np.maximum(labels.shape, shape).tolist()
        image, displacement = _padded(image, common), _padded(displacement, common)
    warped = fields.warp(image, displacement, mode="nearest")[0, 0].numpy().astype(np.uint8)
    return warped[tuple(slice(n) for n in shape)]


def _padded(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """``tensor (N, C, D, H, W)`` with zeros at the far end of each axis."""
    missing = [int(new - old) for new, old in zip(shape, tensor.shape[2:], strict=True)]
    return torch.nn.functional.pad(tensor, [width for n in reversed(missing) for width in (0, n)])


def present_labels(labels: np.ndarray, among: Sequence[int]) -> list[int]:
    """Return those of ``among`` that occur in the uint8 label map ``labels (D, H, W)``, in the order of ``among``."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return [label for label in among if counts[label] > 0]


def dice(a: np.ndarray, b: np.ndarray, among: Sequence[int]) -> np.ndarray:
    """Return the Dice coefficient ``2 |A and B| / (|A| + |B|)`` of each label in ``among``.

    ``a``, ``b (D, H, W)`` uint8; returns ``(len(among),)``: 0 where only one map has the label, NaN where none has.
    """
    joint = a.ravel().astype(np.uint16) * np.uint16(256) + b.ravel()
    confusion = np.bincount(joint, minlength=65536).reshape(256, 256)
    size = (confusion.sum(axis=1) + confusion.sum(axis=0))[list(among)].astype(float)
    size[size == 0] = np.nan
    return 2 * confusion.diagonal()[list(among)] / size
