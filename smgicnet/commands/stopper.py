"""A request to stop, and the programs that it is passed on to."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from smgicnet.commands.dry_run import with_package

STOPPED = 128 + signal.SIGINT  # what a shell says of a program that Ctrl-C has ended
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopper:
    """Passes a request to stop on to the programs that were started, each the first of a process group of its own.

    All processes of a group are asked, as by a terminal's Ctrl-C: so a training writes its checkpoint.
    """

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._children: list[subprocess.Popen] = []
        self.asked = self._said = False

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen:
        """Start a program."""
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=with_package(), process_group=0, text=True, **options
        )
        self._children.append(child)
        return child

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked = True
        self._tell(signal.SIGTERM if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, number)

    def acknowledge(self) -> None:
        """Say once that a request has come; a signal's own handler may not write."""
        if self.asked and not self._said:
            self._said = True
            self._say("Stopping: trainings write their checkpoints first. Another Ctrl-C does not wait for them.")

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch while the body runs; what is ignored, as by nohup, stays so."""
        before = {one: signal.getsignal(one) for one in STOPPING}
        for one, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(one, self._ask)
        try:
            yield
        finally:
            self._tell(signal.SIGTERM)  # what an error has left at work
            for one, handler in before.items():
                signal.signal(one, handler)
