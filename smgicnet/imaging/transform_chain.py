"""Transforms of other tools, read one by one, and applied in the order of antsApplyTransforms as one displacement."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy.io import loadmat

from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct, require_writable
from smgicnet.imaging.displacements import AS_FIELD, ENDINGS, apply_field, grid_points, read_itk
from smgicnet.imaging.field_formats import (
    FNIRT_FIELD,
    SPLINES,
    Geometry,
    read_fsl,
    read_geometry,
    read_learn2reg,
    write_field,
    written_geometry,
)
from smgicnet.imaging.headers import open_image
from smgicnet.imaging.images import Volume
from smgicnet.imaging.itk_affine import LPS, read_itk_affine
from smgicnet.imaging.lta import read_lta
from smgicnet.imaging.transform_files import is_flirt, read_flirt, read_itk_composite, read_itk_text, usable
from smgicnet.imaging.x5 import read_x5

log = logging.getLogger(__name__)
POINTS = 1 << 20  # that a field moves at a time
Transform = Callable[[np.ndarray], np.ndarray]  # points (..., 3) in RAS mm to points, from fixed towards moving
_INVERTED = re.compile(r"\s*\[\s*(.+?)\s*,\s*([01])\s*\]\s*")  # antsApplyTransforms' [FILE,1]: the inverse
_AFFINES = re.compile(r"(AffineTransform|MatrixOffsetTransformBase)_(float|double)_3_3")
_WORLDS = ("lps", "ras")
ABSOLUTE = {"fsl-rel": False, "fsl-abs": True}  # whether FSL's warp of that meaning holds coordinates
_CONVERTERS = {
    ".m3z": "Make a field of it: `mri_warp_convert --inm3z THIS --outitk field.nii.gz`",
    ".mgz": "Make a NIfTI field of it: `mri_warp_convert --help` has the kinds",
    ".mgh": "Make a NIfTI field of it: `mri_warp_convert --help` has the kinds",
}


def displacement_of(transforms: Sequence[Transform], fixed: Geometry) -> np.ndarray:
    """Return all ``transforms`` as one displacement ``(X, Y, Z, 3)`` in RAS mm on the fixed grid, float32.

    Their order is that of antsApplyTransforms' ``-t``: with ``[t1, t2]`` a point ``p`` of the fixed image goes to
    ``t2(t1(p))`` in the moving one, so that the affine stands after the warp. No transform is the identity.
    """
    start = grid_points(fixed.shape, fixed.affine)
    return (through(transforms, start) - start).astype(np.float32)


def through(transforms: Sequence[Transform], points: np.ndarray) -> np.ndarray:
    """Return where points ``(..., 3)`` of the fixed image lie in the moving one, in RAS mm, by all ``transforms``."""
    for transform in transforms:
        points = transform(points)
    return points


def named_files(transforms: Sequence[str | Path]) -> list[Path]:
    """Return the file of each transform as `read_transforms` takes it, by itself or as ``[FILE,1]``."""
    found = [(str(one), None if os.path.isfile(one) else _INVERTED.fullmatch(str(one))) for one in transforms]
    return [Path(inverted[1] if inverted else name) for name, inverted in found]


def read_transforms(
    files: Sequence[str | Path], fixed: Geometry, moving: Geometry | None, meaning: str | None = None
) -> list[Transform]:
    """Read each transform by what its file is.

    A file holds ITK's affine (``.mat``, ``.txt``, ``.tfm``), composite (``.h5``) or field, FSL's warp, FLIRT's matrix
    (``.mat``, alone), FreeSurfer's ``.lta``, or nitransforms' ``.x5``. ``[FILE,1]`` is the inverse of one without a
    field.

    Parameters
    ----------
    fixed : the fixed image's grid, on which FSL's warp lies where its header does not say
    moving : the grid of the image that the transforms of FSL or Learn2Reg were made for, whose coordinates need it;
        such a field can only be the last. None where it is not known.
    meaning : one of `smgicnet.imaging.headers.MEANINGS`, for fields that do not say what their vectors are

    Raises `InputError` for a file that is none of these.
    """
    found: list[Transform] = []
    for number, file in enumerate(map(str, files)):
        inverted = None if os.path.isfile(file) else _INVERTED.fullmatch(file)
        path, inverse = (Path(inverted[1]), inverted[2] == "1") if inverted else (Path(file), False)
        if not os.path.isfile(path):
            raise InputError(path, "no such file", "Correct its path or restore the file")
        ends = (moving, fixed) if inverse else (fixed, moving)
        parts = _read_parts(path, *ends, alone=len(files) == 1)
        if parts is None:
            parts = [_read_field(path, meaning, fixed, moving, last=number + 1 == len(files))]
        if inverse and not all(isinstance(part, np.ndarray) for part in parts):
            raise InputError(path, "only affine transforms are inverted here", "Give the inverse field: 1InverseWarp")
        for part in parts[::-1] if inverse else parts:
            if isinstance(part, Volume):
                found.append(field_transform(path, part))
            else:
                found.append(affine_transform(np.linalg.inv(part) if inverse else part))
    return found


def _read_parts(
    path: Path, fixed: Geometry | None, moving: Geometry | None, *, alone: bool
) -> list[np.ndarray | Volume] | None:
    """Return the matrices and fields of a file in points' order, None for a field in NIfTI."""
    name = path.name.lower()
    if name.endswith(ENDINGS):
        return None
    if name.endswith((".txt", ".tfm")):
        return [*read_itk_text(path)]
    if name.endswith((".h5", ".hdf5")):
        return read_itk_composite(path)
    if name.endswith(".lta"):
        return [read_lta(path)]
    if name.endswith(".x5"):
        return read_x5(path)
    if name.endswith(".mat"):
        if not is_flirt(path):
            return [read_affine(path)]
        if not alone:
            problem = "FLIRT's matrix depends on the grids of its two images, and stands beside other transforms"
            raise InputError(path, problem, "Convert it to ITK's first: `c3d_affine_tool -ref F -src M THIS -fsl2ras`")
        return [read_flirt(path, _known(path, fixed), _known(path, moving))]
    remedy = _CONVERTERS.get(path.suffix.lower(), AS_FIELD)
    raise InputError(path, "neither a field (.nii.gz) nor a transform (.mat, .txt, .tfm, .h5, .lta, .x5)", remedy)


