"""An image file before its voxels are read: the facts of its header. `placement` decides where the voxels lie.

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
from typing import TYPE_CHECKING, Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.imaging.placement import FORMS, nifti_placement, own_placement

if TYPE_CHECKING:
    from nibabel.arrayproxy import ArrayLike
    from nibabel.nifti1 import Nifti1Header, Nifti1Pair
    from nibabel.spatialimages import SpatialImage

log = logging.getLogger(__name__)
MEANINGS = ("lps", "ras", "fsl-rel", "fsl-abs", "voxels")  # the kinds of vectors that a field may hold
MAX_VOXELS = 2**31
_MAX_RATIO = 1100  # gzip unpacks no file to more than about a thousand times its size
_MAX_BEYOND, _CHUNK = 2**26, 2**20  # the most bytes after the voxels, unpacked, and how many are read at a time
_OTHERS = {
    (".lta", ".m3z"): "it is a transform of FreeSurfer's",
    (".h5", ".hdf5", ".tfm", ".txt", ".xfm", ".x5"): "it is a transform or a text, not an image",
    (".mat",): "it is a matrix, not an image",
    (".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".ima"): "images of this kind are not read",
}
_CONVERT = "Convert it to NIfTI, for instance with `mri_convert IN OUT.nii.gz` or `dcm2niix`"


_TIMES = {8: 1.0, 16: 1e-3, 24: 1e-6}  # NIfTI's codes of seconds, milliseconds and microseconds


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
    step : the time from one volume of a series to the next in seconds, 0 where the header does not say
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
    step: float = 0.0


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
    _check_kind(path)
    affine = None
    try:
        with _notes_of(path):
            kind = next((one for one in nib.all_image_classes if one.path_maybe_image(path)[0]), None)
            if kind is None:
                raise ValueError("it is neither NIfTI nor MGH")
            if issubclass(kind, nib.Nifti1Pair):
                header, voxels = _open_nifti(kind, path)
            else:
                image: Any = kind.from_filename(path)
                header, voxels, affine = image.header, image.dataobj, getattr(image, "affine", None)
        shape, dtype = tuple(map(int, voxels.shape)), np.dtype(header.get_data_dtype())
    except Exception as error:  # nibabel, gzip and zlib each raise their own for a damaged file
        raise InputError(
            path, f"not a readable image, perhaps truncated ({_brief(error)})", "Copy or download it again as NIfTI"
        ) from error
    _check_numbers(path, dtype)
    _check_size(path, shape, dtype, voxels)
    return _placed(path, kind, header, voxels, affine, form, anywhere)


def opened_in_memory(image: SpatialImage, name: str, form: str | None = None) -> OpenedImage:
    """Return an image of nibabel's as `open_image` returns that of a file; ``name`` is for messages.

    Raises `InputError` as that does.
    """
    import nibabel as nib

    path = Path(image.get_filename() or name)
    header: Any = image.header
    _check_numbers(path, np.dtype(image.get_data_dtype()))
    moved = isinstance(image, nib.Nifti1Pair) and not np.allclose(header.get_best_affine(), image.affine, atol=1e-4)
    if moved:  # since the header was read; nibabel writes it so when it saves the image
        header = header.copy()
        header.set_sform(image.affine, code="aligned")
        header.set_qform(image.affine, code="unknown")  # which sets the voxel sizes
    return _placed(path, type(image), header, image.dataobj, image.affine, form, False)


def _placed(
    path: Path, kind: type, header: Any, voxels: ArrayLike, affine: Any, form: str | None, anywhere: bool
) -> OpenedImage:
    """Return an image whose header has been read, with the place where its voxels lie."""
    import nibabel as nib

    shape, dtype = tuple(map(int, voxels.shape)), np.dtype(header.get_data_dtype())
    if issubclass(kind, nib.Nifti1Pair):
        place = nifti_placement(path, header, shape, form, anywhere=anywhere)
        slope = float(header["scl_slope"]) if np.isfinite(header["scl_slope"]) and header["scl_slope"] else 1.0
        intent, step = int(header["intent_code"]), float(header["pixdim"][4]) * _seconds(header)
    elif issubclass(kind, nib.AnalyzeImage):
        raise InputError(path, "an Analyze header does not say which side is left", _CONVERT)
    else:
        place, slope, intent = own_placement(path, np.asarray(affine, dtype=np.float64)), 1.0, 0
        step = float(header["tr"]) / 1000
    return OpenedImage(path, shape, dtype, slope, place.affine, place.pixdim, intent, place.placed, voxels, step)


def _seconds(header: Nifti1Header) -> float:
    """Return the header's unit of time in seconds, 0 where it does not say one."""
    return _TIMES.get(int(header["xyzt_units"]) & 0x38, 0.0)


def _check_kind(path: Path) -> None:
    """Raise `InputError` for a file that is missing or whose name is that of another kind of file."""
    if not os.path.isfile(path):  # False as well for a name that no file can have
        problem = "it is a folder" if os.path.isdir(path) else "no such file"
        raise InputError(path, problem, "Correct its path or restore the file")
    for endings, problem in _OTHERS.items():
        if path.name.lower().endswith(endings):
            raise InputError(path, problem, _CONVERT if endings[0] == ".nrrd" else "Give a .nii, .nii.gz or .mgz file")


def header_form(preprocessing: Mapping[str, Any]) -> str | None:
    """Return the ``form`` of `open_image` that a completed ``preprocessing`` block of a config names."""
    return preprocessing["header"] if preprocessing["header"] in FORMS else None


def _open_nifti(kind: type[Nifti1Pair], path: Path) -> tuple[Nifti1Header, ArrayLike]:
    """Return the header of a NIfTI file and a proxy of its voxels.

    ``nib.load`` would work out the affine as well, and fail for a quaternion that rounding has made longer than 1.
    """
    files = kind.filespec_to_file_map(path)
    image = files["image"]
    with files.get("header", image).get_prepare_fileobj(mode="rb") as file:
        header = kind.header_class.from_fileobj(file)
    return header, kind.ImageArrayProxy(image.file_like, header.copy())


def read_voxels(opened: OpenedImage) -> np.ndarray:
    """Return the real values of all voxels, ``opened.shape``. Raises `InputError` for a damaged file."""
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
    """Return the array of a proxy. A file that gzip has compressed is read to its end, where the checksum is."""
    from nibabel.arrayproxy import ArrayProxy

    if not (isinstance(voxels, ArrayProxy) and str(voxels.file_like).lower().endswith((".gz", ".mgz"))):
        return np.asanyarray(voxels)
    with gzip.open(voxels.file_like) as unpacked:
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
    """Log what nibabel remarks about a header once, and with the file's name."""
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
    given = getattr(voxels, "file_like", path)
    file = Path(getattr(given, "name", None) or given)
    stored = file.stat().st_size if file.is_file() else 0
    packed = file.name.lower().endswith((".gz", ".bz2", ".zst", ".mgz"))
    if count * dtype.itemsize > stored * (_MAX_RATIO if packed else 1):
        problem = f"its header announces {told} voxels of {dtype.itemsize} bytes, and {file.name} has {stored:,} bytes"
        raise InputError(path, f"{problem}: it is truncated or damaged", "Copy or download it again")
    if count > MAX_VOXELS:
        raise InputError(path, f"{told} voxels are too many", "Resample it to larger voxels")
