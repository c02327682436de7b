"""Affines from voxel index to world: the distance between two of them, rotations, and axes at right angles."""

from __future__ import annotations

from itertools import product

import numpy as np

_ROUNDING = 0.01  # by which rounding may make the square of a quaternion's length longer than 1
TOLERANCE = 0.1  # by which a sform and a qform may differ, in edges of the smallest voxel


def rotation_of(bcd: np.ndarray) -> np.ndarray:
    """Return the rotation matrix of NIfTI's quaternion ``(b, c, d)``, whose ``a`` makes its length 1.

    A length that rounding has brought to 1 or beyond is brought back to 1, with ``a`` = 0, as ``nifti1_io.c`` does.
    A longer one is damage, which programs read differently, and its matrix is NaN.
    """
    square = 1 - float(np.square(bcd).sum()) if np.abs(bcd).max() < 2 else np.nan
    if not square > -_ROUNDING:
        return np.full((3, 3), np.nan)
    a = 0.0
    if square < 1e-7:
        bcd = bcd / np.linalg.norm(bcd)
    else:
        a = np.sqrt(square)
    b, c, d = bcd
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    )


def apart(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Return the largest distance, in mm, between the places that two affines give a voxel, a corner of the grid."""
    sizes = (*shape[:3], 1, 1, 1)[:3]
    corners = np.array([(*corner, 1) for corner in product(*((0, n - 1) for n in sizes))], dtype=np.float64)
    return float(np.linalg.norm(corners @ (first - second)[:3].T, axis=1).max())


def agree(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Return whether two affines put no voxel of a grid more than `TOLERANCE` of its smallest edge apart."""
    edges = np.linalg.norm(first[:3, :3], axis=0)
    return apart(first, second, shape) <= TOLERANCE * float(edges.min())


def shear_free(affine: np.ndarray) -> np.ndarray:
    """Return the affine nearest to ``affine (4, 4)`` whose axes are at right angles, with its voxel sizes and origin.

    ITK reads no other ones, and a qform can hold no other ones. An affine that is one already is returned as it is.
    """
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    cosines = affine[:3, :3] / sizes
    if np.abs(cosines.T @ cosines - np.eye(3)).max() < 2e-5:
        return affine
    left, _, right = np.linalg.svd(cosines)
    result = affine.copy()
    result[:3, :3] = left @ right * sizes
    return result


def writable_grid(shape: tuple[int, int, int], affine: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return the grid on which results for an image are written, its own unless its axes are sheared.

    A sheared image gets a grid at right angles of the same voxel sizes that covers it, so that ITK can read them.
    """
    straight = shear_free(affine)
    if straight is affine or agree(affine, straight, shape):
        return shape, straight
    corners = np.array([(*corner, 1.0) for corner in product(*((-0.5, n - 0.5) for n in shape))])
    index = corners @ (np.linalg.inv(straight) @ affine).T
    low, high = index[:, :3].min(axis=0), index[:, :3].max(axis=0)
    covering = straight.copy()
    covering[:3, 3] = (straight @ [*(low + 0.5), 1])[:3]
    size_0, size_1, size_2 = (int(n) for n in np.ceil(high - low - 1e-6))
    return (size_0, size_1, size_2), covering
