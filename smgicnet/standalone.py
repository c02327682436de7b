"""A method's training and scores without Snakemake, on subjects that the workflow has prepared.

For a machine that has a GPU and no Snakemake: ``results/DATASET`` of a run of ``snakemake quality cohorts`` is all that
has to be copied there, and what is written has the workflow's names and records.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from smgicnet.cohort import SPLITS, SubjectFiles, read_excluded, unordered_pairs
from smgicnet.config import build, load, registering_block, stage_block
from smgicnet.errors import InputError
from smgicnet.gathering import gather_metrics
from smgicnet.method_code import registering_code, training_code
from smgicnet.preprocessing import Grid
from smgicnet.register_job import register_shard
from smgicnet.train_job import train_stage

log = logging.getLogger(__name__)


def train_and_score(config_path: Path, name: str, folder: Path, *, seed: int = 1, threads: int = 2) -> Path:
    """Train every stage of a method in native poses, then register and score the test pairs.

    Parameters
    ----------
    config_path, name : the config, and the method in it
    folder : ``results/DATASET`` with the prepared subjects, of a dataset of the config

    Stages that are done are kept, one that was cut goes on from its checkpoint. Returns the file of the metrics; what
    they say on average is logged. Raises `InputError` for a method that is not trained in the arm ``raw``, for subjects
    that are not there, and for weights of another config.
    """
    config = load(config_path)
    block = _trained_block(config, name, config_path)
    if folder.name not in config["datasets"]:
        known = ", ".join(config["datasets"])
        raise InputError(folder, f"{config_path} has no dataset of that name", f"Name the folder of one of {known}")
    subjects = _subjects(folder)
    run = folder / "raw" / name / f"seed-{seed}"
    grid = build(Grid, config["datasets"][folder.name]["grid"])
    count = {split: len(subjects[split]) for split in SPLITS}
    log.info(
        "%s on %s: %d stages, %d subjects train, %d validate, %d test; results in %s",
        name, folder.name, len(block["stages"]), *count.values(), run,
    )  # fmt: skip
    weights = None
    for stage in range(1, len(block["stages"]) + 1):
        weights = _trained(run / f"level-{stage}", block, stage, weights, subjects, seed, grid, threads)
    return _scored(run, block, weights, subjects["test"], seed, threads)


def _trained_block(config: Mapping, name: str, config_path: Path) -> Mapping:
    block = config["methods"].get(name)
    if block is None or not block["stages"] or block["weights"] or "raw" not in block["arms"]:
        fitting = [
            key
            for key, one in config["methods"].items()
            if one["stages"] and not one["weights"] and "raw" in one["arms"]
        ]
        remedy = f"Name one of {', '.join(fitting)}" if fitting else "Give a config that has one"
        raise InputError(config_path, f"{name} is no method that is trained in the arm raw", remedy)
    return block


def _subjects(folder: Path) -> dict[str, list[SubjectFiles]]:
    """The prepared subjects of each split, without those that quality control leaves out."""
    table_path, excluded_path = folder / "cohort/participants.tsv", folder / "raw/excluded.txt"
    remedy = "Prepare the subjects where there is Snakemake: `snakemake quality cohorts`, and copy the folder"
    if not table_path.is_file():
        raise InputError(table_path, "no such table", remedy)
    table = pd.read_csv(table_path, sep="\t", dtype=str, keep_default_na=False).set_index("subject")
    excluded = read_excluded([excluded_path] if excluded_path.is_file() else [])
    found: dict[str, list[SubjectFiles]] = {split: [] for split in SPLITS}
    for subject, row in table.iterrows():
        if row["split"] in found and subject not in excluded:
            image, labels = (folder / f"raw/subjects/{subject}/{kind}.nii" for kind in ("image", "labels"))
            for path in (image, labels):
                if not path.is_file():
                    raise InputError(path, "no such file", remedy)
            truth = [table_path.parent / row[key] for key in ("to_template", "from_template") if row.get(key)]
            found[row["split"]].append(SubjectFiles(str(subject), image, labels, tuple(truth)))
    return found


def _trained(
    folder: Path,
    block: Mapping,
    stage: int,
    earlier: Path | None,
    subjects: Mapping[str, list[SubjectFiles]],
    seed: int,
    grid: Grid,
    threads: int,
) -> Path:
    """The weights of a stage, trained unless they are there."""
    weights, record, wanted = folder / "weights.pt", folder / "training.json", stage_block(block, stage)
    if weights.is_file() and record.is_file():
        if json.loads(record.read_text())["method"] != json.loads(json.dumps(wanted)):
            raise InputError(weights, "these weights are of another config", f"Move {folder} away, and start again")
        log.info("stage %d is there: %s", stage, weights)
        return weights
    train_stage(
        wanted,
        stage,
        seed=seed,
        grid=grid,
        training=subjects["train"],
        validation=subjects["val"],
        earlier=earlier,
        weights=weights,
        history=folder / "history.csv",
        record=record,
        code=training_code(block["type"]),
        threads=threads,
    )
    return weights


def _scored(run: Path, block: Mapping, weights: Path, test: list[SubjectFiles], seed: int, threads: int) -> Path:
    """The metrics of the test pairs, registered as one job."""
    folder, metrics = run / "shards/all", run / "metrics.csv.gz"
    dataset, method = run.parents[2].name, run.parent.name
    register_shard(
        registering_block(block),
        weights,
        unordered_pairs([subject.name for subject in test]),
        {subject.name: subject for subject in test},
        alignments=[],
        columns={"dataset": dataset, "arm": "raw", "method": method, "seed": str(seed)},
        metrics=folder / "metrics.csv",
        record=folder / "registration.json",
        code=registering_code(block["type"], scored=True),
        threads=threads,
    )
    gather_metrics(
        [folder / "metrics.csv"], [folder / "registration.json"], metrics=metrics, record=run / "metrics.json"
    )
    rows = pd.read_csv(folder / "metrics.csv", keep_default_na=False)
    means = rows[rows["roi"].isin(["mean", ""])].groupby("metric")["value"].agg(["mean", "std"])
    log.info("mean and SD over the %d ordered pairs:\n%s", len(test) * (len(test) - 1), means.round(4).to_string())
    log.info("done: %s", metrics)
    return metrics
