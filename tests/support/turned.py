"""A lopsided ball of tissue that no rotation and no reflection brings onto itself, in any pose."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

SIZE = 48
_SPOTS = np.array([[0.55, 0.1, 0.0], [-0.3, 0.5, 0.1], [0.1, -0.45, 0.4], [-0.1, 0.1, -0.6], [0.3, 0.3, 0.35]])
_HEIGHTS = np.array([1.0, 0.8, -0.9, 0.7, -0.6])
_RADII = np.array([0.7, 0.55, 0.45])  # of the ellipsoid, in half-widths of the grid


def head(matrix=None, *, shape=(SIZE,) * 3, cut=None):
    """An image ``(1, 1, D, H, W)`` of it: ``image(x) = object(A x)`` for a map of voxels ``matrix (4, 4)``.

    ``cut`` leaves so many of the first slices of the last axis empty.
    """
    voxels = np.indices(shape).reshape(3, -1)
    if matrix is not None:
        voxels = matrix[:3, :3] @ voxels + matrix[:3, 3:]
    points = (voxels.T - (np.array(shape) - 1) / 2) / (SIZE / 2)
    inside = 1 / (1 + np.exp(-30 * (1 - np.linalg.norm(points / _RADII, axis=1))))
    spots = np.exp(-((points[:, None] / _RADII - _SPOTS) ** 2).sum(2) / 0.08) @ _HEIGHTS
    image = torch.from_numpy(np.clip(inside * (0.5 + 0.5 * spots), 0, 1).reshape(shape)).float()[None, None]
    if cut:
        image[..., :cut] = 0
    return image


def affine(degrees, axis=(1, 2, 3), *, scale=(1, 1, 1), shift=(0, 0, 0)):
    """A map of voxels ``(4, 4)``: a turn about the grid's centre, after a scaling of the axes, and a shift."""
    direction = np.array(axis) / np.linalg.norm(axis)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.radians(degrees) * direction).as_matrix() @ np.diag(scale)
    centre = np.full(3, (SIZE - 1) / 2)
    matrix[:3, 3] = centre - matrix[:3, :3] @ centre + np.array(shift)
    return matrix


def farthest(found, expected):
    """The largest distance, in voxels, between two maps of voxels ``(4, 4)`` over the object's box."""
    box = np.stack(np.meshgrid(*[(8.0, 40.0)] * 3), -1).reshape(-1, 3)
    points = np.concatenate([box, np.ones((8, 1))], axis=1)
    return float(np.linalg.norm(points @ (np.asarray(found) - np.asarray(expected))[:3].T, axis=1).max())
