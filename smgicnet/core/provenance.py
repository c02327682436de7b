"""The record of what a result was made from: source digest, versions, hardware."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from smgicnet.core.files import atomic_path

VERSIONED = (
    *("torch", "numpy", "scipy", "nibabel", "PyWavelets", "pandas", "matplotlib", "seaborn", "snakemake"),
    *("antspyx", "fslpy", "icon-registration", "h5py", "deepbet", "ancpbids"),
)
MERGED = ("versions", "hardware", "affine")  # what a record keeps of those that it derives from


def files_digest(paths: Iterable[str | Path]) -> str:
    """Return the digest of the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def contents_digest(contents: Iterable[bytes]) -> str:
    """Return `files_digest` of files that have been read already."""
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in contents)).hexdigest()[:16]


def listed(paths: Iterable[str | Path], folder: str | Path) -> list[dict[str, str]]:
    """Return each file's path, as seen from ``folder``, and the SHA-256 of its content: they can be moved together."""
    return [{"path": os.path.relpath(path, folder), "sha256": sha256(Path(path).read_bytes())} for path in paths]


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def hardware() -> str:
    """Return the processor, and the GPU if there is one, in words."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    words = f"{os.cpu_count()} cores of {name}"
    torch = sys.modules.get("torch")  # imported by the jobs that compute with it
    if torch and torch.cuda.is_available():
        words = f"{torch.cuda.get_device_name()}, {words}"
    return words


def versions(names: Iterable[str] = VERSIONED) -> dict[str, str]:
    """Return Python's version and those of packages that are there, by default of all that results depend on."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_record(path: str | Path, **facts: object) -> None:
    """Write facts as JSON with versions and hardware, unless these are among them."""
    content = {"versions": versions(), "hardware": hardware(), **facts}
    write_text(path, json.dumps(content, indent=2) + "\n")


def merged_records(paths: Iterable[str | Path]) -> dict[str, list[Any]]:
    """Return each distinct value of ``MERGED`` in several records."""
    records = [json.loads(Path(path).read_text()) for path in paths]
    merged = {key: distinct(records, key) for key in MERGED}
    return {key: values for key, values in merged.items() if values}


def distinct(records: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """Return each value of a key that some of the records have, once; a list holds several."""
    found: list[Any] = []
    for record in records:
        value = record.get(key, [])
        found += [one for one in (value if isinstance(value, list) else [value]) if one not in found]
    return found


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the content of a YAML file."""
    content: dict[str, Any] = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    return content
