"""Registration and scoring of a cohort's test pairs, from files to files: what the workflow's scripts call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.files import atomic_path
from smgicnet.core.layout import shown_files
from smgicnet.core.provenance import distinct, files_digest, hardware, versions, write_record
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.imaging.images import read_field, read_image, read_labels, write_volume
from smgicnet.jobs.kept_pairs import KeptPairs, identity
from smgicnet.methods.contract import Method, Registration
from smgicnet.methods.device import image_tensor, peak_memory
from smgicnet.methods.loading import load_method
from smgicnet.preparation.alignments import Alignment, read_alignments, voxel_matrix
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.registration.fields import affine_field, compose, compose_affine, warp
from smgicnet.scoring.evaluation import ScoredSubject, score_pair

log = logging.getLogger(__name__)


def register_shard(
    config: Mapping,
    weights: Path | None,
    pairs: Sequence[tuple[str, str]],
    subjects: Mapping[str, SubjectFiles],
    *,
    alignments: Sequence[Path],
    columns: Mapping[str, object],
    metrics: Path,
    record: Path,
    code: str,
    threads: int = 1,
) -> None:
    """Register each unordered pair in both directions, score it, and write a row a pair, direction, metric and ROI.

    ``columns`` (dataset, arm, method, seed) are set in every row. ``alignments`` hold those of the
    pairs in the affine arm: a moving image is aligned before it is registered, and affine and deformation are scored as
    one field. What an earlier start of the job has done of the pairs is kept, see `KeptPairs`.
    """
    torch.set_num_threads(threads)
    made_with = {"versions": versions(), "hardware": hardware()}
    facts = {"weights": files_digest([weights]) if weights else None, "code": code, "threads": threads}
    block, results, registered = config, [], 0  # quality control may have left none of the pairs
    if pairs:
        affine = _read_all(alignments)
        facts_of_pair = {**facts, "versions": made_with["versions"]}
        kept = KeptPairs(metrics.parent, _identities(pairs, subjects, affine, config, facts_of_pair))
        block, results = _register_and_score(config, weights, pairs, subjects, affine, kept, made_with)
        kept.tidy()
        registered = len(kept.left)
    rows = [row for result in results for row in result["rows"]]
    frame = pd.DataFrame(rows, columns=["fixed", "moving", "metric", "roi", "value"])
    for index, (name, value) in enumerate(columns.items()):
        frame.insert(index, name, value)
    with atomic_path(metrics) as part:
        frame.to_csv(part, index=False)
    every = results or [made_with]
    facts |= {"pairs": len(pairs), "registered": registered, **{key: distinct(every, key) for key in made_with}}
    write_record(record, **columns, method_config=block, **facts)


def _identities(
    pairs: Sequence[tuple[str, str]],
    subjects: Mapping[str, SubjectFiles],
    affine: Mapping[tuple[str, str], Alignment],
    config: Mapping,
    facts: Mapping,
) -> dict[tuple[str, str], str]:
    """What identifies the result of each pair: files of both subjects, their alignment, method, weights, software."""
    names = {name for pair in pairs for name in pair}
    files = {name: files_digest([subjects[name].image, subjects[name].labels, *subjects[name].truth]) for name in names}
    found = {}
    for pair in pairs:
        aligned = [[one.matrix.tolist(), one.seconds] for one in map(affine.get, (pair, pair[::-1])) if one]
        found[pair] = identity([files[name] for name in pair], aligned, config, facts)
    return found


def _register_and_score(
    config: Mapping,
    weights: Path | None,
    pairs: Sequence[tuple[str, str]],
    subjects: Mapping[str, SubjectFiles],
    affine: Mapping[tuple[str, str], Alignment],
    kept: KeptPairs,
    made_with: Mapping,
) -> tuple[Mapping, list[dict]]:
    """The method's block as it was trained, and the result of each pair: its rows and with what they were made."""
    names = sorted({name for pair in kept.left for name in pair})
    loaded = {name: _load_scored(subjects[name]) for name in names}
    volumes = {name: read_image(subjects[name].image) for name in names}
    spacing = read_image(subjects[pairs[0][0]].image).spacing[0]
    method, block = load_method(config, weights, spacing)
    for number, (first, second) in enumerate(kept.left):
        tensors = {name: image_tensor(volumes[name].data, method.device) for name in (first, second)}
        if number == 0:
            method.warm_up(tensors[first], tensors[second])
        results, extra = {}, {}
        for fixed, moving in ((first, second), (second, first)):
            alignment = affine[fixed, moving] if affine else None
            with peak_memory(method.device) as peak:
                matrices = volumes[fixed].affine, volumes[moving].affine
                results[fixed] = _register(method, tensors[fixed], tensors[moving], *matrices, alignment)
            extra[fixed] = {"peak_memory_mib": peak.mib}
            if alignment:
                extra[fixed]["affine_seconds"] = alignment.seconds
        rows = []
        for fixed, moving in ((first, second), (second, first)):
            scores = score_pair(loaded[fixed], loaded[moving], results[fixed], results[moving], roi_names())
            rows += [[fixed, moving, row["metric"], row["roi"], row["value"]] for row in scores]
            rows += [[fixed, moving, name, "", value] for name, value in extra[fixed].items()]
        kept.add((first, second), {"rows": rows, **made_with})
        log.info("pair %d/%d: %s, %s", number + 1, len(kept.left), first, second)
    return block, [kept.get(pair) for pair in pairs]


