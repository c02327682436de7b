"""The cost of a run before anything of it runs: jobs, hours, disk. ``smgicnet plan`` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smgicnet.commands.dry_run import PlannedJob, makespan, planned_jobs
from smgicnet.commands.measured_costs import MeasuredCosts
from smgicnet.config.completion import load
from smgicnet.core.errors import InputError
from smgicnet.core.layout import costs_file
from smgicnet.core.provenance import hardware
from smgicnet.jobs.decisions import decide
from smgicnet.jobs.study import Study

OTHER_WORK = 0.5  # seconds of work of a job whose rule says none


@dataclass
class RuleCosts:
    """The costs of the jobs of one rule together.

    ``jobs``: their number. ``seconds``: from start to end. ``cpu_seconds``: of the processors, of jobs without a GPU.
    ``gpu_seconds``: of those with one. ``guessed``: whether the time is a guess. All are 0 or false by default.
    """

    jobs: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    guessed: bool = False

    def add(self, job: PlannedJob, cores: int) -> None:
        """Count a job that runs on a machine of so many cores."""
        self.jobs += 1
        self.seconds += job.seconds
        self.guessed |= job.guessed
        if job.gpus:
            self.gpu_seconds += job.seconds
        else:
            self.cpu_seconds += job.seconds * min(job.threads, cores)


def plan(
    configfile: Path, *, snakefile: Path, cores: int, targets: Sequence[str] = (), job_minutes: float = 20
) -> dict[str, float]:
    """Print what a run of ``targets`` would cost now; returns the totals.

    Keys: ``jobs``, ``seconds`` (wall clock on this machine with so many cores), ``cpu_hours``, ``gpu_hours`` (of jobs
    that ask for a GPU, on the processor where there is none), ``gigabytes``. Raises `InputError` for a config that
    cannot be planned, or no workflow.
    """
    if not snakefile.is_file():
        raise InputError(snakefile, "no such file", "Start it in a checkout, or name its Snakefile by --snakefile")
    config = load(configfile)
    costs = MeasuredCosts(Study(config, decide(config, conda=False)))
    costs.measure()
    otherwise = costs.found["start_seconds"]["other"] + OTHER_WORK
    jobs = planned_jobs(configfile, snakefile, cores, targets, job_minutes, otherwise=otherwise)
    rows: dict[str, RuleCosts] = {}
    for job in jobs:
        rows.setdefault(job.rule, RuleCosts()).add(job, cores)
    totals = {
        "jobs": len(jobs),
        "seconds": makespan(jobs, cores),
        "cpu_hours": sum(row.cpu_seconds for row in rows.values()) / 3600,
        "gpu_hours": sum(row.gpu_seconds for row in rows.values()) / 3600,
        "gigabytes": sum(job.kilobytes for job in jobs) / 1e6,
    }
    source = "a calibration" if costs.measured_now else "what was measured before"
    print(f"What {configfile} has still to run, by {source} on {hardware()}:\n")
    _print(rows, totals, cores) if jobs else print("nothing: all is there.")
    return totals


def _print(rows: Mapping[str, RuleCosts], totals: Mapping[str, float], cores: int) -> None:
    gpu = "GPU" in hardware() or "NVIDIA" in hardware()
    print(f"{'job':24}{'jobs':>7}{'each':>10}{'CPU hours':>12}{'GPU hours' if gpu else 'GPU hours*':>12}")
    for rule, row in sorted(rows.items(), key=lambda item: -item[1].seconds):
        each = duration(row.seconds / row.jobs) + "?" * row.guessed
        hours = f"{_hours(row.cpu_seconds / 3600):>12}{_hours(row.gpu_seconds / 3600):>12}"
        print(f"{rule:24}{row.jobs:>7,}{each:>10}{hours}")
    print(f"{'all':24}{totals['jobs']:>7,}{'':>10}{_hours(totals['cpu_hours']):>12}{_hours(totals['gpu_hours']):>12}\n")
    print(f"on this machine, {cores} cores and one job at a time that wants a GPU: about {duration(totals['seconds'])}")
    print(f"disk: about {totals['gigabytes']:.1f} GB, without what is downloaded")
    if not gpu:
        print("* there is no GPU here: hours of these jobs on this processor, not of a GPU")
    if any(row.guessed for row in rows.values()):
        print("? not measured here: a guess")
    print(f"measured costs: {costs_file()}; the workflow sizes its jobs by them")


def duration(seconds: float) -> str:
    """Return a time in words: 40 s, 12 min, 3.5 h, 12 days."""
    for unit, length in (("days", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= length:
            value = seconds / {"days": 86_400, "h": 3600, "min": 60}[unit]
            return f"{value:.1f} {unit}" if value < 10 else f"{value:,.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _hours(hours: float) -> str:
    return "-" if not hours else f"{hours:,.3f}" if hours < 1 else f"{hours:,.1f}" if hours < 100 else f"{hours:,.0f}"
