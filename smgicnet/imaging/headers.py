"""An image file before its voxels are read: what its header says of them, and where they lie in the world.

A NIfTI header can hold two places for the same voxels, a sform and a qform, besides the voxel sizes in pixdim. Programs
choose differently among them (nibabel, FSL and FreeSurfer take the sform first, ITK often the qform), so that a file
whose forms differ lies in two places. One rule holds everywhere here (docs/headers.md): forms that put no voxel of the
grid more than a tenth of a voxel apart are one and the same, and others are refused until the user names one.

nibabel is imported where it is used: Snakemake imports modules that import this one in an environment that lacks it.
"""

from __future__ import annotations

import gzip
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.affine_geometry import agree, apart, rotation_of

if TYPE_CHECKING:
    from nibabel.arrayproxy import ArrayLike

log = logging.getLogger(__name__)
FORMS = ("sform", "qform")
MEANINGS = ("lps", "ras", "fsl-rel", "fsl-abs", "voxels")  # of the vectors of a field that does not say it
MILLIMETRES = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # by NIfTI's code of the unit: unknown, metre, millimetre, micrometre
MAX_VOXELS = 2**31
_FAR, _UNEVEN = 1e9, 1e5  # mm, beyond which nothing lies; of a voxel's edges, the largest ratio
_MAX_RATIO = 1100  # of gzip: no file unpacks to more than about a thousand times its size
_MAX_BEYOND, _CHUNK = 2**26, 2**20  # bytes after the voxels, unpacked
_OTHERS = {
    (".lta", ".m3z"): "it is a transform of FreeSurfer's",
    (".h5", ".hdf5", ".tfm", ".txt", ".xfm", ".x5"): "it is a transform or a text, not an image",
    (".mat",): "it is a matrix, not an image",
    (".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima"): "images of this kind are not read",
}
_CONVERT = "Convert it to NIfTI, for instance with `mri_convert IN OUT.nii.gz` or `dcm2niix`"


