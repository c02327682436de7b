"""Displacement fields in the formats of other tools, FSL's warps and Learn2Reg's submissions (docs/transforms.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine, voxel_sizes

from smgicnet.core.errors import InputError
from smgicnet.imaging.affine_geometry import writable_grid
from smgicnet.imaging.displacements import ENDINGS, read_vectors, to_voxels, voxel_grid, write_itk
from smgicnet.imaging.headers import OpenedImage, open_image
from smgicnet.imaging.images import Volume, spatial_shape, write_volume

FNIRT_FIELD = 2006  # FSL_FNIRT_DISPLACEMENT_FIELD, a NIfTI intent
SPLINES = (2007, 2008, 2009, 2016, 2017)  # NIfTI intents of spline coefficients of FNIRT and TOPUP
_LEARN2REG = re.compile(r"(\d{4})_(\d{4})\.nii\.gz$")  # an image's name ends in its subject and its modality


@dataclass(frozen=True)
class Geometry:
    """The place of an image's voxels, from its header.

    Attributes
    ----------
    path : the file
    shape : the shape of the grid
    affine : ``(4, 4)``, voxel index to RAS mm
    pixdim : ``(3,)``, the voxel size that the header states besides the affine, in mm
    """

    path: Path
    shape: tuple[int, int, int]
    affine: np.ndarray
    pixdim: np.ndarray


def read_geometry(path: str | Path, form: str | None = None) -> Geometry:
    """Read the grid of a 3D image, of which the header alone is read. Raises `InputError` for an unusable one.

    ``form`` is that of `smgicnet.imaging.headers.open_image`.
    """
    return header_geometry(open_image(path, form))


def header_geometry(opened: OpenedImage) -> Geometry:
    """Return the grid of a 3D image whose header has been read. Raises `InputError` for an unusable one."""
    return Geometry(opened.path, spatial_shape(opened), opened.affine, opened.pixdim)


def written_geometry(grid: Geometry) -> Geometry:
    """Return where ITK's results for an image lie, on its own grid or, for a sheared one, on `writable_grid`."""
    shape, affine = writable_grid(grid.shape, grid.affine)
    return replace(grid, shape=shape, affine=affine)


def fsl_matrix(grid: Geometry) -> np.ndarray:
    """Return the matrix ``(4, 4)`` from voxel index to FSL's coordinates in mm, as ``fsl.data.image`` defines them.

    They are voxels times pixdim; the first axis runs backwards where the affine has a positive determinant. Raises
    `InputError` where pixdim and affine disagree, as FSL goes by the one and all others go by the other.
    """
    if written_geometry(grid).shape != grid.shape:
        raise InputError(
            grid.path, "its axes are sheared, which FSL's and Learn2Reg's fields cannot hold", "Resample it first"
        )
    if not np.allclose(grid.pixdim, voxel_sizes(grid.affine), rtol=1e-3):
        raise InputError(
            grid.path,
            f"its pixdim {np.round(grid.pixdim, 4).tolist()} and the voxel size in its affine differ",
            "Mend the header, for instance with `fslorient -copyqform2sform`",
        )
    matrix = np.diag([*grid.pixdim, 1.0])
    if np.linalg.det(grid.affine[:3, :3]) > 0:
        matrix[0, 0], matrix[0, 3] = -grid.pixdim[0], grid.pixdim[0] * (grid.shape[0] - 1)
    return matrix


def write_fsl(path: str | Path, displacement: np.ndarray, fixed: Geometry, moving: Geometry) -> None:
    """Write ``(X, Y, Z, 3)`` RAS mm, on the fixed image's grid, as the relative warp that ``applywarp --warp`` takes.

    The file holds, at each voxel of the reference (fixed) image, FSL's coordinates of the point in the input (moving)
    image minus FSL's coordinates of the voxel, in mm, with intent 2006 (``fsl.transform.fnirt`` of fslpy).
    """
    voxels = voxel_grid(fixed.shape)
    world = apply_affine(fixed.affine, voxels) + displacement
    arrived = apply_affine(fsl_matrix(moving) @ np.linalg.inv(moving.affine), world)
    warp = arrived - apply_affine(fsl_matrix(fixed), voxels)
    write_volume(path, warp.astype(np.float32), fixed.affine, intent="fnirt disp field", fast=True)


