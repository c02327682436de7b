"""A dataset's published tar: fetched, checked, indexed, and read in place without being unpacked."""

from __future__ import annotations

import io
import logging
import re
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.cohort.participants import SPLITS, check_subjects
from smgicnet.core.checksums import require_checksums
from smgicnet.core.download import download
from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.core.tab_separated import read_tsv, write_tsv

log = logging.getLogger(__name__)
CHUNK = 1 << 20
LARGEST_HEADER = 1 << 20  # bytes; of a hostile archive the headers themselves could fill the memory
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def require_license(source: Mapping, where: str | Path | None = None) -> None:
    """Raise `InputError` when an archive would be fetched whose terms the user has not accepted.

    ``where`` (the config or its key) is what the message names; without it, it is the archive's file.
    """
    if source["accept_license"] is False and not Path(source["file"]).is_file():
        raise InputError(
            where or source["file"],
            f"it is fetched only for those who accept its terms: {source['licence']}",
            "Read them, and set source.accept_license to true in the config",
        )


def fetch_and_index(source: Mapping, out: Path) -> None:
    """Download the archive of a ``source`` block unless it is there, and write its index of the subjects drawn.

    Raises `InputError` when it cannot be had, is damaged or hostile, or has too few subjects.
    """
    require_license(source)
    archive = Path(source["file"])
    if source["url"]:
        download(source["url"], archive, md5=source["md5"], licence=source["licence"])
    else:
        _require_file(archive)
        require_checksums(archive, md5=source["md5"])
    index = index_archive(archive, source["image"], source["labels"])
    drawn = choose_subjects(index, source["subjects"], source["seed"], archive)
    write_tsv(drawn.rename_axis("subject").reset_index(), out)
    counts = ", ".join(f"{split} {source['subjects'][split]}" for split in SPLITS)
    log.info("%s: %d of %d subjects are drawn (%s), listed in %s", archive, len(drawn), len(index), counts, out)


def read_index(path: str | Path) -> pd.DataFrame:
    """Read the index that `fetch_and_index` wrote, by subject. Raises `InputError` for what is no such index."""
    table = read_tsv(path, "Run the workflow again")
    kinds = ["image", *["labels"] * any(name.startswith("labels_") for name in table.columns)]
    numbers = [f"{kind}_{number}" for kind in kinds for number in ("offset", "size")]
    missing = sorted({"subject", "split", "origin", *numbers, *(f"{kind}_member" for kind in kinds)} - {*table.columns})
    if missing:
        raise InputError(path, f"not an index of an archive: columns {missing} are missing", "Run the workflow again")
    wrong = [value for column in numbers for value in table[column] if not re.fullmatch(r"\d{1,18}", value)]
    if wrong:
        raise InputError(path, f"not an index of an archive: {wrong[0]!r} is no number", "Run the workflow again")
    return table.astype(dict.fromkeys(numbers, int)).set_index("subject")


def index_archive(path: str | Path, image: str, labels: str | None = None) -> pd.DataFrame:
    """Return where the scans and label maps are in an uncompressed tar, in one pass over its headers.

    Parameters
    ----------
    image, labels : regular expressions of members' names, whose group ``subject`` names the subject

    Returns a row a subject, sorted by name: ``origin`` (the name), and of each kind ``_member``, ``_offset`` and
    ``_size`` (bytes). Every member is checked, whatever its name. Raises `InputError` for a member that would lie
    outside the archive's folder, a link or device, a damaged archive, or one without a scan.
    """
    path = Path(path)
    _require_file(path)
    patterns = {kind: _compiled(text, kind) for kind, text in (("image", image), ("labels", labels)) if text}
    found: dict[str, dict[str, dict]] = {kind: {} for kind in patterns}
    examples = []
    for member in _members(path):
        _check_member(member, path)
        name = member.name.removeprefix("./")
        if not member.isfile() or name.rpartition("/")[2].startswith("._"):  # what macOS adds
            continue
        examples += [name] if len(examples) < 3 else []
        for kind, pattern in patterns.items():
            if match := pattern.search(name):
                place = {"member": name, "offset": member.offset_data, "size": member.size}
                _add(found[kind], match["subject"] or "", place, kind, path)
    for kind, pattern in patterns.items():
        if not found[kind]:
            problem = f"no member is like {pattern.pattern}; there are {examples}"
            raise InputError(path, problem, f"Correct source.{kind}")
    return _table(found, path)


def _compiled(pattern: str, kind: str) -> re.Pattern:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"source.{kind}", f"{pattern} is no regular expression ({error})", "Correct it") from error
    if "subject" not in compiled.groupindex:
        raise InputError(f"source.{kind}", f"{pattern} has no group (?P<subject>...)", "Let one name the subject")
    return compiled


def _add(found: dict[str, dict], subject: str, place: dict, kind: str, path: Path) -> None:
    """Add where a subject's scan or label map is. Raises `InputError` for an unusable name or a second one."""
    if not place["member"].isprintable():
        problem = f"the name of its member {place['member']!r} has control characters"
        raise InputError(path, problem, "Do not use it: fetch the original")
    check_subjects([subject], path)
    if subject in found:
        problem = f"{found[subject]['member']!r} and {place['member']!r} are both the {kind} of {subject}"
        raise InputError(path, problem, f"Narrow the pattern source.{kind}")
    found[subject] = place


