"""The place of an image's voxels in the world, from the forms of its header.

A NIfTI header can hold two places for the same voxels, a sform and a qform, besides the voxel sizes in pixdim. Programs
choose differently among them (nibabel, FSL and FreeSurfer take the sform first, ITK often the qform), so that a file
whose forms differ lies in two places. One rule holds everywhere here (docs/headers.md): forms that put no voxel of the
grid more than a tenth of a voxel apart are one and the same, and others are refused until the user names one.

nibabel is not imported here: Snakemake imports modules that import this one in an environment that lacks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.affine_geometry import agree, apart, rotation_of

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

FORMS = ("sform", "qform")
MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # by NIfTI's code of the unit: unknown, metre, millimetre, micrometre
_FAR = 1e9  # mm, beyond which nothing lies
_UNEVEN = 1e5  # the largest ratio between the edges of a voxel


@dataclass(frozen=True)
class Placement:
    """The place of an image's voxels in the world.

    Attributes
    ----------
    affine : ``(4, 4)``, voxel index to world, RAS mm
    pixdim : ``(3,)``, the voxel sizes that the header states besides the affine, in mm
    placed : whether the header says where the voxels lie
    """

    affine: np.ndarray
    pixdim: np.ndarray
    placed: bool


def nifti_placement(
    path: Path, header: Nifti1Header, shape: tuple[int, ...], form: str | None, *, anywhere: bool
) -> Placement:
    """Return the place that a NIfTI header stands for; ``form`` and ``anywhere`` are those of `open_image`.

    Raises `InputError` for a header that contradicts itself or says nothing of where the image lies.
    """
    scale = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    placed = bool(form or header["sform_code"] > 0 or header["qform_code"] > 0)
    with np.errstate(over="ignore"):  # sizes that no voxel has overflow, and `_agreed` refuses them
        if anywhere and not placed:
            affine = np.diag([*pixdim, 1.0])
        elif form:
            affine = _invertible(path, _matrix(header, form, pixdim, scale))
        else:
            counting = [name for name in FORMS if header[f"{name}_code"] > 0]
            found = {name: _matrix(header, name, pixdim, scale) for name in counting}
            affine = _agreed(path, found, pixdim, shape)
    return Placement(affine, pixdim, placed)


def own_placement(path: Path, affine: np.ndarray) -> Placement:
    """Return the place by the one affine that a file of another kind has. Raises `InputError` for an unusable one."""
    return Placement(_invertible(path, affine), np.linalg.norm(affine[:3, :3], axis=0), True)


def unplaced(path: Path) -> InputError:
    """Return the error for a header that leaves open where the voxels lie."""
    return InputError(
        path,
        "its header does not say where the image lies, nor which side is left: sform_code and qform_code are 0",
        "Convert it again from its source, or name the form that is right all the same: --header sform or qform "
        "(preprocessing.header in a config)",
    )


def _agreed(path: Path, found: dict[str, np.ndarray], pixdim: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the one affine, ``(4, 4)`` in mm, that the forms ``found`` in a header stand for."""
    if not found:
        raise unplaced(path)
    matrices = [_invertible(path, matrix) for matrix in found.values()]
    if len(matrices) == 1:
        name = next(iter(found))
        sizes = np.linalg.norm(matrices[0][:3, :3], axis=0)
        rescaled = matrices[0].copy()
        rescaled[:3, :3] *= pixdim / sizes
        if not agree(matrices[0], rescaled, shape):
            raise InputError(
                path,
                f"its header contradicts itself: the {name} has voxels of {_numbers(sizes)} mm, "
                f"pixdim says {_numbers(pixdim)} mm",
                f"Mend the header, or take the {name}: --header {name} (preprocessing.header in a config)",
            )
        return matrices[0]
    sform, qform = matrices
    if not agree(sform, qform, shape):
        raise InputError(
            path,
            f"its header contradicts itself: sform {_rows(sform)} and qform {_rows(qform)} put voxels up to "
            f"{apart(sform, qform, shape):.3g} mm apart",
            "Mend the header, for instance with `fslorient -copysform2qform` or `-copyqform2sform`, or name the form "
            "that is right: --header sform or qform (preprocessing.header in a config)",
        )
    return sform


def _matrix(header: Nifti1Header, name: str, pixdim: np.ndarray, scale: float) -> np.ndarray:
    """Return the affine ``(4, 4)`` of one form of a header, in mm; ``scale`` are the mm of its unit."""
    matrix = np.eye(4)
    if name == "sform":
        matrix[:3] = [np.asarray(header[f"srow_{axis}"], dtype=np.float64) for axis in "xyz"]
        matrix[:3] *= scale
        return matrix
    quaternion = [float(header[f"quatern_{letter}"]) for letter in "bcd"]
    handed = -1.0 if header["pixdim"][0] < 0 else 1.0
    matrix[:3, :3] = rotation_of(np.array(quaternion)) @ np.diag(pixdim * [1, 1, handed])
    matrix[:3, 3] = [float(header[f"qoffset_{axis}"]) * scale for axis in "xyz"]
    return matrix


def _invertible(path: Path, affine: np.ndarray) -> np.ndarray:
    """Return ``affine`` itself. Raises `InputError` where it is not finite and invertible, in whatever unit."""
    usable = affine.shape == (4, 4) and np.isfinite(affine).all() and np.abs(affine).max() < _FAR
    if usable:
        sizes = np.linalg.norm(affine[:3, :3], axis=0)
        usable = sizes.min() > sizes.max() / _UNEVEN and abs(np.linalg.det(affine[:3, :3] / sizes)) > 1e-4
    if not usable:
        raise InputError(path, "its affine is not finite and invertible", "Repair the header's sform or qform")
    return affine


def _numbers(values: np.ndarray) -> str:
    return " x ".join(f"{value:.6g}" for value in values)


def _rows(matrix: np.ndarray) -> str:
    return "[" + "; ".join(" ".join(f"{value:.6g}" for value in row) for row in matrix[:3]) + "]"
