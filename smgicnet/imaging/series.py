"""Images of one volume or several, read and written a volume at a time: a series need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.imaging.headers import OpenedImage, read_voxels
from smgicnet.imaging.images import as_nifti, gzipped, spatial_shape

_AGAIN = "Copy or download it again as NIfTI"


def volume_count(opened: OpenedImage) -> int:
    """Return how many volumes an image has. Raises `InputError` for vectors, colours and more than one further axis."""
    further = [n for n in opened.shape[3:] if n != 1]
    if any(n != 1 for n in opened.shape[4:]):
        problem = f"an image or a series of volumes is needed, this one has shape {opened.shape}"
        raise InputError(opened.path, problem, "Give each component as an image of its own")
    return further[0] if further else 1


def volumes(opened: OpenedImage) -> Iterator[np.ndarray]:
    """Yield the volumes ``(X, Y, Z)`` of an image in float32, one after the other.

    Of a series in NIfTI one volume at a time is in memory. Raises `InputError` for a damaged file, and for values that
    are not finite.
    """
    count = volume_count(opened)
    if count == 1:
        spatial_shape(opened)
        found: Iterator[np.ndarray] = iter([read_voxels(opened).reshape(opened.shape[:3])])
    elif hasattr(opened.voxels, "file_like"):
        found = _streamed(opened, opened.voxels, count)
    else:
        found = iter(np.moveaxis(read_voxels(opened).reshape(*opened.shape[:3], count), 3, 0))
    for number, data in enumerate(found):
        with np.errstate(over="ignore"):
            volume = data.astype(np.float32, copy=False)
        if not np.isfinite(volume).all():
            of = f" in volume {number + 1}" if count > 1 else ""
            problem = f"it holds NaN or infinite values, or values beyond 3e38{of}"
            raise InputError(opened.path, problem, "Replace them, for instance with `fslmaths IN -nan OUT`")
        yield volume


def _streamed(opened: OpenedImage, proxy: Any, count: int) -> Iterator[np.ndarray]:
    """Yield the volumes of a NIfTI file in one pass over it."""
    from nibabel.openers import ImageOpener

    shape, dtype = opened.shape[:3], np.dtype(proxy.dtype)
    size = int(np.prod(shape)) * dtype.itemsize
    try:
        with ImageOpener(proxy.file_like) as file:
            file.seek(proxy.offset)
            for _ in range(count):
                stored = file.read(size)
                if len(stored) < size:
                    raise EOFError("it ends too soon")
                data = np.frombuffer(stored, dtype).reshape(shape, order="F")
                yield data * np.float32(proxy.slope) + np.float32(proxy.inter)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(opened.path, f"not a readable image, perhaps truncated ({error})", _AGAIN) from error


def write_series(path: Path, content: Iterator[np.ndarray], count: int, affine: np.ndarray, step: float) -> None:
    """Write volumes ``(X, Y, Z)`` as they come, as one NIfTI image, atomically.

    ``count`` of them are to come; ``step`` is the time from one to the next in seconds, 0 where it is not known.
    """
    with atomic_path(path) as part, gzipped(part) as file:
        for number, volume in enumerate(content):
            if number == 0:
                whole = np.broadcast_to(volume[..., None], (*volume.shape, count))
                header = as_nifti(whole, affine).header
                header["pixdim"][4] = step
                header.set_xyzt_units("mm", "sec" if step else None)
                header["vox_offset"] = header.single_vox_offset
                header.write_to(file)
                file.write(b"\0" * (header.single_vox_offset - file.tell()))
            file.write(volume.tobytes(order="F"))
