"""The correction of the bias field by ANTs' N4 (Tustison et al. 2010), within the brain."""

from __future__ import annotations

import logging
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from smgicnet.imaging.foreground import foreground
from smgicnet.imaging.images import Volume, on_grid_of, read_image, read_labels

log = logging.getLogger(__name__)
SHRINK = 4  # the field is smooth, so that every fourth voxel is enough to find it


def correct_bias(
    image_path: str | Path, mask_path: str | Path | None = None, form: str | None = None
) -> tuple[Volume, dict[str, Any]]:
    """Return a skull-stripped image without its multiplicative bias field, and a record.

    The field is found and divided out within the mask (by default the image's foreground), whose median stays the same;
    the voxels outside, the grid and the affine are kept. ``form`` is that of `smgicnet.imaging.headers.open_image`.
    Raises `InputError` for an unusable image.
    """
    import ants

    start = time.perf_counter()
    volume = read_image(image_path, form)
    if mask_path:
        mask = on_grid_of(volume, read_labels(mask_path, form), image_path, mask_path).data > 0
    else:
        mask = foreground(volume.data)
    lift = 1 - min(float(volume.data[mask].min()), 0.0)  # N4 takes logarithms of all values
    spacing = tuple(map(float, volume.spacing))
    image, region = (
        ants.from_numpy(np.ascontiguousarray(data, dtype=np.float32), spacing=spacing)
        for data in (np.where(mask, volume.data + lift, 0), mask)
    )
    shrink = min(SHRINK, max(1, min(volume.data.shape) // 16))
    corrected = ants.n4_bias_field_correction(image, mask=region, shrink_factor=shrink).numpy()
    factor = np.median(volume.data[mask] + lift) / np.median(corrected[mask])
    result = np.where(mask, corrected * factor - lift, volume.data).astype(np.float32)
    seconds = round(time.perf_counter() - start, 2)
    log.info("%s: bias field corrected in %.1f s", image_path, seconds)
    record = {"tool": "n4", "version": metadata.version("antspyx"), "shrink_factor": shrink, "seconds": seconds}
    return Volume(result, volume.affine), record
