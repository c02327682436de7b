"""Registration and scoring, from files to files: what the workflow's script and the command line call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smgicnet.cohort import SubjectFiles
from smgicnet.device import image_tensor, peak_memory, to_device
from smgicnet.evaluation import ScoredSubject, score_pair
from smgicnet.examples import field_files
from smgicnet.fields import warp
from smgicnet.images import atomic_path, read_field, read_image, read_labels, write_volume
from smgicnet.methods import METHODS, Method, Registration
from smgicnet.preprocessing import background_level, prepare, roi_names
from smgicnet.provenance import files_digest, write_record
from smgicnet.transforms_io import grid_points, sample, to_world, write_itk
from smgicnet.weights import read_weights

log = logging.getLogger(__name__)


def load_method(config: Mapping, weights: Path | None) -> Method:
    """The method of a config block, with its weights if it has any, on the device there is."""
    if weights is None:
        return METHODS[config["type"]].from_config(config, 0)
    return to_device(read_weights(weights).build())


def register_shard(
    config: Mapping,
    weights: Path | None,
    pairs: Sequence[tuple[str, str]],
    subjects: Mapping[str, SubjectFiles],
    *,
    keep: Sequence[tuple[str, str]],
    columns: Mapping[str, object],
    metrics: Path,
    fields: Path,
    record: Path,
    code: str,
    threads: int = 1,
) -> None:
    """Register each unordered pair in both directions, score it, and write a row a pair, direction, metric and ROI.

    ``columns`` (dataset, arm, method, seed) are set in every row. Of the pairs in ``keep`` the warped image and the
    displacement (ITK) of the first direction are written to the folder ``fields``.
    """
    torch.set_num_threads(threads)
    method = load_method(config, weights)
    names = sorted({name for pair in pairs for name in pair})
    loaded = {name: _load_scored(subjects[name]) for name in names}
    images = {name: read_image(subjects[name].image).data for name in names}
    fields.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    for number, (first, second) in enumerate(pairs):
        one, two = (image_tensor(images[name], method.device) for name in (first, second))
        if number == 0:
            method.register(one, two)  # warm up: neither kernels nor caches are timed
        results, memory = {}, {}
        for name, images_of in ((first, (one, two)), (second, (two, one))):
            with peak_memory(method.device) as peak:
                results[name] = method.register(*images_of)
            memory[name] = peak.mib
        there, back = results[first], results[second]
        for fixed, moving, result, reverse in ((first, second, there, back), (second, first, back, there)):
            scored = score_pair(loaded[fixed], loaded[moving], result, reverse, roi_names())
            scored.append(
                {"fixed": fixed, "moving": moving, "metric": "peak_memory_mib", "roi": "", "value": memory[fixed]}
            )
            rows += scored
        if (first, second) in keep:
            _keep_fields(fields, loaded[first], loaded[second], two, there)
        log.info("pair %d/%d: %s, %s", number + 1, len(pairs), first, second)
    frame = pd.DataFrame(rows)
    for index, (name, value) in enumerate(columns.items()):
        frame.insert(index, name, value)
    with atomic_path(metrics) as part:
        frame.to_csv(part, index=False)
    digest = files_digest([weights]) if weights else None
    write_record(record, **columns, method_config=config, weights=digest, code=code, threads=threads)


def _load_scored(files: SubjectFiles) -> ScoredSubject:
    labels = read_labels(files.labels)
    to_template, from_template = (read_field(path) for path in files.truth) if files.truth else (None, None)
    return ScoredSubject(files.name, labels.data.astype(np.uint8), labels.affine, to_template, from_template)


def _keep_fields(folder: Path, fixed: ScoredSubject, moving: ScoredSubject, image: torch.Tensor, result: Registration):
    warped_path, field_path = field_files(folder, fixed.name, moving.name)
    write_volume(warped_path, warp(image, result.forward)[0, 0].cpu().numpy(), fixed.affine)
    world = to_world(result.forward[0].cpu().numpy(), fixed.affine, moving.affine)
    write_itk(field_path, world, fixed.affine)


def register_images(fixed_path: Path, moving_path: Path, weights: Path, out: Path) -> dict[str, Path]:
    """Register two skull-stripped scans in any orientation, spacing and field of view; results in native space.

    Writes to ``out``: ``warped.nii.gz`` (the moving image on the fixed image's grid), ``displacement.nii.gz`` on the
    same grid and ``inverse_displacement.nii.gz`` on the moving image's grid, both in ITK's convention, and
    ``registration.json``. Returns their paths. Raises `InputError` for unusable images or weights.
    """
    trained = read_weights(weights)
    fixed, moving = (prepare(path, None, trained.grid) for path in (fixed_path, moving_path))
    native_fixed, native_moving = read_image(fixed_path), read_image(moving_path)
    method = to_device(trained.build())
    result = method.register(*(image_tensor(p.image, method.device) for p in (fixed, moving)))
    forward, inverse = (u[0].cpu().numpy() for u in (result.forward, result.inverse))
    displacement = to_world(forward, fixed.affine, moving.affine, native_fixed)
    files = {name: out / f"{name}.nii.gz" for name in ("warped", "displacement", "inverse_displacement")}
    files["record"] = out / "registration.json"
    world = grid_points(native_fixed.data.shape, native_fixed.affine) + displacement
    warped = sample(native_moving, world, fill=background_level(native_moving.data))
    write_volume(files["warped"], warped.astype(np.float32), native_fixed.affine)
    write_itk(files["displacement"], displacement, native_fixed.affine)
    write_itk(
        files["inverse_displacement"],
        to_world(inverse, moving.affine, fixed.affine, native_moving),
        native_moving.affine,
    )
    write_record(
        files["record"],
        fixed=fixed.report,
        moving=moving.report,
        weights=str(weights),
        weights_digest=files_digest([weights]),
        seconds=round(result.seconds, 3),
    )
    return files
