"""The places of all files of a study: the only owner of the paths below ``results/``.

Each method returns a path as text. A rule gives wildcards for names, ``DatasetPaths.of("{dataset}")``, a command names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from smgicnet.core.errors import InputError

RESULTS = "results"
AUDIT = {"md": f"{RESULTS}/audit.md", "record": f"{RESULTS}/audit.json", "log": f"{RESULTS}/audit.log"}
LEARN2REG = "learn2reg"  # a layout of given fields
DEMO = f"{RESULTS}/demo"  # the folder of the first picture and the log of `smgicnet demo`
ARENA = "arena"  # the folder, beside those of datasets, of what is made over all of them
PREPARED = {  # of a subject on the common grid; a map without parcels compresses to nothing
    "image": "image.nii",
    "labels": "labels.nii",
    "parcels": "parcels.nii.gz",
    "preprocessing": "preprocessing.json",
}
TABLE_FORMS = {"md": "md", "csv": "csv", "tex": "tex", "record": "json"}
FIGURE_FORMS = ("png", "pdf")
STAGE_FILES = {"weights": "weights.pt", "history": "history.csv", "record": "training.json"}
METRICS, METRICS_RECORD = "metrics.csv.gz", "metrics.json"  # of a method in an arm and of one seed
SHARD_METRICS, SHARD_RECORD = "metrics.csv", "registration.json"  # of one job of those
BENCHMARK = "benchmark.tsv"
TEMPLATE, TEMPLATE_RECORD = "template.nii.gz", "template.json"  # the mean image of a group
PROGRAM_RECORD, PROGRAM_FOLDER = "program.json", "env"  # of the environment of a program from outside
ROBUSTNESS = "robustness.csv.gz"  # the scores of changed heads, of a method in an arm and of one seed
CHANGED = {**PREPARED, "preprocessing": "change.json"}  # of one change of a head
CHANGED_SHOWN = "robustness/shown"  # of a run: the folder of the changed pair that the page shows


def costs_file(results: str | Path = RESULTS) -> str:
    """Return the file in which `smgicnet plan` keeps what it has measured."""
    return f"{results}/costs.json"


def arena_page(results: str | Path = RESULTS) -> str:
    """Return the page over all datasets."""
    return f"{results}/{ARENA}/index.html"


def shipped_costs(configfile: str | Path) -> Path:
    """Return the file of a config's costs on another machine: ``config.costs.json`` beside ``config.yaml``."""
    return Path(configfile).with_suffix(".costs.json")


def environment_digest(environment: Mapping[str, object]) -> str:
    """Return what names the environment of a program from outside, the block ``environment`` of its method."""
    return hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:12]


def program_environment(digest: str) -> str:
    """Return the folder in which the environment of a program from outside is made, by its `environment_digest`."""
    return f"resources/programs/{digest}"


def decisions(study: str) -> str:
    """Return the file of what is decided when a run starts; ``study`` is the digest of its config."""
    return f"{RESULTS}/started/{study}.json"


@dataclass(frozen=True)
class RunPaths:
    """The files of one method in one arm, trained with one seed."""

    folder: str

    @property
    def shown(self) -> str:
        """The folder of the pairs that figures show."""
        return f"{self.folder}/shown"

    @property
    def fields(self) -> str:
        """The folder in which the displacements of its pairs are kept."""
        return f"{self.folder}/fields"

    def file(self, name: str) -> str:
        """Return a file of the whole run, such as `METRICS`."""
        return f"{self.folder}/{name}"

    def stage(self, stage: int | str, kind: str) -> str:
        """Return a file of a stage of its training: a key of `STAGE_FILES`, or a name.

        The folder's name is the paper's.
        """
        return f"{self.folder}/level-{stage}/{STAGE_FILES.get(kind, kind)}"

    def shard(self, shard: int | str, name: str) -> str:
        """Return a file of one of the jobs that register its pairs."""
        return f"{self.folder}/shards/{shard}/{name}"

    def changed_shard(self, shard: int | str, name: str) -> str:
        """Return a file of one of the jobs that register changed heads."""
        return f"{self.folder}/robustness/{shard}/{name}"


