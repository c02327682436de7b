"""The files that jobs of changed heads need, and the resources that they ask for, by the wildcards that name the job.

``w`` is as in `smgicnet.jobs.study_files`; a job without a method aligns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from smgicnet.core.layout import CHANGED_SHOWN, ROBUSTNESS
from smgicnet.jobs.costs import runtime_minutes
from smgicnet.jobs.needs import PAIR_KB, StudyNeeds
from smgicnet.jobs.study import ALIGNMENTS, Pair, Run
from smgicnet.jobs.study_files import StudyFiles


class ChangedHeads:
    """The jobs of changed heads of the study that ``files`` are of."""

    def __init__(self, files: StudyFiles, needs: StudyNeeds):
        self.files, self.needs, self.study = files, needs, files.study
        self.robustness = self.study.robustness

    @property
    def variants(self) -> list[tuple[str, float]]:
        """Every change, as a parameter of rules has it: its kind and its severity."""
        return [(one.change, one.severity) for one in self.robustness.changes.variants]

    def changing_ms(self, w: Any) -> int:
        """Time to expect of the changes of one head."""
        return self.needs.without_torch(0.3 * len(self.variants))

    def changing_kb(self, w: Any) -> int:
        """Return the disk, in kB, of the changes of one head."""
        return self.needs.prepared_kb(w) * len(self.variants)

    # Pairs: registered, or aligned in a job without a method

    def pairs(self, w: Any) -> list[Pair]:
        """Return the ordered pairs of the job that the wildcards name, or all of them, of which a job shows one."""
        if not hasattr(w, "shard"):
            return self.robustness.pairs(w.dataset)
        return self.robustness.shards(w.dataset, _name(w))[int(w.shard)]

    def subjects(self, w: Any) -> list[str]:
        """Return the names of the subjects in a job's pairs."""
        return sorted({name for pair in self.pairs(w) for name in pair})

    def moving(self, w: Any) -> list[str]:
        """Return the names of the subjects whose heads are changed in a job."""
        return sorted({moving for _, moving in self.pairs(w)})

    def folders(self, w: Any) -> list[str]:
        """Return the folders of the changed heads of a job, in the order of `moving`."""
        return [self.study.paths(w.dataset).changed(name) for name in self.moving(w)]

    def images(self, w: Any) -> list[str]:
        """Return the images of a job's subjects as they lie, in the order of `subjects`."""
        return self.files.prepared(w, self.subjects(w), "image")

    def labels(self, w: Any) -> list[str]:
        """Return the label maps of a job's subjects, in the order of `subjects`."""
        return self.files.prepared(w, self.subjects(w), "labels")

    def truth(self, w: Any) -> list[str]:
        """Return the true transforms of a job's subjects, where the cohort has them."""
        return self.files.truth_of(w, self.subjects(w))

    def templates(self, w: Any) -> list[str]:
        """Return the names of the templates that the true transforms lead to."""
        return self.files.templates_of(w, self.subjects(w))

    def alignments(self, w: Any) -> list[str]:
        """Return the alignments of a job's pairs in the affine arm, with the moving head changed and as it lies."""
        if w.arm != "affine":
            return []
        paths, as_they_lie = self.study.paths(w.dataset), self.study.aligned_in(w.dataset)
        jobs = {as_they_lie.get(pair, as_they_lie.get(pair[::-1])) for pair in self.pairs(w)}
        name = "alignments.json"
        found = [paths.alignment(job, name) for job in sorted(jobs)]
        return found + [paths.changed_alignment(job, name) for job in self._aligning_jobs(w, self.pairs(w))]

    def _aligning_jobs(self, w: Any, pairs: Iterable[Pair]) -> list[int]:
        """The numbers of the jobs that align the changed heads of these pairs."""
        shards = self.robustness.shards(w.dataset, ALIGNMENTS)
        where = {pair: number for number, shard in enumerate(shards) for pair in shard}
        return sorted({where[pair] for pair in pairs})

    def shards(self, w: Any, name: str) -> list[str]:
        """Return a file of every job of a run; none of a run or a dataset without changed heads."""
        if (w.method, w.arm) not in self.robustness.runs or not self.robustness.has(w.dataset):
            return []
        run, jobs = self.study.paths(w.dataset).run(w.arm, w.method, w.seed), self.robustness.shards
        return [run.changed_shard(shard, name) for shard in range(len(jobs(w.dataset, w.method)))]

    def records(self, w: Any, name: str) -> list[str]:
        """Return a record ``name`` of every job of a run, and those of the alignments that they took."""
        found = self.shards(w, name)
        if not found or w.arm != "affine":
            return found
        jobs = self._aligning_jobs(w, self.robustness.pairs(w.dataset))
        return found + [self.study.paths(w.dataset).changed_alignment(job, "record.json") for job in jobs]

    # The pair that the page shows

    def viewed(self, w: Any) -> list[Run]:
        """Return the runs that the page shows with a changed head; none of a dataset without such heads."""
        if not self.robustness.pairs(w.dataset):
            return []
        return [run for run in self.study.viewed if run in self.robustness.runs]

    def scores(self, w: Any) -> list[str]:
        """Return the scores of the runs shown, in their order, from which the pair is chosen."""
        return self.files.first_seed(w.dataset, self.viewed(w), ROBUSTNESS)

    def on_page(self, w: Any) -> dict[str, list[str]]:
        """Return the files of a page that are about a changed head, by name; none where there is nothing to show."""
        viewed = self.viewed(w)
        return {
            "change": [self.study.paths(w.dataset).shown_change] if viewed else [],
            "change_heads": self.folders(w) if viewed else [],
            "change_shown": self.files.first_seed(w.dataset, viewed, CHANGED_SHOWN),
            "change_metrics": self.scores(w),
            "change_initial": self.files.first_seed(w.dataset, self.study.initial if viewed else [], ROBUSTNESS),
        }

    def showing(self, *, gpu: int) -> dict[str, Any]:
        """Return all resources that a job asks for that registers the pair shown, as functions of the wildcards."""
        return {**self.needs.registering(gpu=gpu), "expected_ms": self.showing_ms}

    def showing_ms(self, w: Any) -> int:
        return self.needs.with_torch(self.study.pair_seconds(w.dataset, w.method) / 2)

    # What the jobs of pairs ask for

    def registering(self, *, gpu: int) -> dict[str, Any]:
        """Return all resources that a job asks for that registers pairs, as functions of the wildcards."""
        return {
            **self.needs.registering(gpu=gpu),
            "runtime": self.minutes,
            "expected_ms": self.expected_ms,
            "kilobytes": self.kilobytes,
        }

    def minutes(self, w: Any, attempt: int) -> int:
        return runtime_minutes(self._seconds(w), attempt) + self.needs.limit_minutes(w)

    def expected_ms(self, w: Any) -> int:
        return self.needs.with_torch(self._seconds(w))

    def kilobytes(self, w: Any) -> int:
        """Return the disk, in kB, of the metrics of a job's pairs."""
        return PAIR_KB * len(self.pairs(w))

    def _seconds(self, w: Any) -> float:
        return len(self.pairs(w)) * self.robustness.pair_seconds(w.dataset, _name(w))


def _name(w: Any) -> str:
    return getattr(w, "method", ALIGNMENTS)
