"""NIfTI files, which are checked when they are read and appear whole or not at all when they are written.

nibabel is imported where it is used: Snakemake imports this module in an environment that lacks it
(envs/snakemake.yaml).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.imaging.affine_geometry import agree, shear_free
from smgicnet.imaging.foreground import foreground
from smgicnet.imaging.headers import OpenedImage, open_image, opened_in_memory, read_voxels

if TYPE_CHECKING:
    from nibabel.spatialimages import SpatialImage

MAX_AFFINE_DIFFERENCE_MM = 1e-2
MIN_VOXELS = 3  # along each axis of an image
COMPRESSION = 1  # of igzip's levels up to 3
UNIT_STEP = 2.0**-15  # stored intensities in [0, 1] are multiples of it; reading a power of two rounds nothing


@dataclass(frozen=True)
class Volume:
    """An image and its place in the world.

    Attributes
    ----------
    data : ``(X, Y, Z)`` or ``(X, Y, Z, C)``
    affine : ``(4, 4)``, voxel index to world, RAS mm
    """

    data: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm along each array axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


@dataclass(frozen=True)
class Scan:
    """An image or label map that has been read from its file, for all that need it.

    Attributes
    ----------
    path : the file, as it was named
    header : what its header says
    volume : its voxels and where they lie
    """

    path: str | Path
    header: OpenedImage
    volume: Volume

    @cached_property
    def brain(self) -> np.ndarray:
        """The mask ``(X, Y, Z)`` of the brain in a skull-stripped image, see `foreground`."""
        return foreground(self.volume.data)


def _load(path: str | Path, dtype: type, form: str | None = None) -> Scan:
    """Read a 3D volume of finite values. Raises `InputError` for another file."""
    return _loaded(path, open_image(path, form), dtype)


def _loaded(path: str | Path, opened: OpenedImage, dtype: type) -> Scan:
    shape = spatial_shape(opened)
    data = read_voxels(opened).reshape(shape)
    if not np.isfinite(data).all():
        raise InputError(
            path, "it holds NaN or infinite values", "Replace them, for instance with `fslmaths IN -nan OUT`"
        )
    with np.errstate(over="ignore"):
        converted: np.ndarray = data.astype(dtype, copy=False)
    if not np.isfinite(converted).all():
        raise InputError(path, "it holds values beyond 3e38", "Scale them down")
    return Scan(path, opened, Volume(converted, opened.affine))


def spatial_shape(opened: OpenedImage) -> tuple[int, int, int]:
    """Return the shape ``(X, Y, Z)`` of an image of one volume; axes of one voxel beyond the third are dropped.

    Raises `InputError` for several volumes, and for fewer than `MIN_VOXELS` voxels along an axis.
    """
    shape = opened.shape
    if len(shape) > 3 and any(n != 1 for n in shape[3:]):
        raise InputError(
            opened.path,
            f"a 3D volume is needed, this one has shape {shape}",
            "Extract one volume, for instance with `fslroi` or `mri_convert --frame`",
        )
    if len(shape) < 3 or min(shape[:3]) < MIN_VOXELS:
        raise InputError(
            opened.path,
            f"a 3D volume is needed, this one has shape {shape}",
            f"Give an image with at least {MIN_VOXELS} slices along each axis",
        )
    return shape[0], shape[1], shape[2]


def read_image(path: str | Path, form: str | None = None) -> Volume:
    """Read the voxels of an intensity image as `read_scan` does."""
    return read_scan(path, form).volume


def read_scan(path: str | Path, form: str | None = None) -> Scan:
    """Read an intensity image as float32. Raises `InputError` also when all voxels have one value.

    ``form`` is that of `smgicnet.imaging.headers.open_image`.
    """
    return _with_contrast(_load(path, np.float32, form))


def scan_of(image: SpatialImage, name: str, form: str | None = None) -> Scan:
    """Return an image of nibabel's as `read_scan` reads it from a file; ``name`` is for messages."""
    opened = opened_in_memory(image, name, form)
    return _with_contrast(_loaded(opened.path, opened, np.float32))


def _with_contrast(scan: Scan) -> Scan:
    if scan.volume.data.min() == scan.volume.data.max():
        raise InputError(scan.path, "all voxels have the same intensity", "Check that this is the image and not a mask")
    return scan


def read_labels(path: str | Path, form: str | None = None) -> Volume:
    """Read the voxels of a label map as `read_label_scan` does."""
    return read_label_scan(path, form).volume


def read_label_scan(path: str | Path, form: str | None = None) -> Scan:
    """Read a label map as int32. Values that a scaling factor in the header has moved off whole numbers are rounded.

    ``form`` is that of `headers.open_image`. Raises `InputError` for other values that are not whole numbers, and for
    those beyond 32 bits.
    """
    return _whole(_load(path, np.float64, form))


def label_scan_of(image: SpatialImage, name: str, form: str | None = None) -> Scan:
    """Return a label map of nibabel's as `read_label_scan` reads it from a file; ``name`` is for messages."""
    opened = opened_in_memory(image, name, form)
    return _whole(_loaded(opened.path, opened, np.float64))


