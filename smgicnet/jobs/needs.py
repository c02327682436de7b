"""The resources that jobs of a study ask for: memory, time, and for a plan the seconds to expect and the disk.

``w`` is as in `smgicnet.jobs.study_files`. Memory is in MB, time to ask for in minutes; both grow with the attempt.
Expected times are in ms from the start of a job's program to its end, disk in kB.
"""

from __future__ import annotations

from math import ceil, prod
from typing import Any

from smgicnet.config.building import build
from smgicnet.jobs.costs import memory_mb, runtime_minutes
from smgicnet.jobs.study import ALIGNMENTS, KEPT_BYTES
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.methods.stage import Stage

COHORT_BYTES = 20  # a voxel of each image, where all of a dataset are gone through
TEMPLATE_BYTES = 200  # a voxel of the common grid, while a template is registered to a person
PREPARED_BYTES = 3  # a voxel of an image and its label map
FIELD_BYTES = 12  # a voxel of a displacement
SCAN_KB = 15_000  # of a compressed scan of 1 mm
STAGE_KB = 3_000  # of weights, history and TensorBoard
PAIR_KB = 50  # of the metrics of a pair, with those of cortical parcels
PAGE_KB = 2_000
STARTS = {"torch": 4.0, "other": 1.5}  # seconds until a job's own work begins, until `smgicnet plan` has measured


class StudyNeeds:
    """The resources that each job of a study asks for."""

    def __init__(self, files: StudyFiles):
        self.files, self.study = files, files.study
        self._starts = {**STARTS, **self.study.measured.get("start_seconds", {})}

    def threads(self, w: Any) -> int:
        """Return the threads of a job that trains or registers.

        As ``threads`` they are cut to --cores; as a resource they are not, and share the cores then: sums differ in
        their last digits with the number of threads, and results should not with that of cores.
        """
        return self.study.methods[w.method].get("threads", self.study.config["threads"])

    def with_torch(self, seconds: float) -> int:
        """Time to expect of a job that works so long and loads torch."""
        return ceil(1000 * (self._starts["torch"] + seconds))

    def without_torch(self, seconds: float) -> int:
        """Time to expect of a job that works so long and loads no torch."""
        return ceil(1000 * (self._starts["other"] + seconds))

    def cohort_memory(self, w: Any, attempt: int) -> int:
        """Return the memory of a job that goes through all images of a dataset."""
        return memory_mb(COHORT_BYTES * len(self.study.cohort(w.dataset)), self._grid(w), attempt)

    def template_memory(self, w: Any, attempt: int) -> int:
        """Return the memory of a job that registers a template, or averages images one after the other."""
        return memory_mb(TEMPLATE_BYTES, self._grid(w), attempt)

    def prepared_kb(self, w: Any) -> int:
        """Return the disk, in kB, of a subject on the common grid."""
        return PREPARED_BYTES * self._voxels(w) // 1000

    # Registration: a job without a method aligns, one without a shard registers the pairs that figures show

    def pairs(self, w: Any) -> int:
        """Return how many unordered pairs a job registers."""
        if hasattr(w, "shard"):
            return len(self.files.shard_pairs(w))
        return len(self.study.config["evaluation"]["figure_pairs"])

    def registering(self, *, gpu: int) -> dict[str, Any]:
        """Return all resources that a job asks for that registers pairs, as functions of the wildcards."""
        return {
            "gpu": gpu,
            "torch_threads": self.threads,
            "mem_mb": self.registering_memory,
            "runtime": self.registering_minutes,
            "expected_ms": self.registering_ms,
            "kilobytes": self.registering_kb,
        }

    def registering_memory(self, w: Any, attempt: int) -> int:
        return memory_mb(self.study.cost(_name(w))["pair_memory"], self._grid(w), attempt)

    def registering_minutes(self, w: Any, attempt: int) -> int:
        seconds = self.pairs(w) * self.study.pair_seconds(w.dataset, _name(w))
        return runtime_minutes(seconds, attempt) + self.limit_minutes(w)

    def limit_minutes(self, w: Any) -> int:
        """Time beside what is expected in which a program's own limit stops a pair that hangs, both ways."""
        limits = self.study.methods.get(_name(w), {}).get("limits", {})
        return ceil(2 * limits.get("seconds", 0) / 60)

    def registering_ms(self, w: Any) -> int:
        return self.with_torch(self.pairs(w) * self.study.pair_seconds(w.dataset, _name(w)))

    def registering_kb(self, w: Any) -> int:
        """Return the disk, in kB, of a job's metrics, or of the pairs that figures show, with warped images."""
        if hasattr(w, "shard"):
            kept = 2 * KEPT_BYTES * self._voxels(w) // 1000 if self.study.keeps_fields(w.method) else 0
            return (PAIR_KB + kept) * self.pairs(w)
        return 2 * FIELD_BYTES * self.pairs(w) * self._voxels(w) // 1000

    def aligning_ms(self, w: Any) -> int:
        """Time to expect of the alignment of one subject, in one direction."""
        return self.with_torch(self.study.pair_seconds(w.dataset, ALIGNMENTS) / 2)

    # Training

    def training_memory(self, w: Any, attempt: int) -> int:
        """Return the memory of a training; its time is for a profile to say, as a training that is cut goes on."""
        return memory_mb(self.study.cost(w.method)["training_memory"], self._grid(w), attempt)

    def training_ms(self, w: Any) -> int:
        """Time to expect of a stage: its steps and its validations; of the start alone where no step was measured."""
        block, number = self.study.methods[w.method], int(w.stage)
        name = self.study.config["ablations"]["method"] if w.method in self.study.variants else w.method
        steps = self.study.measured.get("step_seconds", {}).get(w.dataset, {}).get(name)
        if not steps:
            return self.with_torch(0)
        train, validate = (len(self.study.subjects(w.dataset, split)) for split in ("train", "val"))
        stage = build(Stage, block["stages"][number - 1])
        iterations = stage.length(train * (train - 1), block["training"]["batch_size"])
        validations = iterations // block["training"]["validate_every"] + 1
        once = validate * (validate - 1) / 2 * self.study.pair_seconds(w.dataset, w.method)
        return self.with_torch(iterations * steps[min(number, len(steps)) - 1] + validations * once)

    def _grid(self, w: Any) -> dict:
        return self.study.datasets[w.dataset]["grid"]

    def _voxels(self, w: Any) -> int:
        return prod(self._grid(w)["shape"])


def _name(w: Any) -> str:
    return getattr(w, "method", ALIGNMENTS)
