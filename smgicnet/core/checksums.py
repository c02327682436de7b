"""Checksums of files, as those who publish them give them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from smgicnet.core.errors import InputError

CHUNK = 1 << 18


def require_checksums(path: str | Path, sha256: str | None = None, md5: str | None = None) -> None:
    """Raise `InputError` unless the file has these checksums, where one is known."""
    expected = known(sha256, md5)
    if expected and (wrong := wrong_ones(digests(Path(path), expected), expected)):
        raise InputError(path, wrong, "Remove it, so that it is fetched again, or correct the checksum in the config")


def known(sha256: str | None, md5: str | None) -> dict[str, str]:
    return {name: digest for name, digest in (("sha256", sha256), ("md5", md5)) if digest}


def wrong_ones(found: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """Return the checksums that do not fit as a text, or "" where all do."""
    wrong = [name for name, digest in expected.items() if digest != found[name]]
    return "; ".join(f"its {name} is {found[name]}, not {expected[name]}" for name in wrong)


def digests(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return checksums by name (of `hashlib`), all in one read of the file."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digests[name].hexdigest() for name in sorted(digests, reverse=True)}
