"""Fetch a published weights file once: resumed where it broke off, checked, and recorded beside it."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from smgicnet import __version__
from smgicnet.errors import InputError
from smgicnet.provenance import write_text

log = logging.getLogger(__name__)
TRIES = 5
WAIT_S = 2.0  # before the second try; it doubles with each
TIMEOUT_S = 60.0  # without a byte
PROGRESS_S = 5.0
CHUNK = 1 << 18
TEMPORARY = {408, 416, 425, 429, 500, 502, 503, 504}  # HTTP statuses that another try may not meet


class _BrokenOffError(OSError):
    """A transfer that ended early."""


_BROKEN_OFF = (_BrokenOffError, ConnectionError, TimeoutError, http.client.IncompleteRead, http.client.BadStatusLine)


def download(url: str, path: str | Path, *, sha256: str | None = None, licence: str = "", by_hand: str = "") -> Path:
    """Fetch ``url`` (http, https or file) to ``path``, unless the file is there already; returns the path.

    Until it is whole the file is ``<name>.part``, which a later call resumes. ``<name>.json`` records url, sha256,
    licence and date. ``by_hand`` adds to the advice of what to do without a network. One process a path at a time.

    Raises `InputError` when the file cannot be had, and for a wrong checksum, whose file is kept as ``<name>.wrong``.
    """
    path = Path(path)
    if path.is_file():
        check(path, sha256)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _beside(path, "part")
    remedy = ". ".join(filter(None, [f"Fetch {url} by hand and save it as {path}", by_hand]))
    for attempt in range(TRIES):
        try:
            _fetch(url, part)
            break
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"cannot be fetched from {url}: {error or type(error).__name__}"
            if attempt == TRIES - 1 or not _is_temporary(error):
                kept = f"; what came ({_mb(part)}) is kept, and resumed where the server can" if part.is_file() else ""
                raise InputError(path, problem + kept, remedy) from error
            log.info("%s; trying again", problem)
            time.sleep(WAIT_S * 2**attempt)
    found = _sha256(part)
    _beside(part, "json").unlink()
    if sha256 and found != sha256:
        wrong = part.replace(_beside(path, "wrong"))
        raise InputError(wrong, f"the sha256 of what came from {url} is {found}, not {sha256}", remedy)
    record = {"url": url, "sha256": found, "licence": licence, "date": datetime.now(UTC).isoformat(timespec="seconds")}
    write_text(_beside(path, "json"), json.dumps(record, indent=2) + "\n")
    part.replace(path)
    log.info("%s: %s, sha256 %s", path, _mb(path), found)
    return path


def download_all(published: Mapping[str, Mapping[str, str | None]]) -> None:
    """Fetch what methods' authors publish: ``{method: its block published}``, without those of no url.

    One that fails does not keep back the others; the first `InputError` is raised in the end.
    """
    failures = []
    for name, one in published.items():
        if one["url"] is None:
            log.info("%s: %s has no url, it is a file of one's own", name, one["file"])
            continue
        try:
            log.info("%s: %s, licence: %s", name, one["file"], one["licence"])
            download(one["url"], one["file"], sha256=one["sha256"], licence=one["licence"])
        except InputError as error:
            log.warning("%s: %s", name, error)
            failures.append(error)
    if failures:
        raise failures[0]


def check(path: str | Path, sha256: str | None) -> None:
    """Raise `InputError` unless the file has this checksum, where one is known."""
    if sha256 and (found := _sha256(Path(path))) != sha256:
        raise InputError(path, f"its sha256 is {found}, not {sha256}", "Fetch it again, or correct published.sha256")


def _fetch(url: str, part: Path) -> None:
    """One try: the rest of ``part`` where the server has the same file still, else all of it.

    What says that it is the same, the server's ETag or its date, is kept beside the part: bytes of two files are never
    put together.
    """
    headers, state_file = {"User-Agent": f"smgicnet/{__version__}"}, _beside(part, "json")
    state = json.loads(state_file.read_text()) if state_file.is_file() else {}
    start = part.stat().st_size if part.is_file() and state.get("url") == url and state.get("version") else 0
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": state["version"]}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # it has no more than that: begin again
            part.unlink(missing_ok=True)
        error.close()
        raise
    with response:
        version = _version(response.headers)
        if start and response.status == 206:
            offered = response.headers.get("Content-Range", "")
            if version not in (None, state["version"]) or not offered.startswith(f"bytes {start}-"):
                part.unlink()  # a server that does not know If-Range
                raise _BrokenOffError("the file has changed on the server")
            total = offered.rpartition("/")[2]
        else:  # all of it: nothing was there, it has changed, or the server resumes nothing
            start = 0
            part.unlink(missing_ok=True)  # before its state is another's
            write_text(state_file, json.dumps({"url": url, "version": version}))
            total = response.headers.get("Content-Length", "")
        _receive(response, part, start, int(total) if total.isdigit() else None)


def _receive(response, part: Path, start: int, total: int | None) -> None:
    """Write the body to ``part`` from byte ``start``. Raises ``OSError`` when it is not ``total`` bytes then."""
    done, reported = start, time.monotonic()
    with open(part, "ab") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if time.monotonic() - reported >= PROGRESS_S:
                reported = time.monotonic()
                log.info("%s: %.1f MB%s", part.name, done / 1e6, f", {done / total:.0%}" if total else "")
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done != total:
        if done > total:
            part.unlink()
        raise _BrokenOffError(f"the transfer ended after {done:,} of {total:,} bytes")


def _version(headers) -> str | None:
    """What tells one state of the file from another; a weak ETag does not tell it to the byte."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _is_temporary(error: Exception) -> bool:
    """Whether another try may succeed: not without the page, a server or a network."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in TEMPORARY
    return isinstance(error, _BROKEN_OFF)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _mb(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
