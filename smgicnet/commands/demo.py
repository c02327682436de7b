"""The workflow for the impatient: a picture at once, a line for each stage with the time left, and who wins."""

from __future__ import annotations

import glob
import json
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from smgicnet.commands.dry_run import planned_jobs
from smgicnet.commands.lines import Lines
from smgicnet.commands.plan import OTHER_WORK, duration
from smgicnet.commands.progress import Progress, stage_of
from smgicnet.commands.stopper import STOPPED, Stopper
from smgicnet.config.completion import load
from smgicnet.core.errors import InputError, printable
from smgicnet.core.layout import DEMO, RESULTS, shipped_costs
from smgicnet.jobs.decisions import decide
from smgicnet.jobs.needs import STARTS
from smgicnet.jobs.study import Study
from smgicnet.publication.report.headline import leads

SHOWN = 20  # lines of a log that are shown after a failure
LOCKED = "cannot be locked"  # what Snakemake says where another run is at work, or was killed
PICTURE = "a picture of two people's brains, registered by the weights that come with the package"


def run_demo(configfile: Path, snakefile: Path, cores: int) -> int:
    """Run a config from nothing to its page and say how it goes; returns the exit status.

    The first picture and everything that Snakemake says go to files in the folder `DEMO`. Raises `InputError` for a
    config that cannot be planned, and where there is no workflow.
    """
    if not snakefile.is_file():
        remedy = "Give this command in a checkout of the project, or `smgicnet demo --picture` for the picture alone"
        raise InputError(snakefile, "no such file: the workflow is not here", remedy)
    lines = Lines(sys.stdout)
    demo = Demo(configfile, snakefile, cores, lines)
    with demo.stopper.watch(), lines:
        try:
            return demo.run()
        except InputError:
            if not demo.stopper.asked:  # a stop ends the dry run as well
                raise
            return demo.stop()


def draw_first(out: Path) -> None:
    """Draw the picture alone and say where it is."""
    from smgicnet.commands.demo_picture import draw_pair

    print(f"Drawing {PICTURE} ...", flush=True)
    print("\n".join(said_of(draw_pair(out))))


def said_of(facts: dict[str, Any]) -> list[str]:
    """Return the lines that describe the first pair; ``facts`` are what `demo_picture.draw_pair` returns."""
    true = f"true error {facts['before_mm']:.1f} mm before, {facts['after_mm']:.1f} mm after"
    return [f"The picture: {Path(facts['picture']).resolve()}", f"  verdict {facts['verdict']}", f"  {true}"]


