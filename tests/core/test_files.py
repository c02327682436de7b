"""Files appear whole or not at all, and what keeps them from it is said."""

import errno
import shutil
import subprocess

import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path, require_room


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


def test_a_full_disk_is_seen_before_hours_are_spent(small_disk):
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
