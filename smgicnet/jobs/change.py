"""A subject's head in every change of a study of robustness, from files to files."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.errors import InputError
from smgicnet.core.layout import CHANGED, changed_file
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_image, read_label_scan, read_scan
from smgicnet.preparation.changes import Changes, Variant
from smgicnet.preparation.preprocessing import prepare, read_intensities, write_prepared

log = logging.getLogger(__name__)
REMEDY = "Lower evaluation.robustness.shift, enlarge the dataset's grid, or leave out this change"


def change_subject(
    scan: SubjectFiles,
    prepared: Path,
    grid: Grid,
    changes: Changes,
    folder: Path,
    *,
    mapping: str = "freesurfer",
    histogram: Path | None = None,
    form: str | None = None,
) -> None:
    """Write the head of a subject in every variant of ``changes``, each in a folder of its own below ``folder``.

    A head that lies otherwise is resampled once, from the subject's own ``scan`` through the change to the common grid.
    Its files lie where ``prepared``, the subject's preprocessed image, lies: their header tells nothing of the change,
    as if a scanner had seen the head so. The map that undoes it stands in the JSON beside them, see `read_change`.
    ``mapping``, ``histogram``, an image to match, and ``form`` are as in `prepare`. Raises `InputError` for a head of
    which the change leaves too little on the grid.
    """
    image = read_scan(scan.image, form)
    labels = read_label_scan(scan.labels, form) if scan.labels else None
    same = {"mapping": mapping, "reference": read_intensities(histogram) if histogram else None, "form": form}
    own = read_image(prepared).affine
    centre = apply_affine(own, (np.array(grid.shape) - 1) / 2)  # the grid is centred on the brain
    for variant in changes.variants:
        to_own = changes.to_own(variant, scan.name, centre)
        try:
            found = prepare(image, labels, grid, to_own @ own, **same)
        except InputError as error:  # as it lies, the same scan has been prepared
            raise InputError(error.source, f"changed by {variant.name}, {error.problem}", REMEDY) from None
        seen = changes.seen(variant, scan.name, found.image, found.labels, grid.spacing)
        said = {"change": variant.change, "severity": variant.severity, "to_own": to_own.tolist()}
        files = {kind: changed_file(folder, variant.name, kind) for kind in CHANGED}
        write_prepared(
            replace(found, image=seen.astype(np.float32), affine=own, report={**said, **found.report}), files
        )
        log.info("%s changed by %s", scan.name, variant.name)


def changed_images(folders: Mapping[str, Path], variants: Sequence[Variant]) -> dict[str, Path]:
    """Return the image of every changed head by its name, see `Variant.of`; ``folders`` are those of subjects."""
    heads = [(name, one) for name in folders for one in variants]
    return {one.of(name): changed_file(folders[name], one.name, "image") for name, one in heads}


def read_change(path: Path) -> np.ndarray:
    """Read from its JSON the map ``(4, 4)`` in RAS mm from a changed head's world to the subject's own.

    Raises `InputError` for a file that does not hold one.
    """
    try:
        matrix = np.array(json.loads(path.read_text(encoding="utf-8"))["to_own"], dtype=float)
        if matrix.shape != (4, 4):
            raise ValueError(f"its map has the shape {matrix.shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"it holds no map ({error})", "Delete its folder: the workflow makes it again") from None
    return matrix
