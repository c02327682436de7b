"""The programs of `benchmarks.registration`: what runs each, what is installed for it, and what a run of it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
TORCH = "torch==2.13.0"
# A process of its own starts what is measured: the peak memory of a child begins with that of the parent that forks it.
LAUNCHER = """
import resource, subprocess, sys, time
begun = time.monotonic()
code = subprocess.call(sys.argv[2:])
wall, used = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
open(sys.argv[1], "w").write(f"{wall} {used.ru_utime + used.ru_stime} {used.ru_maxrss}")
sys.exit(code)
"""


@dataclass(frozen=True)
class Program:
    """A program that registers two images.

    Attributes
    ----------
    name : in tables and figures
    script : in ``benchmarks/peers``; empty for this project
    options : of the script, or of ``smgicnet register``
    packages : what pip installs for it, each line at once: those that begin with ``--no-deps`` without dependencies
    """

    name: str
    script: str
    options: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def command(self, fixed: Path, moving: Path, folder: Path, environments: Path, threads: int) -> list[str]:
        """What is run, and timed."""
        if not self.script:
            images = ["--fixed", str(fixed), "--moving", str(moving), "--out", str(folder)]
            return [sys.executable, "-m", "smgicnet.cli", "register", *images, *self.options]
        python = environments / self.script / "bin" / "python"
        if not python.exists():
            self._make(environments / self.script)
        images = [str(fixed), str(moving), str(folder), str(threads)]
        return [str(python), str(PEERS / f"run_{self.script}.py"), *images, *self.options]

    def _make(self, environment: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        for line in self.packages:
            pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", *line.split()]
            subprocess.run(pip, check=True)

    def transforms(self, folder: Path) -> list[str]:
        """The files that it wrote, in the order of antsApplyTransforms."""
        if not self.script:
            return [str(folder / "displacement.nii.gz")]
        return (folder / "transforms.txt").read_text().split()


GREEDY = "picsl-greedy numpy scipy nibabel"
PROGRAMS = {
    "fast": Program("SM-GICNet, fast", "", ("--quality", "fast")),
    "default": Program("SM-GICNet, default", "", ("--quality", "default")),
    "best": Program("SM-GICNet, best", "", ("--quality", "best")),
    "greedy": Program("greedy", "greedy", (), (GREEDY,)),
    "fireants": Program(
        "FireANTs",
        "fireants",
        (),
        (TORCH, "--no-deps fireants==1.5.0", "SimpleITK numpy scipy tqdm nibabel hydra-core scikit-image pandas"),
    ),
    "convexadam": Program(
        "ConvexAdam",
        "convexadam",
        (),
        (TORCH, "--no-deps convexadam==0.2.0", f"SimpleITK tqdm scikit-learn {GREEDY}"),
    ),
    "syn": Program("ANTs SyN", "syn", ("SyN",), ("antspyx",)),
    "syncc": Program("ANTs SyN, cross-correlation", "syn", ("antsRegistrationSyN[s]",), ("antspyx",)),
}


def measured(command: Sequence[str], threads: int, log: Path) -> dict[str, float]:
    """Run a command; CPU and wall seconds and peak memory of its process and those that it waits for."""
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    usage = log.with_suffix(".usage")
    with open(log, "w") as file:
        launch = [sys.executable, "-c", LAUNCHER, str(usage), *command]
        code = subprocess.run(launch, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **limits}).returncode
    if code:
        raise SystemExit(f"{' '.join(command)} failed: see {log}")
    wall, cpu, memory = map(float, usage.read_text().split())
    return {"cpu_s": cpu, "wall_s": wall, "memory_mib": memory / 1024}
