"""NIfTI in and out. What is read is checked; what is written appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from smgicnet.errors import InputError

MAX_AFFINE_DIFFERENCE_MM = 1e-2
UNIT_STEP = 2.0**-15  # of a stored intensity in [0, 1]: a power of two, so that reading rounds nothing


@dataclass(frozen=True)
class Volume:
    """``data (X, Y, Z)`` or ``(X, Y, Z, C)`` and ``affine (4, 4)``: voxel index to world, RAS mm."""

    data: np.ndarray
    affine: np.ndarray

    @property
    def spacing(self) -> np.ndarray:
        """Voxel size in mm along each array axis."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; renamed to it on success, removed on failure.

    The folder is made; the file is flushed to the disk before it gets its name. All endings are kept.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _load(path: str | Path, dtype: type) -> Volume:
    """A 3D volume of finite values with an invertible affine, or an `InputError`."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "Correct its path or restore the file")
    try:
        image = nib.load(path)
        data = np.asanyarray(image.dataobj)
    except Exception as error:  # nibabel, gzip and zlib each raise their own for a damaged file
        raise InputError(
            path, f"not a readable image, perhaps truncated ({error})", "Copy or download it again as NIfTI"
        ) from error
    affine = getattr(image, "affine", None)
    if data.dtype.fields is not None or not np.issubdtype(data.dtype, np.number):
        raise InputError(path, f"its voxels are {data.dtype}, not numbers", "Give a grey-value image, not a colour one")
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(
            path,
            f"a 3D volume is needed, this one has shape {data.shape}",
            "Extract one volume, for instance with `fslroi` or `mri_convert --frame`",
        )
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-6:
        raise InputError(path, "its affine is not finite and invertible", "Repair the header's sform or qform")
    if not np.isfinite(data).all():
        raise InputError(
            path, "it holds NaN or infinite values", "Replace them, for instance with `fslmaths IN -nan OUT`"
        )
    return Volume(data.astype(dtype, copy=False), np.asarray(affine, dtype=np.float64))


def read_image(path: str | Path) -> Volume:
    """An intensity image, float32. Raises `InputError` also when all voxels have one value."""
    volume = _load(path, np.float32)
    if volume.data.min() == volume.data.max():
        raise InputError(path, "all voxels have the same intensity", "Check that this is the image and not a mask")
    return volume


def read_labels(path: str | Path) -> Volume:
    """A label map, int32."""
    volume = _load(path, np.float64)
    labels = volume.data.astype(np.int32)
    if not np.array_equal(labels, volume.data):
        raise InputError(path, "a label map holds whole numbers", "Resample label maps with nearest neighbours only")
    return Volume(labels, volume.affine)


def check_same_grid(image: Volume, labels: Volume, image_path: str | Path, labels_path: str | Path) -> None:
    """Raise `InputError` unless a label map lies voxel by voxel on its image."""
    if image.data.shape != labels.data.shape:
        problem = f"its shape {labels.data.shape} differs from {image.data.shape} of {image_path}"
    elif np.abs(image.affine - labels.affine).max() > MAX_AFFINE_DIFFERENCE_MM:
        problem = f"its affine differs from that of {image_path}"
    else:
        return
    raise InputError(
        labels_path, problem, "Resample the labels to the image, for instance with `mri_vol2vol --nearest`"
    )


def write_volume(
    path: str | Path, data: np.ndarray, affine: np.ndarray, *, intent: str | None = None, unit: bool = False
) -> None:
    """Write ``.nii`` or ``.nii.gz`` atomically, the same bytes for the same data; the dtype is kept.

    ``intent`` is a NIfTI intent such as ``"vector"`` for displacement fields. ``unit``: intensities in [0, 1] are
    stored as uint16 in steps of `UNIT_STEP`, which is half of float32's size.
    """
    stored = np.rint(data / UNIT_STEP).astype(np.uint16) if unit else data
    image = nib.Nifti1Image(stored, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    if intent:
        image.header.set_intent(intent)
    if unit:
        image.header.set_slope_inter(UNIT_STEP, 0)
    with atomic_path(path) as part:
        nib.save(image, part)


def load_field(path: str | Path) -> Volume:
    """The array of a field file as it is, float32. Raises `InputError` when it is missing or damaged."""
    try:
        image = nib.load(path)
        data = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:
        raise InputError(path, f"not a readable field ({error})", "Write or copy it again") from error
    return Volume(data, np.asarray(image.affine, dtype=np.float64))


def read_field(path: str | Path) -> Volume:
    """A vector field ``(X, Y, Z, 3)``, float32. Raises `InputError` when missing or of another shape."""
    field = load_field(path)
    shape = field.data.shape
    if len(shape) != 4 or shape[3] != 3:
        raise InputError(path, f"a field has shape (X, Y, Z, 3), this one {shape}", "Give a displacement field")
    return field
