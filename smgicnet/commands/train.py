"""A method's training and scores without Snakemake, on subjects that the workflow has prepared.

For a machine that has a GPU and no Snakemake: ``results/DATASET`` of a run of ``snakemake quality cohorts`` is all that
has to be copied there, and what is written has the workflow's names and records.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.cohort.participants import ANATOMY, SPLITS, TRUTH_COLUMNS, read_excluded, unordered_pairs
from smgicnet.cohort.sources import groups_of
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.config.blocks import registering_block, stage_block
from smgicnet.config.building import build
from smgicnet.config.completion import load
from smgicnet.core.errors import InputError, require_least
from smgicnet.core.extras import require_package
from smgicnet.core.layout import METRICS, METRICS_RECORD, SHARD_METRICS, SHARD_RECORD, DatasetPaths, RunPaths
from smgicnet.core.tab_separated import read_tsv
from smgicnet.imaging.field_formats import read_geometry
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.code import registering_code, scoring_codes, training_code
from smgicnet.jobs.gather import gather_metrics
from smgicnet.jobs.register import ShardOutputs, register_shard
from smgicnet.jobs.registering import MethodFiles, Pair
from smgicnet.jobs.study import Study
from smgicnet.jobs.train import StageOutputs, StageSubjects, StageTask, train_stage
from smgicnet.scoring.pair_metrics import require_ndv
from smgicnet.scoring.statistics import of_pairs, read_metrics

log = logging.getLogger(__name__)


def train_and_score(config_path: Path, name: str, folder: Path, *, seed: int = 1, threads: int | None = None) -> Path:
    """Train every stage of a method in native poses, then register and score the test pairs.

    Parameters
    ----------
    config_path, name : the config, and the method in it
    folder : ``results/DATASET`` with the prepared subjects, of a dataset of the config
    threads : on processors; by default as many as the config says, so that the sums are those of the workflow

    Stages that are done are kept, one that was cut goes on from its checkpoint. Returns the file of the metrics; what
    they say on average is logged. Raises `InputError` for a method that is not trained in the arm ``raw``, for subjects
    that are not there or on another grid, for weights that were made with anything else, and where the package of the
    scores or of the curves is missing.
    """
    require_ndv()
    require_package("tensorboard")
    require_least("--seed", seed, 0)
    require_least("--threads", threads, 1)
    study, dataset = Study(load(config_path), results=folder.resolve().parent), folder.resolve().name
    threads = study.config["threads"] if threads is None else threads
    block = _trained_block(study, name, config_path)
    if dataset not in study.datasets:
        known = ", ".join(study.datasets)
        raise InputError(folder, f"{config_path} has no dataset of that name", f"Name the folder of one of {known}")
    subjects = prepared_subjects(folder, excluding=study.datasets[dataset]["quality"]["exclude"])
    grid = build(Grid, study.datasets[dataset]["grid"])
    _check_grid([subject.image for split in SPLITS for subject in subjects[split]], grid, config_path)
    run = DatasetPaths(str(folder)).run("raw", name, seed)
    done = _stages_done(run, block, subjects["train"], seed)
    count = {split: len(subjects[split]) for split in SPLITS}
    log.info(
        "%s on %s: %d stages, %d subjects train, %d validate, %d test; results in %s",
        name, dataset, len(block["stages"]), *count.values(), run.folder,
    )  # fmt: skip
    people = StageSubjects(grid, subjects["train"], subjects["val"])
    weights = train_stages(block, run, people, seed=seed, done=done, threads=threads)
    columns = {"dataset": dataset, "arm": "raw", "method": name, "seed": str(seed)}
    pairs = _test_pairs(study.datasets[dataset], subjects["test"])
    return _scored(run, block, weights, subjects["test"], pairs, columns, threads)


def train_stages(
    block: Mapping, run: RunPaths, subjects: StageSubjects, *, seed: int, done: int = 0, threads: int = 1
) -> Path:
    """Train the stages of a completed block after the first ``done``, in folders of ``run``; the last one's weights."""
    weights = None
    for stage in range(1, len(block["stages"]) + 1):
        earlier = weights
        outputs = StageOutputs(*(Path(run.stage(stage, kind)) for kind in ("weights", "history", "record")))
        weights = outputs.weights
        if stage <= done:
            log.info("stage %d is there: %s", stage, weights)
            continue
        task = StageTask(stage_block(block, stage), stage, seed, training_code(block["type"]), earlier, threads)
        train_stage(task, subjects, outputs)
    return weights


def _trained_block(study: Study, name: str, config_path: Path) -> Mapping:
    trained = [one for one, arm in study.trained_runs if arm == "raw"]
    if name not in trained:
        remedy = f"Name one of {', '.join(trained)}" if trained else "Give a config that has one"
        raise InputError(config_path, f"{name} is no method that is trained in the arm raw", remedy)
    return study.methods[name]


