"""A study: what a config means, in plain Python. Subjects, splits, pairs, methods, runs, seeds, and jobs of pairs.

The workflow, `smgicnet plan`, `check` and `train` all ask it. A run is a method in an arm: ``("smgicnet", "raw")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, cached_property
from math import prod
from pathlib import Path

import pandas as pd

from smgicnet.cohort.participants import SPLITS, people_of, shards_of_groups, unordered_pairs
from smgicnet.cohort.sources import groups_of, plan_cohort, require_training_labels
from smgicnet.config.blocks import learns_from_labels, registering_block, row_name, stage_block
from smgicnet.core.layout import RESULTS, DatasetPaths, costs_file
from smgicnet.jobs.costs import ALIGNMENT, JobSizes, method_cost, pair_seconds, read_costs
from smgicnet.jobs.decisions import Decisions
from smgicnet.jobs.robustness import Robustness
from smgicnet.methods import GIVEN

ALIGNMENTS = "affine"  # the name under which alignments have costs and jobs, as if they were a method
KEPT_BYTES = 2 * 3 * 2  # a voxel: a displacement and its inverse, float16
KEPT_BY_DEFAULT = 10**9  # bytes of displacements
Pair = tuple[str, str]
Run = tuple[str, str]


class Study:
    """The meaning of a completed config.

    Parameters
    ----------
    config : as `smgicnet.config.completion.complete` returns it
    decisions : what was decided when the run started; without it no method is left out and nothing can be aligned
    job_minutes : the wished length of a job that registers pairs
    results : the folder of all results
    cohorts : tables of participants by dataset, where they are known; others are planned when they are asked for
    costs : a file of costs that were measured elsewhere, for what `smgicnet plan` has not measured here
    """

    def __init__(
        self,
        config: Mapping,
        decisions: Decisions | None = None,
        *,
        job_minutes: float = 20,
        results: str | Path = RESULTS,
        cohorts: Mapping[str, pd.DataFrame] | None = None,
        costs: str | Path | None = None,
    ):
        self.config, self.decisions, self.job_minutes, self.results = config, decisions, job_minutes, results
        self.datasets: Mapping[str, Mapping] = config["datasets"]
        self._cohorts, self._costs = dict(cohorts or {}), costs
        self._sizes: dict[str, JobSizes] = {}

    @cached_property
    def measured(self) -> dict:
        """Costs that `smgicnet plan` has measured here, else the given ones. Raises `InputError` for a damaged file."""
        return read_costs(costs_file(self.results)) or (read_costs(self._costs) if self._costs else {})

    # Methods and runs

    @cached_property
    def variants(self) -> Mapping[str, Mapping]:
        """The ablations: ``{name: {"study", "method"}}``."""
        return self.config["ablations"]["variants"]

    @cached_property
    def methods(self) -> dict[str, Mapping]:
        """The completed block of every method and of every variant."""
        return {**self.config["methods"], **{name: one["method"] for name, one in self.variants.items()}}

    @cached_property
    def trained(self) -> list[str]:
        """Methods that are trained here."""
        return [name for name, block in self.methods.items() if block["stages"] and not block["weights"]]

    @cached_property
    def published(self) -> dict[str, Mapping]:
        """The facts of the authors' weights, for methods that run with them."""
        return {name: block["published"] for name, block in self.config["methods"].items() if "published" in block}

    @property
    def absent(self) -> tuple[str, ...]:
        """Methods that are left out, since their weights or their program are not there."""
        return self.decisions.absent if self.decisions else ()

    @cached_property
    def networks(self) -> list[str]:
        """Methods to which a GPU is of use."""
        blocks = self.methods.items()
        return [name for name, block in blocks if block["stages"] or name in self.published or block.get("gpu")]

    @cached_property
    def runs(self) -> list[Run]:
        """Every method of the config in each of its arms, but for those that are left out."""
        present = {name: block for name, block in self.config["methods"].items() if name not in self.absent}
        return [(name, arm) for name, block in present.items() for arm in block["arms"]]

    @cached_property
    def registering(self) -> list[Run]:
        """Runs that move anything, and whose pairs can be looked at: not those that give moved label maps alone."""
        blocks = [(run, self.methods[run[0]]) for run in self.runs]
        return [run for run, block in blocks if block["type"] != "initial" and not block.get("labels")]

    @cached_property
    def initial(self) -> list[Run]:
        """The run that leaves images as they lie, if there is one: the state before registration."""
        return [run for run in self.runs if self.methods[run[0]]["type"] == "initial" and run[1] == "raw"][:1]

    @cached_property
    def reference(self) -> Run:
        """The run that others are compared with."""
        reference = self.config["evaluation"]["reference"]
        return reference["method"], reference["arm"]

    @cached_property
    def compared(self) -> list[Run]:
        """Runs that are compared with the reference."""
        return [run for run in self.runs if run != self.reference] if self.reference in self.runs else []

    @cached_property
    def viewed(self) -> list[Run]:
        """Runs whose pairs can be looked at; the reference, or else another, is what one sees first."""
        return sorted(self.registering, key=lambda run: run != self.reference)

    @cached_property
    def trained_runs(self) -> list[Run]:
        """Runs whose training can be drawn."""
        return [run for run in self.runs if run[0] in self.trained]

    @cached_property
    def published_runs(self) -> list[Run]:
        """Runs with their authors' weights, those that are left out too."""
        return [(name, arm) for name in self.published for arm in self.methods[name]["arms"]]

    @cached_property
    def table3_rows(self) -> list[Run]:
        """Runs with their authors' weights, those that are left out too, and the reference."""
        return [*self.published_runs, *[run for run in self.runs if run == self.reference]]

    @cached_property
    def ablated(self) -> list[Run]:
        """The full model and its variants, if there are any."""
        full = self.config["ablations"]["method"]
        return [(name, self.methods[full]["arms"][0]) for name in [full, *self.variants]] if self.variants else []

    def label(self, run: Run) -> str:
        """Return the name of a run in tables and figures."""
        return row_name(self.methods[run[0]], run[1], self.affine)

    def labels(self, runs: Iterable[Run]) -> dict[str, str]:
        """Return `label` of each run, by "method/arm"."""
        return {"/".join(run): self.label(run) for run in runs}

    def seeds(self, method: str) -> list[int]:
        """Return the seeds of a method: the config's for one that is trained, else a single 0."""
        return self.config["seeds"] if method in self.trained else [0]

    @cache  # noqa: B019 (a study lives as long as its process)
    def trained_as(self, method: str, stage: int) -> str:
        """Return the first method whose training up to this stage is the same: what variants share is trained once."""
        block = stage_block(self.methods[method], stage)
        return next(
            name
            for name in self.trained
            if len(self.methods[name]["stages"]) >= stage and stage_block(self.methods[name], stage) == block
        )

    def registering_block(self, method: str) -> dict:
        """Return the part of a method's block on which registrations depend; published weights keep the checksum."""
        block = registering_block(self.methods[method])
        return (
            block | {"published": {"sha256": self.published[method]["sha256"]}} if method in self.published else block
        )

    def recorded_config(self, dataset: str) -> dict:
        """Return the part of the config on which a dataset's results depend."""
        return {**self.config, "datasets": {dataset: self.datasets[dataset]}}

    @property
    def affine(self) -> dict:
        """The block ``affine`` with the engine that was chosen."""
        return {**self.config["affine"], "engine": self.decisions.engine if self.decisions else ""}

    @property
    def aligns(self) -> bool:
        """Whether a method runs in the affine arm."""
        return any(arm == "affine" for _, arm in self.runs)

    # Subjects and pairs

    def paths(self, dataset: str) -> DatasetPaths:
        """Return the paths of the files of a dataset."""
        return DatasetPaths.of(dataset, self.results)

    def cohort(self, dataset: str) -> pd.DataFrame:
        """Return the participants of a dataset, indexed by subject. Raises `InputError` for an unusable source."""
        if dataset not in self._cohorts:
            self._cohorts[dataset] = plan_cohort(self.datasets[dataset], self.paths(dataset).cohort)
        return self._cohorts[dataset]

    def of_kind(self, kind: str) -> list[str]:
        """Return the datasets whose source is of this kind."""
        return [name for name, dataset in self.datasets.items() if dataset["source"]["kind"] == kind]

    def subjects(self, dataset: str, *splits: str) -> list[str]:
        """Return the names of a dataset's subjects in these splits; in all of them without any."""
        table = self.cohort(dataset)
        return table.index[table["split"].isin(splits or SPLITS)].tolist()

    def pairs(self, dataset: str) -> list[Pair]:
        """Return the unordered test pairs of a dataset; each is registered in both directions."""
        return [pair for group in self.groups(dataset) for pair in unordered_pairs(group)]

    def groups(self, dataset: str) -> list[list[str]]:
        """Return the test subjects of a dataset in groups, within which all pairs are registered."""
        return groups_of(self.datasets[dataset], self.cohort(dataset))

    def people(self, dataset: str) -> dict[str, str]:
        """Return the person of each test subject that is one of several of a person, as twins are."""
        return people_of(self.cohort(dataset))

    # Jobs of pairs

    def pair_seconds(self, dataset: str, name: str) -> float:
        """Return a method's seconds a pair, or those of `ALIGNMENTS`; a variant counts as fast as what it varies."""
        name = self.config["ablations"]["method"] if name in self.variants else name
        return pair_seconds(name, self.cost(name), dataset, self.datasets[dataset]["grid"], self.measured)

    def cost(self, name: str) -> Mapping[str, float]:
        """Return memory and time by million voxels of a method, or of `ALIGNMENTS`, where nothing was measured."""
        return ALIGNMENT if name == ALIGNMENTS else method_cost(self.methods[name])

    def job_sizes(self, dataset: str) -> JobSizes:
        """Return the number of pairs that a job of each method takes."""
        if dataset not in self._sizes:
            size = self.config["evaluation"]["shard_size"]
            self._sizes[dataset] = JobSizes(self.paths(dataset).job_sizes, size)
        return self._sizes[dataset]

    @cache  # noqa: B019
    def shards(self, dataset: str, name: str) -> list[list[Pair]]:
        """Return the test pairs of each job of a method, or of `ALIGNMENTS`."""
        seconds, pairs = self.pair_seconds(dataset, name), len(self.pairs(dataset))
        size = self.job_sizes(dataset).pairs(name, seconds, self.job_minutes, pairs)
        return shards_of_groups(self.groups(dataset), size)

    @cache  # noqa: B019
    def aligned_in(self, dataset: str) -> dict[Pair, int]:
        """Return the number of the job that aligns each test pair."""
        return {pair: number for number, pairs in enumerate(self.shards(dataset, ALIGNMENTS)) for pair in pairs}

    @cached_property
    def robustness(self) -> Robustness:
        """The study of changed heads that the config asks for."""
        return Robustness(self)

    def keeps_fields(self, method: str) -> bool:
        """Return whether displacements of a method's pairs are kept: as the config says, or where all of them are few.

        A method that moves nothing, or labels alone, keeps none, nor does one whose displacements are in files already.
        """
        if self.methods[method]["type"] in ("initial", GIVEN) or self.methods[method].get("labels"):
            return False
        wanted = self.config["evaluation"]["keep_fields"]
        return self.fields_bytes < KEPT_BY_DEFAULT if wanted is None else wanted

    @cached_property
    def fields_bytes(self) -> int:
        """The size of all kept displacements before compression, of every run: both ways, with their inverses."""
        runs = sum(len(self.seeds(method)) for method, _ in self.registering)
        voxels = sum(
            2 * len(self.pairs(name)) * prod(dataset["grid"]["shape"]) for name, dataset in self.datasets.items()
        )
        return KEPT_BYTES * runs * voxels

    def require_usable(self) -> None:
        """Plan every cohort. Raises `InputError` for one that cannot be used, or that lacks labels to learn from."""
        cohorts = {name: self.cohort(name) for name in self.datasets}
        labelled = [name for name in self.trained if learns_from_labels(self.methods[name])]
        require_training_labels(cohorts, self.datasets, labelled)
