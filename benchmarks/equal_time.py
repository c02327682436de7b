"""A config in which methods train for the same time on this machine: a short measurement, then iterations scaled.

``python -m benchmarks.equal_time CONFIG.yaml results/DATASET METHOD ... --seconds 60 --out equal.yaml``, then
``smgicnet train equal.yaml METHOD results/DATASET`` for each. The prepared subjects may be on another grid than the
config's: theirs is taken.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.commands.train import prepared_subjects, train_stages
from smgicnet.config.building import build
from smgicnet.config.completion import load
from smgicnet.core.layout import RunPaths
from smgicnet.core.provenance import hardware
from smgicnet.imaging.field_formats import read_geometry
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.train import StageSubjects
from smgicnet.methods.stage import Stage

STEPS = 20  # of each stage, to measure one


def step_seconds(block: Mapping, subjects: Sequence[SubjectFiles], grid: Grid) -> list[float]:
    """Of each stage, as `train_stage` has it: reading and augmentation, every level learning."""
    few = [{**stage, "iterations": STEPS, "frozen_iterations": 0} for stage in block["stages"]]
    with tempfile.TemporaryDirectory() as folder:
        run = RunPaths(folder)
        train_stages({**block, "stages": few}, run, StageSubjects(grid, subjects, []), seed=0)
        histories = [pd.read_csv(run.stage(stage, "history")) for stage in range(1, len(few) + 1)]
    return [float(history["seconds"][STEPS // 3 :].median()) for history in histories]


def scaled(block: Mapping, seconds: Sequence[float], budget: float) -> dict:
    """The parts of a completed block that take ``budget`` seconds instead of what its iterations would."""
    factor = budget / sum(stage["iterations"] * one for stage, one in zip(block["stages"], seconds, strict=True))

    def part(count: int) -> int:
        return max(1, round(count * factor))

    stages = [
        {
            **stage,
            "iterations": part(stage["iterations"]),
            "frozen_iterations": int(stage["frozen_iterations"] * factor),
        }
        for stage in block["stages"]
    ]
    paces = ("decay_after", "decay_every", "checkpoint_every", "validate_every")
    training = {key: part(value) if key in paces and value else value for key, value in block["training"].items()}
    return {"stages": stages, "training": training}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path, help="results/DATASET, of `snakemake quality cohorts`")
    parser.add_argument("methods", nargs="+")
    parser.add_argument("--seconds", type=float, required=True, help="of training, of each method")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    plain, blocks = yaml.safe_load(arguments.config.read_text()), load(arguments.config)["methods"]
    subjects = prepared_subjects(arguments.folder, excluding=False)["train"]
    pairs = len(subjects) * (len(subjects) - 1)
    geometry = read_geometry(subjects[0].image)
    grid = Grid(tuple(geometry.shape), float(geometry.pixdim[0]))
    plain["datasets"][arguments.folder.resolve().name]["grid"] = {"shape": list(grid.shape), "spacing": grid.spacing}
    print(f"{grid.shape} at {grid.spacing:g} mm on {hardware()}, {arguments.seconds:g} s each")
    print("| method | s a step | iterations |\n|---|---|---|")
    for name in arguments.methods:
        block = blocks[name]
        block["training"]["precision"] = arguments.precision
        for stage in block["stages"]:
            length = build(Stage, stage).length(pairs, block["training"]["batch_size"])
            stage |= {"iterations": length, "epochs": None}
        seconds = step_seconds(block, subjects, grid)
        plain["methods"][name] |= scaled(block, seconds, arguments.seconds)
        iterations = [stage["iterations"] for stage in plain["methods"][name]["stages"]]
        print(
            f"| {name} | {', '.join(f'{one:.3f}' for one in seconds)} | {', '.join(map(str, iterations))} |", flush=True
        )
    arguments.out.write_text(yaml.safe_dump(plain, sort_keys=False))


if __name__ == "__main__":
    main()
