"""The options of the commands that ask Snakemake."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from smgicnet.commands import wording

Commands = Any  # argparse's own type of subparsers is private


def add_plan(commands: Commands) -> None:
    command = commands.add_parser(
        "plan",
        help="estimate the cost of a run of the workflow: jobs, hours, disk",
        description="Print what a run of the workflow has still to do and what that costs on this machine: jobs, hours "
        "and disk. Nothing of the run itself is done, but costs that are not known yet are measured first, which can "
        "take minutes. Snakemake has to be installed.",
    )
    command.add_argument("targets", nargs="*", metavar="TARGET", help=wording.OF_TARGETS)
    _add_workflow(command)
    command.add_argument("--job-minutes", type=float, default=20, metavar="M", help=wording.OF_JOB_MINUTES)


def add_demo(commands: Commands) -> None:
    command = commands.add_parser(
        "demo",
        help="run the workflow with a picture at once, a line a stage and the time left",
        description="Run a config from its data to the page. A picture of two registered people comes first, each "
        "stage of the run gets a line with the time left, and the log goes to a file. After a stop the same command "
        "continues the run. Snakemake and a checkout of the project are needed.",
    )
    command.add_argument("--picture", action="store_true", help=wording.OF_PICTURE)
    _add_workflow(command)


def _add_workflow(command: argparse.ArgumentParser) -> None:
    config, snakefile = Path("config/config.yaml"), Path("Snakefile")
    command.add_argument("--configfile", type=Path, default=config, metavar="FILE", help=wording.OF_CONFIG)
    command.add_argument("--snakefile", type=Path, default=snakefile, metavar="FILE", help=wording.OF_SNAKEFILE)
    command.add_argument("--cores", type=int, metavar="N", help=wording.OF_CORES)
