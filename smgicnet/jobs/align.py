"""The affine arm, from files to files: training subjects onto one reference, test pairs moving to fixed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from smgicnet.core.provenance import distinct, files_digest, hardware, versions, write_record
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_image
from smgicnet.jobs.kept_pairs import KeptPairs, identity
from smgicnet.preparation.affine import AffineConfig, align, engine_version
from smgicnet.preparation.alignments import Alignment, write_alignments
from smgicnet.preparation.preprocessing import Prepared, prepare, read_intensities

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
    form: str | None = None,
) -> Prepared:
    """Align a subject to the reference, resampled once from its own scan onto the reference's common grid.

    ``prepared`` and ``reference`` are the preprocessed images of the subject and of the reference, between which the
    alignment is found; for the reference itself it is the identity. ``mapping``, ``histogram``, an image to match, and
    ``form`` are as in `prepare`. Raises `InputError` when the engine fails.
    """
    matrix, seconds = np.eye(4), 0.0
    if prepared != reference:
        found = align(reference, prepared, config)
        matrix, seconds = found.matrix, found.seconds
    target = read_image(reference).affine
    intensities = read_intensities(histogram) if histogram else None
    place = matrix @ target
    result = prepare(source, labels, grid, placement=place, mapping=mapping, reference=intensities, form=form)
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
    pairs: Sequence[tuple[str, str]],
    images: Mapping[str, Path],
    config: AffineConfig,
    out: Path,
    record: Path,
    *,
    code: str = "",
    one_way: bool = False,
) -> None:
    """Align each unordered pair in both directions, each on its own; ``images`` are the preprocessed ones.

    With ``one_way`` pairs are ordered, (fixed, moving), and aligned in that direction alone.

    Writes the matrices and times to ``out`` and versions and hardware to ``record``. What an earlier start of the job
    has done of the pairs is kept, see `KeptPairs`.
    """
    made_with = {"versions": versions(), "hardware": hardware()}
    files = {name: files_digest([images[name]]) for name in {name for pair in pairs for name in pair}}
    identities = {
        pair: identity([files[name] for name in pair], facts(config), code, made_with["versions"]) for pair in pairs
    }
    kept = KeptPairs(out.parent, identities)
    log.info("aligning %d pairs by %s", len(kept.left), engine_version(config.engine))
    for number, pair in enumerate(kept.left):
        done = [align(images[fixed], images[moving], config) for fixed, moving in _directions(pair, one_way)]
        kept.add(pair, {"alignments": [[one.matrix.tolist(), one.seconds] for one in done], **made_with})
        log.info("pair %d/%d: %s and %s, %.1f s", number + 1, len(kept.left), *pair, sum(one.seconds for one in done))
    kept.tidy()
    results = [kept.get(pair) for pair in pairs]
    found = {
        ordered: Alignment(np.array(matrix), seconds)
        for pair, result in zip(pairs, results, strict=True)
        for ordered, (matrix, seconds) in zip(_directions(pair, one_way), result["alignments"], strict=True)
    }
    write_alignments(out, found)
    every = results or [made_with]
    write_record(record, affine=facts(config), **{key: distinct(every, key) for key in made_with})


def _directions(pair: tuple[str, str], one_way: bool) -> list[tuple[str, str]]:
    return [pair] if one_way else [pair, pair[::-1]]


def facts(config: AffineConfig) -> dict[str, object]:
    """Return the facts of the engine for a record."""
    searched = 180.0 if config.engine == "pose" else config.search_degrees
    return {"engine": config.engine, "version": engine_version(config.engine), "search_degrees": searched}
