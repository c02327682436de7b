"""The programs of `benchmarks.registration`, the ready blocks of ``config/programs``, and what a run of one takes."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smgicnet.config.programs import PROGRAMS, with_program
from smgicnet.core.commands import SUPERVISOR
from smgicnet.core.layout import PROGRAM_FOLDER, PROGRAM_RECORD, environment_digest
from smgicnet.jobs.programs import make_environment


@dataclass(frozen=True)
class Program:
    """A program that registers two images.

    Attributes
    ----------
    name : in tables and figures
    ready : its block in ``config/programs``; empty for this project
    options : of ``smgicnet register``
    """

    name: str
    ready: str = ""
    options: tuple[str, ...] = ()

    @property
    def _block(self) -> dict[str, Any]:
        return with_program({"type": "command", "program": self.ready}, "", self.name)

    def command(self, fixed: Path, moving: Path, folder: Path, environments: Path, threads: int) -> list[str]:
        """What is run, and timed."""
        if not self.ready:
            images = ["--fixed", str(fixed), "--moving", str(moving), "--out", str(folder)]
            return [sys.executable, "-m", "smgicnet.cli", "register", *images, *self.options]
        block = self._block
        record = environments / environment_digest(block["environment"]) / PROGRAM_RECORD
        if not record.exists():
            make_environment(block["environment"], record)
        places = {"fixed": fixed, "moving": moving, "out": folder, "programs": PROGRAMS, "threads": threads}
        command = block["command"].format(**{name: shlex.quote(str(place)) for name, place in places.items()})
        path = f"PATH={(record.parent / PROGRAM_FOLDER / 'bin').absolute()}{os.pathsep}{os.environ['PATH']}"
        return ["env", path, "bash", "-euo", "pipefail", "-c", command]

    def transforms(self, folder: Path) -> list[str]:
        """The files that it wrote, in the order of antsApplyTransforms."""
        names = self._block["transforms"] if self.ready else ["displacement.nii.gz"]
        return [str(folder / name) for name in names]


PEERS = {
    "fast": Program("SM-GICNet, fast", options=("--quality", "fast")),
    "default": Program("SM-GICNet, default", options=("--quality", "default")),
    "best": Program("SM-GICNet, best", options=("--quality", "best")),
    "greedy": Program("greedy", "greedy"),
    "fireants": Program("FireANTs", "fireants"),
    "convexadam": Program("ConvexAdam", "convexadam"),
    "syn": Program("ANTs SyN", "antspyx-default"),
    "syncc": Program("ANTs SyN, cross-correlation", "antspyx"),
}


def measured(command: Sequence[str], threads: int, log: Path) -> dict[str, float]:
    """Run a command; CPU and wall seconds and peak memory of its process and those that it waits for."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    report = log.with_suffix(".usage")
    with open(log, "w") as file:
        launch = [sys.executable, str(SUPERVISOR), str(report), ".", "inf", "inf", *command]
        subprocess.run(launch, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **limits}, check=True)
    facts = json.loads(report.read_text())
    if facts["code"]:
        raise SystemExit(f"{' '.join(command)} failed: see {log}")
    return {"cpu_s": facts["cpu_seconds"], "wall_s": facts["seconds"], "memory_mib": facts["memory_mib"]}