@dataclass(frozen=True)
class DatasetPaths:
    """The files of one dataset; ``folder`` is ``results/DATASET``."""

    folder: str

    @classmethod
    def of(cls, dataset: str, results: str | Path = RESULTS) -> DatasetPaths:
        """Return the paths of the dataset of that name."""
        return cls(f"{results}/{dataset}")

    @property
    def cohort(self) -> str:
        """The folder of what is made or fetched."""
        return f"{self.folder}/cohort"

    @property
    def participants(self) -> str:
        return f"{self.cohort}/participants.tsv"

    @property
    def pairs(self) -> str:
        return f"{self.cohort}/pairs.tsv"

    @property
    def shown_pairs(self) -> str:
        return f"{self.cohort}/shown_pairs.json"

    @property
    def job_sizes(self) -> str:
        """The file that says how many pairs a job takes."""
        return f"{self.cohort}/shards.json"

    @property
    def quality(self) -> str:
        return f"{self.folder}/raw/quality.tsv"

    @property
    def excluded(self) -> str:
        """The list of subjects that quality control leaves out."""
        return f"{self.folder}/raw/excluded.txt"

    @property
    def segmentation(self) -> str:
        """The folder of the segmenting tool, which resumes there."""
        return f"{self.folder}/segmentation"

    @property
    def page(self) -> str:
        return f"{self.folder}/report/index.html"

    @property
    def quality_page(self) -> str:
        return f"{self.folder}/report/quality.html"

    def cohort_file(self, subject: str, name: str) -> str:
        """Return a file of a subject that is made or fetched."""
        return f"{self.cohort}/{subject}/{name}"

    def step(self, subject: str, name: str) -> str:
        """Return a file of a step between a subject's scan and the common grid."""
        return f"{self.folder}/steps/{subject}/{name}"

    def prepared(self, arm: str, subject: str, kind: str) -> str:
        """Return a file of a subject on the common grid: a key of `PREPARED`."""
        return f"{self.folder}/{arm}/subjects/{subject}/{PREPARED[kind]}"

    def alignment(self, shard: int | str, name: str) -> str:
        """Return a file of one of the jobs that align pairs."""
        return f"{self.folder}/affine/alignments/{shard}/{name}"

    def changed(self, subject: str) -> str:
        """Return the folder of a subject's changed heads, with one for each change in it."""
        return f"{self.folder}/robustness/subjects/{subject}"

    def changed_alignment(self, shard: int | str, name: str) -> str:
        """Return a file of one of the jobs that align changed heads."""
        return f"{self.folder}/robustness/alignments/{shard}/{name}"

    @property
    def shown_change(self) -> str:
        """The file that says which changed pair the page shows."""
        return f"{self.folder}/robustness/shown.json"

    def template(self, number: int | str, name: str) -> str:
        """Return a file of a round of the group's mean image; round 0 is the mean by global maps alone."""
        return f"{self.folder}/template/{number}/{name}"

    def run(self, arm: str, method: str, seed: int | str) -> RunPaths:
        """Return the files of a method in an arm, of one seed."""
        return RunPaths(f"{self.folder}/{arm}/{method}/seed-{seed}")

    def table(self, name: str, form: str) -> str:
        """Return a table in a form: a key of `TABLE_FORMS`."""
        return f"{self.folder}/tables/{name}.{TABLE_FORMS[form]}"

    def figure(self, name: str, form: str) -> str:
        """Return a figure in one of `FIGURE_FORMS`."""
        return f"{self.folder}/figures/{name}.{form}"

    def log(self, name: str) -> str:
        """Return the log of a job."""
        return f"{self.folder}/logs/{name}.log"


def prepared_file(record: str | Path, kind: str) -> Path:
    """Return a file of a subject on the common grid, a key of `PREPARED`, beside its record.

    Raises `InputError` where it is missing, which Snakemake, for which the record stands for all, does not notice.
    """
    path = Path(record).with_name(PREPARED[kind])
    if not path.is_file():
        remedy = f"Delete {record} and start the same command again, which makes both again"
        raise InputError(path, "it is missing, and the record beside it is there", remedy)
    return path


def changed_file(folder: str | Path, variant: str, kind: str) -> Path:
    """Return a file of one changed head, a key of `CHANGED`, in the folder of its subject."""
    return Path(folder) / variant / CHANGED[kind]


def pair_file(folder: str | Path, fixed: str, moving: str, suffix: str) -> Path:
    """Return a file of an ordered pair in a folder of them; the slash in the name of a changed head becomes a dash."""
    return Path(folder) / f"fixed-{fixed}_moving-{moving.replace('/', '-')}{suffix}"


def given_file(folder: str | Path, layout: str, fixed: str, moving: str) -> Path:
    """Return the displacement of an ordered pair that another program has computed, in the folder that a config names.

    ``layout``: ``pairs``, or ``learn2reg`` for names as that challenge has them.
    """
    return (
        Path(folder) / f"disp_{fixed}_{moving}.nii.gz"
        if layout == LEARN2REG
        else pair_file(folder, fixed, moving, ".nii.gz")
    )


def shown_files(folder: str | Path, fixed: str, moving: str) -> tuple[Path, Path]:
    """Return the warped image and the displacement (ITK) of a pair that figures show, in a run's folder ``shown``."""
    warped, displacement = (pair_file(folder, fixed, moving, f"_{name}.nii.gz") for name in ("warped", "displacement"))
    return warped, displacement
