"""Trainings that are interrupted, killed, or cannot write: they end as an undisturbed one, or say why not."""

import filecmp
import os
import random
import resource
import signal
import time

import numpy as np
import pytest

from smgicnet.core.interruption import REQUEUE
from smgicnet.imaging.images import write_volume
from tests.support.children import Child
from tests.support.images import blobs
from tests.support.trainings import LEVELS, train_short


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(3):
        write_volume(folder / f"{index}.nii", blobs(index)[0, 0].numpy(), np.eye(4))
    return folder


def start(folder, images, levels=LEVELS, before=None):
    folder.mkdir(exist_ok=True)
    return Child(train_short, folder, images, levels, said=folder / "said", before=before)


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    code, said = start(folder, images).end()
    assert code == 0, said
    return folder


def same_weights(folder, undisturbed, levels=LEVELS):
    names = [f"level-{level}/weights.pt" for level in range(1, levels + 1)]
    return [name for name in names if not filecmp.cmp(folder / name, undisturbed / name, shallow=False)] == []


def written(path):
    """When a file was written, 0 where there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def wait_for(child, happened, seconds=120):
    limit = time.monotonic() + seconds
    while not happened() and child.poll() is None and time.monotonic() < limit:
        time.sleep(0.001)
    assert happened()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda n: n.name)
def test_a_signal_in_every_level_ends_in_a_checkpoint_and_the_same_weights(images, undisturbed, tmp_path, number):
    levels = range(1, LEVELS + 1) if number == signal.SIGTERM else [2]
    for level in levels:
        child = start(tmp_path / "run", images)
        wait_for(child, (tmp_path / f"run/level-{level}/checkpoint.pt").exists)
        child.send_signal(number)
        code, said = child.end(timeout=120)
        assert code == REQUEUE, said
        assert f"interrupted by {number.name} at iteration" in said
        assert "Run the same command again" in said
        assert "Traceback" not in said
        assert (tmp_path / f"run/level-{level}/checkpoint.pt").is_file()
        assert not (tmp_path / f"run/level-{level}/weights.pt").exists()
    code, said = start(tmp_path / "run", images, levels[-1]).end()
    assert code == 0, said
    assert "resuming from" in said
    assert same_weights(tmp_path / "run", undisturbed, levels[-1])


@pytest.mark.parametrize("times", [2, pytest.param(5, marks=pytest.mark.long)])
def test_kills_at_random_moments(images, undisturbed, tmp_path, times):
    """SIGKILL, in each level: between steps, while a checkpoint is written, and once after the start."""
    chance = random.Random(1)
    folder, kills, log = tmp_path / "run", 0, ""
    for level in range(1, LEVELS + 1):
        checkpoint = folder / f"level-{level}/checkpoint.pt"
        for number in range(times):
            old = written(checkpoint)
            child = start(folder, images)
            before = sum(1 for _ in folder.glob("level-*/training.json"))
            if number == 1:
                time.sleep(chance.uniform(0, 1))
            else:
                wait_for(child, lambda checkpoint=checkpoint, old=old: written(checkpoint) not in (0, old))
                time.sleep(chance.uniform(0, 0.15))
            child.send_signal(signal.SIGKILL)
            code, said = child.end()
            kills += code == -signal.SIGKILL
            assert sum(1 for _ in folder.glob("level-*/training.json")) >= before
            log += said
    assert kills == times * LEVELS
    code, said = start(folder, images).end()
    assert code == 0, said
    assert log.count("resuming from") >= kills / 2
    assert "cannot be read" not in log + said
    assert same_weights(folder, undisturbed)
    assert not list(folder.rglob(".part-*"))


def limited():
    """In the child: no file above 20 kB, as on a disk that is nearly full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


@pytest.mark.skipif("COVERAGE_PROCESS_CONFIG" in os.environ, reason="the limit refuses the file of coverage itself")
def test_what_cannot_be_written_is_said_and_the_checkpoint_before_is_kept(images, undisturbed, tmp_path):
    folder = tmp_path / "run"
    child = start(folder, images)
    wait_for(child, (folder / "level-2/checkpoint.pt").exists)
    child.send_signal(signal.SIGKILL)
    child.end()
    kept = (folder / "level-2/checkpoint.pt").read_bytes()
    assert len(kept) > 20_000
    code, said = start(folder, images, before=limited).end(timeout=120)
    assert code == 1, said
    assert "level-2/checkpoint.pt: cannot be written: the system allows no file as large" in said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert (folder / "level-2/checkpoint.pt").read_bytes() == kept
    code, said = start(folder, images, 2).end()
    assert code == 0, said
    assert same_weights(folder, undisturbed, 2)
