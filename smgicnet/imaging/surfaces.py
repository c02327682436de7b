"""Surfaces in GIfTI files, of which the points are read and moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path

_CENTRES = ("VolGeomC_R", "VolGeomC_A", "VolGeomC_S")  # FreeSurfer's note of where a surface's own coordinates lie


def read_surface(path: Path) -> np.ndarray:
    """Read the points ``(N, 3)`` of a surface, in scanner RAS mm.

    Raises `InputError` for a file without exactly one set of points, and for one in FreeSurfer's own coordinates, which
    are not those of the scan.
    """
    points = _points(path, _load(path))
    found = np.asarray(points.data, dtype=np.float64)
    if found.ndim != 2 or found.shape[1] != 3 or not np.isfinite(found).all():
        raise InputError(path, f"its points are not N x 3 finite numbers, but {found.shape}", "Write the surface again")
    if any(float(points.meta.get(key, 0) or 0) for key in _CENTRES):
        problem = "its points are in FreeSurfer's own coordinates and not in those of the scan"
        raise InputError(path, problem, "Convert it: `mris_convert --to-scanner IN OUT.surf.gii`")
    return found


def write_surface(source: Path, points: np.ndarray, out: Path) -> None:
    """Write the surface of ``source`` with other ``points (N, 3)`` in RAS mm."""
    image = _load(source)
    _points(source, image).data = points.astype(np.float32)
    with atomic_path(out) as part:
        image.to_filename(part)


def _load(path: Path) -> Any:
    from nibabel.gifti.gifti import GiftiImage

    try:
        return GiftiImage.from_filename(path)
    except Exception as error:  # nibabel and expat each raise their own for a damaged file
        raise InputError(path, f"not a readable GIfTI file ({error})", "Write the surface again") from error


def _points(path: Path, image: Any) -> Any:
    found = image.get_arrays_from_intent("NIFTI_INTENT_POINTSET")
    if len(found) != 1:
        raise InputError(path, f"a surface has one set of points, this file {len(found)}", "Give a .surf.gii")
    return found[0]
