"""Trainings of some steps, and what interrupts them; also run by processes that tests start."""

import os
import signal
import time
from dataclasses import replace

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.interruption import watch
from smgicnet.core.logs import job_log
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.train import StageOutputs, StageSubjects, StageTask, train_stage
from smgicnet.methods.stage import Stage
from smgicnet.training.distributed import run
from smgicnet.training.loop import TrainingConfig
from smgicnet.training.sampling import Augmentation
from tests.support.methods import block

STAGE = Stage(iterations=6, epochs=None, learning_rate=1e-3, frozen_iterations=2, earlier_rate=0.5)
STILL = Augmentation(rotation=0, scale=0, translation=0, deformation=0, gamma=0, bias=0, noise=0, mirror=False)
CONFIG = TrainingConfig(
    batch_size=1,
    decay_after=60000,
    decay_every=50000,
    decay_factor=0.5,
    checkpoint_every=2,
    validate_every=3,
    precision="float32",
    augmentation=replace(STILL, rotation=10, scale=0.1, translation=0.1),
)


class Killed(Exception):
    """As SIGKILL: nothing after it runs."""


def killer(at):
    def on_log(step, row):
        if step == at:
            raise Killed

    return on_log


LEVELS = 4


def short_stages():
    """Four levels of some seconds in all, with a checkpoint every other step: many moments to be killed in writing."""
    part = block()
    part["stages"] = [{**stage, "iterations": 60, "epochs": None, "frozen_iterations": 8} for stage in part["stages"]]
    part["training"] |= {"checkpoint_every": 2, "validate_every": 1000}
    return part


def train_short(folder, images, levels):
    """Train the first ``levels`` on the images in a folder, from where an earlier process stopped."""
    subjects = [SubjectFiles(path.stem, path) for path in sorted(images.glob("*.nii"))]
    with job_log(folder / "log"):
        for level in range(1, levels + 1):
            out = folder / f"level-{level}"
            if (out / "training.json").exists():
                continue
            earlier = folder / f"level-{level - 1}/weights.pt" if level > 1 else None
            train_stage(
                StageTask(short_stages(), level, 1, "x", earlier),
                StageSubjects(Grid((16, 32, 16), 4.0), subjects, []),
                StageOutputs(out / "weights.pt", out / "history.csv", out / "training.json"),
            )


def train_last_stage(folder, images, kind, processes, iterations, batch):
    """Train `last_stage` in some processes, on the images and label maps in a folder."""
    block = last_stage(kind, iterations, batch)
    paths = sorted(images.glob("*.nii"))
    subjects = [SubjectFiles(path.stem, path, path.parent / "labels" / path.name) for path in paths]
    with job_log(folder / "log"):
        run(
            train_stage, processes, folder / "log", StageTask(block, len(block["stages"]), 1, "x", threads=2),
            StageSubjects(Grid((16, 32, 16), 4.0), subjects, []),
            StageOutputs(folder / "weights.pt", folder / "history.csv", folder / "training.json"),
        )  # fmt: skip


def two_together(function, folder, *arguments):
    """Run a function in two processes."""
    with job_log(folder / "log"):
        run(function, 2, folder / "log", *arguments)


def last_stage(kind, iterations, batch):
    """The last stage, in which the levels below are frozen and then learn, with augmentation."""
    part = block("smgicnet", weights={"labels": 1.0}) if kind == "labels" else block(kind)
    part["stages"][-1] |= {"iterations": iterations, "epochs": None, "learning_rate": 1e-3}
    if len(part["stages"]) > 1:
        part["stages"][-1] |= {"frozen_iterations": 3, "earlier_rate": 0.5}
    part["training"] |= {"checkpoint_every": 4, "validate_every": 1000, "batch_size": batch}
    part["training"]["augmentation"] |= {"rotation": 10, "scale": 0.05, "translation": 0.05}
    return part


def slow_to_end(folder):
    """As a last validation: it is asked to stop and comes to its end, after which nothing is left to go on with."""
    with watch():
        (folder / f"started-{os.environ['RANK']}").touch()
        time.sleep(4)


def killed_without_a_word():
    os.kill(os.getpid(), signal.SIGKILL)