def register_shown(
    config: Mapping,
    weights: Path | None,
    pairs: Sequence[tuple[str, str]],
    images: Mapping[str, Path],
    *,
    alignments: Sequence[Path],
    fields: Path,
    threads: int = 1,
) -> None:
    """Register the few pairs that figures show, in both directions, as `register_shard` does.

    The warped image and the displacement (ITK) of each go to the folder ``fields``; ``alignments``: of all shards.
    """
    torch.set_num_threads(threads)
    affine = _read_all(alignments)
    volumes = {name: read_image(images[name]) for pair in pairs for name in pair}
    method, _ = load_method(config, weights, next(iter(volumes.values())).spacing[0])
    tensors = {name: image_tensor(volume.data, method.device) for name, volume in volumes.items()}
    fields.mkdir(parents=True, exist_ok=True)
    for fixed, moving in [ordered for pair in pairs for ordered in (pair, pair[::-1])]:
        matrices = volumes[fixed].affine, volumes[moving].affine
        alignment = affine[fixed, moving] if alignments else None
        result = _register(method, tensors[fixed], tensors[moving], *matrices, alignment)
        warped_path, field_path = shown_files(fields, fixed, moving)
        write_volume(warped_path, warp(tensors[moving], result.forward)[0, 0].cpu().numpy(), matrices[0])
        write_itk(field_path, to_world(result.forward[0].cpu().numpy(), *matrices), matrices[0])
        log.info("registered %s to %s", moving, fixed)


def _register(
    method: Method,
    fixed: torch.Tensor,
    moving: torch.Tensor,
    fixed_affine: np.ndarray,
    moving_affine: np.ndarray,
    alignment: Alignment | None,
) -> Registration:
    """Register, after an affine alignment if there is one; its time is added, its map composed with the fields."""
    if alignment is None:
        return method.register(fixed, moving)
    matrix = torch.from_numpy(voxel_matrix(alignment.matrix, fixed_affine, moving_affine))
    result = method.register(fixed, warp(moving, affine_field(matrix, fixed.shape[2:], method.device)))
    inverse = result.inverse
    if inverse is not None:
        inverse = compose(inverse, affine_field(matrix.inverse(), moving.shape[2:], method.device))
    return Registration(compose_affine(matrix, result.forward), inverse, result.seconds + alignment.seconds)


def _read_all(alignments: Sequence[Path]) -> dict[tuple[str, str], Alignment]:
    return {pair: one for path in alignments for pair, one in read_alignments(path).items()}


def _load_scored(files: SubjectFiles) -> ScoredSubject:
    labels = read_labels(files.labels)
    to_template, from_template = (read_field(path) for path in files.truth) if files.truth else (None, None)
    return ScoredSubject(files.name, labels.data.astype(np.uint8), labels.affine, to_template, from_template)
