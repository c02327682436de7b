"""Files appear whole or not at all, and what keeps them from it is said."""

import errno
import shutil
import subprocess

import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.files import append_line, atomic_path, require_distinct, require_room, require_writable


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


def test_a_file_is_replaced_at_once_and_as_a_whole(tmp_path):
    """Who has the earlier one open still reads it, and at no moment there is half of the new one."""
    path = tmp_path / "new/folder/weights.pt"
    with atomic_path(path) as part:
        part.write_text("before")
    with open(path) as reader:
        with atomic_path(path) as part:
            part.write_text("after")
            assert path.read_text() == "before"
        assert path.read_text() == "after"
        assert reader.read() == "before"
    assert [one.name for one in path.parent.iterdir()] == ["weights.pt"]


def test_what_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_text("before")

    def fail():
        with atomic_path(path) as part:
            part.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["weights.pt"]


def test_half_a_line_is_ended_before_the_next(tmp_path):
    path = tmp_path / "new/lines"
    append_line(path, "a")
    append_line(path, "b")
    assert path.read_text() == "a\nb\n"
    path.write_text("a\nhal")
    append_line(path, "c")
    assert path.read_text() == "a\nhal\nc\n"


def test_an_output_is_no_input_under_another_name(tmp_path):
    (tmp_path / "folder").mkdir()
    given, other = tmp_path / "in.nii", tmp_path / "folder/../in.nii"
    for _ in range(2):  # also before either is there
        with pytest.raises(InputError, match=r"would replace the input .*in\.nii\. Name another output"):
            require_distinct([tmp_path / "out.nii", other], [given])
        given.touch()
    (tmp_path / "link.nii").symlink_to(given)
    (tmp_path / "hard.nii").hardlink_to(given)
    for name in ("link.nii", "hard.nii"):
        with pytest.raises(InputError, match="would replace"):
            require_distinct([tmp_path / name], [given])
    require_distinct([tmp_path / "out.nii"], [given])


def test_a_folder_and_a_file_in_the_way_are_no_places_for_results(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="it is a folder"):
        require_writable(tmp_path)
    with pytest.raises(InputError, match=r"cannot be written there: .*/file is a file"):
        require_writable(tmp_path / "file/below/out.csv")
    require_writable(tmp_path / "new/out.csv")
    assert list((tmp_path / "new").iterdir()) == []
