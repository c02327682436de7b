"""Displacement fields between voxels inside and millimetres in files."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from smgicnet.errors import InputError
from smgicnet.images import Volume, load_field, write_volume

_LPS = np.array([-1, -1, 1], dtype=np.float32)
_VECTORS = (1006, 1007)  # NIfTI's intents of what ITK reads as vectors; it writes the second


def voxel_grid(shape: tuple[int, ...]) -> np.ndarray:
    """``(X, Y, Z, 3)`` voxel indices."""
    return np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(np.float64)


def grid_points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """World coordinates ``(X, Y, Z, 3)`` in mm of the voxels of a grid."""
    return apply_affine(affine, voxel_grid(shape))


def apply_field(field: Volume, points: np.ndarray) -> np.ndarray:
    """``x + d(x)`` at world points.

    ``field.data (X, Y, Z, 3)`` are displacements in RAS mm, linear between voxels, the border's value beyond;
    ``points (..., 3)`` in RAS mm.
    """
    index = np.moveaxis(apply_affine(np.linalg.inv(field.affine), points), -1, 0)
    moved = [
        ndimage.map_coordinates(field.data[..., axis], index, output=np.float64, order=1, mode="nearest")
        for axis in range(3)
    ]
    return points + np.stack(moved, axis=-1)


def to_world(
    displacement: np.ndarray, fixed: np.ndarray, moving: np.ndarray, target: Volume | None = None
) -> np.ndarray:
    """A voxel displacement between two common grids as a displacement in RAS mm.

    Parameters
    ----------
    displacement : ``(3, D, H, W)`` in voxels
    fixed, moving : affines of the two subjects' common grids
    target : a volume whose voxels the result lies on (its data is not read); the fixed common grid by default.
        Beyond the common grid the border's displacement holds.

    Returns ``(X, Y, Z, 3)``: a point ``p`` in mm of the fixed image goes to ``p + d(p)`` in the moving image.
    """
    if target is None:
        points = voxel_grid(displacement.shape[1:])
        world = apply_affine(fixed, points)
        u = np.moveaxis(displacement, 0, -1)
    else:
        world = grid_points(target.data.shape[:3], target.affine)
        points = apply_affine(np.linalg.inv(fixed), world)
        coordinates = np.moveaxis(points, -1, 0)
        u = np.stack([ndimage.map_coordinates(c, coordinates, order=1, mode="nearest") for c in displacement], axis=-1)
    return (apply_affine(moving, points + u) - world).astype(np.float32)


def to_voxels(displacement: np.ndarray, fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """The inverse of `to_world` on the common grid: ``(X, Y, Z, 3)`` RAS mm to ``(3, D, H, W)`` voxels."""
    points = voxel_grid(displacement.shape[:3])
    target = apply_affine(np.linalg.inv(moving), apply_affine(fixed, points) + displacement)
    return np.moveaxis(target - points, -1, 0).astype(np.float32)


def sample(volume: Volume, world: np.ndarray, *, fill: float = 0) -> np.ndarray:
    """``volume`` at world points ``(X, Y, Z, 3)`` in RAS mm, linear; ``fill`` beyond it."""
    coordinates = np.moveaxis(apply_affine(np.linalg.inv(volume.affine), world), -1, 0)
    return ndimage.map_coordinates(volume.data, coordinates, order=1, mode="constant", cval=fill)


def write_itk(path: str | Path, displacement: np.ndarray, affine: np.ndarray) -> None:
    """Write ``(X, Y, Z, 3)`` RAS mm as ITK and ANTs read it: ``(X, Y, Z, 1, 3)``, LPS mm, intent vector."""
    write_volume(path, (displacement * _LPS).astype(np.float32)[:, :, :, None], affine, intent="vector")


def read_itk(path: str | Path) -> Volume:
    """Read an ITK displacement field; ``data (X, Y, Z, 3)`` in RAS mm.

    Raises `InputError` for another layout or intent, and as `read_vectors` does.
    """
    field, intent = read_vectors(path)
    shape = field.data.shape
    if len(shape) != 5 or shape[3:] != (1, 3):
        raise InputError(
            path,
            f"an ITK field has shape (X, Y, Z, 1, 3), this one {shape}",
            "Give a displacement field as ANTs writes it, or name the tool that it is from",
        )
    if intent not in _VECTORS:
        raise InputError(
            path,
            f"an ITK field has the NIfTI intent 1007 (vector), this one {intent}",
            "Give a displacement field as ANTs writes it, or set the intent where it is one",
        )
    return Volume(field.data[:, :, :, 0] * _LPS, field.affine)


def read_vectors(path: str | Path) -> tuple[Volume, int]:
    """The array of a vector file as it is, float32, and its NIfTI intent code (0: none).

    Raises `InputError` for a file that is missing or damaged, for values or an affine that are not finite.
    """
    field = load_field(path)
    if not np.isfinite(field.affine).all() or abs(np.linalg.det(field.affine[:3, :3])) < 1e-6:
        raise InputError(path, "its affine is not finite and invertible", "Repair the header's sform or qform")
    if not np.isfinite(field.data).all():
        raise InputError(
            path, "it holds NaN or infinite values", "Make the field again: no displacement is known there"
        )
    header = nib.load(path).header
    return field, int(header["intent_code"]) if "intent_code" in header else 0
