"""The jobs that Snakemake would run now, and how long they take together on one machine."""

from __future__ import annotations

import heapq
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smgicnet.core.errors import InputError

JOB = re.compile(r"^\s*(?:local)?(?:rule|checkpoint) (\w+):$")


@dataclass
class PlannedJob:
    """A job of the dry run: its rule, wildcards, files, threads and GPUs."""

    rule: str
    wildcards: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    gpus: int = 0
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def dry_run(configfile: Path, snakefile: Path, cores: int, targets: Sequence[str]) -> list[PlannedJob]:
    """The jobs that Snakemake would run now. Raises `InputError` with what it says when it cannot plan them."""
    command = [sys.executable, "-m", "snakemake", *targets, "--dry-run", "--nocolor", "--snakefile", str(snakefile)]
    command += ["--configfile", str(configfile), "--cores", str(cores)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        raise InputError(sys.executable, str(error), "Install this project with its workflow extra") from None
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-12:])
        raise InputError(configfile, f"Snakemake cannot plan it:\n{tail}\n", "Correct what it says")
    return list(read_jobs(done.stdout.splitlines()))


def read_jobs(lines: Iterable[str]) -> Iterator[PlannedJob]:
    """The jobs in the output of a dry run, without those that only name targets."""
    job = None
    for line in lines:
        if match := JOB.match(line):
            job = PlannedJob(match[1])
            continue
        key, _, value = line.strip().partition(": ")
        if job is None:
            continue
        if key == "input":
            job.inputs = value.split(", ")
        elif key == "output":
            job.outputs = value.split(", ")
        elif key == "wildcards":
            job.wildcards = dict(one.split("=", 1) for one in value.split(", "))
        elif key == "threads":
            job.threads = int(value)
        elif key == "resources":
            match = re.search(r"\bgpu=(\d+)", value)
            job.gpus = int(match[1]) if match else 0
            if job.outputs:
                yield job
            job = None


def makespan(jobs: Sequence[PlannedJob], seconds: Callable[[PlannedJob], float], cores: int) -> float:
    """Seconds until all are done: each starts when its inputs are there, with ``cores`` and one GPU to share.

    As Snakemake does it here, one job at a time that wants a GPU. Those that most depends on go first.
    """
    lengths = [seconds(job) for job in jobs]
    maker = {path: number for number, job in enumerate(jobs) for path in job.outputs}
    before = [{maker[path] for path in job.inputs if path in maker} - {number} for number, job in enumerate(jobs)]
    after: list[list[int]] = [[] for _ in jobs]
    for number, needed in enumerate(before):
        for one in needed:
            after[one].append(number)
    rest = _longest_paths(lengths, before, after)
    waiting = [len(needed) for needed in before]
    ready = sorted((n for n in range(len(jobs)) if not waiting[n]), key=lambda n: -rest[n])
    now, free, gpu_free, running = 0.0, cores, True, []
    while ready or running:
        for number in list(ready):
            threads = min(jobs[number].threads, cores)
            if threads <= free and (gpu_free or not jobs[number].gpus):
                ready.remove(number)
                free -= threads
                gpu_free = gpu_free and not jobs[number].gpus
                heapq.heappush(running, (now + lengths[number], number))
        now, done = heapq.heappop(running)
        free += min(jobs[done].threads, cores)
        gpu_free = gpu_free or bool(jobs[done].gpus)
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