def _table(found: Mapping[str, Mapping[str, dict]], path: Path) -> pd.DataFrame:
    """A row of each subject that has all kinds, sorted; who lacks one is logged."""
    complete = sorted(set.intersection(*map(set, found.values())))
    for kind, places in found.items():
        lacking = sorted(set.union(*map(set, found.values())) - set(places))
        if lacking:
            names = ", ".join(lacking[:5]) + (", ..." if len(lacking) > 5 else "")
            log.warning("%s: %d subject(s) have no %s and are left out: %s", path, len(lacking), kind, names)
    if not complete:
        raise InputError(path, "no subject has both image and labels", "Correct source.image and source.labels")
    columns = {"origin": complete}
    for kind, places in found.items():
        columns |= {f"{kind}_{key}": [places[name][key] for name in complete] for key in ("offset", "size", "member")}
    return pd.DataFrame(columns)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(path, "there is no such archive", "Put it there, or give source.url in the config")


class _HeaderReader(io.BufferedReader):
    """What `tarfile` reads headers from, and nothing as large as a member's data."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


def _members(path: Path) -> Iterator[tarfile.TarInfo]:
    """The members of a tar one by one. Raises `InputError` for a file that is none, is damaged or ends early."""
    end = 0
    with _HeaderReader(io.FileIO(path)) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    yield member
                    blocks = -(-member.size // tarfile.BLOCKSIZE) if member.isfile() else 0
                    end = member.offset_data + blocks * tarfile.BLOCKSIZE
                    tar.members.clear()  # they would add up
        except (tarfile.TarError, ValueError, OverflowError, OSError, RecursionError) as error:
            raise _unreadable(path, end, str(error)) from error
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile stops as well at what is no header
            raise _unreadable(path, end, f"neither a member nor the end follows at byte {end:,}")


def _unreadable(path: Path, end: int, reason: str) -> InputError:
    """The error for an archive in which nothing can be read from byte ``end`` on."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
    kind = next((name for magic, name in COMPRESSED.items() if start.startswith(magic)), None)
    if kind and not end:
        remedy = "Decompress it, and name the .tar in source.file"
        return InputError(path, f"it is compressed by {kind}: its members cannot be read in place", remedy)
    if end and end + tarfile.BLOCKSIZE > size:
        return InputError(path, f"it ends early, after {size:,} bytes", "Remove it, and fetch it again")
    return InputError(path, f"not a readable tar archive ({reason})", "Remove it, and fetch it again")


def _check_member(member: tarfile.TarInfo, path: Path) -> None:
    parts = member.name.replace("\\", "/").split("/")
    problem = None
    if member.name.startswith("/") or "\\" in member.name or ".." in parts or re.match(r"[A-Za-z]:", member.name):
        problem = "would lie outside its folder"
    elif member.issym() or member.islnk():
        problem = "is a link"
    elif member.issparse():
        problem = "is stored with holes, so that it cannot be read in place"
    elif not (member.isfile() or member.isdir()):
        problem = "is neither a file nor a folder"
    elif member.size < 0:
        problem = f"is {member.size} bytes long"
    if problem:
        raise InputError(
            path, f"its member {member.name!r} {problem}; nothing was extracted", "Do not use it: fetch the original"
        )


def choose_subjects(index: pd.DataFrame, counts: Mapping[str, int], seed: int, archive: str | Path) -> pd.DataFrame:
    """Draw each split's number of subjects and name them ``sub-001`` and on: train, val, test, each by origin.

    Who is drawn depends on the seed and the sorted names alone: from the same archive everybody draws the same.
    Raises `InputError` when there are too few.
    """
    needed = sum(counts[split] for split in SPLITS)
    if needed > len(index):
        raise InputError(archive, f"{needed} subjects are asked for, {len(index)} are there", "Lower source.subjects")
    order = np.random.default_rng(seed).permutation(len(index))[:needed]
    splits = [split for split in SPLITS for _ in range(counts[split])]
    drawn = index.sort_values("origin", ignore_index=True).iloc[order].assign(split=splits).sort_values("origin")
    drawn = drawn.sort_values("split", key=lambda column: column.map(SPLITS.index), kind="stable")
    drawn.index = pd.Index([f"sub-{number:03d}" for number in range(1, 1 + needed)], name="subject")
    return drawn[["split", *index.columns]]


def extract(archive: str | Path, offset: int, size: int, out: str | Path) -> None:
    """Copy the ``size`` bytes at ``offset`` to ``out``, in pieces. Raises `InputError` when they are not there."""
    archive = Path(archive)
    _require_file(archive)
    with atomic_path(out) as part, open(archive, "rb") as source, open(part, "wb") as target:
        source.seek(offset)
        while size:
            chunk = source.read(min(CHUNK, size))
            if not chunk:
                problem = f"it ends before byte {offset + size:,}, so that it is not the archive that was indexed"
                raise InputError(archive, problem, "Fetch it again")
            target.write(chunk)
            size -= len(chunk)
