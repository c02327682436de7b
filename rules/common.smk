# Config validation, what it means for the DAG, and helpers. No rules.
import sys
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir)))  # the package of this checkout, whatever is installed

from snakemake.exceptions import WorkflowError

from smgicnet.cohort import plan_cohort, shards, unordered_pairs
from smgicnet.config import complete
from smgicnet.errors import InputError
from smgicnet.preprocessing import LABEL_TABLE
from smgicnet.provenance import source_digest

try:
    CONFIG = complete(config, ", ".join(map(str, workflow.configfiles)) or "config")
    COHORTS = {
        name: plan_cohort(dataset["source"], f"results/{name}/cohort") for name, dataset in CONFIG["datasets"].items()
    }
except InputError as error:
    raise WorkflowError(str(error)) from None

DATASETS = CONFIG["datasets"]
METHODS = CONFIG["methods"]
ARMS = ["raw"]
SHARD_SIZE = CONFIG["evaluation"]["shard_size"]
LEARNED = [name for name, method in METHODS.items() if method["stages"]]


def subjects(dataset, *splits):
    """Names of a dataset's subjects in these splits."""
    table = COHORTS[dataset]
    return table.index[table["split"].isin(splits)].tolist()


PAIRS = {dataset: unordered_pairs(subjects(dataset, "test")) for dataset in DATASETS}
SHARDS = {dataset: shards(subjects(dataset, "test"), SHARD_SIZE) for dataset in DATASETS}
FIGURE_PAIRS = {dataset: pairs[: CONFIG["evaluation"]["figure_pairs"]] for dataset, pairs in PAIRS.items()}


def names(values):
    """A wildcard constraint: exactly these names, or nothing if there are none."""
    return "|".join(values) if values else "(?!)"


def of_kind(kind):
    """Datasets whose source is of this kind."""
    return [name for name, dataset in DATASETS.items() if dataset["source"]["kind"] == kind]


def unlabelled(method, stages=None):
    """A method's block up to a stage, without its name in tables: another name changes no result."""
    block = {key: value for key, value in METHODS[method].items() if key != "label"}
    return {**block, "stages": block["stages"][:stages]}


def seeds(method):
    """Seeds of a method: the config's for a learned one, else a single 0."""
    return CONFIG["seeds"] if METHODS[method]["stages"] else [0]


def recipe(dataset):
    """A generated dataset's source without who is in which split: another test subject renders nothing anew."""
    return {key: value for key, value in DATASETS[dataset]["source"].items() if key not in ("subjects", "path")}


def source_files(wildcards):
    """A subject's image and, where there is one, label map as the cohort has them."""
    row = COHORTS[wildcards.dataset].loc[wildcards.subject]
    return {key: row[key] for key in ("image", "labels") if row[key]}


PREPARED = {"image": "image.nii", "labels": "labels.nii", "preprocessing": "preprocessing.json"}


def prepared(dataset, arm, chosen, *kinds):
    """Preprocessed files of the chosen subjects; ``kinds`` among the keys of `PREPARED`."""
    return [f"results/{dataset}/{arm}/subjects/{name}/{PREPARED[kind]}" for kind in kinds for name in chosen]


def truth_files(dataset, chosen):
    """The true transforms of subjects, where the cohort has them: both directions of each."""
    table = COHORTS[dataset]
    if "to_template" not in table:
        return []
    return [table.at[name, column] for column in ("to_template", "from_template") for name in chosen]


def stage_weights(wildcards, stage):
    """Weights of a stage of the training that the wildcards name."""
    return (
        f"results/{wildcards.dataset}/{wildcards.arm}/{wildcards.method}/seed-{wildcards.seed}/level-{stage}/weights.pt"
    )


def final_weights(wildcards):
    """Weights of the last stage; nothing for a method that is not learned."""
    stages = METHODS[wildcards.method]["stages"]
    return [stage_weights(wildcards, len(stages))] if stages else []


def shard_subjects(wildcards):
    """Names of the subjects in a shard's pairs."""
    return sorted({name for pair in SHARDS[wildcards.dataset][int(wildcards.shard)] for name in pair})


def shard_files(wildcards, name):
    """A file of every shard of a method."""
    folder = f"results/{wildcards.dataset}/{wildcards.arm}/{wildcards.method}/seed-{wildcards.seed}/shards"
    return [f"{folder}/{shard}/{name}" for shard in range(len(SHARDS[wildcards.dataset]))]


def method_files(dataset, name):
    """A file of every arm, method and seed of a dataset."""
    return [
        f"results/{dataset}/{arm}/{method}/seed-{seed}/{name}"
        for arm in ARMS
        for method in METHODS
        for seed in seeds(method)
    ]


wildcard_constraints:
    dataset=names(DATASETS),
    arm=names(ARMS),
    method=names(METHODS),
    seed=r"\d+",
    level=r"\d+",
    shard=r"\d+",
    subject=r"[A-Za-z0-9_-]+",
