"""Folding and unevenness of a displacement, from its Jacobian determinant."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from smgicnet.registration import fields


def jacobian_metrics(displacement: Tensor, brain: np.ndarray) -> dict[str, float]:
    """Measure folding and unevenness of ``displacement (1, 3, D, H, W)``; ``brain (D, H, W)`` bool.

    ``folds_percent`` of the brain's voxels and ``folds_percent_grid`` of all have ``det(I + Du) <= 0``.
    ``sd_log_jacobian`` is taken over the brain's voxels that are not folded: a folded voxel has no logarithm and is
    left out rather than clipped to an arbitrary small number; ``folds_percent`` counts it. NaN if all are folded.
    """
    determinant = fields.jacobian_determinant(displacement)[0].numpy()
    inside = determinant[brain]
    regular = inside[inside > 0]
    return {
        "folds_percent": 100 * float(np.mean(inside <= 0)),
        "folds_percent_grid": 100 * float(np.mean(determinant <= 0)),
        "sd_log_jacobian": float(np.std(np.log(regular, dtype=float))) if regular.size else float("nan"),
    }
