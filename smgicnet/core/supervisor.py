"""It runs one command within limits and leaves nothing of it behind; a program of its own, without the package.

``python supervisor.py REPORT FOLDER SECONDS BYTES COMMAND...`` runs COMMAND in FOLDER with a new session, and stops it
when it takes longer than SECONDS, when FOLDER and what is printed hold more than BYTES, or when whoever started this
program is gone.
What the command has started is stopped with it, and after it. REPORT is JSON: ``code``, ``stopped`` (``time``, ``disk``
or empty), ``left`` (how many processes it had left running), ``seconds``, ``cpu_seconds`` and ``memory_mib``, the
largest of its processes. A small process starts the command since the peak memory of a child begins with that of the
parent that forks it.
"""

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

POLL = 0.2  # seconds
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
SUBREAPER = 36  # prctl's PR_SET_CHILD_SUBREAPER: orphans of the command become children of this process


def main() -> None:
    report, folder, seconds, most = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    adopt_orphans()
    for number in STOPPING:
        signal.signal(number, _gone)
    starter, begun = os.getppid(), time.monotonic()
    child = subprocess.Popen(sys.argv[5:], cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
    stopped = ""
    try:
        while not stopped:
            try:
                child.wait(POLL)
                break
            except subprocess.TimeoutExpired:
                if os.getppid() != starter:
                    raise SystemExit(1) from None
                if time.monotonic() - begun > seconds:
                    stopped = "time"
                elif most < math.inf and _size(folder) > most:
                    stopped = "disk"
    finally:
        took = time.monotonic() - begun
        left = _stop_all(child)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / (2**10 if sys.platform == "linux" else 2**20)
    facts = {"code": child.returncode, "stopped": stopped, "left": left, "seconds": took}
    facts |= {"cpu_seconds": used.ru_utime + used.ru_stime, "memory_mib": peak}
    report.write_text(json.dumps(facts))


def adopt_orphans(*, adopt: bool = True) -> None:
    """Make this process the parent of whatever its children leave running, where the system can, or no longer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, int(adopt), 0, 0, 0)


def _gone(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _size(folder: str) -> int:
    """Return the bytes of all files of a folder, and of the file that the command prints to."""
    total = os.fstat(1).st_size
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except OSError:
                continue  # it was there a moment ago
    return total


def _stop_all(child: subprocess.Popen[bytes]) -> int:
    """Kill the command and all that it has started; return how many processes had outlived it."""
    for number in STOPPING:  # whoever asks once more has to wait for this
        signal.signal(number, signal.SIG_IGN)
    ended = child.poll() is not None
    with contextlib.suppress(OSError):  # of a session of which nothing is left
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    left = end_children(set())
    return left if ended else 0


def end_children(others: set[int]) -> int:
    """Kill the children of this process but for ``others``, and what these leave; return how many there were."""
    found = 0
    while new := children() - others:
        found += len(new)
        for one in new:
            os.kill(one, signal.SIGKILL)
            os.waitpid(one, 0)
    return found


def children() -> set[int]:
    """Return the children of this process, with orphans that it has adopted; none where the system does not tell."""
    found: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # of a thread that has ended
            found |= set(map(int, listed.read_text().split()))
    return found


if __name__ == "__main__":
    main()
