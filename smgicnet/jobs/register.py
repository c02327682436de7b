"""Registration and scoring of a cohort's test pairs, from files to files: what the workflow's scripts call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.files import atomic_path
from smgicnet.core.layout import shown_files
from smgicnet.core.provenance import distinct, files_digest, hardware, versions, write_record
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.imaging.images import read_field, read_labels, write_volume
from smgicnet.imaging.landmarks import corresponding, read_landmarks, require_inside
from smgicnet.jobs.given_fields import GivenFields
from smgicnet.jobs.kept_fields import KeptFields
from smgicnet.jobs.kept_pairs import KeptPairs, identity
from smgicnet.jobs.registering import (
    Measured,
    MethodFiles,
    Pair,
    PairRegistration,
    PreparedImages,
    reasons,
    result_of,
)
from smgicnet.methods import GIVEN
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.evaluation import score_pair
from smgicnet.scoring.metrics import METRICS
from smgicnet.scoring.pair import ScoredSubject
from smgicnet.scoring.rows import NO_RESULT

log = logging.getLogger(__name__)
_PLACES = {name: place for place, name in enumerate(METRICS)}


@dataclass(frozen=True)
class ShardOutputs:
    """The files that a job of pairs writes.

    ``columns``: dataset, arm, method and seed, which stand in every row. ``metrics``: the file of the rows.
    ``record``: the JSON of what they were made with. ``fields``: the folder in which displacements are kept; None by
    default, where they are not. ``exact``: pairs whose displacements are kept in float32; none by default.
    """

    columns: Mapping[str, object]
    metrics: Path
    record: Path
    fields: Path | None = None
    exact: frozenset[Pair] = frozenset()


def register_shard(
    method: MethodFiles,
    pairs: Sequence[Pair],
    subjects: Mapping[str, SubjectFiles],
    outputs: ShardOutputs,
    *,
    alignments: Sequence[Path],
    scoring: Mapping[str, str],
) -> None:
    """Register each unordered pair in both directions, score it, and write a row a pair, direction, metric and ROI.

    ``alignments`` hold those of the pairs, in the affine arm. ``scoring`` has the digest of each metric's source, see
    `smgicnet.jobs.code.scoring_codes`. What an earlier start of the job has done of the pairs is kept, see `KeptPairs`;
    where displacements are kept, a metric that is new or has changed is scored without registering again.
    """
    made_with = {"versions": versions(), "hardware": hardware()}
    block, results, registered, program = method.block, [], 0, {}  # quality control may have left none of the pairs
    if pairs:
        shard = _Shard(method, pairs, subjects, outputs, alignments, dict(scoring), made_with)
        block, results, registered = shard.registration.block, shard.results(), shard.registered
        program = shard.registration.program
    rows = [row for result in results for row in result["rows"] if row[2] in METRICS]  # one may have been removed
    frame = pd.DataFrame(rows, columns=["fixed", "moving", "metric", "roi", "value"])
    for index, (name, value) in enumerate(outputs.columns.items()):
        frame.insert(index, name, value)
    with atomic_path(outputs.metrics) as part:
        frame.to_csv(part, index=False)
    facts = {**method.facts(), **program, "scoring": identity(scoring), "pairs": len(pairs), "registered": registered}
    facts["without_result"] = [one for result in results for one in result.get("without_result", [])]
    facts |= {key: distinct(results or [made_with], key) for key in made_with}
    write_record(outputs.record, **outputs.columns, block=block, **facts)


def _registration(
    method: MethodFiles, images: Mapping[str, Path], alignments: Sequence[Path], labels: Mapping[str, Path]
) -> PairRegistration | GivenFields:
    """What gives the registrations of pairs: a method, or files of another program."""
    if method.block["type"] == GIVEN:
        return GivenFields(method, images)
    return PairRegistration(method, images, alignments, labels)


class _Shard:
    """The pairs of one job, with what is kept of them."""

    def __init__(
        self,
        method: MethodFiles,
        pairs: Sequence[Pair],
        subjects: Mapping[str, SubjectFiles],
        outputs: ShardOutputs,
        alignments: Sequence[Path],
        scoring: dict[str, str],
        made_with: Mapping,
    ):
        self._pairs, self._subjects, self._scoring, self._made_with = pairs, subjects, scoring, made_with
        names = {name for pair in pairs for name in pair}
        images, labels = ({name: getattr(subjects[name], kind) for name in names} for kind in ("image", "labels"))
        self.registration = _registration(method, images, alignments, labels)
        registered = self.registration.identities(pairs, made_with["versions"])
        self._fields = KeptFields(outputs.fields, registered, outputs.exact) if outputs.fields else None
        truth = {name: scoring_digest(subjects[name]) for name in names}
        scored = {pair: identity(one, [truth[name] for name in pair]) for pair, one in registered.items()}
        self._kept = KeptPairs(outputs.metrics.parent, scored)
        self._loaded: dict[str, ScoredSubject] = {}
        self.registered = 0

    def results(self) -> list[dict]:
        """The result of each pair: its rows, the digest of each metric, and with what it was made."""
        outdated = [pair for pair in self._pairs if self._outdated(self._kept.get(pair))]
        self._require_landmarks(outdated)
        left = {pair: number for number, pair in enumerate(outdated, start=1)}
        for pair in self._pairs:
            if pair in left:
                self._kept.add(pair, self._result(pair))
                log.info("pair %d/%d: %s, %s", left[pair], len(left), *pair)
            if self._fields:
                self._fields.settle(pair)  # of a pair that is not left, too: an earlier start may have ended here
        self._kept.tidy()
        return [self._kept.get(pair) for pair in self._pairs]

    def _outdated(self, kept: Mapping | None) -> set[str]:
        """Metrics that are still to be scored of a pair."""
        done = kept["metrics"] if kept else {}
        return {name for name, code in self._scoring.items() if done.get(name) != code}

    def _result(self, pair: Pair) -> dict:
        """Score a pair: what is outdated by its kept displacements, or else all after registering it."""
        ordered, kept = (pair, pair[::-1]), self._kept.get(pair)
        found = [self._fields.get(*one) for one in ordered] if self._fields else [None, None]
        failed: dict[Pair, str] = {}
        if None in found:
            kept, found = None, [self._registered(one, failed) for one in ordered]
            self.registered += 1
        wanted = self._outdated(kept)
        rows = [] if kept is None else [row for row in kept["rows"] if row[2] in METRICS.keys() - wanted]
        for (fixed, moving), forward, back in zip(ordered, found, found[::-1], strict=True):
            if forward is None:
                rows.append([fixed, moving, NO_RESULT, "", 100.0])
            else:
                rows += self._scored(fixed, moving, forward, back, wanted, measured_too=kept is None)
        made_with = self._made_with if kept is None else {key: kept[key] for key in self._made_with}
        rows.sort(key=lambda row: (row[0] != pair[0], _PLACES[row[2]]))  # as if all had been scored at once
        without = {"without_result": reasons(failed, ordered)} if failed else {}
        return {"rows": rows, "metrics": self._scoring, **made_with, **without}

    def _registered(self, pair: Pair, failed: dict[Pair, str]) -> Measured | None:
        """Register an ordered pair and keep its displacement, see `smgicnet.jobs.registering.result_of`."""
        found = result_of(self.registration.register, pair, failed)
        if self._fields and found and found.registration.labels is None:
            self._fields.add(*pair, found)
        return found

    def _scored(
        self, fixed: str, moving: str, forward: Measured, back: Measured | None, wanted: set[str], *, measured_too: bool
    ) -> list[list]:
        """The rows of an ordered pair, of the metrics that are wanted."""
        ends = self._load(fixed), self._load(moving)
        reverse = back.registration if back else None
        scores = score_pair(*ends, forward.registration, reverse, roi_names(), only=wanted)
        rows = [[fixed, moving, row["metric"], row["roi"], row["value"]] for row in scores]
        return rows + [[fixed, moving, name, "", value] for name, value in forward.beside.items()] * measured_too

    def _load(self, name: str) -> ScoredSubject:
        if name not in self._loaded:
            self._loaded[name] = scored_subject(self._subjects[name])
        return self._loaded[name]

    def _require_landmarks(self, pairs: Sequence[Pair]) -> None:
        """Raise `InputError`, before anything is registered, for landmarks of pairs by which they cannot be scored."""
        for pair in pairs:
            if all(self._subjects[name].landmarks for name in pair):
                fixed, moving = (self._load(name).landmarks for name in pair)
                corresponding(fixed, moving)


def scored_subject(files: SubjectFiles) -> ScoredSubject:
    """Read a subject as scoring sees it from its files. Raises `InputError` for one that cannot be read."""
    labels = read_labels(files.labels)
    to_template, from_template = (read_field(path) for path in files.truth) if files.truth else (None, None)
    parcels = read_labels(files.parcels).data.astype(np.uint8) if files.parcels else None
    rois = labels.data.astype(np.uint8)
    points = read_landmarks(files.landmarks) if files.landmarks else None
    if points:
        require_inside(points, rois.shape, labels.affine, f"the common grid of {files.name}")
    return ScoredSubject(files.name, rois, labels.affine, to_template, from_template, parcels, files.template, points)


def scoring_digest(subject: SubjectFiles) -> str:
    """Return a digest of all that a subject's registrations are scored by."""
    beside = [path for path in (subject.parcels, subject.landmarks) if path]
    return files_digest([subject.labels, *subject.truth, *beside]) + subject.template


