"""Places of an image that are left out of a registration, as lesions and cavities are (cost-function masking)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.foreground import bounding_box
from smgicnet.imaging.images import Scan, on_grid_of, read_labels

SIGMAS = (1.0, 2.0, 4.0, 8.0, 16.0)  # voxels, of the Gaussians by which a hole is filled from around it
ENOUGH = 0.05  # the share of a Gaussian's weight that known voxels need to have
MOST = 0.5  # of the brain that may be left out; a mask of more is one of what counts


def read_left_out(path: str | Path, brain: Scan, form: str | None = None) -> np.ndarray:
    """Read the mask ``(X, Y, Z)`` of what is left out of an image, whose brain alone is ``brain``.

    Raises `InputError` for a mask that is empty, on another grid, or covers nothing or most of the brain.
    """
    labels = read_labels(path, form)
    mask: np.ndarray = on_grid_of(brain.volume, labels, brain.path, path).data > 0
    if not mask.any():
        raise InputError(path, "the mask is empty", "Give a mask of what is left out, or leave the option out")
    share = float(mask[brain.brain].mean())
    if not share:
        raise InputError(path, f"it covers nothing of the brain in {brain.path}", "Check that it is of that image")
    if share > MOST:
        problem = f"it covers {100 * share:.0f} % of the brain, and what it covers is left out"
        raise InputError(path, problem, "Give a mask of the lesion, 1 where the image does not count")
    return mask


def filled(data: np.ndarray, brain: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Return an image ``(X, Y, Z)`` whose ``hole`` has the intensities of the ``brain`` around it.

    They are means by ever wider Gaussians, so that no edge is left that would pull. SciPy is imported here, as in
    `smgicnet.imaging.foreground`.
    """
    from scipy import ndimage

    margin = int(3 * SIGMAS[-1])
    box = tuple(slice(max(low - margin, 0), high + margin + 1) for low, high in bounding_box(hole))
    known, missing = (brain & ~hole)[box], hole[box]
    values = np.where(known, data[box], 0).astype(np.float32)
    found = np.full(missing.shape, float(data[brain & ~hole].mean()), np.float32)
    left = missing.copy()
    for sigma in SIGMAS:
        weight = ndimage.gaussian_filter(known.astype(np.float32), sigma)
        near = left & (weight > ENOUGH)
        found[near] = ndimage.gaussian_filter(values, sigma)[near] / weight[near]
        left &= ~near
    result = data.copy()
    result[box][missing] = found[missing]
    return result