def _whole(scan: Scan) -> Scan:
    path, volume, slope = scan.path, scan.volume, scan.header.slope
    whole = np.rint(volume.data)
    off = np.abs(whole - volume.data)
    rounding = 4 * np.finfo(np.float32).eps * np.abs(volume.data)
    scaling = abs(slope) / 2 if slope % 1 and abs(slope) < 0.5 else 0.0  # half a step of what was stored
    if (off > np.maximum(rounding, scaling * (1 + 1e-6))).any():
        example = volume.data.ravel()[np.argmax(off)]
        raise InputError(
            path,
            f"a label map holds whole numbers, this one {example:.6g}",
            "Resample label maps with nearest neighbours",
        )
    if np.abs(whole).max() > np.iinfo(np.int32).max:
        raise InputError(path, f"it holds labels of up to {np.abs(whole).max():.0f}", "Number them within 32 bits")
    return replace(scan, volume=Volume(whole.astype(np.int32), volume.affine))


def on_grid_of(image: Volume, labels: Volume, image_path: str | Path, labels_path: str | Path) -> Volume:
    """Return a label map or mask in the axis order of its image; the world decides which voxel lies on which.

    Raises `InputError` unless their voxels lie on each other, to `MAX_AFFINE_DIFFERENCE_MM`.
    """
    if image.data.shape != labels.data.shape or not _close(image.affine, labels.affine):
        labels = reoriented(labels, axcodes(image.affine))
    if image.data.shape != labels.data.shape:
        problem = f"its shape {labels.data.shape} differs from {image.data.shape} of {image_path}"
    elif not _close(image.affine, labels.affine):
        problem = f"its affine differs from that of {image_path}: its voxels lie elsewhere"
    else:
        return labels
    raise InputError(
        labels_path, problem, "Resample the labels to the image, for instance with `mri_vol2vol --nearest`"
    )


def _close(first: np.ndarray, second: np.ndarray) -> bool:
    return bool(np.abs(first - second).max() <= MAX_AFFINE_DIFFERENCE_MM)


def axcodes(affine: np.ndarray) -> str:
    """Return where the axes of an affine lead, by the closest axes of the world, such as ``"LIA"``."""
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(affine))


def reoriented(volume: Volume, codes: str) -> Volume:
    """Permute and flip a volume's axes to the axis codes ``codes``; every voxel keeps its place in the world."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    change = ornt_transform(io_orientation(volume.affine), axcodes2ornt(codes))
    data = apply_orientation(volume.data, change)
    return Volume(np.ascontiguousarray(data), volume.affine @ inv_ornt_aff(change, volume.data.shape))


def write_volume(
    path: str | Path,
    data: np.ndarray,
    affine: np.ndarray,
    *,
    intent: str | None = None,
    unit: bool = False,
    fast: bool = False,
) -> None:
    """Write ``.nii`` or ``.nii.gz`` atomically, the same bytes for the same data; the dtype is kept.

    ``intent`` is a NIfTI intent such as ``"vector"`` for displacement fields. With ``unit``, intensities in [0, 1] are
    stored as uint16 in steps of `UNIT_STEP`, which is half of float32's size. With ``fast``, a large ``.nii.gz`` costs
    a tenth of the time; the workflow's environments lack that library. Only a sheared affine, which ITK cannot read, is
    written as a sform alone; results of a sheared image lie on `affine_geometry.writable_grid`.
    """
    image = as_nifti(np.rint(data / UNIT_STEP).astype(np.uint16) if unit else data, affine)
    if intent:
        image.header.set_intent(intent)
    if unit:
        image.header.set_slope_inter(UNIT_STEP, 0)
    with atomic_path(path) as part:
        if fast:
            with gzipped(part) as file:
                image.to_stream(file)
        else:
            image.to_filename(part)


def as_nifti(data: np.ndarray, affine: np.ndarray) -> Any:
    """Return an image of nibabel's whose header says where its voxels lie, see `write_volume`."""
    import nibabel as nib

    straight = shear_free(affine)
    sheared = straight is not affine and not agree(affine, straight, data.shape[:3])
    image = nib.Nifti1Image(data, affine if sheared else straight)
    image.set_sform(affine if sheared else straight, code="scanner")
    image.set_qform(straight, code="unknown" if sheared else "scanner")  # a qform cannot shear
    image.header.set_xyzt_units("mm")
    return image


@contextmanager
def gzipped(path: Path) -> Iterator[Any]:
    """Open a file to write to, in a tenth of zlib's time where its name ends in ``.gz``."""
    with open(path, "wb") as file:
        if path.name.endswith(".gz"):
            from isal import igzip

            with igzip.IGzipFile("", "wb", COMPRESSION, file, 0) as packed:  # type: ignore[no-untyped-call]
                yield packed
        else:
            yield file


def read_field(path: str | Path) -> Volume:
    """Read a vector field ``(X, Y, Z, 3)`` as it is stored, in float32. Raises `InputError` for another shape."""
    opened = open_image(path)
    if len(opened.shape) != 4 or opened.shape[3] != 3:
        raise InputError(path, f"a field has shape (X, Y, Z, 3), this one {opened.shape}", "Give a displacement field")
    return Volume(read_voxels(opened).astype(np.float32, copy=False), opened.affine)
