"""Displacement fields, which are in voxels inside the package and in millimetres in files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from smgicnet.core.errors import InputError
from smgicnet.imaging.headers import OpenedImage, open_image, read_voxels
from smgicnet.imaging.images import Volume, write_volume
from smgicnet.imaging.placement import unplaced

log = logging.getLogger(__name__)
_LPS = np.array([-1, -1, 1], dtype=np.float32)
_MEANINGS = {1006: "ras", 1007: "lps"}  # NIfTI's intents of ITK's fields, and the world of their components
ENDINGS = (".nii.gz", ".nii")
ON_VOXELS = 1e-6  # of a voxel: a place so near its centre is there, and has its displacement
LONGEST = 1e6  # mm, the largest displacement or coordinate that is accepted
AS_FIELD = "Make a field of it: `antsApplyTransforms -d 3 -r FIXED -t THIS -o [field.nii.gz,1]`"
AS_REMEDY = (
    "Say which they are: --as ras (RAS mm: NiftyReg, older SynthMorph), lps (LPS mm: ITK), fsl-rel or fsl-abs (FSL's "
    "mm), or voxels (Learn2Reg); a wrong one gives a wrong result without a word"
)


def voxel_grid(shape: tuple[int, ...]) -> np.ndarray:
    """Return the voxel indices ``(X, Y, Z, 3)`` of a grid."""
    return grid_points(shape, np.eye(4))


def grid_points(shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Return the world coordinates ``(X, Y, Z, 3)`` in mm of the voxels of a grid."""
    points = np.empty((*shape, 3))
    points[:] = affine[:3, 3]
    for axis, along in enumerate(np.ogrid[tuple(map(slice, shape))]):
        points += along[..., None] * affine[:3, axis]
    return points


def apply_field(field: Volume, points: np.ndarray) -> np.ndarray:
    """Return ``x + d(x)`` at world points.

    ``field.data (X, Y, Z, 3)`` are displacements in RAS mm. Between voxels they are interpolated linearly, and beyond
    the border its value holds. ``points`` and the result are ``(..., 3)`` in RAS mm.
    """
    index = np.moveaxis(apply_affine(np.linalg.inv(field.affine), points), -1, 0)
    voxels = np.rint(index)
    if index.size and np.abs(index - voxels).max() < ON_VOXELS:
        size = np.array(field.data.shape[:3]).reshape(3, *[1] * (index.ndim - 1))
        return points + field.data[tuple(np.clip(voxels, 0, size - 1).astype(np.intp))]
    moved = [
        ndimage.map_coordinates(field.data[..., axis], index, output=np.float64, order=1, mode="nearest")
        for axis in range(3)
    ]
    return points + np.stack(moved, axis=-1)