def _known(path: Path, moving: Geometry | None) -> Geometry:
    if moving is None:
        raise InputError(path, "it depends on the grid of the moving image", "Name that image with --moving")
    return moving


def _read_field(path: Path, meaning: str | None, fixed: Geometry, moving: Geometry | None, *, last: bool) -> Volume:
    """Read a field by what its header says, or else by ``meaning``."""
    opened = open_image(path, anywhere=True)
    if len(opened.shape) == 5 or (opened.intent != FNIRT_FIELD and opened.intent not in SPLINES and meaning in _WORLDS):
        return read_itk(opened, meaning if meaning in _WORLDS else None)
    told = opened.intent == FNIRT_FIELD or opened.intent in SPLINES
    if not told and meaning is None:
        return read_itk(opened)  # its error says what to do
    if not last:
        kind = "Learn2Reg's field" if meaning == "voxels" and not told else "FSL's warp"
        raise InputError(path, f"{kind} leads to the moving image, and another follows it", "Give it as the last")
    if meaning == "voxels" and not told:
        return read_learn2reg(opened, fixed, _known(path, moving))
    return read_fsl(opened, _known(path, moving), reference=fixed, absolute=ABSOLUTE.get(meaning or ""))


def affine_transform(matrix: np.ndarray) -> Transform:
    """Return the transform by ``matrix (4, 4)`` from RAS mm to RAS mm."""
    return lambda points: apply_affine(matrix, points)


def field_transform(path: str | Path, field: Volume) -> Transform:
    """Return the transform ``x + d(x)`` of a field ``(X, Y, Z, 3)`` in RAS mm.

    It is ITK's DisplacementFieldTransform, which is linear and has no displacement beyond the voxels of the grid.
    ``path`` is for messages. Raises `InputError`, when applied, if no point lies within the field.
    """

    def transform(points: np.ndarray) -> np.ndarray:
        moved = points.reshape(-1, 3).copy()
        covered = 0
        for part in np.split(moved, range(POINTS, len(moved), POINTS)):  # views: each is moved where it lies
            index = apply_affine(np.linalg.inv(field.affine), part)
            inside = ((index >= -0.5) & (index <= np.array(field.data.shape[:3]) - 0.5)).all(axis=-1)
            part[inside] = apply_field(field, part[inside])
            covered += inside.sum()
        if not covered:
            raise InputError(
                path,
                "it covers nothing of the fixed image, or of the points",
                "Give this pair's field, and the transforms in order; points are RAS mm unless their file says LPS",
            )
        if covered < len(moved):
            log.info("%s covers %.1f %% of the points; the others do not move by it", path, 100 * covered / len(moved))
        return moved.reshape(points.shape)

    return transform


