"""Which GPU a job takes, with pretended ones."""

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from smgicnet.methods import device

OTHER_JOB = """
import fcntl, sys
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two_gpus(tmp_path, monkeypatch):
    """The number of the GPU that was made the current one, once there is one."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}"))
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(device, "_CLAIMS", [])
    monkeypatch.setattr(device, "LOCKS", tmp_path)
    yield chosen
    for lock in device._CLAIMS:
        lock.close()


@pytest.fixture
def other_job():
    """Start a process that holds the lock of a GPU."""
    running = []

    def start(path):
        job = subprocess.Popen(
            [sys.executable, "-c", OTHER_JOB, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(job)
        assert job.stdout.readline() == "locked\n"
        return job

    yield start
    for job in running:
        job.communicate()


def test_a_gpu_that_is_free_is_taken_once(two_gpus):
    assert device.pick_device().type == "cuda"
    device.pick_device()
    assert two_gpus == [0]
    assert device.has_gpu_of_its_own()


def test_a_gpu_of_another_job_is_left_to_it_until_it_ends(two_gpus, other_job, tmp_path):
    device.pick_device()
    (lock,) = tmp_path.iterdir()
    device._CLAIMS.pop().close()
    job = other_job(lock)
    device.pick_device()
    assert two_gpus == [0, 1]
    device._CLAIMS.pop().close()
    job.kill()
    job.wait()
    device.pick_device()
    assert two_gpus == [0, 1, 0]


def test_when_all_have_jobs_that_is_said(two_gpus, other_job, tmp_path, caplog):
    for _ in range(2):
        device.pick_device()
        other = {lock.name for lock in device._CLAIMS}
        device._CLAIMS.pop().close()
        other_job(other.pop())
    with caplog.at_level(logging.WARNING):
        assert device.pick_device().type == "cuda"
    assert "all 2 GPUs have jobs already" in caplog.text
    assert not device.has_gpu_of_its_own()


def test_without_a_gpu_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.pick_device().type == "cpu"
