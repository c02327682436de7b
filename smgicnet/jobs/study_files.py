"""The files that a job of a study needs, by the wildcards that name the job.

``w`` is anything with the attributes of the job's wildcards: ``dataset``, ``arm``, ``method``, ``seed``, ``shard``,
``stage``, ``subject``; as Snakemake gives them, numbers may be text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from smgicnet.config.blocks import learns_from_labels, stage_block
from smgicnet.config.programs import helper_scripts, sees_labels
from smgicnet.config.schemas import schema
from smgicnet.core.layout import (
    METRICS,
    PROGRAM_RECORD,
    SHARD_RECORD,
    TABLE_FORMS,
    environment_digest,
    given_file,
    program_environment,
)
from smgicnet.core.shipped import find_weights
from smgicnet.jobs.code import registering_code
from smgicnet.jobs.preparation_files import PreparationFiles
from smgicnet.jobs.study import ALIGNMENTS, Pair, Run
from smgicnet.methods import GIVEN


class StudyFiles(PreparationFiles):
    """The files of each job of ``study``."""

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
        return self._subjects_of(w.dataset, getattr(w, "method", ALIGNMENTS), int(w.shard))

    @cache  # noqa: B019 (files live as long as their study; a job is asked for its subjects again and again)
    def _subjects_of(self, dataset: str, name: str, shard: int) -> list[str]:
        return sorted({name for pair in self.study.shards(dataset, name)[shard] for name in pair})

    def shard_records(self, w: Any) -> list[str]:
        """Return the record of each of a job's subjects, which stands for all files that the workflow makes of it.

        It holds their digests, so that it changes with each of them. The time that Snakemake needs to plan grows with
        the number of inputs, and this is one a subject.
        """
        return self.prepared(w, self.shard_subjects(w), "preprocessing")

    def scored_subjects(self, w: Any) -> list[dict[str, Any]]:
        """Return what scoring uses of each of a job's subjects beside its prepared files, in the order of records.

        ``name``; ``truth``: the files of its true transforms, or none; ``template``: the name of the one that they lead
        to; ``landmarks``: their file, or none.
        """
        names, landmarks = self.shard_subjects(w), self.column(w.dataset, "landmarks")
        truth, templates = self.truth_of(w, names), self.templates_of(w, names)
        return [
            {
                "name": name,
                "truth": truth[number :: len(names)],
                "template": templates[number],
                "landmarks": landmarks.get(name, ""),
            }
            for number, name in enumerate(names)
        ]

    def given_beside(self, w: Any) -> list[str]:
        """Return the files of `scored_subjects` that the workflow does not make."""
        names, landmarks = self.shard_subjects(w), self.column(w.dataset, "landmarks")
        truth = [] if self.makes_truth(w) else self.truth_of(w, names)
        return truth + [landmarks[name] for name in names if landmarks.get(name)]

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
