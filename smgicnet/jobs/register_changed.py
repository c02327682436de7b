"""Registration of pairs whose moving head is changed, scored against the pair as it lies, from files to files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.files import atomic_path
from smgicnet.core.layout import SHARD_RECORD, changed_file
from smgicnet.core.provenance import distinct, hardware, versions, write_record
from smgicnet.imaging.images import read_labels
from smgicnet.jobs.change import read_change
from smgicnet.jobs.kept_pairs import KeptPairs, identity
from smgicnet.jobs.register import ShardOutputs, scored_subject, scoring_digest, write_shown
from smgicnet.jobs.registering import Measured, MethodFiles, Pair, PairRegistration, reasons, result_of
from smgicnet.methods.contract import Registration
from smgicnet.preparation.changes import Variant
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring import changed_rows
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.scoring.pose_consistency import pose_consistency, pose_distances
from smgicnet.scoring.rows import NO_RESULT
from smgicnet.scoring.shown_change import ChangedPair

log = logging.getLogger(__name__)
COLUMNS = ["fixed", "moving", "metric", "roi", "value", *changed_rows.BESIDE]


def register_changed(
    method: MethodFiles,
    pairs: Sequence[Pair],
    subjects: Mapping[str, SubjectFiles],
    heads: Mapping[str, Path],
    variants: Sequence[Variant],
    outputs: ShardOutputs,
    *,
    alignments: Sequence[Path],
    scoring: str,
) -> None:
    """Register ordered pairs, (fixed, moving), with the moving head as it lies and in each of ``variants``; score them.

    A row is a pair, change, severity, metric and ROI; the pair as it lies has the severity 0 of each change.
    ``heads`` are the folders of moving subjects' changed heads. ``alignments`` hold those of the pairs, of both kinds,
    in the affine arm. ``scoring`` is the digest of what scores, `smgicnet.jobs.code.robustness_code`. What an earlier
    start of the job has done is kept, see `KeptPairs`; displacements are not.
    """
    made_with = {"versions": versions(), "hardware": hardware()}
    block, rows, results, program = method.block, [], [], {}
    if pairs:  # quality control may have left none
        job = _Job(method, subjects, heads, variants, alignments)
        block = job.registration.block
        kept = KeptPairs(outputs.metrics.parent, job.identities(pairs, made_with["versions"], scoring))
        for number, pair in enumerate(pairs, start=1):
            for unit, found in job.results(pair, kept):
                kept.add(unit, {"rows": found, **made_with, "without_result": reasons(job.failed, [unit])})
            log.info("pair %d/%d: %s, %s", number, len(pairs), *pair)
        kept.tidy()
        results = [kept.get(unit) for pair in pairs for unit in job.units(pair)]
        rows = [row for result in results for row in result["rows"]]
        program = job.registration.program
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for index, (name, value) in enumerate(outputs.columns.items()):
        frame.insert(index, name, value)
    with atomic_path(outputs.metrics) as part:
        frame.to_csv(part, index=False)
    facts = {**method.facts(), **program, "scoring": scoring, "pairs": len(pairs)}
    facts["without_result"] = [one for result in results for one in result["without_result"]]
    facts |= {key: distinct(results or [made_with], key) for key in made_with}
    write_record(outputs.record, **outputs.columns, block=block, **facts)


def register_changed_shown(
    method: MethodFiles,
    chosen: ChangedPair | None,
    subjects: Mapping[str, SubjectFiles],
    heads: Mapping[str, Path],
    folder: Path,
    *,
    alignments: Sequence[Path],
) -> None:
    """Register the changed pair that the page shows, as `register_changed` does, one way: the fixed head is unchanged.

    The warped image, the displacement (ITK) and a record go to ``folder``, where nothing else is without a choice. A
    pair without a result is shown as it lies; the record has the reason.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if chosen is None:
        return
    pair = (chosen.fixed, chosen.head)
    ends = {name: subjects[name] for name in (chosen.fixed, chosen.moving)}
    job = _Job(method, ends, {chosen.moving: heads[chosen.moving]}, [chosen.variant], alignments)
    found = result_of(job.registration.register, pair, job.failed)
    write_shown(job.registration, pair, found, folder)
    without = reasons(job.failed, [pair])
    write_record(folder / SHARD_RECORD, **method.facts(), block=job.registration.block, without_result=without)


