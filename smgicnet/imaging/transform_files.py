"""Transform files of other programs than images: ITK's text and HDF5, and FLIRT's matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.affines import from_matvec
from scipy.spatial.transform import Rotation

from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import AS_FIELD, LONGEST
from smgicnet.imaging.field_formats import Geometry, fsl_matrix
from smgicnet.imaging.images import Volume
from smgicnet.imaging.itk_affine import LPS, itk_matrix

_KIND = re.compile(r"(\w+?)_(?:double|float)_3_3")
_TEXT = re.compile(r"^\s*(Transform|Parameters|FixedParameters)\s*:(.*)$", re.MULTILINE)
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
SINGULAR = 1e-6  # the smallest determinant of a matrix that is inverted


def read_itk_text(path: Path) -> list[np.ndarray]:
    """Read the linear transforms of ITK's text file (``.txt``, ``.tfm``), ``(4, 4)`` in RAS mm, in points' order.

    Raises `InputError` for a file that holds anything else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(path, f"not an ITK transform ({error})", AS_FIELD) from error
    if not text.startswith("#Insight Transform File"):
        raise InputError(path, "its first line is not that of ITK's transform files", AS_FIELD)
    entries: list[dict[str, str]] = []
    for key, value in _TEXT.findall(text):
        if key == "Transform":
            entries.append({})
        if not entries:
            raise InputError(path, f"{key} stand before any transform in it", AS_FIELD)
        entries[-1][key] = value.strip()
    found = []
    for entry in entries:
        try:
            numbers = [np.array(entry.get(key, "").split(), float) for key in ("Parameters", "FixedParameters")]
        except ValueError as error:
            raise InputError(path, f"its parameters are not numbers ({error})", AS_FIELD) from error
        if not entry["Transform"].startswith("CompositeTransform"):
            found.append(_linear(path, entry["Transform"], *numbers))
    if not found:
        raise InputError(path, "it holds no transform", AS_FIELD)
    return found[::-1]  # a composite's last transform moves points first


def read_itk_composite(path: Path) -> list[np.ndarray | Volume]:
    """Read ITK's composite transform (``.h5``, ``.hdf5``), in points' order.

    Each is a matrix ``(4, 4)`` in RAS mm, or a displacement field ``(X, Y, Z, 3)`` in RAS mm. Raises `InputError` for
    another file, and for transforms of other kinds.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            groups = file["TransformGroup"]
            entries = [_h5_entry(groups[key]) for key in sorted(groups, key=int)]
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(path, f"not an ITK composite transform ({error})", AS_FIELD) from error
    found: list[np.ndarray | Volume] = []
    for kind, parameters, fixed in entries:
        if kind.startswith("CompositeTransform"):
            continue
        if kind.startswith("DisplacementFieldTransform"):
            found.append(_field(path, parameters, fixed))
        else:
            found.append(_linear(path, kind, parameters, fixed))
    if not found:
        raise InputError(path, "it holds no transform", AS_FIELD)
    return found[::-1]


def _h5_entry(group: Mapping[str, Any]) -> tuple[str, np.ndarray, np.ndarray]:
    """Return a transform's kind, parameters and fixed parameters; ITK 4 wrote "Tranform" in their names."""
    kind = group["TransformType"][0].decode()
    empty = np.empty(0)
    values = [
        next((np.asarray(group[name]) for name in (f"Transform{of}", f"Tranform{of}") if name in group), empty)
        for of in ("Parameters", "FixedParameters")
    ]
    return kind, values[0], values[1]


