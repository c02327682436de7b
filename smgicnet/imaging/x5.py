"""NiTransforms' X5 files (HDF5; the draft of BIDS' X5 as nitransforms 25.1 writes it), which are read here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import AS_FIELD, grid_points
from smgicnet.imaging.images import Volume
from smgicnet.imaging.transform_files import usable, usable_field


def read_x5(path: Path) -> list[np.ndarray | Volume]:
    """Read the transforms of an X5 file in points' order, as its first chain has them, or its only one.

    Each is a matrix ``(4, 4)`` in RAS mm, or a displacement field ``(X, Y, Z, 3)`` in RAS mm. Raises `InputError` for
    another file, for splines and series of matrices, and for several transforms without a chain.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("Format") != "X5":
                raise ValueError("its format is not X5")
            groups = file["TransformGroup"]
            names = _chain(path, file, sorted(groups, key=int))
            return [_transform(path, groups[name]) for name in names]
    except (OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"not an X5 file ({error})", AS_FIELD) from error


def _chain(path: Path, file: Mapping[str, Any], names: list[str]) -> list[str]:
    """Return the names of the transforms in points' order."""
    if "TransformChain" in file:
        chain = file["TransformChain"]["0"][()]
        return str(chain.decode() if isinstance(chain, bytes) else chain).strip("/").split("/")
    if len(names) != 1:
        raise InputError(path, f"it holds {len(names)} transforms and no chain of them", "Write a chain of them")
    return names


def _transform(path: Path, group: Any) -> np.ndarray | Volume:
    kind = group.attrs["Type"], group.attrs.get("SubType"), int(group.attrs.get("ArrayLength", 1))
    data = np.asarray(group["Transform"])
    if kind[0] == "linear" and kind[2] == 1 and data.size == 16:
        return usable(path, data.reshape(4, 4).astype(float))
    if kind[0] != "nonlinear" or kind[1] != "densefield" or data.ndim != 4 or data.shape[3] != 3:
        told = " ".join(str(one) for one in kind[:2] if one)
        raise InputError(path, f"it holds a {told} transform of shape {data.shape}", AS_FIELD)
    affine = np.asarray(group["Domain/Mapping"], dtype=float)
    if group.attrs.get("Representation") == "deformations":  # the places themselves
        data = data - grid_points(data.shape[:3], affine)
    return usable_field(path, data, affine)