class _Job:
    """Pairs with the moving head as it lies and changed. Both are units of work: (fixed, moving), (fixed, head)."""

    def __init__(
        self,
        method: MethodFiles,
        subjects: Mapping[str, SubjectFiles],
        heads: Mapping[str, Path],
        variants: Sequence[Variant],
        alignments: Sequence[Path],
    ):
        self._subjects, self._variants = dict(subjects), variants
        self._kinds = list(dict.fromkeys(variant.change for variant in variants))
        self._changes: dict[str, Path] = {}
        for subject, folder in heads.items():
            for variant in variants:
                name = variant.of(subject)
                image, labels, self._changes[name] = (
                    changed_file(folder, variant.name, kind) for kind in ("image", "labels", "preprocessing")
                )
                self._subjects[name] = replace(subjects[subject], image=image, labels=labels)
        images, labels = (
            {name: getattr(files, kind) for name, files in self._subjects.items()} for kind in ("image", "labels")
        )
        self.registration = PairRegistration(method, images, alignments, labels)
        self._load = cache(self._loaded)
        self.failed: dict[Pair, str] = {}  # why a unit has no result

    def units(self, pair: Pair) -> list[Pair]:
        """The pair as it lies, and with each change."""
        fixed, moving = pair
        return [pair, *((fixed, variant.of(moving)) for variant in self._variants)]

    def identities(self, pairs: Sequence[Pair], versions: Mapping, scoring: str) -> dict[Pair, str]:
        """What identifies the result of each unit: its own registration, that of the pair as it lies, and scoring."""
        found = {}
        for pair in pairs:
            registered = self.registration.identities(self.units(pair), versions)
            for unit, one in registered.items():
                digests = [scoring_digest(self._subjects[name]) for name in unit]
                lies = self._kinds if unit == pair else read_change(self._changes[unit[1]]).tolist()
                found[unit] = identity(one, registered[pair], digests, lies, scoring)
        return found

    def results(self, pair: Pair, kept: KeptPairs) -> Iterator[tuple[Pair, list[list]]]:
        """Each unit of a pair that is not kept, with its rows. The pair as it lies is registered if there is any."""
        left = [unit for unit in self.units(pair) if kept.get(unit) is None]
        if not left:
            return
        as_it_lies = result_of(self.registration.register, pair, self.failed)
        if pair in left:
            rows = self._scored(pair, as_it_lies)
            yield pair, [[*row, change, 0.0] for change in self._kinds for row in rows]
        for unit, variant in zip(self.units(pair)[1:], self._variants, strict=True):
            if unit in left:
                found = result_of(self.registration.register, unit, self.failed)
                rows = self._scored(unit, found)
                if found and as_it_lies and found.registration.labels is None:
                    rows += self._posed(pair, unit, as_it_lies.registration, found.registration)
                yield unit, [[*row, variant.change, variant.severity] for row in rows]

    def _scored(self, unit: Pair, found: Measured | None) -> list[list]:
        """The rows of a unit by itself, under the moving subject's own name."""
        fixed, moving = (self._load(name) for name in unit)
        if found is None:
            return [[fixed.name, moving.name, NO_RESULT, "", 100.0]]
        told = [[fixed.name, moving.name, NO_RESULT, "", 0.0]] if NO_RESULT in found.beside else []
        rows = score_pair(fixed, moving, found.registration, None, roi_names(), only=changed_rows.METRICS)
        return told + [[fixed.name, moving.name, row["metric"], row["roi"], row["value"]] for row in rows]

    def _posed(self, pair: Pair, unit: Pair, as_it_lies: Registration, found: Registration) -> list[list]:
        """The rows of a unit beside the pair as it lies."""
        ends = self._load(pair[1]), self._load(unit[1])
        distances = pose_distances(self._load(pair[0]), ends, (as_it_lies.forward, found.forward))
        return [[*pair, metric, "", value] for metric, value in pose_consistency(distances).items()]

    def _loaded(self, name: str) -> ScoredSubject:
        """A subject, or a changed head whose voxels lie in its subject's own world, where the truth is known."""
        if name not in self._changes:
            return scored_subject(self._subjects[name])
        own, labels = self._load(name.partition("/")[0]), read_labels(self._subjects[name].labels)
        to_own = read_change(self._changes[name])
        return replace(own, labels=labels.data.astype(np.uint8), affine=to_own @ labels.affine, parcels=None)