def prepared_subjects(folder: Path, *, excluding: bool) -> dict[str, list[SubjectFiles]]:
    """Return the prepared subjects of each split; ``excluding`` those that quality control leaves out."""
    paths = DatasetPaths(str(folder))
    table_path, excluded_path = Path(paths.participants), Path(paths.excluded)
    remedy = "Prepare the subjects where there is Snakemake: `snakemake quality cohorts`, and copy the folder"
    for path in (table_path, *[excluded_path] * excluding):
        if not path.is_file():
            raise InputError(path, "no such file", remedy)
    table = read_tsv(table_path, remedy).set_index("subject")
    excluded = read_excluded([excluded_path] if excluding else [])
    found: dict[str, list[SubjectFiles]] = {split: [] for split in SPLITS}
    for subject, row in table.iterrows():
        if row["split"] in found and subject not in excluded:
            image, labels = (Path(paths.prepared("raw", str(subject), kind)) for kind in ("image", "labels"))
            for path in (image, labels):
                if not path.is_file():
                    raise InputError(path, "no such file", remedy)
            truth = tuple(table_path.parent / row[key] for key in TRUTH_COLUMNS if row.get(key))
            parcels = Path(paths.prepared("raw", str(subject), "parcels"))
            given = parcels if parcels.is_file() else None
            landmarks = table_path.parent / row["landmarks"] if row.get("landmarks") else None
            files = SubjectFiles(str(subject), image, labels, truth, given, row.get(ANATOMY, ""), landmarks)
            found[row["split"]].append(files)
    return found


def _check_grid(images: Sequence[Path], grid: Grid, config_path: Path) -> None:
    """The images have to be those of the config that is given."""
    for path in images:
        found = read_geometry(path)
        if found.shape != tuple(grid.shape) or not np.allclose(found.pixdim, grid.spacing, rtol=1e-3):
            wanted = f"{tuple(grid.shape)} at {grid.spacing:g} mm"
            problem = f"its grid is {found.shape} at {found.pixdim[0]:g} mm, and that of {config_path} {wanted}"
            raise InputError(path, problem, "Give the config that prepared it")


def _stages_done(run: RunPaths, block: Mapping, training: Sequence[SubjectFiles], seed: int) -> int:
    """How many stages have their weights, from the same config, images and code. Raises `InputError` for others."""
    done, earlier = 0, None
    for stage in range(1, len(block["stages"]) + 1):
        weights, record = (Path(run.stage(stage, kind)) for kind in ("weights", "record"))
        if not weights.is_file() or not record.is_file():
            continue
        task = StageTask(stage_block(block, stage), stage, seed, training_code(block["type"]), earlier)
        wanted = task.identity(training)
        found = json.loads(record.read_text())
        other = [key for key, value in json.loads(json.dumps(wanted)).items() if found.get(key) != value]
        if other or done < stage - 1:
            what = f"made with another {', '.join(other)}" if other else "there, and those of the level below are not"
            remedy = f"Move {weights.parent.name} and the levels after it out of {run.folder}, and start again"
            raise InputError(weights, f"these weights are {what}", remedy)
        done, earlier = stage, weights
    return done


def _test_pairs(dataset: Mapping, test: Sequence[SubjectFiles]) -> list[Pair]:
    """The unordered pairs of the test subjects that are there, which are those of the dataset's source."""
    table = pd.DataFrame({"split": "test", ANATOMY: [one.template for one in test]}, [one.name for one in test])
    return [pair for group in groups_of(dataset, table) for pair in unordered_pairs(group)]


def _scored(
    run: RunPaths,
    block: Mapping,
    weights: Path,
    test: list[SubjectFiles],
    pairs: Sequence[Pair],
    columns: Mapping[str, str],
    threads: int,
) -> Path:
    """The metrics of the test pairs, registered as one job."""
    shard, record = Path(run.shard("all", SHARD_METRICS)), Path(run.shard("all", SHARD_RECORD))
    metrics = Path(run.file(METRICS))
    register_shard(
        MethodFiles(registering_block(block), weights, registering_code(block["type"]), threads),
        pairs,
        {subject.name: subject for subject in test},
        ShardOutputs(columns, shard, record),
        alignments=[],
        scoring=scoring_codes(),
    )
    gather_metrics([shard], [record], metrics=metrics, record=run.file(METRICS_RECORD))
    rows = read_metrics([metrics])
    means = of_pairs(rows).groupby("metric")["value"].agg(["mean", "std"])
    log.info("mean and SD over the %d ordered pairs:\n%s", 2 * len(pairs), means.round(4).to_string())
    log.info("done: %s", metrics)
    return metrics
