"""Files: written whole or not at all, and looked at before hours are spent on what goes into them."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from smgicnet.core.errors import InputError

PACKAGE = Path(__file__).parent.parent
UNWRITABLE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EFBIG: "the system allows no file as large",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "there is no permission to write there",
    errno.EPERM: "there is no permission to write there",
    errno.EIO: "the disk reports an error",
}


def packaged(name: str) -> Path:
    """Return the path of a file or folder of ``config/`` that an installed package carries within it."""
    return PACKAGE / name if (PACKAGE / name).exists() else PACKAGE.parent / "config" / name


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to, which is renamed to it on success and removed on failure.

    The folder is made; the file is flushed to the disk before it gets its name, and the name after it. All endings are
    kept. Raises `InputError` where it cannot be written; what ``path`` held before is then untouched.
    """
    path = Path(path)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _flush(part, os.O_RDWR)
        os.replace(part, path)
        _flush(path.parent, os.O_RDONLY)
    except OSError as error:
        ours = error.filename is None or Path(error.filename) in (part, path, *path.parents)
        if error.errno not in UNWRITABLE or not ours:
            raise
        raise _unwritable(path, error) from None
    finally:
        _remove(part)


def append_line(path: str | Path, line: str) -> None:
    """Append a line to a text file and flush it to the disk; half a line, of a killed process, is ended first.

    The folder is made. Raises `InputError` where it cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise _unwritable(path, error) from None


def _flush(path: Path, mode: int) -> None:
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return  # as unwritable as the file itself: that was said


def _unwritable(path: str | Path, error: OSError) -> InputError:
    """What to tell a user whose results cannot be written."""
    remedy = "Free space there, or make it writable, and run the same command again: what is complete is kept"
    free = (
        "" if error.errno != errno.ENOSPC else f" ({shutil.disk_usage(Path(path).parent).free / 2**20:,.0f} MiB free)"
    )
    return InputError(path, f"cannot be written: {UNWRITABLE.get(error.errno or 0, error.strerror)}{free}", remedy)


def require_room(folder: str | Path, needed: int) -> None:
    """Raise `InputError` unless ``folder``, which is made, can be written to and has ``needed`` bytes free."""
    folder = Path(folder)
    blocking = next((one for one in (folder, *folder.parents) if one.exists() and not one.is_dir()), None)
    if blocking is not None:
        raise InputError(folder, f"results cannot be written there: {blocking} is a file", "Name another folder")
    with atomic_path(folder / f".writable-{os.getpid()}") as part:
        part.write_bytes(b"x")
    (folder / f".writable-{os.getpid()}").unlink()
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            folder,
            f"{needed / 2**20:,.0f} MiB will be needed here, {free / 2**20:,.0f} are free",
            "Free space, or put the results on another disk, and run the same command again",
        )


def require_writable(path: str | Path) -> None:
    """Raise `InputError`, before anything is computed, where the file ``path`` could not be written in the end."""
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "it is a folder", "Give the name of a file to write")
    require_room(path.parent, 0)


def require_distinct(outputs: Iterable[str | Path], inputs: Iterable[str | Path]) -> None:
    """Raise `InputError` where an output is the same file as an input, under whatever name: it would be lost."""
    given = [Path(path) for path in inputs]
    for output in map(Path, outputs):
        for path in given:
            if _same_file(output, path):
                raise InputError(
                    output, f"writing the result here would replace the input {path}", "Name another output"
                )


def _same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:  # one of them does not exist
        return first.resolve() == second.resolve()
