"""The command line. No logic: each command calls one function of the package."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from smgicnet import __version__
from smgicnet.errors import InputError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smgicnet", description="Register brain MRI of different people without affine pre-registration."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    register = commands.add_parser(
        "register",
        help="register one pair of scans with trained weights",
        description="Register a moving scan to a fixed one. Both are skull-stripped, in any orientation and spacing.",
    )
    register.add_argument("--fixed", type=Path, required=True, metavar="F.nii.gz", help="the image that stays")
    register.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help="the image that is warped")
    register.add_argument("--weights", type=Path, required=True, metavar="W.pt", help="weights.pt of the last level")
    register.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    register.set_defaults(run=_register)

    imports = commands.add_parser(
        "import-weights",
        help="convert published weights of LapIRN or ICNet",
        description="Convert the .pth file that the authors publish; name the result as a method's `weights`.",
    )
    imports.add_argument("method", choices=("lapirn", "icnet"))
    imports.add_argument("source", type=Path, metavar="FILE.pth", help="the authors' file")
    imports.add_argument("out", type=Path, metavar="OUT.pt", help="the weights file to write")
    imports.add_argument("--variant", choices=("diff", "disp"), help="of LapIRN; by default from the file's name")
    imports.add_argument("--orientation", metavar="AXES", help="of the authors' images, such as LPS (see the docs)")
    imports.set_defaults(run=_import)

    check = commands.add_parser(
        "check",
        help="open every file of a cohort, and say all that is wrong",
        description="Check a config, a participants.tsv or a BIDS folder without running anything; 1 for problems.",
    )
    check.add_argument("cohort", type=Path, metavar="COHORT", help="CONFIG.yaml, participants.tsv or a BIDS folder")
    check.add_argument("--jobs", type=int, metavar="N", help="files opened at a time, by default at most 4")
    check.set_defaults(run=_check)

    plan = commands.add_parser(
        "plan",
        help="what a run of the workflow will cost: jobs, hours, disk",
        description="Print what is still to run of a config and what it costs; needs Snakemake. Nothing of it is run.",
    )
    plan.add_argument("targets", nargs="*", metavar="TARGET", help="as for Snakemake, by default everything")
    plan.add_argument("--configfile", type=Path, default=Path("config/config.yaml"), metavar="CONFIG.yaml")
    plan.add_argument("--snakefile", type=Path, default=Path("Snakefile"), metavar="FILE")
    plan.add_argument("--cores", type=int, default=os.cpu_count(), metavar="N", help="by default all of this machine")
    plan.add_argument("--job-minutes", type=float, default=20, metavar="M", help="as in the profile")
    plan.set_defaults(run=_plan)

    verify = commands.add_parser(
        "verify",
        help="whether tables are what their metrics give",
        description="Make tables again from the metrics that their JSONs name, and compare them; 1 if one differs.",
    )
    verify.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a table, its JSON, or a folder of results")
    verify.set_defaults(run=_verify)
    return parser


def _register(arguments: argparse.Namespace) -> None:
    from smgicnet.register_pair import register_images  # torch costs seconds: not for --help

    files = register_images(arguments.fixed, arguments.moving, arguments.weights, arguments.out)
    for name, path in files.items():
        print(f"{name.replace('_', ' ')}: {path}")


def _import(arguments: argparse.Namespace) -> None:
    from smgicnet.published_weights import import_weights

    count = import_weights(
        arguments.method,
        arguments.source,
        arguments.out,
        variant=arguments.variant,
        orientation=arguments.orientation,
    )
    print(f"{arguments.out}: {count:,} parameters of {arguments.method}")


def _check(arguments: argparse.Namespace) -> int:
    from smgicnet.check import main as check

    return check(arguments.cohort, arguments.jobs)


def _plan(arguments: argparse.Namespace) -> None:
    from smgicnet.plan import plan

    plan(
        arguments.configfile,
        snakefile=arguments.snakefile,
        cores=arguments.cores,
        targets=arguments.targets,
        job_minutes=arguments.job_minutes,
    )


def _verify(arguments: argparse.Namespace) -> int:
    from smgicnet.verify import main as verify

    return verify(arguments.paths)


def main(argv: list[str] | None = None) -> int:
    """Run a command; 1 for problems that `check` or `verify` found, 2 for what the user can mend, said in one line."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except InputError as error:
        print(f"smgicnet {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
