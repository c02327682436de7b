"""The jobs that Snakemake would run now, by its API, and how long they take together on one machine."""

from __future__ import annotations

import heapq
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smgicnet.core.errors import InputError
from smgicnet.core.files import PACKAGE

LINES_SHOWN = 12  # of what Snakemake says when it cannot plan


@dataclass(frozen=True)
class PlannedJob:
    """A job that is still to run, with the resources that its rule names.

    ``rule``: the rule's name. ``threads``, ``gpus``: how many it takes. ``seconds``: from its start to its end.
    ``kilobytes``: of its results. ``guessed``: whether its time is a guess. ``inputs``, ``outputs``: its files.
    """

    rule: str
    threads: int
    gpus: int
    seconds: float
    kilobytes: int
    guessed: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def planned_jobs(
    configfile: Path,
    snakefile: Path,
    cores: int,
    targets: Sequence[str],
    job_minutes: float,
    *,
    otherwise: float,
    costs: Path | None = None,
) -> list[PlannedJob]:
    """Return the jobs that Snakemake would run now, without those that only name targets.

    ``otherwise``: seconds of a job whose rule says none. ``costs``: a file of costs for what was not measured here.
    Snakemake runs in a process of its own, since it changes the one that it is in. Raises `InputError` with what it
    says when it cannot plan them.
    """
    machine = {"job_minutes": job_minutes} | ({"costs": str(costs)} if costs else {})
    request = {"configfile": str(configfile), "snakefile": str(snakefile), "cores": cores, "targets": list(targets)}
    request |= {"machine": machine, "otherwise": otherwise}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "jobs.json"
        command = [sys.executable, "-m", "smgicnet.commands.dry_run", json.dumps(request), str(out)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=with_package(),
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-LINES_SHOWN:])
            raise InputError(configfile, f"Snakemake cannot plan it:\n{tail}\n", "Correct what it says")
        jobs = json.loads(out.read_text())
    return [PlannedJob(**{**job, "inputs": tuple(job["inputs"]), "outputs": tuple(job["outputs"])}) for job in jobs]


def with_package() -> dict[str, str]:
    """Return the environment of a program that finds this package in any folder."""
    search_path = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": search_path}


class _Jobs(logging.Handler):
    """Keeps what Snakemake's dry run says of each job, as data."""

    def __init__(self, otherwise: float):
        super().__init__()
        self.found: list[PlannedJob] = []
        self._otherwise = otherwise

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the job of a record, if the record is of a job."""
        from snakemake_interface_logger_plugins.common import LogEvent

        said: Any = record
        if getattr(record, "event", None) != LogEvent.JOB_INFO or not said.output:
            return
        resources = dict(said.resources.items())
        self.found.append(
            PlannedJob(
                said.rule_name,
                said.threads,
                resources.get("gpu", 0),
                resources["expected_ms"] / 1000 if "expected_ms" in resources else self._otherwise,
                resources.get("kilobytes", 0),
                bool(resources.get("guessed")),
                tuple(map(str, said.input)),
                tuple(map(str, said.output)),
            )
        )


def _ask_snakemake(request: Mapping) -> list[PlannedJob]:
    """The jobs of a dry run in this process. Exits with 1 after Snakemake has said what is wrong."""
    try:
        from snakemake.api import SnakemakeApi
        from snakemake.logging import logger
        from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings
    except ImportError as error:
        raise SystemExit(f"{error}: install this project with its workflow extra") from None
    jobs = _Jobs(request["otherwise"])
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        try:
            logger.addHandler(jobs)
            config = ConfigSettings(configfiles=[Path(request["configfile"])], config=request["machine"])
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=request["cores"]),
                config_settings=config,
                snakefile=Path(request["snakefile"]),
            )
            # files of a run that was killed count as work to do, as with the profile's rerun-incomplete
            dag = workflow.dag(dag_settings=DAGSettings(targets=set(request["targets"]), force_incomplete=True))
            dag.execute_workflow(executor="dryrun")
        except Exception as error:
            api.print_exception(error)
            raise SystemExit(1) from None
    return jobs.found


def makespan(jobs: Sequence[PlannedJob], cores: int, networks: int = 1) -> float:
    """Return the seconds until all are done: each starts when its inputs are there; ``cores`` are shared.

    As Snakemake does it here, ``networks`` jobs at a time that want a GPU. Those that most depends on go first.
    """
    lengths = [job.seconds for job in jobs]
    maker = {path: number for number, job in enumerate(jobs) for path in job.outputs}
    before = [{maker[path] for path in job.inputs if path in maker} - {number} for number, job in enumerate(jobs)]
    after: list[list[int]] = [[] for _ in jobs]
    for number, needed in enumerate(before):
        for one in needed:
            after[one].append(number)
    rest = _longest_paths(lengths, before, after)
    waiting = [len(needed) for needed in before]
    ready = sorted((n for n in range(len(jobs)) if not waiting[n]), key=lambda n: -rest[n])
    now, free, gpus_free = 0.0, cores, networks
    running: list[tuple[float, int]] = []
    while ready or running:
        for number in list(ready):
            threads = min(jobs[number].threads, cores)
            if threads <= free and min(jobs[number].gpus, networks) <= gpus_free:
                ready.remove(number)
                free -= threads
                gpus_free -= min(jobs[number].gpus, networks)
                heapq.heappush(running, (now + lengths[number], number))
        now, done = heapq.heappop(running)
        free += min(jobs[done].threads, cores)
        gpus_free += min(jobs[done].gpus, networks)
        for number in after[done]:
            waiting[number] -= 1
            if not waiting[number]:
                ready.append(number)
        ready.sort(key=lambda n: -rest[n])
    return now


def _longest_paths(lengths: Sequence[float], before: Sequence[set[int]], after: Sequence[list[int]]) -> list[float]:
    """Of each job: seconds from its start until all that needs it is done, if nothing has to wait."""
    rest = list(lengths)
    open_after = [len(one) for one in after]
    last = [number for number, count in enumerate(open_after) if not count]
    while last:
        number = last.pop()
        for one in before[number]:
            rest[one] = max(rest[one], lengths[one] + rest[number])
            open_after[one] -= 1
            if not open_after[one]:
                last.append(one)
    return rest


if __name__ == "__main__":
    found = _ask_snakemake(json.loads(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps([asdict(job) for job in found]))