class Demo:
    """One run with its programs and its progress."""

    def __init__(self, configfile: Path, snakefile: Path, cores: int, lines: Lines):
        self.configfile, self.snakefile, self.cores, self.lines = configfile, snakefile, cores, lines
        self.folder, self.stopper = Path(DEMO), Stopper(lines.say)
        self.picture: subprocess.Popen | None = None
        self.failed: list[dict[str, Any]] = []  # what `watched_snakemake` says of jobs that failed
        self.log = self.folder / "run.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.networks = 1 if glob.glob("/dev/nvidia[0-9]*") else 2  # without a GPU, two networks share the processors
        self.began = time.monotonic()

    def run(self) -> int:
        """Run it all; returns the exit status."""
        self.lines.say(
            f"{self.configfile} is run from its data to the tables, the figures and the page. Planning its jobs ..."
        )
        config = load(self.configfile)
        self.study = Study(config, decide(config, conda=False))
        with open(self.log, "a") as log:
            self.start_of_log = log.tell()
            self.picture = self._draw(log)
            code = self._snakemake(log, self._plan())
            self._show()
            if code == 0 and not self.stopper.asked:
                self.lines.say(self._line("Snakemake's report of the run", None))
                report = ["--report", f"{RESULTS}/report.html", *self._arguments()]
                code = self.stopper.popen([sys.executable, "-m", "snakemake", *report], stdout=log, stderr=log).wait()
        if self.stopper.asked and code:
            return self.stop()
        self._ending() if code == 0 else self._failure()
        return 1 if code else 0

    def stop(self) -> int:
        """Say that it was stopped on request; returns the exit status."""
        self.lines.say("Stopped. The same command continues the run; what is done is kept.")
        return STOPPED

    def _draw(self, log: IO[str]) -> subprocess.Popen | None:
        """Start to draw the picture, unless it is there."""
        picture = self.folder / "picture.png"
        if picture.is_file():
            self.lines.say(f"The picture of the first pair: {picture.resolve()}")
            return None
        self.lines.say(f"First comes {PICTURE}.")
        command = [sys.executable, "-m", "smgicnet.commands.demo_picture", str(self.folder), "1"]
        return self.stopper.popen(command, stdout=subprocess.PIPE, stderr=log)

    def _show(self) -> None:
        """Wait for the picture's program; say where the picture is and what is known of the pair."""
        picture, self.picture = self.picture, None
        if picture:
            said, _ = picture.communicate()
            if picture.returncode == 0:
                for line in said_of(json.loads(said)):
                    self.lines.say(line)
            elif not self.stopper.asked:
                self.lines.say(f"The picture could not be drawn; {self.log} says why.")

    def _plan(self) -> Progress:
        costs = shipped_costs(self.configfile)
        given = {"otherwise": STARTS["other"] + OTHER_WORK, "costs": costs if costs.is_file() else None}
        jobs = planned_jobs(self.configfile, self.snakefile, self.cores, [], 20, **given)
        progress = Progress(jobs, self.cores, self.networks)
        seconds = progress.left(0)
        if jobs:
            self.lines.say(
                f"It takes about {duration(seconds)} on {_cores(self.cores)} ({len(jobs):,} jobs), and longer beside "
                "other work. The time left is corrected by what the jobs have taken."
            )
        else:
            self.lines.say("Everything is there already.")
        self.lines.say(f"Snakemake's log is {self.log}. Ctrl-C stops the run, and the same command continues it.")
        return progress

    def _arguments(self) -> list[str]:
        return ["--snakefile", str(self.snakefile), "--configfile", str(self.configfile)]

    def _snakemake(self, log: IO[str], progress: Progress) -> int:
        """Run the workflow and follow it; returns Snakemake's exit status."""
        reading, writing = os.pipe()
        arguments = ["--cores", str(self.cores), "--resources", f"gpu={self.networks}", *self._arguments()]
        command = [sys.executable, "-m", "smgicnet.commands.watched_snakemake", str(writing), *arguments]
        child = self.stopper.popen(command, stdout=log, stderr=log, pass_fds=(writing,))
        os.close(writing)
        follower = Follower(progress, self.study, self._line, self.lines)
        for said in told(reading):
            for event in said:
                if event["event"] != "failed":
                    follower.hear(event)
                elif not self.stopper.asked:  # a job that was asked to stop has not failed
                    follower.hear(event)
                    self.failed.append(event)
            self.stopper.acknowledge()
            follower.tick()
            if self.picture and self.picture.poll() is not None:
                self._show()
        return child.wait()

    def _line(self, stage: str, left: float | None) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        ahead = "" if left is None else f"about {duration(left)} left"
        return f"{minutes:3}:{seconds:02}  {stage:70} {ahead}".rstrip()

    def _failure(self) -> None:
        said = _read(self.log, self.start_of_log)
        of_jobs = [Path(log) for event in self.failed for log in event["log"]]
        first = next(((log, lines) for log in of_jobs if log.is_file() and (lines := _read(log))), (self.log, said))
        path, shown = first
        self.lines.say(f"The run failed. The end of {path}:\n")
        for line in shown[-SHOWN:]:
            self.lines.say(f"  | {line}")
        self.lines.say(f"\nSnakemake's log: {self.log.resolve()}")
        if any(LOCKED in line for line in said):
            self.lines.say(
                "Another run is at work in this folder, or was killed. If there is none, this unlocks the folder: "
                f"{sys.executable} -m snakemake --unlock {' '.join(self._arguments())}"
            )
        self.lines.say("Once the cause is mended, the same command continues the run; what is done is kept.")

    def _ending(self) -> None:
        self.lines.say(f"\nDone after {duration(time.monotonic() - self.began)}.")
        labels = self.study.labels(self.study.runs)
        for dataset in self.study.datasets:
            paths = self.study.paths(dataset)
            self.lines.say(f"\nWho wins on {dataset} ({paths.table('table1', 'md')}):")
            for sentence in leads(paths.table("table1", "csv"), labels):
                self.lines.say(f"  {sentence}")
            page = Path(paths.page)
            if page.is_file():
                self.lines.say(f"Open this page: {page.resolve()}")
        self.lines.say("\nWhat to do next:")
        activate = Path(sys.executable).parent / "activate"
        if activate.is_file() and not shutil.which("smgicnet"):
            self.lines.say(f"  {'bring the commands below into the shell':46} . {activate}")
        for what, command in NEXT:
            self.lines.say(f"  {what:46} {command}")


