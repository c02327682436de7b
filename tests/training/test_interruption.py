"""Trainings that are interrupted, killed, or cannot write: they end as an undisturbed one, or say why not."""

import errno
import filecmp
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path, require_room
from smgicnet.core.interruption import REQUEUE, watch
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


def test_the_same_signal_twice_is_not_held_up():
    code = (
        "import os, signal, time\nfrom smgicnet.core.interruption import watch\n"
        "with watch() as stop:\n    os.kill(os.getpid(), signal.SIGTERM)\n    assert stop.asked == 'SIGTERM'\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGTERM


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with watch():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


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


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own of 1 MiB, which only root can mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(small_disk):
    path = small_disk / "weights.pt"
    with atomic_path(path) as part:
        part.write_bytes(b"before")
    with (
        pytest.raises(InputError, match=r"weights\.pt: cannot be written: the disk is full \(. MiB free\). Free space"),
        atomic_path(path) as part,
    ):
        part.write_bytes(bytes(2 << 20))
    assert path.read_bytes() == b"before"
    assert [one.name for one in small_disk.iterdir()] == ["weights.pt"]


def test_a_full_disk_is_seen_before_training(small_disk):
    require_room(small_disk, 1000)
    with pytest.raises(InputError, match=r"100 MiB will be needed here, . are free"):
        require_room(small_disk, 100 << 20)
    assert not list(small_disk.iterdir())


def test_a_read_only_folder(small_disk):
    path = small_disk / "weights.pt"
    path.write_bytes(b"before")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(InputError, match="the file system is read-only"), atomic_path(path) as part:
        part.write_bytes(b"after")
    with pytest.raises(InputError, match="the file system is read-only"):
        require_room(small_disk, 1)
    assert path.read_bytes() == b"before"


def test_an_error_of_another_file_is_not_taken_for_ones_own(tmp_path):
    with pytest.raises(PermissionError), atomic_path(tmp_path / "out"):
        raise PermissionError(errno.EACCES, "no", "/some/input")
