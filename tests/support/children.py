"""Processes that tests start, signal and kill, forked from one that has imported what they need: that takes seconds."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["torch._dynamo", "smgicnet.jobs.train", "smgicnet.training.distributed", "tests.support.trainings"]
)


class Child:
    """A process that runs a function of a module, with what it says in a file."""

    def __init__(self, function, *arguments, said: Path, before=None):
        self._said = said
        self._process = _CONTEXT.Process(target=_run, args=(function, arguments, str(said), before))
        self._process.start()
        self.pid = self._process.pid

    def poll(self):
        """The exit status, negative for a signal; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def end(self, timeout=300):
        """Wait for its end; returns the exit status and all it said."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it still runs after {timeout} seconds"
        return self._process.exitcode, self._said.read_text(errors="replace")


def _run(function, arguments, said, before):
    with open(said, "wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before:
        before()
    function(*arguments)