def read_fsl(
    source: str | Path | OpenedImage,
    moving: Geometry,
    *,
    reference: Geometry | None = None,
    absolute: bool | None = None,
) -> Volume:
    """Read FSL's warp to ``moving`` as displacements ``(X, Y, Z, 3)`` in RAS mm on the warp's own grid.

    Parameters
    ----------
    moving : the image that the warp was made for (``applywarp --in``)
    reference : where the warp lies if its header does not say, as after convertwarp before FSL 6.0.5
    absolute : whether it holds coordinates and not displacements. FSL reads a warp whose intent is FNIRT's as
        displacements (``FnirtFileReader``). Another one has to be declared, as for ``applywarp --abs`` or ``--rel``.

    Raises `InputError` for another layout, spline coefficients, values that as coordinates lead nearer to the middle of
    the moving image than as the displacements that their intent announces (fslpy writes such files; FSL's own test, of
    standard deviations, misses images whose axes point elsewhere), and as `read_vectors` does.
    """
    field, intent, opened = read_vectors(source, anywhere=True)
    path = opened.path
    _check_fsl(path, field.data.shape, intent, absolute)
    grid = _warp_grid(path, field, opened, reference)
    voxels = voxel_grid(grid.shape)
    identity = apply_affine(fsl_matrix(grid), voxels)
    if absolute is None and _off(field.data, moving) < _off(identity + field.data, moving):
        raise InputError(
            path,
            "it looks like absolute coordinates, while its intent (2006) stands for displacements",
            "Say which they are when you convert it: --abs or --rel",
        )
    arrived = field.data if absolute else identity + field.data
    world = apply_affine(moving.affine @ np.linalg.inv(fsl_matrix(moving)), arrived)
    return Volume((world - apply_affine(grid.affine, voxels)).astype(np.float32), grid.affine)


def _check_fsl(path: str | Path, shape: tuple[int, ...], intent: int, absolute: bool | None) -> None:
    if intent in SPLINES:
        raise InputError(
            path, "it holds spline coefficients", "Make a field of it: `convertwarp --ref=F --warp1=THIS --out=FIELD`"
        )
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(
            path, f"FSL's warps have shape (X, Y, Z, 3), this one {shape}", "Give a warp as FNIRT writes it"
        )
    if intent != FNIRT_FIELD and absolute is None:
        raise InputError(
            path,
            f"FNIRT's warps have the NIfTI intent 2006, this file {intent}",
            "Where it is a warp, say of which kind when you convert it: --abs or --rel",
        )


def _warp_grid(path: str | Path, field: Volume, opened: OpenedImage, reference: Geometry | None) -> Geometry:
    x, y, z = shape = field.data.shape[:3]
    if opened.placed:
        return Geometry(Path(path), (x, y, z), opened.affine, opened.pixdim)
    if reference is None or reference.shape != shape:
        raise InputError(
            path, "its header does not say where it lies", "Copy it from its reference image: `fslcpgeom F THIS -d`"
        )
    return reference


def _off(places: np.ndarray, moving: Geometry) -> float:
    """Return how far the mean of FSL's coordinates ``(X, Y, Z, 3)`` is from the moving image's middle, in mm."""
    middle = apply_affine(fsl_matrix(moving), (np.array(moving.shape) - 1) / 2)
    return float(np.linalg.norm(places.mean(axis=(0, 1, 2), dtype=np.float64) - middle))