def _linear(path: Path, name: str, parameters: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Return a linear transform of ITK's as a matrix in RAS mm."""
    parameters, fixed = parameters.astype(float), fixed.astype(float)
    centre = fixed[:3] if fixed.size >= 3 else np.zeros(3)
    kind = _KIND.fullmatch(name.strip())
    rows = _ROWS[kind[1]](parameters, fixed) if kind and kind[1] in _ROWS else None
    if rows is None:
        raise InputError(path, f"it holds a {name}, with {parameters.size} parameters", AS_FIELD)
    return usable(path, LPS @ itk_matrix(rows, centre) @ LPS)


def usable(path: Path, matrix: np.ndarray) -> np.ndarray:
    """Return a matrix ``(4, 4)``, or raise `InputError` where it is not finite and invertible."""
    finite = np.isfinite(matrix).all() and np.abs(matrix).max() < LONGEST
    if not finite or abs(np.linalg.det(matrix[:3, :3])) < SINGULAR:
        raise InputError(path, "its matrix is not finite and invertible", "Register the pair again")
    return matrix


def _affine(parameters: np.ndarray, _: np.ndarray) -> np.ndarray | None:
    return parameters if parameters.size == 12 else None


def _euler(parameters: np.ndarray, fixed: np.ndarray) -> np.ndarray | None:
    if parameters.size != 6:
        return None
    x, y, z = parameters[:3]
    as_zyx = fixed.size > 3 and fixed[3] != 0
    turn = Rotation.from_euler("ZYX", [z, y, x]) if as_zyx else Rotation.from_euler("ZXY", [z, x, y])
    return np.concatenate([turn.as_matrix().ravel(), parameters[3:]])


def _versor(parameters: np.ndarray, _: np.ndarray) -> np.ndarray | None:
    if parameters.size not in (6, 7) or np.linalg.norm(parameters[:3]) > 1:
        return None
    real = np.sqrt(1 - (parameters[:3] ** 2).sum())
    turn = Rotation.from_quat([*parameters[:3], real]).as_matrix() * (parameters[6] if parameters.size == 7 else 1)
    return np.concatenate([turn.ravel(), parameters[3:6]])


def _translation(parameters: np.ndarray, _: np.ndarray) -> np.ndarray | None:
    return np.concatenate([np.eye(3).ravel(), parameters]) if parameters.size == 3 else None


def _identity(*_: np.ndarray) -> np.ndarray:
    return np.concatenate([np.eye(3).ravel(), np.zeros(3)])


_ROWS: dict[
    str, Callable[[np.ndarray, np.ndarray], np.ndarray | None]
] = {  # the twelve parameters of an affine transform that does the same
    "AffineTransform": _affine,
    "MatrixOffsetTransformBase": _affine,
    "Euler3DTransform": _euler,
    "VersorRigid3DTransform": _versor,
    "Similarity3DTransform": _versor,
    "TranslationTransform": _translation,
    "IdentityTransform": _identity,
}


def _field(path: Path, parameters: np.ndarray, fixed: np.ndarray) -> Volume:
    """Return ITK's displacement field; its fixed parameters are size, origin, spacing and direction, in LPS."""
    shape = tuple(fixed[:3].astype(int)) if fixed.size == 18 else ()
    if not shape or min(shape) < 1 or parameters.size != 3 * np.prod(shape):
        problem = f"its field has {parameters.size} parameters and {fixed.size} fixed ones"
        raise InputError(path, problem, "Write it again")
    data = parameters.reshape(*shape[::-1], 3).transpose(2, 1, 0, 3) * np.array([-1, -1, 1])
    place = from_matvec(fixed[9:].reshape(3, 3) * fixed[6:9], fixed[3:6])
    return usable_field(path, data, LPS @ place)


def usable_field(path: Path, data: np.ndarray, affine: np.ndarray) -> Volume:
    """Return displacements ``(X, Y, Z, 3)`` in RAS mm, float32, or raise `InputError` for values that are none."""
    if not np.isfinite(data).all() or np.abs(data).max() > LONGEST:
        raise InputError(path, "it holds values that are not finite, or no displacement's", "Make the field again")
    return Volume(data.astype(np.float32), usable(path, affine))


def is_flirt(path: Path) -> bool:
    """Return whether a file is a matrix of four rows in text, as FLIRT's is."""
    return _rows_of(path) is not None


def read_flirt(path: Path, fixed: Geometry, moving: Geometry) -> np.ndarray:
    """Read FLIRT's matrix from the moving (``-in``) to the fixed image (``-ref``).

    Returns the matrix ``(4, 4)`` from the fixed to the moving world, RAS mm, by which images are pulled. Raises
    `InputError` for another file, and where FSL and the images' affines disagree, see `fsl_matrix`.
    """
    matrix = _rows_of(path)
    if matrix is None:
        raise InputError(path, "it is not FLIRT's matrix", "Give the file of FLIRT's -omat")
    to_fsl = fsl_matrix(fixed) @ np.linalg.inv(fixed.affine)
    return moving.affine @ np.linalg.inv(fsl_matrix(moving)) @ np.linalg.inv(usable(path, matrix)) @ to_fsl


def _rows_of(path: Path) -> np.ndarray | None:
    try:
        rows = [numbers_of(line) for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except (OSError, ValueError):
        return None
    whole = [len(row) for row in rows] == [4] * 4 and rows[3] == [0, 0, 0, 1]
    return np.array(rows) if whole else None


def numbers_of(text: str) -> list[float]:
    """Return the numbers of a line of nothing else."""
    words = text.split()
    return [float(word) for word in words] if all(re.fullmatch(_NUMBER, word) for word in words) else []
