"""The contents of the page's viewer: small images, fields and Jacobian maps, as text in the page."""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
from pandas import DataFrame

from smgicnet.core.errors import InputError
from smgicnet.publication.examples import load_example
from smgicnet.publication.report.changed_view import ChangedView, has_no_result
from smgicnet.scoring.rows import NO_RESULT
from smgicnet.scoring.statistics import pair_mean, read_metrics

MAX_VOXELS = 96  # along an axis; more make the page slow to open
FIELD_STEPS = 16  # steps a voxel to which displacements are rounded
LATTICE_LINES = 12
FOLD_CODE, LEAST_CODE, MOST_CODE = 4, 16, 255  # report.js colours these; nothing is close enough to a fold to blend
LOG2_RANGE = 2.0  # the Jacobian map is from 1/4 to 4


class Run(NamedTuple):
    """A method in an arm: ``folder`` has its kept fields, ``metrics`` is the file of its scores."""

    method: str
    arm: str
    label: str
    folder: str | Path
    metrics: str | Path


def jacobian_determinant(displacement: np.ndarray) -> np.ndarray:
    """Return ``det(I + Du)`` of ``(3, D, H, W)`` in voxels, as `fields.jacobian_determinant`, without torch."""
    a, b, c = (np.stack(np.gradient(component)) for component in displacement)
    a[0] += 1
    b[1] += 1
    c[2] += 1
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])


def shrink_factor(shape: Sequence[int]) -> int:
    """Return how many voxels become one along each axis so that none has more than ``MAX_VOXELS``."""
    return math.ceil(max(shape) / MAX_VOXELS)


def block_means(volume: np.ndarray, factor: int) -> np.ndarray:
    """Return means of blocks of ``factor`` voxels along the last three axes; a short block repeats the border."""
    if factor == 1:
        return volume
    pad = [(0, 0)] * (volume.ndim - 3) + [(0, -size % factor) for size in volume.shape[-3:]]
    padded = np.pad(volume, pad, mode="edge")
    sizes = [part for size in padded.shape[-3:] for part in (size // factor, factor)]
    return padded.reshape(*volume.shape[:-3], *sizes).mean(axis=(-5, -3, -1))


def jacobian_codes(determinant: np.ndarray, factor: int) -> np.ndarray:
    """Return bytes ``(D, H, W)``: log2 of the determinant in steps over ``LOG2_RANGE`` either side of 0, or a fold."""
    folded = determinant <= 0
    log = np.log2(np.where(folded, 2.0**-LOG2_RANGE, determinant))
    share = block_means(np.clip(log, -LOG2_RANGE, LOG2_RANGE), factor) / (2 * LOG2_RANGE) + 0.5
    codes = np.rint(LEAST_CODE + share * (MOST_CODE - LEAST_CODE)).astype(np.uint8)
    codes[block_means(folded.astype(float), factor) > 0] = FOLD_CODE
    return codes


def image_bytes(volume: np.ndarray, factor: int) -> np.ndarray:
    """Return intensities from 0 to 1 as bytes."""
    return np.rint(np.clip(block_means(volume, factor), 0, 1) * 255).astype(np.uint8)


def pack_nifti(codes: np.ndarray, spacing: float) -> str:
    """Pack a gzipped NIfTI in base64; all of a pair lie on one grid, voxel on voxel, as registration sees them."""
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = -spacing * (np.array(codes.shape) - 1) / 2
    return _packed(nib.Nifti1Image(codes, affine).to_bytes())


def pack_field(displacement: np.ndarray, factor: int) -> str:
    """Pack a displacement ``(3, D, H, W)`` in voxels of the shrunken grid.

    It is kept in int16 steps, each the difference from the one before along the last axis, all low bytes before all
    high ones (half the size of the plain numbers).
    """
    steps = np.rint(block_means(displacement, factor) / factor * FIELD_STEPS).astype(np.int16)
    changes = np.diff(steps, axis=-1, prepend=np.int16(0)).astype("<u2")
    return _packed((changes & 255).astype(np.uint8).tobytes() + (changes >> 8).astype(np.uint8).tobytes())


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 6, mtime=0)).decode("ascii")


class Viewer(NamedTuple):
    """The pairs to look at: ``pairs`` are (fixed, moving) by title, ``runs`` at least one, each with kept fields of all
    pairs, ``images`` the preprocessed image by subject, ``initial`` the scores before registration. ``changed`` is one
    more pair, with a changed head, of those runs that have registered it."""

    pairs: Mapping[str, tuple[str, str]]
    runs: Sequence[Run]
    images: Mapping[str, str | Path]
    initial: str | Path | None = None
    changed: ChangedView | None = None


class _Made(NamedTuple):
    """What a run has made of a pair: the folder of its fields, its scores, and whether there was no result."""

    folder: str | Path
    scores: DataFrame
    failed: bool


class _Shown(NamedTuple):
    """A pair to look at; ``made`` is by the number of a run, ``said`` what the index says of it."""

    fixed: str
    moving: str
    said: Mapping[str, str]
    images: Mapping[str, str | Path]
    before: DataFrame | None
    made: Mapping[int, _Made]


