"""NIfTI in and out. What is read is checked; what is written appears whole or not at all.

nibabel is imported where it is used: Snakemake imports this module in an environment that lacks it
(envs/snakemake.yaml).
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smgicnet.affine_geometry import agree, shear_free
from smgicnet.errors import InputError
from smgicnet.headers import OpenedImage, open_image, read_voxels

MAX_AFFINE_DIFFERENCE_MM = 1e-2
MIN_VOXELS = 3  # along each axis of an image
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
    blocking = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None)
    if blocking is not None:
        raise InputError(folder, f"results cannot be written there: {blocking} is a file", "Name another folder")
    with atomic_path(folder / f".writable-{os.getpid()}") as part:
        part.write_bytes(b"x")
    (folder / f".writable-{os.getpid()}").unlink()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            folder,
            f"{needed / 2**20:,.0f} MiB will be needed here, {free / 2**20:,.0f} are free",
            "Free space, or put the results on another disk, and run the same command again",
        )


def _load(path: str | Path, dtype: type, form: str | None = None) -> tuple[Volume, float]:
    """A 3D volume of finite values and the header's scaling factor, or an `InputError`."""
    opened = open_image(path, form)
    shape = spatial_shape(opened)
    data = read_voxels(opened).reshape(shape)
    if not np.isfinite(data).all():
        raise InputError(
            path, "it holds NaN or infinite values", "Replace them, for instance with `fslmaths IN -nan OUT`"
        )
    with np.errstate(over="ignore"):
        converted = data.astype(dtype, copy=False)
    if not np.isfinite(converted).all():
        raise InputError(path, "it holds values beyond 3e38", "Scale them down")
    return Volume(converted, opened.affine), opened.slope


def spatial_shape(opened: OpenedImage) -> tuple[int, int, int]:
    """The shape ``(X, Y, Z)`` of an image of one volume; axes of one voxel beyond the third are dropped.

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
    return shape[:3]


def read_image(path: str | Path, form: str | None = None) -> Volume:
    """An intensity image, float32. Raises `InputError` also when all voxels have one value.

    ``form``: see `smgicnet.headers.open_image`.
    """
    volume, _ = _load(path, np.float32, form)
    if volume.data.min() == volume.data.max():
        raise InputError(path, "all voxels have the same intensity", "Check that this is the image and not a mask")
    return volume


def read_labels(path: str | Path, form: str | None = None) -> Volume:
    """A label map, int32. Values that a scaling factor in the header has moved off whole numbers are rounded.

    ``form``: see `smgicnet.headers.open_image`. Raises `InputError` for other values that are not whole numbers, and
    for those beyond 32 bits.
    """
    volume, slope = _load(path, np.float64, form)
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
    return Volume(whole.astype(np.int32), volume.affine)


def on_grid_of(image: Volume, labels: Volume, image_path: str | Path, labels_path: str | Path) -> Volume:
    """A label map or mask in the axis order of its image: the world decides which voxel lies on which.

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
    """Where the axes of an affine lead, closest to the world's, such as ``"LIA"``."""
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(affine))


def reoriented(volume: Volume, codes: str) -> Volume:
    """``volume`` with its axes permuted and flipped to the axis codes ``codes``; the world stays where it is."""
    from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

    change = ornt_transform(io_orientation(volume.affine), axcodes2ornt(codes))
    data = apply_orientation(volume.data, change)
    return Volume(np.ascontiguousarray(data), volume.affine @ inv_ornt_aff(change, volume.data.shape))


def write_volume(
    path: str | Path, data: np.ndarray, affine: np.ndarray, *, intent: str | None = None, unit: bool = False
) -> None:
    """Write ``.nii`` or ``.nii.gz`` atomically, the same bytes for the same data; the dtype is kept.

    ``intent`` is a NIfTI intent such as ``"vector"`` for displacement fields. ``unit``: intensities in [0, 1] are
    stored as uint16 in steps of `UNIT_STEP`, which is half of float32's size. Only a sheared affine, which ITK cannot
    read, is written as a sform alone; results of a sheared image lie on `smgicnet.affine_geometry.writable_grid`.
    """
    import nibabel as nib

    stored = np.rint(data / UNIT_STEP).astype(np.uint16) if unit else data
    straight = shear_free(affine)
    sheared = straight is not affine and not agree(affine, straight, data.shape)
    image = nib.Nifti1Image(stored, affine if sheared else straight)
    image.set_sform(affine if sheared else straight, code="scanner")
    image.set_qform(straight, code="unknown" if sheared else "scanner")  # a qform cannot shear
    image.header.set_xyzt_units("mm")
    if intent:
        image.header.set_intent(intent)
    if unit:
        image.header.set_slope_inter(UNIT_STEP, 0)
    with atomic_path(path) as part:
        nib.save(image, part)


def read_field(path: str | Path) -> Volume:
    """A vector field ``(X, Y, Z, 3)``, float32, as it is stored. Raises `InputError` for another shape."""
    opened = open_image(path)
    if len(opened.shape) != 4 or opened.shape[3] != 3:
        raise InputError(path, f"a field has shape (X, Y, Z, 3), this one {opened.shape}", "Give a displacement field")
    return Volume(read_voxels(opened).astype(np.float32, copy=False), opened.affine)


def require_writable(path: str | Path) -> None:
    """Raise `InputError`, before anything is computed, where the file ``path`` could not be written in the end."""
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "it is a folder", "Give the name of a file to write")
    require_room(path.parent, 0)


def require_distinct(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Raise `InputError` where an output is the same file as an input, under whatever name: it would be lost."""
    given = [Path(path) for path in inputs]
    for output in map(Path, outputs):
        for path in given:
            if _same_file(output, path):
                raise InputError(
                    output, f"writing the result here would replace the input {path}", "Name another output"
                )


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return first.resolve() == second.resolve()
