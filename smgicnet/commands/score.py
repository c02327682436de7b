"""The command that scores a transform of any tool between two label maps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path, require_distinct, require_writable
from smgicnet.imaging.displacements import to_voxels
from smgicnet.imaging.field_formats import Geometry, header_geometry, read_geometry
from smgicnet.imaging.images import read_label_scan
from smgicnet.imaging.landmarks import read_landmarks, require_inside
from smgicnet.imaging.transform_chain import displacement_of, named_files, read_transforms
from smgicnet.methods.contract import Registration
from smgicnet.preparation.label_protocols import label_file, map_labels, roi_names, unknown_labels, unknown_sentence
from smgicnet.preparation.parcels import map_parcels
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.metrics import SCORED
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.scoring.pair_metrics import require_ndv

log = logging.getLogger(__name__)


def score_transforms(
    fixed_labels: Path,
    moving_labels: Path,
    transforms: Sequence[str | Path],
    *,
    mapping: str = "freesurfer",
    moving_image: Path | None = None,
    meaning: str | None = None,
    form: str | None = None,
    landmarks: Sequence[Path | None] = (None, None),
) -> pd.DataFrame:
    """Return the workflow's metrics of ``transforms``, in antsApplyTransforms' order, on the fixed labels' grid.

    Parameters
    ----------
    fixed_labels, moving_labels : label maps, on any grids
    transforms : those of `smgicnet.imaging.transform_chain.read_transforms`; without any, the maps lie as their headers
        say
    mapping : the labels' protocol, as in the config's ``preprocessing.labels``
    moving_image : the image that FSL's warp was made for, where the moving labels lie on another grid
    meaning : one of `smgicnet.imaging.headers.MEANINGS`, for fields that do not say what their vectors are
    form : which place a header that names two stands for, see `smgicnet.imaging.headers.open_image`
    landmarks : the files of the fixed and of the moving image's landmarks, or None for both

    Returns rows ``fixed, moving, metric, roi, value`` as `evaluation.score_pair` does, without the time.
    Raises `InputError` for files that cannot be used.
    """
    if len([path for path in landmarks if path]) == 1:
        problem = "landmarks of one image alone are given"
        raise InputError("landmarks", problem, "Give both: --fixed-landmarks and --moving-landmarks")
    ends = zip((fixed_labels, moving_labels), landmarks, strict=True)
    (fixed, grid), (moving, source) = (_scored(path, mapping, form, points) for path, points in ends)
    if moving_image is not None:
        source = read_geometry(moving_image, form)
    read = read_transforms(transforms, grid, source, meaning)
    displacement = to_voxels(displacement_of(read, grid), fixed.affine, moving.affine)
    registration = Registration(torch.from_numpy(displacement)[None], None, float("nan"))
    rows = pd.DataFrame(score_pair(fixed, moving, registration, None, roi_names(), _computable()))
    return rows[rows["metric"] != "seconds"].reset_index(drop=True)


def _computable() -> set[str]:
    """Return the names of all metrics, less NDV where its package is not installed, which is told."""
    try:
        require_ndv()
    except InputError as error:
        log.warning("NDV is left out. %s", error)
        return SCORED.keys() - {"ndv_percent"}
    return set(SCORED)


def _scored(path: Path, mapping: str, form: str | None, landmarks: Path | None) -> tuple[ScoredSubject, Geometry]:
    """Read a label map and landmarks as what is scored, and the map's grid."""
    scan = read_label_scan(path, form)
    volume = scan.volume
    labels = map_labels(volume.data, mapping)
    if not labels.any():
        raise InputError(
            path, f"none of the 36 ROIs is in it by {label_file(mapping).name}", "Name its protocol with --protocol"
        )
    if unknown := unknown_labels(volume.data, mapping):
        log.warning("%s: %s", path, unknown_sentence(unknown, int((volume.data != 0).sum()), mapping))
    points = read_landmarks(landmarks) if landmarks else None
    if points:
        require_inside(points, volume.data.shape, volume.affine, path)
    parcels = np.ascontiguousarray(map_parcels(volume.data, mapping))
    rois = np.ascontiguousarray(labels)
    subject = ScoredSubject(str(path), rois, volume.affine, None, None, parcels, landmarks=points)
    return subject, header_geometry(scan.header)


def as_text(rows: pd.DataFrame) -> str:
    """Return the scores as text: a table of each group of regions, with their means, then those of the whole field."""
    tables = []
    for group in dict.fromkeys(metric.regions for metric in SCORED.values() if metric.regions):
        names = [name for name, metric in SCORED.items() if metric.regions == group]
        regional = rows[rows["metric"].isin(names)]
        if len(regional):
            table = regional.pivot(index="roi", columns="metric", values="value")
            table = table.reindex(regional["roi"].unique())[names]
            tables.append(table.to_string(float_format="{:.4f}".format, na_rep="–", index_names=False))
    whole = rows[rows["roi"] == ""].set_index("metric")["value"].rename_axis(None)
    return "\n\n".join([*tables, whole.to_string(float_format="{:.4f}".format)])


def main(fixed_labels: Path, moving_labels: Path, transforms: Sequence[str], out: Path | None, **options: Any) -> None:
    """Print `score_transforms`, and write its rows to a CSV ``out`` if there is one."""
    if out is not None:
        landmarks = [path for path in options.get("landmarks", ()) if path]
        require_distinct([out], [fixed_labels, moving_labels, *named_files(transforms), *landmarks])
        require_writable(out)
    rows = score_transforms(fixed_labels, moving_labels, transforms, **options)
    print(as_text(rows))
    if out is not None:
        with atomic_path(out) as part:
            rows.to_csv(part, index=False)
