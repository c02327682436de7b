"""The distance between where a method sends a point with the moving head as it lies and with it changed."""

from __future__ import annotations

import numpy as np
from nibabel.affines import apply_affine
from torch import Tensor

from smgicnet.scoring.changed_rows import POSE_CONSISTENCY
from smgicnet.scoring.pair import ScoredSubject


def pose_distances(
    fixed: ScoredSubject, ends: tuple[ScoredSubject, ScoredSubject], displacements: tuple[Tensor, Tensor]
) -> np.ndarray:
    """Return how far apart two registrations send each voxel of the fixed brain, in mm of the moving world.

    Parameters
    ----------
    ends : the moving subject as it lies, and its changed head; the affine of each, (4, 4), leads from the voxels of its
        own image to the subject's own world, that of the changed head through the map that undoes the change
    displacements : of the registration of each to ``fixed``, ``(1, 3, D, H, W)`` in voxels
    """
    brain = fixed.labels > 0
    voxels = np.argwhere(brain)
    points = [
        apply_affine(end.affine, voxels + displacement[0].detach().cpu().numpy()[:, brain].T)
        for end, displacement in zip(ends, displacements, strict=True)
    ]
    return np.linalg.norm(points[0] - points[1], axis=1)


def pose_consistency(distances: np.ndarray) -> dict[str, float]:
    """Return the metrics of `POSE_CONSISTENCY` for the distances of a pair: their mean and 95th percentile, in mm."""
    return dict(zip(POSE_CONSISTENCY, (float(distances.mean()), float(np.percentile(distances, 95))), strict=True))
