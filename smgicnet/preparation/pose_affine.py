"""The global map that SM-GICNet's first level finds, as the affine alignment of a pair for every other method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from smgicnet.core.errors import InputError
from smgicnet.imaging.images import read_image
from smgicnet.preparation.alignments import world_matrix
from smgicnet.registration.pose import ROTATIONS, find_pose


def align_by_pose(fixed: Path, moving: Path, degrees: float, folder: Path) -> np.ndarray:
    """Align two image files on grids of one shape, after a search over all rotations whatever ``degrees`` says.

    Returns the matrix of `preparation.affine`'s convention; nothing is written to ``folder``. Raises `InputError` where
    an image is empty or the two grids differ in shape.
    """
    volumes = [read_image(path) for path in (fixed, moving)]
    if volumes[0].data.shape != volumes[1].data.shape:
        problem = f"its grid has the shape {volumes[1].data.shape}, that of {fixed} {volumes[0].data.shape}"
        raise InputError(moving, problem, "Prepare both on one common grid")
    target, source = (torch.from_numpy(np.ascontiguousarray(one.data, np.float32))[None, None] for one in volumes)
    torch.set_num_threads(1)
    with torch.no_grad():
        matrix = find_pose(target, source, ROTATIONS).matrix.numpy()
    return world_matrix(matrix, *(one.affine for one in volumes))
