"""Commands of other programs, each run in a folder of its own, within limits, with nothing of it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from smgicnet.core.errors import printable

SUPERVISOR = Path(__file__).with_name("supervisor.py")
KEPT = 2**20  # bytes of what a command has printed last that are looked at
TOLD = 1500  # characters of what a command has printed that are told of it
PASSED = (  # what a command sees of the environment; whatever else is there, such as passwords, is not its business
    *("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
    *("FSLDIR", "FSLOUTPUTTYPE", "FREESURFER_HOME", "FS_LICENSE", "ANTSPATH"),
)
THREADS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


@dataclass(frozen=True)
class Limits:
    """The resources that a command may use.

    ``seconds``: of time. ``gigabytes``: of disk, in its own folder.
    """

    seconds: float
    gigabytes: float


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    ``failure``: why it counts as failed, as a sentence; empty where it does not. ``output``: what it printed last, as
    it is. ``seconds``, ``cpu_seconds``, ``memory_mib``: what it took, as a whole process.
    """

    failure: str
    output: str
    seconds: float
    cpu_seconds: float
    memory_mib: float


def run_command(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    threads: int = 1,
    passed: Sequence[str] = (),
    paths: Sequence[str] = (),
    gpu: bool = False,
) -> Outcome:
    """Run a command in ``folder``, which becomes its home and holds its temporary files.

    Parameters
    ----------
    threads : to which the usual variables limit it
    passed : names of environment variables that it sees beside `PASSED`
    paths : folders in which programs are looked for first
    gpu : whether it sees the machine's GPUs
    """
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smgicnet-") as beside:  # where the command does not write
        log, report = Path(beside) / "output.txt", Path(beside) / "report.json"
        within = [str(report), str(folder), str(limits.seconds), str(limits.gigabytes * 1e9)]
        environment = _environment(folder, threads, passed, paths, gpu=gpu)
        with open(log, "wb") as file:
            code = _supervised([sys.executable, "-I", str(SUPERVISOR), *within, *command], file, environment)
        with open(log, "rb") as file:
            file.seek(max(0, log.stat().st_size - KEPT))
            output = file.read().decode(errors="replace").replace("\r", "\n")
        if code:
            return Outcome(f"it could not be run: {_told(output)}", output, 0, 0, 0)
        facts = json.loads(report.read_text())
    taken = {key: facts[key] for key in ("seconds", "cpu_seconds", "memory_mib")}
    return Outcome(_failure(facts, limits, output), output, **taken)


def _supervised(command: Sequence[str], log: BinaryIO, environment: Mapping[str, str]) -> int:
    """Run the supervisor and return its code; whatever interrupts this, it has time to stop what it runs."""
    running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        return running.wait()
    except BaseException:
        running.terminate()
        running.wait()
        raise


def _told(output: str) -> str:
    """Return the end of what was printed, with control characters as escapes."""
    return printable(output[-TOLD:]).strip()


def _failure(facts: Mapping[str, Any], limits: Limits, output: str) -> str:
    """Return why a command counts as failed, or an empty text."""
    if facts["stopped"] == "time":
        return f"it took longer than {limits.seconds:g} s, its limit, and was stopped"
    if facts["stopped"] == "disk":
        return f"it wrote more than {limits.gigabytes:g} GB, its limit, and was stopped"
    if facts["code"] < 0:
        return f"it was killed by signal {-facts['code']}: {_told(output)}"
    return f"it ended with code {facts['code']}: {_told(output)}" if facts["code"] else ""


def _environment(
    folder: Path, threads: int, passed: Sequence[str], paths: Sequence[str], *, gpu: bool
) -> dict[str, str]:
    """Return the environment variables that a command sees."""
    own = {"HOME": str(folder), "TMPDIR": str(folder / "tmp"), **dict.fromkeys(THREADS, str(threads))}
    seen = {name: os.environ[name] for name in (*PASSED, *passed) if name in os.environ}
    hidden = {} if gpu else {"CUDA_VISIBLE_DEVICES": ""}
    return own | seen | hidden | {"PATH": os.pathsep.join([*paths, os.environ.get("PATH", os.defpath)])}
