"""Processes that train together: the same as one with the same batch, and as hard to disturb."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from smgicnet.core.interruption import REQUEUE
from smgicnet.imaging.images import write_volume
from smgicnet.methods.weights import read_weights
from smgicnet.training.distributed import joined
from tests.support.children import Child
from tests.support.images import blobs
from tests.support.methods import LEARNED
from tests.support.trainings import killed_without_a_word, slow_to_end, train_last_stage, two_together


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for index in range(4):
        image = blobs(index)[0, 0].numpy()
        write_volume(folder / f"{index}.nii", image, np.eye(4))
        second = 10 if index % 2 else 0  # not every subject has every region
        labels = np.select([image > 0.6, image < 0.4], [17, second]).astype(np.uint8)
        write_volume(folder / f"labels/{index}.nii", labels, np.eye(4))
    return folder


def start(folder, images, processes, kind="smgicnet", iterations=8, batch=2):
    folder.mkdir(exist_ok=True)
    return Child(train_last_stage, folder, images, kind, processes, iterations, batch, said=folder / "said")


def finish(child, code=0):
    ended, said = child.end()
    assert ended == code, said
    return said


def largest_difference(one, other):
    pair = [read_weights(folder / "weights.pt").network for folder in (one, other)]
    assert pair[0].keys() == pair[1].keys()
    return max((pair[0][name] - pair[1][name]).abs().max().item() for name in pair[0])


@pytest.mark.parametrize(
    "kind", ["smgicnet", "labels", *(pytest.param(one, marks=pytest.mark.long) for one in LEARNED if one != "smgicnet")]
)
def test_two_processes_do_what_one_does_with_the_same_batch(images, tmp_path, kind):
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(one, images, 1, kind))
    said = finish(start(two, images, 2, kind))
    assert "2 processes on cpu" in said
    assert said.count("training stage") == 1
    assert "Warning" not in said
    assert largest_difference(one, two) < 1e-5
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (one, two)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4, atol=1e-6)
    records = [json.loads((folder / "training.json").read_text()) for folder in (one, two)]
    assert [record["processes"] for record in records] == [1, 2]


def test_the_batch_makes_a_difference(images, tmp_path):
    """What the test above tells apart: with one pair a step instead of two, other weights."""
    finish(start(tmp_path / "one", images, 1))
    finish(start(tmp_path / "half", images, 1, batch=1))
    assert largest_difference(tmp_path / "one", tmp_path / "half") > 1e-4


def test_a_batch_that_cannot_be_shared_is_said_once(images, tmp_path):
    said = finish(start(tmp_path / "run", images, 2, batch=3), code=1)
    assert said.count("a batch of 3 cannot be shared by 2 processes. Set it to a multiple of 2") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "run/weights.pt").exists()


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    finish(start(folder, images, 2, iterations=24))
    return folder


@pytest.mark.parametrize(
    ("to_all", "then"),
    [
        pytest.param(False, 2, id="to the job", marks=pytest.mark.long),
        pytest.param(True, 1, id="to every process, as Slurm does; then one goes on"),
    ],
)
def test_a_signal_ends_in_a_checkpoint_from_which_they_go_on(images, undisturbed, tmp_path, to_all, then):
    child = start(tmp_path / "run", images, 2, iterations=24)
    checkpoint = wait_for_checkpoint(tmp_path / "run")
    for process in [child.pid, *(children_of(child.pid) if to_all else [])]:
        os.kill(process, signal.SIGTERM)
    said = finish(child, code=REQUEUE)
    assert "interrupted by SIGTERM at iteration" in said
    assert "interrupted by SIGTERM at iteration" in (tmp_path / "run/log").read_text()
    assert "Traceback" not in said
    assert checkpoint.is_file()
    assert "resuming from" in finish(start(tmp_path / "run", images, then, iterations=24))
    # with another number of processes sums are rounded in another way, which Adam makes larger step by step
    assert largest_difference(tmp_path / "run", undisturbed) <= (0 if then == 2 else 2e-4)


def wait_for_checkpoint(folder, seconds=120):
    limit = time.monotonic() + seconds
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < limit:
        time.sleep(0.01)
    return folder / "checkpoint.pt"


def test_who_is_done_when_it_is_asked_to_stop_is_done(tmp_path):
    """Otherwise its results would be taken for those of a failed job, and removed."""
    child = Child(two_together, slow_to_end, tmp_path, tmp_path, said=tmp_path / "said")
    limit = time.monotonic() + 60
    while len(list(tmp_path.glob("started-*"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    finish(child)


def test_a_process_that_is_killed_is_named(tmp_path):
    said = finish(Child(two_together, killed_without_a_word, tmp_path, said=tmp_path / "said"), code=1)
    assert "was ended by SIGKILL: out of memory?" in said
    assert "was ended by SIGKILL" in (tmp_path / "log").read_text()
    assert "Traceback" not in said


def test_variables_of_a_site_make_no_group(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with joined() as group:
        assert group.size == 1


def children_of(process):
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def test_processes_do_not_outlive_the_one_that_started_them(images, tmp_path):
    child = start(tmp_path / "run", images, 2, iterations=100_000)
    wait_for_checkpoint(tmp_path / "run")
    processes = children_of(child.pid)
    assert len(processes) >= 2
    child.send_signal(signal.SIGKILL)
    child.end(timeout=60)
    limit = time.monotonic() + 60
    while any(Path(f"/proc/{one}").exists() for one in processes) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{one}").exists() for one in processes)


@pytest.fixture(autouse=True)
def _gloo():
    if not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
