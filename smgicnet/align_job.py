"""The affine arm, from files to files: training subjects onto one reference, test pairs moving to fixed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from smgicnet.affine import AffineConfig, align, engine_version, write_alignments
from smgicnet.images import read_image
from smgicnet.preprocessing import Grid, Prepared, prepare, read_intensities
from smgicnet.provenance import write_record

log = logging.getLogger(__name__)


def align_subject(
    source: Path,
    labels: Path | None,
    prepared: Path,
    reference: Path,
    grid: Grid,
    config: AffineConfig,
    *,
    mapping: str = "freesurfer",
    histogram: Path | None = None,
) -> Prepared:
    """A subject on the reference's common grid, resampled from its own scan once.

    ``prepared`` and ``reference`` are the preprocessed images of the subject and of the reference, between which the
    alignment is found; for the reference itself it is the identity. ``mapping`` and ``histogram``, an image to match,
    are as in `prepare`. Raises `InputError` when the engine fails.
    """
    matrix, seconds = np.eye(4), 0.0
    if prepared != reference:
        found = align(reference, prepared, config)
        matrix, seconds = found.matrix, found.seconds
    target = read_image(reference).affine
    intensities = read_intensities(histogram) if histogram else None
    result = prepare(source, labels, grid, placement=matrix @ target, mapping=mapping, reference=intensities)
    report = {
        **result.report,
        "reference": str(reference),
        "matrix": matrix.tolist(),
        "seconds": round(seconds, 3),
        **facts(config),
    }
    log.info("%s onto %s in %.1f s by %s", source, reference, seconds, config.engine)
    return replace(result, affine=target, report=report)


def align_pairs(
    pairs: Sequence[tuple[str, str]], images: Mapping[str, Path], config: AffineConfig, out: Path, record: Path
) -> None:
    """Align each unordered pair in both directions, each on its own; ``images`` are the preprocessed ones.

    Writes the matrices and times to ``out`` and versions and hardware to ``record``.
    """
    ordered = [one for pair in pairs for one in (pair, pair[::-1])]
    log.info("aligning %d ordered pairs by %s", len(ordered), engine_version(config.engine))
    found = {}
    for number, (fixed, moving) in enumerate(ordered):
        found[fixed, moving] = align(images[fixed], images[moving], config)
        log.info("pair %d/%d: %s to %s, %.1f s", number + 1, len(ordered), moving, fixed, found[fixed, moving].seconds)
    write_alignments(out, found)
    write_record(record, affine=facts(config))


def facts(config: AffineConfig) -> dict[str, object]:
    """What a record says of the engine."""
    return {"engine": config.engine, "version": engine_version(config.engine), "search_degrees": config.search_degrees}