def write_learn2reg(path: str | Path, displacement: np.ndarray, fixed: Geometry, moving: Geometry) -> None:
    """Write ``(X, Y, Z, 3)`` RAS mm, on the fixed image's grid, as the Learn2Reg challenge takes it.

    The file holds ``(X, Y, Z, 3)`` float32 in voxels, components in array-axis order, at full resolution. The challenge
    scores ``map_coordinates(moving, identity + disp.transpose(3, 0, 1, 2), order=0)``
    (``evaluation/L2RTest/evaluation.py`` of https://github.com/MDL-UzL/L2R, which LUMIR's evaluation repeats).
    float16, which it also reads, exists in its .npz files alone: NIfTI has no such type.
    """
    voxels = to_voxels(displacement, fixed.affine, moving.affine)
    write_volume(path, np.moveaxis(voxels, 0, -1), fixed.affine, fast=True)


def read_learn2reg(source: str | Path | OpenedImage, fixed: Geometry, moving: Geometry) -> Volume:
    """Read a field of the Learn2Reg challenge as displacements ``(X, Y, Z, 3)`` in RAS mm on the fixed image's grid.

    The file says neither where it lies nor what it is, see `write_learn2reg`. Raises `InputError` for another shape
    than the fixed image's, and as `smgicnet.imaging.displacements.read_vectors` does.
    """
    field, _, opened = read_vectors(source, anywhere=True)
    if field.data.shape != (*fixed.shape, 3):
        raise InputError(
            opened.path,
            f"a field in voxels has the fixed image's shape {(*fixed.shape, 3)}, this one {field.data.shape}",
            "Give the field of this pair, at full resolution",
        )
    start = voxel_grid(fixed.shape)
    arrived = apply_affine(moving.affine, start + field.data)
    return Volume((arrived - apply_affine(fixed.affine, start)).astype(np.float32), fixed.affine)


def stem_of(path: str | Path) -> str:
    """Return the name of an image without its ending."""
    return re.sub(r"(\.nii|\.mgz|\.mgh)?(\.gz)?$", "", Path(path).name)


def learn2reg_name(fixed: str | Path, moving: str | Path) -> str:
    """Return the name under which the challenge looks for a pair's field, such as ``disp_0395_0396.nii.gz``.

    Its images end in ``SUBJECT_MODALITY.nii.gz``, four digits each. The modalities are named too unless they are the
    same, or 0000 (fixed) and 0001. For images that are named otherwise it is ``disp_FIXED_MOVING.nii.gz``.
    """
    of_fixed, of_moving = (_LEARN2REG.search(Path(path).name) for path in (fixed, moving))
    if of_fixed is None or of_moving is None:
        return f"disp_{stem_of(fixed)}_{stem_of(moving)}.nii.gz"
    (subject_f, modality_f), (subject_m, modality_m) = of_fixed.groups(), of_moving.groups()
    if modality_f == modality_m or (modality_f, modality_m) == ("0000", "0001"):
        return f"disp_{subject_f}_{subject_m}.nii.gz"
    return f"disp_{subject_f}_{modality_f}_{subject_m}_{modality_m}.nii.gz"


def _write_itk(path: str | Path, displacement: np.ndarray, fixed: Geometry, moving: Geometry) -> None:
    write_itk(path, displacement, fixed.affine, fast=True)


WRITERS = {"itk": _write_itk, "fsl": write_fsl, "learn2reg": write_learn2reg}


def write_field(kind: str, path: str | Path, displacement: np.ndarray, fixed: Geometry, moving: Geometry) -> None:
    """Write ``(X, Y, Z, 3)`` RAS mm, on the fixed image's grid, in one of the formats ``WRITERS``.

    Raises `InputError` when the file is not to be NIfTI.
    """
    if not str(path).endswith(ENDINGS):
        raise InputError(path, "fields are written as NIfTI", "Let the name end in .nii.gz or .nii")
    WRITERS[kind](path, displacement, fixed, moving)
