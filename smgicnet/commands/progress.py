"""The progress of a run of the workflow: its stages in words, and how long it may still take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from smgicnet.commands.dry_run import PlannedJob, makespan
from smgicnet.jobs.study import Study

TRUSTED = 20.0  # seconds of expected work after which what was measured weighs as much as what was expected
LEAST = 0.05  # this share of a running job's expected time is left at least, until the job has ended
STAGES = {  # by rule; where one ends in "with", the method's name follows
    "fetch_archive": "fetching the cohort",
    "extract_scan": "taking scans from the archive",
    "extract_labelled_scan": "taking scans from the archive",
    "render_label_map": "making the people",
    "render_phantom": "making the people",
    "write_cohort": "making the people",
    "extract_brain": "stripping the skulls",
    "correct_bias": "correcting the bias fields",
    "segment": "segmenting the brains",
    "preprocess": "bringing all scans to the common grid",
    "assess_quality": "looking at the quality of every scan",
    "write_quality_page": "looking at the quality of every scan",
    "align_subject": "affine pre-registration",
    "align_pairs": "affine pre-registration",
    "make_program": "installing programs from outside",
    "train_stage": "training",
    "register_shard": "registering and scoring the test pairs with",
    "register_shard_on_cpu": "registering and scoring the test pairs with",
    "gather_metrics": "registering and scoring the test pairs with",
    "choose_pairs": "registering the pairs that the figures show",
    "register_shown": "registering the pairs that the figures show",
    "register_shown_on_cpu": "registering the pairs that the figures show",
    "change_subject": "changing heads, to see what breaks a method",
    "align_changed": "registering changed heads",
    "register_changed": "registering changed heads",
    "register_changed_on_cpu": "registering changed heads",
    "gather_changed": "registering changed heads",
    "choose_changed": "registering the pairs that the figures show",
    "register_changed_shown": "registering the pairs that the figures show",
    "register_changed_shown_on_cpu": "registering the pairs that the figures show",
    "start_template": "the mean image of the group",
    "bring_template": "the mean image of the group",
    "average_template": "the mean image of the group",
    "weights": "fetching published weights",
    "write_table1": "tables and statistics",
    "write_table2": "tables and statistics",
    "write_table3": "tables and statistics",
    "compare_methods": "tables and statistics",
    "write_ablations": "tables and statistics",
    "write_arena": "tables and statistics",
    "audit": "checking the numbers that the paper prints",
    "plot_figure": "drawing the figures",
    "show_arena": "drawing the figures",
    "write_page": "writing the page",
}


def stage_of(rule: str, wildcards: Mapping[str, str], study: Study) -> str:
    """Return the stage of a job in words; a rule that is not in ``STAGES`` is its own."""
    words = STAGES.get(rule, rule.replace("_", " "))
    method = study.methods.get(wildcards.get("method", ""))
    if rule == "train_stage" and method:
        affine = " after affine pre-registration" if wildcards["arm"] == "affine" else ""
        of = len(method["stages"])
        level = f", level {wildcards['stage']} of {of}" if of > 1 else ""
        return f"{words} {method['label']}{affine}{level}"
    return f"{words} {method['label']}" if words.endswith("with") and method else words


@dataclass
class Progress:
    """The jobs of a run.

    Attributes
    ----------
    jobs : those that a dry run found, with the time that each is expected to take
    cores, networks : how many jobs run at a time, and how many of those that want a GPU
    """

    jobs: Sequence[PlannedJob]
    cores: int
    networks: int = 1
    _ended: set[tuple[str, ...]] = field(default_factory=set)
    _running: dict[int, tuple[PlannedJob, float]] = field(default_factory=dict)
    _took: float = 0.0
    _expected: float = 0.0

    def __post_init__(self) -> None:
        self._by_outputs = {job.outputs: job for job in self.jobs}

    @property
    def ended(self) -> int:
        """The number of jobs that have ended."""
        return len(self._ended)

    def start(self, job: int, rule: str, outputs: Sequence[str], now: float) -> None:
        """Note that a job starts; a job that was not planned counts with no time."""
        unknown = PlannedJob(rule, 1, 0, 0.0, 0, True, (), tuple(outputs))
        self._running[job] = self._by_outputs.get(tuple(outputs), unknown), now

    def finish(self, job: int, now: float) -> None:
        """Note that a job has ended."""
        if job in self._running:
            planned, began = self._running.pop(job)
            self._ended.add(planned.outputs)
            self._took += now - began
            self._expected += planned.seconds

    def pace(self, now: float) -> float:
        """Return how much longer jobs take than expected: 1 at first, then by what has ended or is late."""
        pace = (TRUSTED + self._took) / (TRUSTED + self._expected)
        late = [(now - began, job.seconds) for job, began in self._running.values() if now - began > pace * job.seconds]
        took, expected = (sum(one) for one in zip((0.0, 0.0), *late))
        return (TRUSTED + self._took + took) / (TRUSTED + self._expected + expected)

    def left(self, now: float) -> float:
        """Return the seconds until all have ended, at the pace so far."""
        pace = self.pace(now)
        began = {job.outputs: start for job, start in self._running.values()}
        rest = []
        for job in self.jobs:
            if job.outputs not in self._ended:
                seconds = job.seconds * pace
                if job.outputs in began:
                    seconds = max(seconds - (now - began[job.outputs]), LEAST * seconds)
                rest.append(replace(job, seconds=seconds))
        return makespan(rest, self.cores, self.networks)
