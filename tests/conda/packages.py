"""Conda packages out of what is installed or comes as a wheel."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from conda_package_streaming.create import conda_builder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

# names that differ on conda-forge, of those that envs/*.yaml name; the others only have to be one here
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal"}
UNUSED = {"test", "tests", "idlelib", "turtledemo", "ensurepip", "lib2to3", "__pycache__", "site-packages"}
UNUSED |= {"dist-packages"}
COMPRESSION = 1  # of zstd: what is unpacked once need not be small


def metadata(wheel: Path) -> Message:
    """The headers of a wheel's METADATA."""
    with zipfile.ZipFile(wheel) as archive:
        path = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(path).decode())


def dependencies(wheel: Path) -> list[Requirement]:
    """What a wheel needs here, without extras."""
    stated = [Requirement(line) for line in metadata(wheel).get_all("Requires-Dist", [])]
    return [one for one in stated if one.marker is None or one.marker.evaluate({"extra": ""})]


def conda_name(project: str) -> str:
    name = canonicalize_name(project)
    return CONDA_NAMES.get(name, name)


def conda_dependency(wanted: Requirement) -> str:
    """A dependency as conda writes it, which knows ``~=``, ``!=`` and commas too, but has no ``==1.*``."""
    versions = re.sub(r"==([^,]*[.][*])", r"\1", str(wanted.specifier))
    return f"{conda_name(wanted.name)} {versions}".strip()


class Package:
    """A conda package that is being put together: `add` its files, then `write` it into a channel."""

    def __init__(self, name, version, build, depends, *, noarch=False, entry_points=()):
        self.subdir = "noarch" if noarch else "linux-64"
        self.index = {
            "name": name, "version": version, "build": build, "build_number": 0, "depends": sorted(depends),
            "subdir": self.subdir, "timestamp": 1700000000000,
        }  # fmt: skip
        self.info = {}
        if noarch:
            self.index["noarch"] = "python"
            self.info["link.json"] = {
                "noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1,
            }  # fmt: skip
        self.files: dict[str, tuple[bytes, int]] = {}
        self.links: dict[str, str] = {}

    @property
    def stem(self) -> str:
        return "-".join(self.index[key] for key in ("name", "version", "build"))

    def add(self, path: str, data: bytes, executable: bool = False) -> None:
        self.files[path] = data, 0o755 if executable else 0o644

    def write(self, channel: Path) -> None:
        """Write ``channel/SUBDIR/NAME-VERSION-BUILD.conda``, whole or not at all."""
        folder = channel / self.subdir
        folder.mkdir(parents=True, exist_ok=True)
        paths = [
            {"_path": path, "path_type": "hardlink", "sha256": _sha256(data), "size_in_bytes": len(data)}
            for path, (data, _) in self.files.items()
        ] + [
            {"_path": path, "path_type": "softlink", "sha256": _sha256(b""), "size_in_bytes": 0} for path in self.links
        ]
        info = {"index.json": self.index, "paths.json": {"paths": paths, "paths_version": 1}, **self.info}
        with tempfile.TemporaryDirectory(dir=channel) as part:
            with conda_builder(self.stem, part, compression_level=COMPRESSION) as tar:
                for name, content in info.items():
                    _add(tar, f"info/{name}", json.dumps(content).encode(), 0o644)
                _add(tar, "info/files", "".join(f"{one['_path']}\n" for one in paths).encode(), 0o644)
                for path, (data, mode) in self.files.items():
                    _add(tar, path, data, mode)
                for path, target in self.links.items():
                    member = tarfile.TarInfo(path)
                    member.type, member.linkname = tarfile.SYMTYPE, target
                    tar.addfile(member)
            os.replace(Path(part, f"{self.stem}.conda"), folder / f"{self.stem}.conda")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _add(tar: tarfile.TarFile, path: str, data: bytes, mode: int) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode, member.mtime = len(data), mode, 1700000000
    tar.addfile(member, io.BytesIO(data))


def from_wheel(wheel: Path, python_version: str) -> Package:
    """A wheel as a conda package: of pure Python for every machine, another for this one without its programs."""
    project, version, _, tags = parse_wheel_filename(wheel.name)
    pure = all(tag.platform == "any" for tag in tags)
    short = ".".join(python_version.split(".")[:2])
    stated = metadata(wheel)
    python = f"python {stated.get('Requires-Python', '').replace(' ', '')}" if pure else f"python {short}.*"
    depends = [python.strip(), *map(conda_dependency, dependencies(wheel))]
    with zipfile.ZipFile(wheel) as archive:
        scripts = configparser.ConfigParser(delimiters="=", interpolation=None)
        scripts.optionxform = str
        for member in archive.namelist():
            if member.endswith(".dist-info/entry_points.txt"):
                scripts.read_string(archive.read(member).decode())
        entry_points = (
            [f"{k} = {v}" for k, v in scripts["console_scripts"].items()] if "console_scripts" in scripts else []
        )
        # a local version, torch's "+cpu", is the build string on conda-forge
        build = f"{version.local or 'py' + short.replace('.', '')}_0"
        package = Package(conda_name(project), version.public, build, depends, noarch=pure, entry_points=entry_points)
        site = "site-packages" if pure else f"lib/python{short}/site-packages"
        for member in archive.infolist():
            path = _place(member.filename, site)
            if path and not member.is_dir():
                package.add(path, archive.read(member), executable=bool(member.external_attr >> 16 & 0o111))
    return package


def _place(member: str, site: str) -> str | None:
    """Where a file of a wheel goes below the prefix; None for headers and the programs of a binary wheel."""
    folder, _, rest = member.partition(".data/")
    if not rest or "/" in folder:
        return f"{site}/{member}"
    kind, _, path = rest.partition("/")
    places = {"purelib": f"{site}/{path}", "platlib": f"{site}/{path}", "data": path}
    return places.get(kind)


def from_python(python: str) -> Package:
    """The running Python, less its tests and what it has installed."""
    code = "import sys, platform; print(sys.base_prefix, platform.python_version())"
    prefix, version = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    short, prefix = ".".join(version.split(".")[:2]), Path(prefix)
    package = Package("python", version, "0", [])
    package.add(f"bin/python{short}", (prefix / f"bin/python{short}").read_bytes(), executable=True)
    package.links = {"bin/python3": f"python{short}", "bin/python": f"python{short}"}
    for root, folders, names in os.walk(prefix / f"lib/python{short}"):
        folders[:] = sorted(name for name in folders if name not in UNUSED and not name.startswith("config-"))
        for path in (Path(root, name) for name in sorted(names)):
            if path.suffix != ".a" and path.is_file():
                package.add(str(path.relative_to(prefix)), path.read_bytes())
    for path in prefix.glob("lib/libpython*.so*"):
        package.add(str(path.relative_to(prefix)), path.read_bytes())
    return package


def stand_in(name: str, program: str) -> Package:
    """A package of FSL that is none."""
    package = Package(name, "0", "stand_in_0", [])
    said = f"{program}: a stand-in of tests/conda, as FSL's channel was not reached. Nothing was computed."
    package.add(f"bin/{program}", f'#!/bin/sh\necho "{said}" >&2\nexit 1\n'.encode(), executable=True)
    return package
