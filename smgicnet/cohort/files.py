"""The files of a cohort, opened one by one: what they hold, and what is wrong with each."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from smgicnet.cohort.participants import FILE_COLUMNS
from smgicnet.core.errors import InputError, attempt
from smgicnet.imaging.foreground import foreground
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.headers import header_form
from smgicnet.imaging.images import Scan, Volume, on_grid_of, read_label_scan, read_labels, read_scan
from smgicnet.imaging.landmarks import Landmarks, corresponding, read_landmarks, require_inside
from smgicnet.preparation.brain_extraction import is_stripped
from smgicnet.preparation.label_protocols import map_labels, roi_names, unknown_labels
from smgicnet.preparation.preprocessing import prepare


@dataclass(frozen=True)
class SubjectCheck:
    """The contents of one subject's files; None for what could not be read."""

    subject: str
    shape: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None  # mm
    orientation: str | None = None
    stripped: bool | None = None
    brain_ml: float | None = None
    rois_missing: tuple[str, ...] | None = None  # None also without a label map
    ids_unknown: tuple[int, ...] = ()  # of the label map, that the protocol lacks
    digest: str | None = None  # of the voxels, whatever the compression
    landmarks: Landmarks | None = None  # None also where there are none
    problems: tuple[InputError, ...] = ()


def check_cohort_files(table: pd.DataFrame, preprocessing: Mapping, grid: Grid | None, jobs: int) -> list[SubjectCheck]:
    """Read every file of a cohort, one subject a process and time.

    Parameters
    ----------
    table : indexed by subject, paths in the columns image, labels, mask and landmarks ("" where there is none)
    preprocessing : a completed block of the config
    grid : the common grid that stripped images have to fit into, or None

    Returns a `SubjectCheck` a row. Files or images that two subjects share are problems of the second, and so are
    landmarks that do not correspond.
    """
    columns = [column for column in FILE_COLUMNS if column in table]
    rows = [dict(zip(columns, map(str, values))) for values in table[columns].itertuples(index=False)]
    work = partial(_check_subject, preprocessing=dict(preprocessing), grid=grid)
    progress = partial(tqdm, total=len(rows), desc="files", unit="subject", disable=None, leave=False)
    if jobs == 1 or len(rows) < 2:
        checks = list(progress(map(work, table.index, rows)))
    else:
        spawned = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        with ProcessPoolExecutor(min(jobs, len(rows)), mp_context=spawned) as pool:
            try:
                checks = list(progress(pool.map(work, table.index, rows)))
            except BrokenProcessPool:
                raise InputError(
                    "smgicnet check", "a process was killed, perhaps for memory", "Use fewer --jobs"
                ) from None
    beside = zip(checks, _shared(rows, checks), _unlike(checks), strict=True)
    return [replace(one, problems=(*one.problems, *shared, *unlike)) for one, shared, unlike in beside]


def _check_subject(subject: str, files: Mapping[str, str], preprocessing: Mapping, grid: Grid | None) -> SubjectCheck:
    """One subject; its own problems are in the result."""
    problems: list[InputError] = []
    given = files.get("labels", "") if preprocessing["segmentation"] == "given" else ""
    form = header_form(preprocessing)
    scan = attempt(problems, read_scan, files["image"], form) if files["image"] or not given else None
    image = None if scan is None else scan.volume
    label_scan, labels, missing, unknown = None, None, None, ()
    if given:
        label_scan = attempt(problems, read_label_scan, given, form)
    if label_scan is not None:
        labels = label_scan.volume
        if image is not None:
            attempt(problems, on_grid_of, image, labels, files["image"], given)
        missing = attempt(problems, _missing_rois, labels.data, preprocessing["labels"], given)
        unknown = tuple(attempt(problems, unknown_labels, labels.data, preprocessing["labels"]) or ())
    if files.get("mask"):
        attempt(problems, _check_mask, image, files["image"], files["mask"], form)
    volume = labels if image is None else image
    landmarks = attempt(problems, _landmarks, files, volume) if files.get("landmarks") else None
    if volume is None:
        return SubjectCheck(subject, problems=tuple(problems))
    stripped, brain_ml = None, None
    if scan is not None:
        usable = label_scan if missing is not None else None
        stripped, brain_ml = _check_brain(scan, usable, grid, preprocessing, problems)
    return SubjectCheck(
        subject,
        volume.data.shape,
        tuple(volume.spacing.round(2).tolist()),
        "".join(nib.aff2axcodes(volume.affine)),
        stripped,
        brain_ml,
        missing,
        unknown,
        hashlib.blake2b(np.ascontiguousarray(image.data), digest_size=16).hexdigest() if image is not None else None,
        landmarks,
        tuple(problems),
    )