def _shown(viewer: Viewer) -> list[_Shown]:
    """All pairs to look at, that with a changed head last."""
    before = read_metrics([viewer.initial]) if viewer.initial else None
    scores = [read_metrics([run.metrics]) for run in viewer.runs]
    found = []
    for title, (fixed, moving) in viewer.pairs.items():
        failed = [pair_mean(one, NO_RESULT, fixed, moving) > 0 for one in scores]
        made = {r: _Made(run.folder, scores[r], failed[r]) for r, run in enumerate(viewer.runs)}
        said = {"title": title, "fixed": fixed, "moving": moving}
        found.append(_Shown(fixed, moving, said, viewer.images, before, made))
    return [*found, _changed(viewer, viewer.changed)] if viewer.changed else found


def _changed(viewer: Viewer, view: ChangedView) -> _Shown:
    """The pair with a changed head."""
    numbered = {r: view.runs.get((run.method, run.arm)) for r, run in enumerate(viewer.runs)}
    made = {r: _Made(one[0], view.scores(one[1]), has_no_result(one[0])) for r, one in numbered.items() if one}
    note = view.note([run.label for r, run in enumerate(viewer.runs) if r not in made])
    said = {"title": "changed head", "fixed": view.pair.fixed, "moving": view.title, "note": note}
    before = view.scores(view.initial) if view.initial else None
    head = view.pair.head
    return _Shown(view.pair.fixed, head, said, {**viewer.images, head: view.image}, before, made)


def viewer_data(viewer: Viewer) -> tuple[dict, dict[str, str]]:
    """Return the viewer's index, and its volumes by id as text.

    Images are stored once a pair, what a run makes of them once a run. Raises `InputError` when a file is missing.
    """
    blobs, cases, grids, pairs = {}, {}, set(), _shown(viewer)
    for p, pair in enumerate(pairs):
        for r, made in pair.made.items():
            example = load_example(pair.fixed, pair.moving, pair.images, made.folder, made.scores, pair.before)
            determinant = jacobian_determinant(example["displacement"])
            if f"p{p}-fixed" not in blobs:
                blobs |= {f"p{p}-{name}": _image(example, name) for name in ("fixed", "moving")}
            blobs |= {f"p{p}-r{r}-{name}": text for name, text in _registered(example, determinant).items()}
            cases[f"p{p}-r{r}"] = _facts(example, determinant, made)
            grids.add(example["fixed"].shape)
    if len(grids) > 1:
        raise InputError("images", f"the pairs lie on different grids, {sorted(grids)}", "Use one common grid")
    return _index(viewer, pairs, grids.pop(), cases), blobs


def _image(example: Mapping, name: str) -> str:
    """One of a pair's images as text."""
    factor = shrink_factor(example[name].shape)
    return pack_nifti(image_bytes(example[name], factor), example["spacing"] * factor)


def _registered(example: Mapping, determinant: np.ndarray) -> dict[str, str]:
    """What a run has made of a pair, as text; ``determinant (D, H, W)`` is that of the field's Jacobian."""
    factor = shrink_factor(determinant.shape)
    return {
        "warped": _image(example, "warped"),
        "jacobian": pack_nifti(jacobian_codes(determinant, factor), example["spacing"] * factor),
        "field": pack_field(example["displacement"], factor),
    }


def _index(viewer: Viewer, pairs: Sequence[_Shown], full_shape: Sequence[int], cases: Mapping[str, dict]) -> dict:
    """What there is to choose from, and how the volumes are to be read."""
    factor = shrink_factor(full_shape)
    shape = [math.ceil(size / factor) for size in full_shape]
    return {
        "pairs": [pair.said for pair in pairs],
        "runs": [run.label for run in viewer.runs],
        "shape": shape,
        "full_shape": list(full_shape),
        "factor": factor,
        "lattice": max(2, round(max(shape) / LATTICE_LINES)),
        "field_steps": FIELD_STEPS,
        "jacobian": {"fold": FOLD_CODE, "least": LEAST_CODE, "most": MOST_CODE, "log2": LOG2_RANGE},
        "cases": cases,
    }


def _facts(example: Mapping, determinant: np.ndarray, made: _Made) -> dict:
    """What the viewer writes beside a pair: Dice before and after, folded voxels of the whole grid and of the brain.

    A pair without a result, which is shown as it lies, says so.
    """
    fixed, moving = example["name_fixed"], example["name_moving"]
    facts = {
        "before": example["dice_before"],
        "after": pair_mean(made.scores, "dice", fixed, moving),
        "folds": int((determinant <= 0).sum()),
        "folds_percent": pair_mean(made.scores, "folds_percent", fixed, moving),
    }
    found = {key: None if math.isnan(value) else round(value, 6) for key, value in facts.items()}
    return {**found, "failed": True} if made.failed else found


def as_json(index: Mapping) -> str:
    """Return compact JSON that cannot end its ``<script>`` element."""
    return json.dumps(index, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