NEXT = (
    ("register two scans of your own", "smgicnet register --fixed A.nii.gz --moving B.nii.gz --out DIR"),
    ("bring a BIDS dataset to a template", "smgicnet bids BIDS_DIR OUT participant"),
    ("compare methods on scans of your own", "docs/cohorts.md"),
    ("add the methods that come with their weights", "snakemake --cores 1 weights, then this command again"),
    ("check the tables against the measurements", f"smgicnet verify {RESULTS}"),
)


def _cores(number: int) -> str:
    return "1 core" if number == 1 else f"{number} cores"


def _read(log: Path, start: int = 0) -> list[str]:
    """Return the lines of a log from a place on, without what a terminal would obey."""
    with open(log, errors="replace") as file:
        file.seek(start)
        return printable(file.read()).splitlines()


class Follower:
    """Says when a stage begins, and how long the run may still take."""

    def __init__(self, progress: Progress, study: Study, line: Callable[[str, float | None], str], lines: Lines):
        self._progress, self._study, self._line, self._lines = progress, study, line, lines
        self._stages: dict[int, str] = {}
        self._said: set[str] = set()

    def hear(self, event: dict[str, Any]) -> None:
        """Take in what `watched_snakemake` says."""
        now, job = time.monotonic(), event["job"]
        if event["event"] == "started" and event["output"]:
            self._progress.start(job, event["rule"], event["output"], now)
            stage = self._stages[job] = stage_of(event["rule"], event["wildcards"], self._study)
            if stage not in self._said:
                self._said.add(stage)
                self._lines.say(self._line(stage, self._progress.left(now)))
        elif event["event"] == "finished":
            self._progress.finish(job, now)
            self._stages.pop(job, None)
        elif event["event"] == "failed":
            self._lines.say(self._line(f"failed: {self._stages.pop(job, event['rule'])}", None))

    def tick(self) -> None:
        """Renew the last line of a terminal."""
        if self._lines.live and self._stages:
            left = duration(self._progress.left(time.monotonic()))
            jobs = f"{self._progress.ended} of {len(self._progress.jobs)} jobs"
            now = "; ".join(dict.fromkeys(self._stages.values()))
            self._lines.show(self._line(f"about {left} left, {jobs}: {now}", None))


def told(descriptor: int, every: float = 1.0) -> Iterator[list[dict[str, Any]]]:
    """Yield what comes as lines of JSON from an open file until its other end is closed; [] where nothing comes."""
    rest = b""
    with selectors.DefaultSelector() as selector, open(descriptor, "rb", buffering=0) as file:
        selector.register(file, selectors.EVENT_READ)
        while True:
            if not selector.select(every):
                yield []
                continue
            content = file.read(65536)
            if not content:
                return
            *whole, rest = (rest + content).split(b"\n")
            yield [json.loads(line) for line in whole]
