"""The command line. No logic: each command calls one function of the package."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from smgicnet import __version__
from smgicnet.core.errors import InputError, printable
from smgicnet.core.interruption import REQUEUE, Interrupted
from smgicnet.imaging.headers import FORMS, MEANINGS
from smgicnet.methods.shipped import DEFAULT, find_weights

FORMATS = ("itk", "fsl", "learn2reg")
_of_refining = "iterations on this pair, after the network: more exact, and slower"
_of_weights = f"weights.pt of the last level, or the name of weights that come with the package; by default {DEFAULT}"
_of_fields = f"of the displacement fields: one or more of {', '.join(FORMATS)}; itk by default"
_of_header = "where an image lies whose NIfTI header names two places; without it such an image is refused"
_of_meaning = (
    "what the vectors of a field are that does not say it itself: lps and ras in mm (ITK; NiftyReg, older SynthMorph), "
    "FSL's relative or absolute mm, voxels (Learn2Reg)"
)
_of_transforms = "in the order of antsApplyTransforms: an ITK or FSL warp, ANTs' 0GenericAffine.mat, [FILE.mat,1]"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="smgicnet", description="Register brain MRI of different people without affine pre-registration."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    register = commands.add_parser(
        "register",
        help="register one pair of scans",
        description="Register a moving scan to a fixed one. Both are skull-stripped, in any orientation and spacing.",
    )
    register.add_argument("--fixed", type=Path, required=True, metavar="F.nii.gz", help="the image that stays")
    register.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help="the image that is warped")
    register.add_argument("--weights", default=DEFAULT, metavar="W", help=_of_weights)
    register.add_argument("--refine", type=int, metavar="N", help=_of_refining)
    register.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    register.add_argument("--format", action="extend", nargs="+", choices=FORMATS, metavar="F", help=_of_fields)
    register.add_argument("--stripped", action="store_true", help="both are brains, even where one looks like a head")
    _add_header(register)
    register.set_defaults(run=_register)

    convert = commands.add_parser(
        "convert",
        help="a displacement field in another tool's format",
        description="Write a displacement field for another tool, on the fixed image's grid (docs/transforms.md).",
    )
    convert.add_argument("field", type=Path, metavar="FIELD", help="the field to read")
    convert.add_argument("out", type=Path, metavar="OUT.nii.gz", help="the field to write")
    convert.add_argument(
        "--from", dest="read_as", choices=("itk", "fsl"), help="the tool it is from, by default as it says"
    )
    convert.add_argument("--as", dest="meaning", choices=MEANINGS, help=_of_meaning)
    convert.add_argument("--to", dest="write_as", choices=FORMATS, required=True, help="the tool it is for")
    convert.add_argument("--fixed", type=Path, required=True, metavar="F.nii.gz", help="the image that stays")
    convert.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help="the image that is warped")
    kind = convert.add_mutually_exclusive_group()
    kind.add_argument("--abs", dest="absolute", action="store_true", default=None, help="FSL's warp holds coordinates")
    kind.add_argument("--rel", dest="absolute", action="store_false", default=None, help="it holds displacements")
    _add_header(convert)
    convert.set_defaults(run=_convert)

    score = commands.add_parser(
        "score",
        help="Dice, HD95, folds of any tool's transforms between two label maps",
        description="Warp a label map by ITK or FSL transforms and print the workflow's metrics (docs/transforms.md).",
    )
    score.add_argument("--fixed-labels", type=Path, required=True, metavar="A.nii.gz", help="labels of the fixed image")
    score.add_argument("--moving-labels", type=Path, required=True, metavar="B.nii.gz", help="those that are warped")
    score.add_argument("--transform", action="extend", nargs="+", default=[], metavar="T", help=_of_transforms)
    score.add_argument("--moving", type=Path, metavar="M.nii.gz", help="the image of FSL's warp, if B has another grid")
    score.add_argument(
        "--protocol", default="freesurfer", help="freesurfer (the default), a2009s, aparc.DKT, seg35, or a table"
    )
    score.add_argument("--out", type=Path, metavar="SCORES.csv", help="write them too: a row a metric and ROI")
    score.add_argument("--as", dest="meaning", choices=MEANINGS, help=_of_meaning)
    _add_header(score)
    score.set_defaults(run=_score)

    train = commands.add_parser(
        "train",
        help="train and score a method of a config without Snakemake",
        description="Train a method and score it on subjects that `snakemake quality cohorts` has prepared.",
    )
    train.add_argument("config", type=Path, metavar="CONFIG.yaml", help="the config that prepared them")
    train.add_argument("method", metavar="METHOD", help="one of its methods that are trained")
    train.add_argument("folder", type=Path, metavar="results/DATASET", help="the prepared subjects, and the results")
    train.add_argument("--seed", type=int, default=1, metavar="N", help="of the training, by default 1")
    train.add_argument("--threads", type=int, default=2, metavar="N", help="on processors, by default 2")
    train.set_defaults(run=_train)

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

    export = commands.add_parser(
        "export-weights",
        help="weights in half precision, to be passed on",
        description="Write trained weights in half the size; `register` takes them as it takes the others.",
    )
    export.add_argument("source", type=Path, metavar="W.pt", help="weights.pt of the last level")
    export.add_argument("out", type=Path, metavar="OUT.pt", help="the weights file to write")
    export.set_defaults(run=_export)

    check = commands.add_parser(
        "check",
        help="open every file of a cohort, and say all that is wrong",
        description="Check a config, a participants.tsv or a BIDS folder without running anything; 1 for problems.",
    )
    check.add_argument("cohort", type=Path, metavar="COHORT", help="CONFIG.yaml, participants.tsv or a BIDS folder")
    check.add_argument("--jobs", type=int, metavar="N", help="files opened at a time, by default at most 4")
    _add_header(check)
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


def _add_header(command: argparse.ArgumentParser) -> None:
    command.add_argument("--header", choices=FORMS, help=_of_header)


def _register(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.register import register_images  # torch costs seconds: not for --help

    formats = dict.fromkeys(arguments.format or ["itk"])  # each once, in the order given
    weights = find_weights(arguments.weights)
    files = register_images(
        arguments.fixed,
        arguments.moving,
        weights,
        arguments.out,
        tuple(formats),
        arguments.refine,
        form=arguments.header,
        stripped=arguments.stripped,
    )
    for name, path in files.items():
        print(f"{name.replace('_', ' ')}: {path}")


def _convert(arguments: argparse.Namespace) -> None:
    from smgicnet.imaging.transform_chain import convert_field

    convert_field(
        arguments.field,
        arguments.out,
        read_as=arguments.read_as,
        write_as=arguments.write_as,
        fixed=arguments.fixed,
        moving=arguments.moving,
        absolute=arguments.absolute,
        meaning=arguments.meaning,
        form=arguments.header,
    )
    print(arguments.out)


def _score(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.score import main as score

    score(
        arguments.fixed_labels,
        arguments.moving_labels,
        arguments.transform,
        arguments.out,
        mapping=arguments.protocol,
        moving_image=arguments.moving,
        meaning=arguments.meaning,
        form=arguments.header,
    )


def _train(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.train import train_and_score

    train_and_score(
        arguments.config, arguments.method, arguments.folder, seed=arguments.seed, threads=arguments.threads
    )


def _import(arguments: argparse.Namespace) -> None:
    from smgicnet.methods.published_weights import import_weights

    count = import_weights(
        arguments.method,
        arguments.source,
        arguments.out,
        variant=arguments.variant,
        orientation=arguments.orientation,
    )
    print(f"{arguments.out}: {count:,} parameters of {arguments.method}")


def _export(arguments: argparse.Namespace) -> None:
    from smgicnet.core.files import require_distinct
    from smgicnet.methods.weights import export_weights

    require_distinct([arguments.out], [arguments.source])
    export_weights(arguments.source, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


def _check(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.check import main as check

    return check(arguments.cohort, arguments.jobs, arguments.header)


def _plan(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.plan import plan

    plan(
        arguments.configfile,
        snakefile=arguments.snakefile,
        cores=arguments.cores,
        targets=arguments.targets,
        job_minutes=arguments.job_minutes,
    )


def _verify(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.verify import main as verify

    return verify(arguments.paths)


def main(argv: list[str] | None = None) -> int:
    """Run a command; 1 for problems that `check` or `verify` found, 2 for what the user can mend, said in one line.

    75 (`REQUEUE`) for a training that was asked to stop and goes on when it is started again.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except InputError as error:
        print(f"smgicnet {arguments.command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(f"smgicnet {arguments.command}: {stopped}", file=sys.stderr)
        return REQUEUE


if __name__ == "__main__":
    sys.exit(main())
