"""Trainings that are interrupted, killed, or cannot write: they end as an undisturbed one, or say why not."""

import filecmp
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from smgicnet.core.interruption import REQUEUE
from smgicnet.imaging.images import write_volume
from tests.support.images import blobs
from tests.support.trainings import LEVELS

CHILD = """
import sys
from pathlib import Path
from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.imaging.grids import Grid
from smgicnet.core.logs import job_log
from smgicnet.jobs.train import StageOutputs, StageSubjects, StageTask, train_stage
from tests.support.trainings import LEVELS, short_stages

folder, images = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.nii"))
with job_log(folder / "log"):
    for level in range(1, LEVELS + 1):
        out = folder / f"level-{level}"
        if (out / "training.json").exists():
            continue
        earlier = folder / f"level-{level - 1}/weights.pt" if level > 1 else None
        train_stage(
            StageTask(short_stages(), level, 1, "x", earlier),
            StageSubjects(Grid((16, 32, 16), 4.0), [SubjectFiles(p.stem, p) for p in images], []),
            StageOutputs(out / "weights.pt", out / "history.csv", out / "training.json"),
        )
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(3):
        write_volume(folder / f"{index}.nii", blobs(index)[0, 0].numpy(), np.eye(4))
    return folder


def start(folder, images, **more):
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CHILD, str(folder), str(images)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more
    )


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    child = start(folder, images)
    said = child.communicate(timeout=300)[0].decode()
    assert child.returncode == 0, said
    return folder


def same_weights(folder, undisturbed):
    names = [f"level-{level}/weights.pt" for level in range(1, LEVELS + 1)]
    return [name for name in names if not filecmp.cmp(folder / name, undisturbed / name, shallow=False)] == []


def wait_for(child, path, seconds=120):
    limit = time.monotonic() + seconds
    while not path.exists() and child.poll() is None and time.monotonic() < limit:
        time.sleep(0.001)
    assert path.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_in_every_level_ends_in_a_checkpoint_and_the_same_weights(images, undisturbed, tmp_path, number):
    said = ""
    for level in range(1, LEVELS + 1) if number == signal.SIGTERM else [2]:
        child = start(tmp_path / "run", images)
        wait_for(child, tmp_path / f"run/level-{level}/checkpoint.pt")
        child.send_signal(number)
        said = child.communicate(timeout=120)[0].decode()
        assert child.returncode == REQUEUE, said
        assert f"interrupted by {number.name} at iteration" in said
        assert "Run the same command again" in said
        assert "Traceback" not in said
        assert (tmp_path / f"run/level-{level}/checkpoint.pt").is_file()
        assert not (tmp_path / f"run/level-{level}/weights.pt").exists()
    child = start(tmp_path / "run", images)
    said = child.communicate(timeout=300)[0].decode()
    assert child.returncode == 0, said
    assert "resuming from" in said
    assert same_weights(tmp_path / "run", undisturbed)


def test_twenty_kills_at_random_moments(images, undisturbed, tmp_path):
    """SIGKILL, five times in each level: between steps, while a checkpoint is written, or just after the start."""
    chance = random.Random(1)
    folder, kills, log = tmp_path / "run", 0, ""
    for level in range(1, LEVELS + 1):
        for _ in range(5):
            child = start(folder, images)
            before = sum(1 for _ in folder.glob("level-*/training.json"))
            wait_for(child, folder / f"level-{level}/checkpoint.pt")
            time.sleep(chance.uniform(0, 0.15))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            kills += child.returncode == -signal.SIGKILL
            assert sum(1 for _ in folder.glob("level-*/training.json")) >= before
            log += (folder / "log").read_text()
    assert kills == 20
    child = start(folder, images)
    said = child.communicate(timeout=300)[0].decode()
    assert child.returncode == 0, said
    assert log.count("resuming from") >= 10
    assert "cannot be read" not in log + said
    assert same_weights(folder, undisturbed)
    assert not list(folder.rglob(".part-*"))


def limited():
    """In the child: no file above 20 kB, as on a disk that is nearly full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_what_cannot_be_written_is_said_and_the_checkpoint_before_is_kept(images, undisturbed, tmp_path):
    folder = tmp_path / "run"
    child = start(folder, images)
    wait_for(child, folder / "level-2/checkpoint.pt")
    child.send_signal(signal.SIGKILL)
    child.communicate()
    kept = (folder / "level-2/checkpoint.pt").read_bytes()
    assert len(kept) > 20_000
    child = start(folder, images, preexec_fn=limited)
    said = child.communicate(timeout=120)[0].decode()
    assert child.returncode == 1, said
    assert "level-2/checkpoint.pt: cannot be written: the system allows no file as large" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert (folder / "level-2/checkpoint.pt").read_bytes() == kept
    child = start(folder, images)
    said = child.communicate(timeout=300)[0].decode()
    assert child.returncode == 0, said
    assert same_weights(folder, undisturbed)