def _landmarks(files: Mapping[str, str], image: Volume | None) -> Landmarks:
    found = read_landmarks(files["landmarks"])
    if image is not None:
        require_inside(found, image.data.shape, image.affine, files["image"] or files["labels"])
    return found


def _check_brain(
    image: Scan, labels: Scan | None, grid: Grid | None, preprocessing: Mapping, problems: list[InputError]
) -> tuple[bool, float | None]:
    """Return whether an image is stripped, and the volume of its brain in ml, or None for one with skull.

    ``labels`` is a label map that can be used. What is wrong is added to ``problems``.
    """
    stripped = is_stripped(image.volume)
    if not stripped and preprocessing["skull_strip"] == "none":
        problem = "it seems to have its skull, and preprocessing.skull_strip is none"
        problems.append(InputError(image.path, problem, "Set preprocessing.skull_strip: auto, or strip it"))
    if not stripped and preprocessing["skull_strip"] != "none":
        return stripped, None
    usable = labels if not problems else None
    return stripped, attempt(problems, _brain_ml, image, usable, grid, preprocessing)


def _missing_rois(labels: np.ndarray, mapping: str, path: str) -> tuple[str, ...]:
    present = set(np.unique(map_labels(labels, mapping)).tolist())
    missing = tuple(name for roi, name in roi_names().items() if roi not in present)
    if len(missing) == len(roi_names()):
        raise InputError(
            path, "none of the 36 ROIs is in it", "Name its protocol, or a table of your own, in preprocessing.labels"
        )
    return missing


def _check_mask(image: Volume | None, image_path: str, path: str, form: str | None) -> None:
    mask = read_labels(path, form)
    if not mask.data.any():
        raise InputError(path, "the mask is empty", "Give the brain's voxels a value other than 0")
    if image is not None:
        on_grid_of(image, mask, image_path, path)


def _brain_ml(image: Scan, labels: Scan | None, grid: Grid | None, preprocessing: Mapping) -> float:
    """Return the volume of a stripped brain in ml. Raises `InputError` when it does not come onto the common grid."""
    if grid is not None:
        return prepare(image, labels, grid, mapping=preprocessing["labels"]).report["foreground_ml"]
    return float(foreground(image.volume.data).sum() * np.prod(image.volume.spacing) / 1000)


def _shared(rows: list[dict[str, str]], checks: list[SubjectCheck]) -> list[tuple[InputError, ...]]:
    """For each subject, the files or equal images that an earlier one has too: a person in two splits leaks."""
    first: dict[tuple[str, str], str] = {}
    found = []
    for files, one in zip(rows, checks):
        problems = []
        used = [("image", one.digest)] + [
            (kind, os.path.realpath(file)) for kind, file in files.items() if os.path.isfile(file)
        ]
        for kind, key in used:
            other = first.setdefault((kind, key), one.subject) if key else one.subject
            if other != one.subject and not any(kind in problem.problem for problem in problems):
                problem = f"subjects {other} and {one.subject} have the same {kind}"
                remedy = "Keep one of them: a person in two splits, or twice in one, falsifies the scores"
                problems.append(InputError(files[kind], problem, remedy))
        found.append(tuple(problems))
    return found


def _unlike(checks: list[SubjectCheck]) -> list[list[InputError]]:
    """For each subject, what is wrong with its landmarks beside those of the first that has some."""
    first = next((one.landmarks for one in checks if one.landmarks), None)
    found: list[list[InputError]] = [[] for _ in checks]
    for one, problems in zip(checks, found, strict=True):
        if one.landmarks and first:
            attempt(problems, corresponding, first, one.landmarks)
    return found
