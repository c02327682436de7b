"""Fetch a published file once: resumed where it broke off, checked, and recorded beside it."""

from __future__ import annotations

import http.client
import json
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from smgicnet import __version__
from smgicnet.core.checksums import digests, known, require_checksums, wrong_ones
from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text

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


def download(
    url: str,
    path: str | Path,
    *,
    sha256: str | None = None,
    md5: str | None = None,
    licence: str = "",
    by_hand: str = "",
) -> Path:
    """Fetch ``url`` (http, https or file) to ``path``, unless the file is there already; returns the path.

    Until it is whole the file is ``<name>.part``, which a later call resumes. ``<name>.json`` records url, sha256,
    licence, date, and which checksums were known and are right: ``md5`` is for hosts that publish no other. ``by_hand``
    adds to the advice of what to do without a network. One process a path at a time.

    Raises `InputError` when the file cannot be had or does not fit on the disk, and for a wrong checksum, of which
    nothing is kept.
    """
    path, expected = Path(path), known(sha256, md5)
    if path.is_file():
        log.info("%s is there already; %s", path, f"checking its {', '.join(expected)}" if expected else "not checked")
        require_checksums(path, sha256, md5)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part, record = _beside(path, "part"), _beside(path, "json")
    remedy = ". ".join(filter(None, [f"Fetch {url} by hand and save it as {path}", by_hand]))
    _fetch_in_tries(url, part, path, remedy)
    found = digests(part, {"sha256", *expected})
    if wrong := wrong_ones(found, expected):
        for file in (part, _beside(part, "json"), record):
            file.unlink(missing_ok=True)
        raise InputError(path, f"what came from {url} is not the file: {wrong}; it was removed", remedy)
    facts = {"url": url, **found, "checked": list(expected), "licence": licence}
    write_text(record, json.dumps({**facts, "date": datetime.now(UTC).isoformat(timespec="seconds")}, indent=2) + "\n")
    part.replace(path)
    _beside(part, "json").unlink()
    log.info("%s: %s, sha256 %s", path, _mb(path.stat().st_size), found["sha256"])
    return path


def download_all(published: Mapping[str, Mapping[str, Any]]) -> None:
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


def _fetch_in_tries(url: str, part: Path, path: Path, remedy: str) -> None:
    """The whole of ``url`` in ``part``. Raises `InputError` when no further try will help, or all are used up."""
    for attempt in range(TRIES):
        try:
            _fetch(url, part)
            return
        except InputError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"cannot be fetched from {url}: {error or type(error).__name__}"
            if attempt == TRIES - 1 or not _is_temporary(error):
                if part.is_file():
                    came = _mb(part.stat().st_size)
                    problem += f"; what came ({came}) is kept, and resumed where the server can"
                raise InputError(path, problem, remedy) from error
            log.info("%s; trying again", problem)
            time.sleep(WAIT_S * 2**attempt)


def _fetch(url: str, part: Path) -> None:
    """One try: the rest of ``part`` where the server has the same file still, else all of it.

    What says that it is the same, the server's ETag or its date, is kept beside the part: bytes of two files are never
    put together.
    """
    headers, state_file = {"User-Agent": f"smgicnet/{__version__}"}, _beside(part, "json")
    state = json.loads(state_file.read_text()) if state_file.is_file() else {}
    there = part.stat().st_size if part.is_file() and state.get("url") == url else 0
    if there and there == state.get("total"):
        return  # an earlier call was ended between transfer and check
    start = there if state.get("version") else 0
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
            total = _number(offered.rpartition("/")[2])
            _check_room(part, start, total)
        else:  # all of it: nothing was there, it has changed, or the server resumes nothing
            start, total = 0, _number(response.headers.get("Content-Length", ""))
            for file in (part, state_file):  # the part before its state is another's
                file.unlink(missing_ok=True)
            _check_room(part, start, total)
            write_text(state_file, json.dumps({"url": url, "version": version, "total": total}))
        size = "a file of unknown size" if total is None else _mb(total)
        log.info("%s: fetching %s from %s%s", part.name, size, url, f"; {_mb(start)} are there" if start else "")
        _receive(response, part, start, total)


def _check_room(part: Path, start: int, total: int | None) -> None:
    """Raise `InputError` when what is still missing does not fit on the disk."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        problem = f"{_mb(total - start)} are needed for {part.name}, and {_mb(free)} are free"
        raise InputError(part.parent, problem, "Make room there, or name a place on another disk in the config")


def _receive(response: IO[bytes], part: Path, start: int, total: int | None) -> None:
    """Write the body to ``part`` from byte ``start``. Raises ``OSError`` when it is not ``total`` bytes then."""
    done, begun = start, time.monotonic()
    reported = begun
    with open(part, "ab") as file:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            if time.monotonic() - reported >= PROGRESS_S:
                reported = time.monotonic()
                log.info("%s: %s", part.name, _progress(done, total, (done - start) / (reported - begun)))
        file.flush()
        os.fsync(file.fileno())
    if total is not None and done != total:
        if done > total:
            part.unlink()
        raise _BrokenOffError(f"the transfer ended after {done:,} of {total:,} bytes")


def _progress(done: int, total: int | None, rate: float) -> str:
    """How much there is, at which ``rate`` (bytes a second) it comes, and how long the rest takes at that."""
    if not total:
        return f"{_mb(done)}, {rate / 1e6:.1f} MB/s"
    left = timedelta(seconds=round((total - done) / rate))
    return f"{_mb(done)} of {_mb(total)}, {done / total:.0%}, {rate / 1e6:.1f} MB/s, {left} left"


def _version(headers: Mapping[str, str]) -> str | None:
    """What tells one state of the file from another; a weak ETag does not tell it to the byte."""
    tag: str = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified")


def _is_temporary(error: Exception) -> bool:
    """Whether another try may succeed: not without the page, a server or a network."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in TEMPORARY
    return isinstance(error, _BROKEN_OFF)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
