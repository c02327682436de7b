"""The pairs that figures show: their images, fields and scores, read back from the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smgicnet.core.errors import InputError
from smgicnet.core.layout import shown_files
from smgicnet.imaging.displacements import read_itk, to_voxels
from smgicnet.imaging.images import read_image
from smgicnet.scoring.statistics import pair_mean, read_metrics


def load_example(
    fixed: str,
    moving: str,
    images: Mapping[str, str | Path],
    folder: str | Path,
    metrics: pd.DataFrame,
    initial: pd.DataFrame | None,
) -> dict:
    """Return one row of `smgicnet.publication.figures.registration_figures.registration_figure`.

    Its ``spacing`` is the grid's in mm. ``images`` maps a subject to its preprocessed image, ``folder`` is the run's
    with the fields of the pairs shown, ``initial`` are the metrics before registration. Raises `InputError` when the
    pair's field is not there.
    """
    warped, field = shown_files(folder, fixed, moving)
    if not warped.is_file():
        raise InputError(folder, f"it has no field of {moving} to {fixed}", "Remove it and run the workflow again")
    volumes = {"fixed": read_image(images[fixed]), "moving": read_image(images[moving])}
    displacement = to_voxels(read_itk(field).data, volumes["fixed"].affine, volumes["moving"].affine)
    return {
        "name_fixed": fixed,
        "name_moving": moving,
        "fixed": volumes["fixed"].data,
        "moving": volumes["moving"].data,
        "warped": read_image(warped).data,
        "displacement": displacement,
        "spacing": float(volumes["fixed"].spacing[0]),
        "dice_before": pair_mean(initial, "dice", fixed, moving) if initial is not None else float("nan"),
        "dice_after": pair_mean(metrics, "dice", fixed, moving),
    }


class ShownPairs:
    """The pairs shown, as ``runs`` registered them.

    ``files`` by name: ``pairs`` (the one list of them), ``images`` (a folder for each subject), ``initial_metrics``
    (one or none), and for each run in order ``shown`` (the folder of its fields) and ``shown_metrics``.
    """

    def __init__(self, files: Mapping[str, Sequence[str]], runs: Sequence[tuple[str, str]]):
        (listed,) = files["pairs"]
        self.pairs: list[tuple[str, str]] = [tuple(pair) for pair in json.loads(Path(listed).read_text()).values()]
        self._images = {Path(path).parent.name: path for path in files["images"]}
        self._initial = read_metrics(files["initial_metrics"]) if files["initial_metrics"] else None
        self._metrics = dict(zip(runs, (read_metrics([path]) for path in files["shown_metrics"]), strict=True))
        self._folders = dict(zip(runs, files["shown"], strict=True))

    def example(self, run: tuple[str, str], fixed: str, moving: str) -> dict:
        """Return `load_example` of a pair by a run."""
        return load_example(fixed, moving, self._images, self._folders[run], self._metrics[run], self._initial)
