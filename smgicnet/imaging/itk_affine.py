"""ITK's affine transforms as matrices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import loadmat

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # from RAS to ITK's world, and back


def itk_matrix(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Return ITK's ``y = M (x - c) + c + t`` as a matrix ``(4, 4)`` in ITK's own world.

    ``parameters (12,)`` are M row by row, then t; ``centre (3,)`` is c, ITK's fixed parameters.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(parameters[:9], (3, 3))
    matrix[:3, 3] = parameters[9:] + centre - matrix[:3, :3] @ centre
    return matrix


def read_itk_affine(path: str | Path) -> np.ndarray:
    """Read a transform file of ITK's that holds one affine transform, as `itk_matrix` returns it."""
    stored = {key: value.ravel() for key, value in loadmat(path).items() if not key.startswith("__")}
    centre = stored.pop("fixed")
    (parameters,) = stored.values()
    return itk_matrix(parameters, centre)
