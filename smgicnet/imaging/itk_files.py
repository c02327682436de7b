"""Transforms as ITK's files, for ANTs and all others that read them: an affine map, and a composite with a field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from smgicnet.core.files import atomic_path
from smgicnet.imaging.images import Volume
from smgicnet.imaging.itk_affine import LPS

COMPRESSION = 1  # of gzip's levels up to 9
CHUNK = 1 << 20  # parameters that are compressed at a time


def write_itk_affine(path: Path, matrix: np.ndarray) -> None:
    """Write a matrix ``(4, 4)`` from RAS mm to RAS mm as ANTs' ``0GenericAffine.mat`` is."""
    with atomic_path(path) as part, open(part, "wb") as file:
        parameters = {"AffineTransform_double_3_3": _parameters(matrix)[:, None], "fixed": np.zeros((3, 1))}
        savemat(file, parameters, format="4")


def write_itk_composite(path: Path, displacement: Volume, matrix: np.ndarray | None) -> None:
    """Write a map as ITK's composite transform (``.h5``): a displacement field, and an affine map after it.

    Parameters
    ----------
    displacement : of the whole map, ``(X, Y, Z, 3)`` in RAS mm, on the fixed image's grid
    matrix : ``(4, 4)``, RAS mm, the map's affine part, which goes on beyond the grid; None for a map without one
    """
    import h5py
    from isal import isal_zlib

    vectors = _vectors(displacement, np.eye(4) if matrix is None else matrix)
    parts = [] if matrix is None else [("AffineTransform_float_3_3", _parameters(matrix), np.zeros(3))]
    spacing = displacement.spacing
    place = LPS @ displacement.affine
    fixed = [displacement.data.shape[:3], place[:3, 3], spacing, (place[:3, :3] / spacing).ravel()]
    parts.append(("DisplacementFieldTransform_float_3_3", vectors.reshape(-1), np.concatenate(fixed)))
    with atomic_path(path) as part, h5py.File(part, "w") as file:
        text = h5py.string_dtype("ascii")  # of variable length, as ITK reads it
        groups = file.create_group("TransformGroup")
        groups.create_dataset("0/TransformType", data=["CompositeTransform_float_3_3"], dtype=text)
        for number, (kind, parameters, place_of) in enumerate(parts, start=1):
            group = groups.create_group(str(number))
            group.create_dataset("TransformType", data=[kind], dtype=text)
            group["TransformFixedParameters"] = np.asarray(place_of, np.float64)
            values = np.ascontiguousarray(parameters, np.float32)
            chunk = min(len(values), CHUNK)
            packed = group.create_dataset(
                "TransformParameters", values.shape, np.float32, chunks=(chunk,), compression=COMPRESSION
            )
            for first in range(0, len(values), chunk):  # in a tenth of the time that HDF5's own zlib takes
                whole = np.zeros(chunk, np.float32)
                part_of = values[first : first + chunk]
                whole[: len(part_of)] = part_of
                packed.id.write_direct_chunk((first,), isal_zlib.compress(whole.tobytes(), COMPRESSION))


def _vectors(displacement: Volume, matrix: np.ndarray) -> np.ndarray:
    """Return the vectors ``(Z, Y, X, 3)``, LPS mm, after which ``matrix (4, 4)``, in RAS mm, gives the whole map."""
    back = np.linalg.inv(matrix)
    turned, straight = LPS @ back, LPS @ (back - np.eye(4)) @ displacement.affine
    moves = displacement.data.T  # the components at the voxels (z, y, x)
    along = [np.arange(n) for n in displacement.data.shape[:3]]
    found = np.empty((*moves.shape[1:], 3), np.float32)
    for number, plane in enumerate(found):
        for row, line in enumerate(straight[:3]):
            start = line[3] + line[2] * number + line[1] * along[1][:, None] + line[0] * along[0]
            plane[..., row] = start + sum(turned[row, axis] * moves[axis, number] for axis in range(3))
    return found


def _parameters(matrix: np.ndarray) -> np.ndarray:
    """Return ITK's twelve parameters of a matrix ``(4, 4)`` in RAS mm, whose centre is the origin."""
    found = LPS @ matrix @ LPS
    return np.concatenate([found[:3, :3].ravel(), found[:3, 3]])
