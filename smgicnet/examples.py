"""The pairs that figures show: their images, kept fields and scores, read back from the results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smgicnet.errors import InputError
from smgicnet.images import read_image
from smgicnet.transforms_io import read_itk, to_voxels


def field_files(folder: str | Path, fixed: str, moving: str) -> tuple[Path, Path]:
    """Where a kept pair's warped image and displacement (ITK) lie in a shard's folder."""
    stem = f"fixed-{fixed}_moving-{moving}"
    return Path(folder) / f"{stem}_warped.nii.gz", Path(folder) / f"{stem}_displacement.nii.gz"


def mean_dice(metrics: pd.DataFrame, fixed: str, moving: str) -> float:
    """Mean Dice of one ordered pair."""
    chosen = (metrics["fixed"] == fixed) & (metrics["moving"] == moving)
    return float(metrics.loc[chosen & (metrics["metric"] == "dice") & (metrics["roi"] == "mean"), "value"].mean())


def load_example(
    fixed: str,
    moving: str,
    images: Mapping[str, str | Path],
    folders: Sequence[str | Path],
    metrics: pd.DataFrame,
    initial: pd.DataFrame | None,
) -> dict:
    """One row of `smgicnet.plotting.registration_figure`.

    ``images`` maps a subject to its preprocessed image, ``folders`` are those of the shards with kept fields,
    ``initial`` are the metrics before registration. Raises `InputError` when the pair's field was not kept.
    """
    for folder in folders:
        warped, field = field_files(folder, fixed, moving)
        if warped.is_file():
            break
    else:
        raise InputError(
            f"{fixed}, {moving}", "no field of this pair was kept", "Run the registration of its shard again"
        )
    volumes = {"fixed": read_image(images[fixed]), "moving": read_image(images[moving])}
    displacement = to_voxels(read_itk(field).data, volumes["fixed"].affine, volumes["moving"].affine)
    return {
        "name_fixed": fixed,
        "name_moving": moving,
        "fixed": volumes["fixed"].data,
        "moving": volumes["moving"].data,
        "warped": read_image(warped).data,
        "displacement": displacement,
        "dice_before": mean_dice(initial, fixed, moving) if initial is not None else float("nan"),
        "dice_after": mean_dice(metrics, fixed, moving),
    }