@dataclass(frozen=True)
class OpenedImage:
    """An image file whose header has been read and checked.

    Attributes
    ----------
    path : the file
    shape : the array's shape, as stored
    dtype : the type of the stored voxels
    slope : the header's factor from stored to real values, 1 where there is none
    affine : ``(4, 4)``, voxel index to world, RAS mm
    pixdim : ``(3,)``, the voxel sizes that the header states besides the affine, in mm
    intent : NIfTI's intent code, 0 for none
    placed : whether the header says where the voxels lie
    voxels : what gives the real values as an array
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    slope: float
    affine: np.ndarray
    pixdim: np.ndarray
    intent: int
    placed: bool
    voxels: ArrayLike


def open_image(path: str | Path, form: str | None = None, *, anywhere: bool = False) -> OpenedImage:
    """Open a NIfTI or MGH file and decide where its voxels lie, in mm.

    Parameters
    ----------
    form : ``"sform"`` or ``"qform"`` to take that one of a NIfTI header, whatever the other says
    anywhere : whether a header may also leave open where the voxels lie (``placed`` is then False)

    Raises `InputError` for a file that is missing, damaged or of another kind, for voxels that are not real numbers,
    and for a header that contradicts itself or says nothing of where the image lies.
    """
    import nibabel as nib

    path = Path(path)
    if not os.path.isfile(path):  # False as well for a name that no file can have
        problem = "it is a folder" if os.path.isdir(path) else "no such file"
        raise InputError(path, problem, "Correct its path or restore the file")
    for endings, problem in _OTHERS.items():
        if path.name.lower().endswith(endings):
            raise InputError(path, problem, _CONVERT if endings[0] == ".nrrd" else "Give a .nii, .nii.gz or .mgz file")
    try:
        with _notes_of(path):
            kind = next((one for one in nib.all_image_classes if one.path_maybe_image(path)[0]), None)
            if kind is None:
                raise ValueError("it is neither NIfTI nor MGH")
            if issubclass(kind, nib.Nifti1Pair):
                header, voxels = _open_nifti(kind, path)
            else:
                image = kind.from_filename(path)
                header, voxels = image.header, image.dataobj
        shape, dtype = tuple(map(int, voxels.shape)), np.dtype(header.get_data_dtype())
    except Exception as error:  # nibabel, gzip and zlib each raise their own for a damaged file
        raise InputError(
            path, f"not a readable image, perhaps truncated ({_brief(error)})", "Copy or download it again as NIfTI"
        ) from error
    _check_numbers(path, dtype)
    _check_size(path, shape, dtype, voxels)
    if not issubclass(kind, nib.Nifti1Pair):
        if issubclass(kind, nib.AnalyzeImage):
            raise InputError(path, "an Analyze header does not say which side is left", _CONVERT)
        affine = np.asarray(getattr(image, "affine", None), dtype=np.float64)
        return OpenedImage(
            path, shape, dtype, 1.0, _invertible(path, affine), np.linalg.norm(affine[:3, :3], axis=0), 0, True, voxels
        )
    scale = MILLIMETRES.get(int(header["xyzt_units"]) & 7, 1.0)
    pixdim = np.abs(np.asarray(header["pixdim"][1:4], dtype=np.float64)) * scale
    placed = bool(form or header["sform_code"] > 0 or header["qform_code"] > 0)
    with np.errstate(over="ignore"):  # of sizes that no voxel has, which `_place` refuses
        given = anywhere and not placed
        affine = np.diag([*pixdim, 1.0]) if given else _place(path, header, shape, pixdim, scale, form)
    slope = float(header["scl_slope"]) if np.isfinite(header["scl_slope"]) and header["scl_slope"] else 1.0
    return OpenedImage(path, shape, dtype, slope, affine, pixdim, int(header["intent_code"]), placed, voxels)


def header_form(preprocessing: Mapping) -> str | None:
    """The ``form`` of `open_image` that a completed ``preprocessing`` block of a config names."""
    return preprocessing["header"] if preprocessing["header"] in FORMS else None


def _open_nifti(kind, path: Path):
    """The header of a NIfTI file and a proxy of its voxels.

    ``nib.load`` would work out the affine as well, and fail for a quaternion that rounding has made longer than 1.
    """
    files = kind.filespec_to_file_map(path)
    image = files["image"]
    with files.get("header", image).get_prepare_fileobj(mode="rb") as file:
        header = kind.header_class.from_fileobj(file)
    return header, kind.ImageArrayProxy(image.file_like, header.copy())


def read_voxels(opened: OpenedImage) -> np.ndarray:
    """The real values of all voxels, ``opened.shape``. Raises `InputError` for a damaged file."""
    try:
        with _notes_of(opened.path), np.errstate(all="ignore"):
            return _values(opened.voxels)
    except MemoryError:
        problem = f"its {' x '.join(map(str, opened.shape))} voxels do not fit into this machine's memory"
        raise InputError(opened.path, problem, "Resample it to larger voxels, or use a larger machine") from None
    except Exception as error:  # nibabel, gzip and zlib each raise their own for a damaged file
        raise InputError(
            opened.path,
            f"not a readable image, perhaps truncated ({_brief(error)})",
            "Copy or download it again as NIfTI",
        ) from error


def _values(voxels: ArrayLike) -> np.ndarray:
    """The array of a proxy. What is compressed by gzip is read to its end, where the checksum stands."""
    from nibabel.arrayproxy import ArrayProxy

    file = getattr(voxels, "file_like", None)
    if not (isinstance(voxels, ArrayProxy) and str(file).lower().endswith((".gz", ".mgz"))):
        return np.asanyarray(voxels)
    with gzip.open(file) as unpacked:
        spec = (voxels.shape, voxels.dtype, voxels.offset, voxels.slope, voxels.inter)
        values = np.asanyarray(ArrayProxy(unpacked, spec))
        for _ in range(_MAX_BEYOND // _CHUNK):
            if not unpacked.read(_CHUNK):
                return values
    raise ValueError(f"more than {_MAX_BEYOND // 2**20} MiB follow its voxels")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def _notes_of(path: Path) -> Iterator[None]:
    """What nibabel remarks about a header is said once, and with the file's name."""
    logger = logging.getLogger("nibabel.global")

    def instead(record: logging.LogRecord) -> bool:
        _say(str(path), record.getMessage())
        return False

    logger.addFilter(instead)
    try:
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            yield
    finally:
        logger.removeFilter(instead)
    for message in dict.fromkeys(str(one.message) for one in remarks):
        _say(str(path), message)