def register_shown(
    method: MethodFiles,
    pairs: Sequence[Pair],
    images: Mapping[str, Path],
    folder: Path,
    *,
    alignments: Sequence[Path],
    labels: Mapping[str, Path] | None = None,
    fields: Path | None = None,
) -> None:
    """Register the few pairs that figures show, in both directions, as `register_shard` does.

    The warped image and the displacement (ITK) of each go to ``folder``; a pair without a result is shown as it lies.
    ``alignments``: of all shards; ``labels``: of a method that sees them; ``fields``: the folder in which their
    displacements are kept, which are then not registered again.
    """
    names = {name: images[name] for pair in pairs for name in pair}
    registration = _registration(method, names, alignments, labels or {})
    kept = KeptFields(fields, registration.identities(pairs, versions())) if fields else None
    folder.mkdir(parents=True, exist_ok=True)
    for fixed, moving in [ordered for pair in pairs for ordered in (pair, pair[::-1])]:
        found = kept.get(fixed, moving) if kept else None
        shown = found or result_of(registration.register, (fixed, moving), {})
        write_shown(registration, (fixed, moving), shown, folder)
        log.info("%s %s to %s", "kept:" if found else "registered" if shown else "as it lies:", moving, fixed)


def write_shown(registration: PreparedImages, pair: Pair, found: Measured | None, folder: Path) -> None:
    """Write the warped image and the displacement (ITK) of an ordered pair; without a result it stays as it lies."""
    fixed, moving = pair
    still = torch.zeros(1, 3, *registration.volume(fixed).data.shape)
    forward = found.registration.forward.cpu() if found else still
    warped_path, field_path = shown_files(folder, fixed, moving)
    affines = registration.volume(fixed).affine, registration.volume(moving).affine
    write_volume(warped_path, registration.warped(moving, forward).numpy(), affines[0])
    write_itk(field_path, to_world(forward[0].numpy(), *affines), affines[0])
