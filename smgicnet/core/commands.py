"""Commands of other programs, each run in a folder of its own, within limits, with nothing of it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from smgicnet.core.errors import printable
from smgicnet.core.interruption import Interrupted, Stop, watch
from smgicnet.core.supervisor import POLL, STOPPING, adopt_orphans, children, end_children

SUPERVISOR = Path(__file__).with_name("supervisor.py")
ASKED_ONCE = 10  # seconds within which further signals ask for the same
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


@dataclass(frozen=True)
class Scratch:
    """A temporary ``folder``; ``stop`` knows whether the process was asked to end while there is one."""

    folder: Path
    stop: Stop

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator[Scratch]:
        """One that is removed at the end. Raises `Interrupted` then, where a signal asked this process to stop."""
        with watch(ASKED_ONCE) as stop:
            try:
                with tempfile.TemporaryDirectory(prefix="smgicnet-") as folder:
                    yield cls(Path(folder), stop)
            finally:
                if stop.asked:
                    raise Interrupted(f"stopped by {stop.asked}: started again, it goes on from here")


def run_command(
    command: Sequence[str],
    scratch: Scratch,
    limits: Limits,
    *,
    threads: int = 1,
    passed: Sequence[str] = (),
    paths: Sequence[str] = (),
    gpu: bool = False,
) -> Outcome:
    """Run a command in the folder of ``scratch``, which becomes its home and holds its temporary files.

    Raises `Interrupted`, with the command stopped, where a signal asks for an end.

    Parameters
    ----------
    threads : to which the usual variables limit it
    passed : names of environment variables that it sees beside `PASSED`
    paths : folders in which programs are looked for first
    gpu : whether it sees the machine's GPUs
    """
    folder = scratch.folder
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    # files without a name, which the command cannot find, and of which nothing is left however this process ends
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as report:
        within = [f"/dev/fd/{report.fileno()}", str(folder), str(limits.seconds), str(limits.gigabytes * 1e9)]
        supervisor = [sys.executable, "-I", str(SUPERVISOR), *within, *command]
        environment = _environment(folder, threads, passed, paths, gpu=gpu)
        code = _supervised(supervisor, log, report, environment, scratch.stop)
        log.seek(max(0, log.seek(0, os.SEEK_END) - KEPT))
        output = log.read().decode(errors="replace").replace("\r", "\n")
        if code:
            why = f"its supervisor was killed by signal {-code}. " if code < 0 else ""
            return Outcome(f"it could not be run: {why}{_told(output)}".strip(), output, 0, 0, 0)
        report.seek(0)
        facts = json.load(report)
    taken = {key: facts[key] for key in ("seconds", "cpu_seconds", "memory_mib")}
    return Outcome(_failure(facts, limits, output), output, **taken)


def _supervised(
    command: Sequence[str], log: IO[bytes], report: IO[bytes], environment: Mapping[str, str], stop: Stop
) -> int:
    """Run the supervisor and return its code; whatever interrupts this, it has time to stop what it runs.

    What it leaves where it is killed itself, as by a system without memory, is stopped here.
    """
    adopt_orphans()
    others = children()
    running = subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, env=environment, pass_fds=[report.fileno()]
    )
    code = 0
    try:
        while not stop.asked:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = running.wait(POLL)
                break
    finally:
        running.terminate()
        if running.wait() < 0:
            end_children(others)
        adopt_orphans(adopt=False)  # this process waits for none of those that other work of it leaves
    # a signal to all processes of a job may end the supervisor before this process gets it
    if stop.asked or code - 128 in STOPPING:
        raise Interrupted("a command was stopped on request")
    return code


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
