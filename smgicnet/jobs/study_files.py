"""The files that a job of a study needs, by the wildcards that name the job.

``w`` is anything with the attributes of the job's wildcards: ``dataset``, ``arm``, ``method``, ``seed``, ``shard``,
``stage``, ``subject``; as Snakemake gives them, numbers may be text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from smgicnet.cohort.participants import ANATOMY, TRUTH_COLUMNS
from smgicnet.config.blocks import learns_from_labels, stage_block
from smgicnet.config.programs import helper_scripts, sees_labels
from smgicnet.config.schemas import schema
from smgicnet.core.layout import (
    METRICS,
    PREPARED,
    PROGRAM_RECORD,
    SHARD_RECORD,
    TABLE_FORMS,
    environment_digest,
    given_file,
    program_environment,
)
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.headers import header_form
from smgicnet.jobs.code import registering_code
from smgicnet.jobs.study import ALIGNMENTS, Pair, Run, Study
from smgicnet.methods import GIVEN

STEP_RECORDS = {  # a step of preprocessing: its value where it is not done, and the record that it writes
    "skull_strip": ("none", "brain"),
    "bias_field": ("none", "bias"),
    "segmentation": ("given", "segmentation"),
}
STRIPPING_ENVIRONMENTS = {"auto": "deepbet", "deepbet": "deepbet", "bet": "fsl"}  # FreeSurfer's is the user's own


class StudyFiles:
    """The files of each job of ``study``."""

    def __init__(self, study: Study):
        self.study = study

    # Preparation

    def anatomy(self, w: Any) -> list[str]:
        """Return the label map of which a subject is generated, unless that is the embedded brain."""
        table = self.study.cohort(w.dataset)
        return [table.at[w.subject, "label_map"]] if "label_map" in table else []

    def scan(self, w: Any) -> dict[str, str]:
        """Return a subject's image as the cohort has it, and its mask where one is asked for."""
        row = self.study.cohort(w.dataset).loc[w.subject]
        return {kind: row[kind] for kind in ["image", *["mask"] * (self._steps(w)["skull_strip"] == "mask")]}

    def stripped(self, w: Any) -> dict[str, str]:
        """Return a subject's skull-stripped image, and its mask if it was made."""
        if self._steps(w)["skull_strip"] == "none":
            return self.scan(w)
        return {"image": self._step(w, "brain.nii.gz"), "mask": self._step(w, "mask.nii.gz")}

    def source(self, w: Any) -> dict[str, str]:
        """Return the files a subject is prepared from: image after the last step, label map, a histogram to match."""
        steps = self._steps(w)
        corrected, segmented = steps["bias_field"] != "none", steps["segmentation"] != "given"
        files = {
            "image": self._step(w, "corrected.nii.gz") if corrected else self.stripped(w)["image"],
            "labels": self._step(w, "labels.nii.gz")
            if segmented
            else self.study.cohort(w.dataset).at[w.subject, "labels"],
            "histogram": steps["histogram_reference"],
        }
        return {key: path for key, path in files.items() if path}

    def step_records(self, w: Any) -> list[str]:
        """Return the record of each step that is done."""
        steps = self._steps(w)
        return [self._step(w, f"{record}.json") for key, (off, record) in STEP_RECORDS.items() if steps[key] != off]

    def stripping_environment(self, w: Any) -> str:
        """Return the conda environment of the tool that strips a dataset's skulls."""
        return STRIPPING_ENVIRONMENTS.get(self._steps(w)["skull_strip"], "analysis")

    def setting(self, key: str) -> Callable[[Any], Any]:
        """Return a setting of the preprocessing of the dataset that the wildcards name, as a function of them."""
        return lambda w: self._steps(w)[key]

    def header_form(self, w: Any) -> str | None:
        """Return the form of NIfTI headers that decides where images of the dataset lie."""
        return header_form(self._steps(w))

    def every(self, kind: str) -> Callable[[Any], list[str]]:
        """Return a file of every subject on the common grid, as a function of the wildcards."""
        return lambda w: self.prepared(w, self.study.subjects(w.dataset), kind)

    def _steps(self, w: Any) -> dict:
        return self.study.datasets[w.dataset]["preprocessing"]

    def _step(self, w: Any, name: str) -> str:
        return self.study.paths(w.dataset).step(w.subject, name)

    def prepared(self, w: Any, subjects: Iterable[str], *kinds: str, arm: str = "raw") -> list[str]:
        """Return files of subjects on the common grid; ``kinds`` among the keys of `smgicnet.core.layout.PREPARED`."""
        subjects, paths = list(subjects), self.study.paths(w.dataset)
        return [paths.prepared(arm, name, kind) for kind in kinds or PREPARED for name in subjects]

    def prepared_in(self, w: Any, split: str, *kinds: str) -> list[str]:
        """Return files on the common grid of a split, of the arm that the wildcards name or else of ``raw``."""
        return self.prepared(w, self.study.subjects(w.dataset, split), *kinds, arm=getattr(w, "arm", "raw"))

    def excluded(self, w: Any) -> list[str]:
        """Return the list of subjects that are left out, where the config says so."""
        excludes = self.study.datasets[w.dataset]["quality"]["exclude"]
        return [self.study.paths(w.dataset).excluded] if excludes else []

    # The mean image

    def template_subjects(self, w: Any) -> list[str]:
        """Return the subjects whose mean a dataset's template is."""
        splits = self.study.config["template"]["splits"]
        return [name for split in splits for name in self.study.subjects(w.dataset, split)]

    def template_images(self, w: Any) -> list[str]:
        """Return the images of the template's subjects on the common grid."""
        return self.prepared(w, self.template_subjects(w), "image")

    def template_members(self, w: Any) -> list[str]:
        """Return the records of the subjects' maps from the template of the round before."""
        paths, before = self.study.paths(w.dataset), int(w.round) - 1
        return [paths.template(before, f"members/{name}/registration.json") for name in self.template_subjects(w)]

    def template_weights(self, w: Any) -> str:
        """Return the weights that bring a template to people."""
        return str(find_weights(self.study.config["template"]["weights"]))

    # Training

    def labels_to_learn_from(self, w: Any) -> list[str]:
        """Return the label maps of the split train, where a stage learns from them."""
        block = stage_block(self.study.methods[w.method], int(w.stage))
        return self.prepared_in(w, "train", "labels") if learns_from_labels(block) else []

    def stages(self, dataset: str, run: Run, kind: str, seed: int | str | None = None) -> list[str]:
        """Return a file of each stage of a run's training, wherever that was; of its first seed without ``seed``."""
        method, arm = run
        seed = self.study.seeds(method)[0] if seed is None else seed
        count = len(self.study.methods[method]["stages"])
        return [
            self.study.paths(dataset).run(arm, self.study.trained_as(method, stage), seed).stage(stage, kind)
            for stage in range(1, count + 1)
        ]

    def earlier_weights(self, w: Any) -> list[str]:
        """Return the weights of the stage before, from which a stage starts."""
        return self.stages(w.dataset, (w.method, w.arm), "weights", w.seed)[: int(w.stage) - 1][-1:]

    def final_weights(self, w: Any) -> list[str]:
        """Return the weights of the last stage, or those that the config names; none for a method without training."""
        block = self.study.methods[w.method]
        if block["weights"]:
            return [str(find_weights(block["weights"]))]
        if "published" in block:
            return [block["published"]["file"]]
        return self.stages(w.dataset, (w.method, w.arm), "weights", w.seed)[-1:]

    # Registration

    def shard_pairs(self, w: Any) -> list[Pair]:
        """Return the pairs of the job that the wildcards name; a job without a method aligns."""
        return self.study.shards(w.dataset, getattr(w, "method", ALIGNMENTS))[int(w.shard)]

    def shard_subjects(self, w: Any) -> list[str]:
        """Return the names of the subjects in a job's pairs."""
        return sorted({name for pair in self.shard_pairs(w) for name in pair})

    def truth(self, w: Any) -> list[str]:
        """Return the true transforms of a job's subjects, see `truth_of`."""
        return self.truth_of(w, self.shard_subjects(w))

    def truth_of(self, w: Any, subjects: Iterable[str]) -> list[str]:
        """Return the true transforms of subjects, where there are any: of all in one direction, then in the other."""
        table, names = self.study.cohort(w.dataset), list(subjects)
        columns = [column for column in TRUTH_COLUMNS if column in table]
        return [table.at[name, column] for column in columns for name in names]

    def templates(self, w: Any) -> list[str]:
        """Return the name of the template of each of a job's subjects, see `templates_of`."""
        return self.templates_of(w, self.shard_subjects(w))

    def templates_of(self, w: Any, subjects: Iterable[str]) -> list[str]:
        """Return the name of the template of each subject, to which its true transforms lead; "" for the one."""
        table = self.study.cohort(w.dataset)
        return [table.at[name, ANATOMY] if ANATOMY in table else "" for name in subjects]

    def landmarked(self, w: Any) -> list[str]:
        """Return the names of the subjects in a job's pairs that have landmarks."""
        table = self.study.cohort(w.dataset)
        return [name for name in self.shard_subjects(w) if "landmarks" in table and table.at[name, "landmarks"]]

    def landmarks(self, w: Any) -> list[str]:
        """Return the landmarks of each of `landmarked`."""
        return [self.study.cohort(w.dataset).at[name, "landmarks"] for name in self.landmarked(w)]

    def alignments(self, w: Any, name: str) -> list[str]:
        """Return a file of the alignments of a job's pairs, or of all pairs, in the affine arm."""
        if w.arm != "affine":
            return []
        where = self.study.aligned_in(w.dataset)
        pairs = self.shard_pairs(w) if hasattr(w, "shard") else where
        return [self.study.paths(w.dataset).alignment(shard, name) for shard in sorted({where[pair] for pair in pairs})]

    def given_fields(self, w: Any) -> list[str]:
        """Return the displacements of a job's pairs, both ways, that another program has computed."""
        block = self.study.methods[w.method]
        if block["type"] != GIVEN:
            return []
        pairs = self.shard_pairs(w) if hasattr(w, "shard") else self.study.pairs(w.dataset)
        return [str(given_file(block["folder"], block["layout"], *one)) for pair in pairs for one in (pair, pair[::-1])]

    def code(self, w: Any) -> str:
        """Return the digest of what registers with a method."""
        block = self.study.methods[w.method]
        return registering_code(block["type"], helper_scripts(block))

    @cached_property
    def environments(self) -> dict[str, Mapping]:
        """The environments that are made for programs from outside, by `smgicnet.core.layout.environment_digest`."""
        found = [self.study.methods[name].get("environment", {}) for name, _ in self.study.runs]
        return {environment_digest(one): one for one in found if one.keys() & {"pip", "conda"}}

    def program(self, w: Any) -> list[str]:
        """Return the record of a program's environment or the file of its container, where it has one."""
        environment = self.study.methods[w.method].get("environment", {})
        if (image := environment.get("container")) and "://" not in image:
            return [image]
        digest = environment_digest(environment)
        return [f"{program_environment(digest)}/{PROGRAM_RECORD}"] if digest in self.environments else []

    def labels_seen(self, w: Any) -> list[str]:
        """Return the label maps of all test subjects, where a method sees those of the images that it registers."""
        seen = sees_labels(self.study.methods[w.method].get("command", ""))
        return self.prepared(w, self.study.subjects(w.dataset, "test"), "labels") if seen else []

    def shards(self, w: Any, name: str) -> list[str]:
        """Return a file of every job of a run."""
        run = self.study.paths(w.dataset).run(w.arm, w.method, w.seed)
        return [run.shard(shard, name) for shard in range(len(self.study.shards(w.dataset, w.method)))]

    def fields_folder(self, w: Any) -> str:
        """Return the folder of the displacements that are kept of a run."""
        return self.study.paths(w.dataset).run(w.arm, w.method, w.seed).fields

    def shown_pairs_if_kept(self, w: Any) -> list[str]:
        """Return the pairs that figures show, where a job keeps displacements: it keeps theirs in full precision."""
        return [self.study.paths(w.dataset).shown_pairs] if self.study.keeps_fields(w.method) else []

    def shards_with_fields(self, w: Any) -> list[str]:
        """Return a file of every job of a run beside which displacements are kept, or nothing."""
        return self.shards(w, SHARD_RECORD) if self.study.keeps_fields(w.method) else []

    def environment(self, w: Any) -> str:
        """Return the conda environment in which a method registers, by its schema."""
        return schema(f"methods/{self.study.methods[w.method]['type']}").get("environment", "torch")

    # Publication

    def runs(self, dataset: str, name: str, runs: Iterable[Run] | None = None) -> list[str]:
        """Return a file of each seed of runs, by default of all."""
        paths = self.study.paths(dataset)
        chosen = self.study.runs if runs is None else runs
        return [paths.run(arm, method, seed).file(name) for method, arm in chosen for seed in self.study.seeds(method)]

    def of_runs(self, runs: Iterable[Run], name: str) -> Callable[[Any], list[str]]:
        """Return a file of each seed of runs, as a function of the wildcards."""
        chosen = list(runs)
        return lambda w: self.runs(w.dataset, name, chosen)

    def first_seed(self, dataset: str, runs: Iterable[Run], name: str = METRICS) -> list[str]:
        """Return a file, or the folder ``shown``, of the first seed of runs: that of the pairs that figures show."""
        paths = self.study.paths(dataset)
        return [paths.run(arm, method, self.study.seeds(method)[0]).file(name) for method, arm in runs]

    def trainings(self, dataset: str, runs: Iterable[Run]) -> list[str]:
        """Return the records of every stage and seed of runs."""
        return [
            path
            for run in runs
            for seed in self.study.seeds(run[0])
            for path in self.stages(dataset, run, "record", seed)
        ]

    def tables(self, dataset: str) -> dict[str, dict[str, str]]:
        """Return the page's tables in each form: those of the default target, and the ablations once they are run."""
        study, paths = self.study, self.study.paths(dataset)
        wanted = ["table1", *["table2", "comparisons"] * bool(study.compared), *["table3"] * bool(study.published_runs)]
        wanted += ["ablations"] * Path(paths.table("ablations", "md")).is_file()
        return {name: {form: paths.table(name, form) for form in TABLE_FORMS} for name in wanted}