@cache
def _say(path: str, message: str) -> None:
    log.warning("%s: %s", path, message)


def _check_numbers(path: Path, dtype: np.dtype) -> None:
    if dtype.fields is not None:
        raise InputError(
            path, f"its voxels are {_kind(dtype)}, not numbers", "Give a grey-value image, not a colour one"
        )
    if np.issubdtype(dtype, np.complexfloating):
        raise InputError(path, "its voxels are complex numbers", "Give the magnitude image, with real voxels")
    if not (np.issubdtype(dtype, np.number) or dtype.kind == "b"):
        raise InputError(path, f"its voxels are {dtype}, not numbers", "Give a grey-value image")


def _kind(dtype: np.dtype) -> str:
    return "colours" if {"R", "G", "B"} <= set(dtype.names or ()) else f"records of {', '.join(dtype.names or ())}"


def _check_size(path: Path, shape: tuple[int, ...], dtype: np.dtype, voxels: ArrayLike) -> None:
    """Raise `InputError` where the header announces more than its file can hold: nothing is allocated for that."""
    told = " x ".join(map(str, shape))
    if not shape or min(shape) < 1:
        raise InputError(path, f"its header announces no voxels ({told or 'no axes'})", "Copy or download it again")
    count = int(np.prod(shape, dtype=object))
    file = Path(getattr(getattr(voxels, "file_like", None), "name", None) or getattr(voxels, "file_like", path))
    stored = file.stat().st_size if file.is_file() else 0
    packed = file.name.lower().endswith((".gz", ".bz2", ".zst", ".mgz"))
    if count * dtype.itemsize > stored * (_MAX_RATIO if packed else 1):
        problem = f"its header announces {told} voxels of {dtype.itemsize} bytes, and {file.name} has {stored:,} bytes"
        raise InputError(path, f"{problem}: it is truncated or damaged", "Copy or download it again")
    if count > MAX_VOXELS:
        raise InputError(path, f"{told} voxels are too many", "Resample it to larger voxels")


def _place(
    path: Path, header, shape: tuple[int, ...], pixdim: np.ndarray, scale: float, form: str | None
) -> np.ndarray:
    """The one affine, ``(4, 4)`` in mm, that a NIfTI header stands for; ``form`` settles which of two."""
    found = {name: matrix for name in FORMS if (matrix := _form(header, name, pixdim, scale, form)) is not None}
    if not found:
        raise InputError(
            path,
            "its header does not say where the image lies, nor which side is left: sform_code and qform_code are 0",
            "Convert it again from its source, or name the form that is right all the same: --header sform or qform "
            "(preprocessing.header in a config)",
        )
    if form:
        return _invertible(path, found[form])
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
    elif not agree(*matrices, shape):
        sform, qform = map(_rows, matrices)
        raise InputError(
            path,
            f"its header contradicts itself: sform {sform} and qform {qform} put voxels up to "
            f"{apart(*matrices, shape):.3g} mm apart",
            "Mend the header, for instance with `fslorient -copysform2qform` or `-copyqform2sform`, or name the form "
            "that is right: --header sform or qform (preprocessing.header in a config)",
        )
    return matrices[0]


def _form(header, name: str, pixdim: np.ndarray, scale: float, chosen: str | None) -> np.ndarray | None:
    """A form that counts: the chosen one, or without a choice one whose code is not 0."""
    if name != chosen if chosen else header[f"{name}_code"] <= 0:
        return None
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
    """``affine`` itself. Raises `InputError` where it is not finite and invertible, whatever its unit of length."""
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