def read_affine(path: str | Path) -> np.ndarray:
    """Read the affine transform of an ITK ``.mat`` file, such as ANTs' ``0GenericAffine.mat``; ``(4, 4)`` in RAS mm.

    Raises `InputError` for a file that holds anything else. FLIRT's ``.mat`` is a text file of another convention.
    """
    try:
        stored = {key: value for key, value in loadmat(path, appendmat=False).items() if not key.startswith("__")}
    except Exception as error:  # SciPy raises many kinds
        raise InputError(path, f"not an ITK transform ({error})", "Give ANTs' 0GenericAffine.mat") from error
    kinds = sorted(set(stored) - {"fixed"})
    sizes = [np.size(stored.get(key, ())) for key in (*kinds, "fixed")]
    if len(kinds) != 1 or not _AFFINES.fullmatch(kinds[0]) or sizes != [12, 3]:
        raise InputError(path, f"it holds {' and '.join(kinds) or 'nothing'}, not one affine transform in 3D", AS_FIELD)
    matrix = LPS @ read_itk_affine(path) @ LPS
    return usable(Path(path), matrix)


@dataclass(frozen=True)
class Declaration:
    """The kind of a field as a user declares it, where its file does not say it itself.

    Attributes
    ----------
    tool : ``itk`` or ``fsl``, the tool that the field is from; by default None, and the file's header says it
    meaning : one of `smgicnet.imaging.headers.MEANINGS`, for the vectors; by default None
    absolute : whether FSL's warp holds coordinates, see `smgicnet.imaging.field_formats.read_fsl`; by default None
    """

    tool: str | None = None
    meaning: str | None = None
    absolute: bool | None = None


NOTHING_DECLARED = Declaration()


def convert_field(
    source: Path,
    out: Path,
    *,
    write_as: str,
    fixed: Path,
    moving: Path,
    declared: Declaration = NOTHING_DECLARED,
    form: str | None = None,
) -> None:
    """Write a field in the format ``write_as``, on the fixed image's grid.

    Parameters
    ----------
    fixed, moving : the images of the pair, of which the headers are read
    declared : what is known of the field besides its header
    form : which place a header that names two stands for, see `read_geometry`

    A field on another grid is resampled as ANTs does, linearly. For a fixed image whose axes are sheared ITK's field
    lies on `smgicnet.imaging.affine_geometry.writable_grid`. Raises `InputError` for files that cannot be used or
    written, and for a declaration that contradicts itself.
    """
    require_distinct([out], [source, fixed, moving])
    geometries = read_geometry(fixed, form), read_geometry(moving, form)
    require_writable(out)
    field = _read_declared(source, declared, *geometries)
    target = written_geometry(geometries[0]) if write_as == "itk" else geometries[0]
    displacement = displacement_of([field_transform(source, field)], target)
    write_field(write_as, out, displacement, target, geometries[1])


def _read_declared(source: Path, declared: Declaration, fixed: Geometry, moving: Geometry) -> Volume:
    """Read a field as a user has declared it, and else by what its header says."""
    tool, meaning, absolute = declared.tool, declared.meaning, declared.absolute
    if tool == "fsl" and (meaning is None or meaning.startswith("fsl")):
        return read_fsl(source, moving, reference=fixed, absolute=ABSOLUTE.get(meaning or "", absolute))
    if tool == "fsl" or (tool == "itk" and meaning not in (None, *_WORLDS)):
        raise InputError(source, f"--from {tool} and --as {meaning} contradict each other", "Give one of them")
    if absolute is not None:
        remedy = "Leave out --abs and --rel, which are of FSL's warps"
        raise InputError(source, "ITK's fields hold displacements", remedy)
    if tool == "itk":
        return read_itk(source, meaning)
    return _read_field(source, meaning, fixed, moving, last=True)
