"""The options of the commands that ask Snakemake."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

Commands = Any  # argparse's own type of subparsers is private


def add_plan(commands: Commands) -> None:
    command = commands.add_parser(
        "plan",
        help="what a run of the workflow will cost: jobs, hours, disk",
        description="Print what is still to run of a config and what it costs; needs Snakemake. Nothing of it is run.",
    )
    command.add_argument("targets", nargs="*", metavar="TARGET", help="as for Snakemake, by default everything")
    _add_workflow(command)
    command.add_argument("--job-minutes", type=float, default=20, metavar="M", help="as in the profile")


def add_demo(commands: Commands) -> None:
    command = commands.add_parser(
        "demo",
        help="the workflow with a picture at once, a line a stage and the time left",
        description="Run a config from its data to the page; needs Snakemake and a checkout. What is done stays.",
    )
    command.add_argument("--picture", action="store_true", help="the first picture alone, which needs neither")
    _add_workflow(command)


def _add_workflow(command: argparse.ArgumentParser) -> None:
    command.add_argument("--configfile", type=Path, default=Path("config/config.yaml"), metavar="CONFIG.yaml")
    command.add_argument("--snakefile", type=Path, default=Path("Snakefile"), metavar="FILE")
    command.add_argument(
        "--cores", type=int, default=os.cpu_count(), metavar="N", help="by default all of this machine"
    )
