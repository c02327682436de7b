#!/usr/bin/env python3
"""Local stand-ins for the public conda channels, out of PyPI's wheels.

    make_channel.py CHANNELS PYTHON      with the Python of the conda that up.sh makes

Each conda package is one wheel under its name of conda-forge, with the dependencies that the wheel states, so that
what an environment lists too little is missing here too. The versions are those of the lock files. What the
environments need is followed from `envs/*.yaml`, and nothing else is fetched. PYTHON is repackaged as `python`.

The channel ``public`` stands in for FSL's: its programs only say so. A package that is there is not made again.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

import yaml
from conda_package_streaming.package_streaming import stream_conda_info
from packages import CONDA_NAMES, Package, conda_name, from_python, from_wheel, stand_in
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = ("conda-forge", "bioconda", "nodefaults", "public")
PYPI_NAMES = {conda: pypi for pypi, conda in CONDA_NAMES.items()}
# versions beside those of the lock: nilearn's range excludes its packaging (requirements-nodeps.lock), and with another
# numpy the environment that starts Snakemake differs from those of the rules
FURTHER = {"packaging": "26.0", "pip": "25.3", "numpy": "2.4.6"}
FSL = {"fsl-flirt": "flirt", "fsl-bet2": "bet", "fsl-avwutils": "fslmaths"}  # and a program of each


def pins() -> dict[str, list[str]]:
    """The versions that the lock files name for this Python, by project; the later file goes before the earlier."""
    found: dict[str, list[str]] = {}
    for file in ("requirements.lock", "requirements-nodeps.lock"):
        for line in (ROOT / file).read_text().splitlines():
            wanted = Requirement(line) if line and not line.startswith("#") else None
            if wanted and (wanted.marker is None or wanted.marker.evaluate()):
                found[canonicalize_name(wanted.name)] = [next(iter(wanted.specifier)).version]
    for name, version in FURTHER.items():
        found.setdefault(name, []).append(version)
    return found


def wanted_by_environments() -> set[str]:
    """Projects that ``envs/*.yaml`` name, as PyPI does."""
    entries = [
        entry
        for path in sorted((ROOT / "envs").glob("*.yaml"))
        for entry in yaml.safe_load(path.read_text())["dependencies"]
        if isinstance(entry, str)
    ]
    found = {re.split(r"[ =<>!]", entry)[0] for entry in entries}
    return {PYPI_NAMES.get(name, name) for name in found - FSL.keys() - {"python"}}


def download(wanted: dict[str, list[str]], folder: Path, python: str) -> list[Path]:
    """Wheels of these versions, made from the source where there is none."""
    command = [python, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for versions in zip_longest(*wanted.values()):  # pip takes one version of a project at a time
        specs = [f"{name}=={version}" for name, version in zip(wanted, versions) if version]
        subprocess.run([*command, "--wheel-dir", str(folder), *specs], check=True)
    return sorted(folder.glob("*.whl"))


class Channels:
    """The folders of the channels below ``root``, and the packages that they hold."""

    def __init__(self, root: Path):
        self.root = root
        self.depends: dict[tuple[str, str], list[str]] = {}
        for name in CHANNELS:
            for subdir in ("linux-64", "noarch"):
                folder = root / name / subdir
                folder.mkdir(parents=True, exist_ok=True)
                for path in folder.glob("*.conda"):
                    self._know(json.loads(_member(path, "info/index.json")))

    def _know(self, index: dict) -> None:
        self.depends[index["name"], index["version"]] = index["depends"]

    def versions(self, name: str) -> list[str]:
        return [version for known, version in self.depends if known == name]

    def put(self, package: Package, channel: str) -> None:
        package.write(self.root / channel)
        self._know(package.index)

    def write_index(self) -> None:
        for name in CHANNELS:
            command = [sys.executable, "-m", "conda_index", "--no-channeldata", "--channel-name", name]
            done = subprocess.run([*command, str(self.root / name)], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"make_channel.py: no index of {self.root / name}.\n{done.stderr}")


def _member(package: Path, name: str) -> bytes:
    return next(tar.extractfile(member).read() for tar, member in stream_conda_info(package) if member.name == name)


def add_wheels(channels: Channels, wanted: dict[str, list[str]], python: str) -> None:
    """Fetch these versions and put them into the channels."""
    version = channels.versions("python")[0]
    with tempfile.TemporaryDirectory(dir=channels.root) as folder:
        for wheel in download(wanted, Path(folder), python):
            package = from_wheel(wheel, version)
            channels.put(package, "bioconda" if wheel.name.startswith("snakemake") else "conda-forge")
            print(f"{package.stem} ({wheel.stat().st_size / 2**20:,.1f} MiB)", flush=True)


def make(root: Path, python: str) -> None:
    """All channels, with the packages that are not there yet."""
    channels, known = Channels(root), pins()
    if not channels.versions("python"):
        channels.put(from_python(python), "conda-forge")
    for name, program in FSL.items():
        channels.put(stand_in(name, program), "public")
    todo, done = wanted_by_environments(), set()
    while todo:
        if lacking := sorted(todo - known.keys()):
            sys.exit(f"make_channel.py: the lock files have no version of {', '.join(lacking)}. Run `make lock`.")
        missing = {name: known[name] for name in sorted(todo)
                   if set(known[name]) - set(channels.versions(conda_name(name)))}  # fmt: skip
        if missing:
            add_wheels(channels, missing, python)
        done |= todo
        stated = [
            entry for name in todo for version in known[name] for entry in channels.depends[conda_name(name), version]
        ]
        todo = set()
        for name, _, version in (entry.partition(" ") for entry in stated):
            if name != "python":
                name = PYPI_NAMES.get(name, name)
                todo.add(name)
                if version.startswith("=="):  # a GPU build of torch says which libraries
                    known.setdefault(name, [version.removeprefix("==")])
        todo -= done
    channels.write_index()


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve(), sys.argv[2])
