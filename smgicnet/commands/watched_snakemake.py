"""Snakemake in a program of its own that says, as data, which jobs start and end: a line of JSON each.

``python -m smgicnet.commands.watched_snakemake DESCRIPTOR ARGUMENT...`` runs Snakemake with these arguments, writes to
the open file of that descriptor, and leaves Snakemake's own log as it is.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def described(said: Any) -> dict[str, Any] | None:
    """Return what a record of Snakemake's log says of a job, or None where it says nothing of one.

    ``{"event": "started", "job", "rule", "output", "wildcards"}``, ``{"event": "finished", "job"}`` or ``{"event":
    "failed", "job", "rule", "log"}``.
    """
    from snakemake_interface_logger_plugins.common import LogEvent

    event = getattr(said, "event", None)
    if event == LogEvent.JOB_INFO:
        facts = {"rule": said.rule_name, "output": [*map(str, said.output)], "wildcards": dict(said.wildcards or {})}
        return {"event": "started", "job": said.jobid, **facts}
    if event == LogEvent.JOB_FINISHED:
        return {"event": "finished", "job": said.job_id}
    if event == LogEvent.JOB_ERROR:
        return {"event": "failed", "job": said.jobid, "rule": said.rule_name, "log": [*map(str, said.log)]}
    return None


def teller(write: Callable[[str], object]) -> Callable[[logging.LogRecord], bool]:
    """Return a filter of a logger that lets all pass and writes what is said of jobs."""

    def tell(record: logging.LogRecord) -> bool:
        facts = described(record)
        if facts:
            with suppress(OSError):  # who listened may be gone, and the jobs go on
                write(json.dumps(facts) + "\n")
        return True

    return tell


def main(descriptor: int, arguments: list[str]) -> None:
    """Run Snakemake; what it says of its jobs goes to an open file, which no job inherits."""
    from snakemake.cli import main as snakemake
    from snakemake.logging import logger

    os.set_inheritable(descriptor, False)
    # a filter stays, while Snakemake removes handlers when it sets its log up
    logger.addFilter(teller(lambda line: os.write(descriptor, line.encode())))
    sys.argv = ["snakemake", *arguments]
    snakemake()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
