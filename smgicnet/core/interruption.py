"""Being asked to stop: a scheduler's warning, a preemption, Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

REQUEUE = 75  # EX_TEMPFAIL of sysexits.h: nothing is wrong, start the same again
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


class Interrupted(Exception):
    """Work was stopped on request and can go on from where it is; scripts end with `REQUEUE`."""


@dataclass
class Stop:
    """``asked``: the signal's name, once there was one."""

    asked: str | None = None


@contextmanager
def watch(once_more_after: float = 0) -> Iterator[Stop]:
    """Note one of `SIGNALS` while the body runs, for it to stop where it can; the same once more ends the process.

    What comes within ``once_more_after`` seconds is no second request: a scheduler asks every process, and a process
    asks those that it has started. Only a program's main thread gets signals: in another one nothing is watched.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    first: dict[int, float] = {}

    def note(number: int, _frame: object) -> None:
        if number not in first:
            stop.asked = stop.asked or signal.Signals(number).name
            first[number] = time.monotonic()
        elif time.monotonic() - first[number] >= once_more_after:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    before = {one: signal.signal(one, note) for one in SIGNALS}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
