"""NIfTI in and out. What is read is checked; what is written appears whole or not at all.

nibabel is imported where it is used: Snakemake imports this module in an environment that lacks it
(envs/snakemake.yaml).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smgicnet.errors import InputError

MAX_AFFINE_DIFFERENCE_MM = 1e-2
UNWRITABLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the system allows no file as large",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write there",
    errno.EPERM: "there is no permission to write there",
    errno.EIO: "the disk reports an error",
}
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

    The folder is made; the file is flushed to the disk before it gets its name, and the name after it. All endings are
    kept. Raises `InputError` where it cannot be written; what ``path`` held before is then untouched.
    """
    path = Path(path)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _flush(part, os.O_RDWR)
        os.replace(part, path)
        _flush(path.parent, os.O_RDONLY)
    except OSError as error:
        ours = error.filename is None or Path(error.filename) in (part, path, *path.parents)
        if error.errno not in UNWRITABLE or not ours:
            raise
        raise _unwritable(path, error) from None
    finally:
        _remove(part)


def append_line(path: str | Path, line: str) -> None:
    """Append a line to a text file and flush it to the disk; half a line, of a killed process, is ended first.

    The folder is made. Raises `InputError` where it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise _unwritable(path, error) from None


def _flush(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return  # as unwritable as the file itself: that was said


def _unwritable(path: str | Path, error: OSError) -> InputError:
    """What to tell a user whose results cannot be written."""
    remedy = "Free space there, or make it writable, and run the same command again: what is complete is kept"
    free = (
        "" if error.errno != errno.ENOSPC else f" ({shutil.disk_usage(Path(path).parent).free / 2**20:,.0f} MiB free)"
    )
    return InputError(path, f"cannot be written: {UNWRITABLE.get(error.errno, error.strerror)}{free}", remedy)


def require_room(folder: str | Path, needed: int) -> None:
    """Raise `InputError` unless ``folder``, which is made, can be written to and has ``needed`` bytes free."""
    folder = Path(folder)
    with atomic_path(folder / "writable") as part:
        part.write_bytes(b"x")
    (folder / "writable").unlink()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            folder,
            f"{needed / 2**20:,.0f} MiB will be needed here, {free / 2**20:,.0f} are free",
            "Free space, or put the results on another disk, and run the same command again",
        )


def _load(path: str | Path, dtype: type) -> Volume:
    """A 3D volume of finite values with an invertible affine, or an `InputError`."""
    import nibabel as nib

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
    import nibabel as nib

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
    import nibabel as nib

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