def to_world(
    displacement: np.ndarray, fixed: np.ndarray, moving: np.ndarray, target: Volume | None = None
) -> np.ndarray:
    """Return a voxel displacement between two common grids as a displacement in RAS mm.

    Parameters
    ----------
    displacement : ``(3, D, H, W)`` in voxels
    fixed, moving : affines of the two subjects' common grids
    target : a volume on whose voxels the result lies, of which the data is not read; by default the fixed common grid.
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
    """Invert `to_world` on the common grid, from ``(X, Y, Z, 3)`` in RAS mm to ``(3, D, H, W)`` in voxels."""
    points = voxel_grid(displacement.shape[:3])
    target = apply_affine(np.linalg.inv(moving), apply_affine(fixed, points) + displacement)
    return np.moveaxis(target - points, -1, 0).astype(np.float32)


def sample(volume: Volume, world: np.ndarray, *, fill: float = 0) -> np.ndarray:
    """Interpolate ``volume`` linearly at world points ``(X, Y, Z, 3)`` in RAS mm; beyond it is ``fill``.

    A voxel reaches half a voxel out from its centre, at the border of the volume as well, as in ITK.
    """
    index = np.moveaxis(apply_affine(np.linalg.inv(volume.affine), world), -1, 0)
    values = ndimage.map_coordinates(volume.data, index, order=1, mode="nearest")
    size = np.reshape(volume.data.shape, (3, *(1,) * (index.ndim - 1)))
    values[((index < -0.5) | (index >= size - 0.5)).any(axis=0)] = fill
    return values


def write_itk(path: str | Path, displacement: np.ndarray, affine: np.ndarray, *, fast: bool = False) -> None:
    """Write ``(X, Y, Z, 3)`` RAS mm as ITK and ANTs read it: ``(X, Y, Z, 1, 3)``, LPS mm, intent vector.

    ``fast`` is that of `write_volume`.
    """
    vectors = (displacement * _LPS).astype(np.float32, copy=False)[:, :, :, None]
    write_volume(path, vectors, affine, intent="vector", fast=fast)


def read_itk(source: str | Path | OpenedImage, meaning: str | None = None) -> Volume:
    """Read an ITK displacement field; ``data (X, Y, Z, 3)`` in RAS mm.

    The NIfTI intent says in which world its components are, as for ITK 5.3, ANTs and SimpleITK: vectors (1007) are in
    LPS, displacement vectors (1006) in RAS. ``meaning`` is ``"lps"`` or ``"ras"`` where the header does not say or is
    known to be wrong. Raises `InputError` for another layout or intent, and as `read_vectors` does.
    """
    field, intent, opened = read_vectors(source)
    path = opened.path
    shape = field.data.shape
    if len(shape) == 4 and shape[3] == 3 and meaning is None and intent != 2006:
        raise InputError(
            path,
            f"a field of shape {shape} and intent {intent} does not say what its components are",
            AS_REMEDY,
        )
    if shape[3:] != (1, 3) and (meaning is None or shape[3:] != (3,)):
        raise InputError(
            path,
            f"an ITK field has shape (X, Y, Z, 1, 3), this one {shape}",
            "Give a displacement field as ANTs writes it, or name the tool that it is from",
        )
    if meaning is None and intent not in _MEANINGS:
        raise InputError(
            path,
            f"an ITK field has the NIfTI intent 1007 (vector, LPS) or 1006 (displacement, RAS), this one {intent}",
            AS_REMEDY,
        )
    told = _MEANINGS.get(intent)
    if meaning and told and told != meaning and len(shape) == 5:
        log.warning(
            "%s: its intent %d stands for %s, and it is read as %s", path, intent, told.upper(), meaning.upper()
        )
    data = field.data.reshape(*shape[:3], 3)
    return Volume(data * _LPS if (meaning or told) == "lps" else data, field.affine)


def read_vectors(source: str | Path | OpenedImage, *, anywhere: bool = False) -> tuple[Volume, int, OpenedImage]:
    """Read the array of a vector file as it is, in float32, its NIfTI intent code (0 for none), and its header.

    ``source`` is the file, or its header as `open_image` gives it. ``anywhere`` says whether a header may leave open
    where the field lies. Raises `InputError` for a file that is missing, damaged, no NIfTI, or contradicts itself, and
    for values that are not finite or beyond `LONGEST`.
    """
    path = source.path if isinstance(source, OpenedImage) else Path(source)
    if not str(path).endswith(ENDINGS):
        raise InputError(path, "a field is read from NIfTI (.nii.gz or .nii)", AS_FIELD)
    opened = source if isinstance(source, OpenedImage) else open_image(path, anywhere=anywhere)
    if not (anywhere or opened.placed):
        raise unplaced(path)
    with np.errstate(over="ignore"):
        data = read_voxels(opened).astype(np.float32, copy=False)
    if not np.isfinite(data).all():
        raise InputError(
            path, "it holds NaN or infinite values", "Make the field again: no displacement is known there"
        )
    if (largest := float(np.abs(data).max())) > LONGEST:
        raise InputError(path, f"it holds values of up to {largest:.3g}, no displacement is as long", "Make it again")
    return Volume(data, opened.affine), opened.intent, opened
