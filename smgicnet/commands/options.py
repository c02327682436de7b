"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from smgicnet import __version__
from smgicnet.commands import wording
from smgicnet.commands.choices import CONTRASTS, DEFORMABLE, ROUNDS, STRIPPING, TRANSFORMS
from smgicnet.commands.workflow_options import add_demo, add_plan
from smgicnet.core.shipped import DEFAULT
from smgicnet.imaging.headers import MEANINGS
from smgicnet.imaging.placement import FORMS

INTERPOLATIONS = ("linear", "cubic", "lanczos", "nearest", "label")
QUALITIES = ("fast", "default", "best")


Commands = Any  # argparse's own type of subparsers is private


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; ``command`` of what it parses is the command's name."""
    parser = argparse.ArgumentParser(
        prog="smgicnet", description="Register brain MRI of different people without affine pre-registration."
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser


def _add_register(commands: Commands) -> None:
    command = commands.add_parser(
        "register",
        help="register one pair of scans",
        description="Register a moving scan to a fixed one: heads or brains, in any orientation and spacing.",
    )
    stays = command.add_mutually_exclusive_group(required=True)
    stays.add_argument("--fixed", type=Path, metavar="F.nii.gz", help="the image that stays")
    stays.add_argument("--to", metavar="T", help=wording.OF_TEMPLATE)
    command.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help="the image that is warped")
    strip = _add_how(command)
    command.add_argument("--refine", type=int, metavar="N", help=wording.OF_REFINING)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    command.add_argument(
        "--format",
        action="extend",
        nargs="+",
        choices=(*wording.FORMATS, "h5", "lta"),
        metavar="F",
        help=f"{wording.OF_FIELDS}; {wording.OF_H5}",
    )
    command.add_argument("--strict", action="store_true", help=wording.OF_STRICT)
    command.add_argument("--jacobian", action="store_true", help=wording.OF_JACOBIAN)
    command.add_argument(
        "--also", action="extend", nargs="+", default=[], type=Path, metavar="M2", help=wording.OF_OTHERS
    )
    for end in ("fixed", "moving"):
        command.add_argument(f"--mask-{end}", type=Path, metavar="L.nii.gz", help=wording.OF_MASK.format(end))
    strip.add_argument("--stripped", action="store_true", help="both are brains, even where one looks like a head")


def _add_how(command: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Add how scans are registered, a pair or a dataset; returns the group of what says how heads are stripped."""
    command.add_argument("--transform", choices=TRANSFORMS, default=DEFORMABLE, metavar="T", help=wording.OF_TRANSFORM)
    command.add_argument("--contrast", choices=CONTRASTS, default="auto", help=wording.OF_CONTRAST)
    return _add_scans(command)


def _add_scans(command: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """Add by what T1 scans are registered, and how they are read; returns the group of how heads are stripped."""
    command.add_argument("--weights", default=DEFAULT, metavar="W", help=wording.OF_WEIGHTS)
    command.add_argument("--quality", choices=QUALITIES, metavar="Q", help=wording.OF_QUALITY)
    strip = command.add_mutually_exclusive_group()
    strip.add_argument("--skull-strip", choices=STRIPPING, default="auto", metavar="TOOL", help=wording.OF_STRIPPING)
    _add_header(command)
    return strip


def _add_apply(commands: Commands) -> None:
    command = commands.add_parser(
        "apply",
        help="bring images, label maps, series and points along with transforms",
        description="Pull images onto the fixed image's grid, in one interpolation, by transforms of any tool "
        "(docs/transforms.md). Points go the other way: those of the fixed image (CSV, .fcsv, GIfTI surface) to the "
        "moving one; for the way back give the inverse transforms.",
    )
    command.add_argument("input", nargs="+", type=Path, metavar="INPUT", help="images of one volume or more, or points")
    command.add_argument(
        "-t", "--transform", action="extend", nargs="+", required=True, metavar="T", help=wording.OF_TRANSFORMS
    )
    command.add_argument("--to", type=Path, required=True, metavar="F.nii.gz", help="the fixed image: its grid counts")
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help="the result, or a folder for several")
    command.add_argument(
        "-n", "--interpolation", choices=INTERPOLATIONS, default="linear", metavar="K", help=wording.OF_INTERPOLATION
    )
    command.add_argument("--moving", type=Path, metavar="M.nii.gz", help=wording.OF_MOVING)
    command.add_argument("--as", dest="meaning", choices=MEANINGS, help=wording.OF_MEANING)
    _add_header(command)


def _add_bids(commands: Commands) -> None:
    command = commands.add_parser(
        "bids",
        help="a BIDS App: register every T1w image of a dataset to a template",
        description="Register every T1w image of a BIDS dataset, of all sessions and runs, and write derivatives, a "
        "page a subject and one of the group. What is done already stays; 1 where an image could not be registered.",
    )
    command.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="the dataset's root")
    command.add_argument("out", type=Path, metavar="OUT", help="a folder for the derivatives")
    command.add_argument("level", choices=("participant", "group"), help="images, or the table and page of all")
    command.add_argument(
        "--to",
        metavar="T",
        help=f"{wording.OF_TEMPLATE}; {wording.OF_OWN_TEMPLATE}",
    )
    command.add_argument(
        "--participant-label", action="extend", nargs="+", default=[], metavar="SUB", help="these alone, without sub-"
    )
    _add_how(command)


def _add_template(commands: Commands) -> None:
    command = commands.add_parser(
        "template",
        help="the mean image of a group of people",
        description="Make the mean image of a group of people, of their mean size and shape: the mean of the "
        "velocities is 0. Each round registers the last mean to everybody. What is done already stays.",
    )
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="T1 scans of heads or brains")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    command.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=wording.OF_ROUNDS)
    command.add_argument("--spacing", type=float, metavar="MM", help="of its voxels; the scans', by default, or 1 mm")
    _add_scans(command)


def _add_convert(commands: Commands) -> None:
    command = commands.add_parser(
        "convert",
        help="a displacement field in another tool's format",
        description="Write a displacement field for another tool, on the fixed image's grid (docs/transforms.md).",
    )
    command.add_argument("field", type=Path, metavar="FIELD", help="the field to read")
    command.add_argument("out", type=Path, metavar="OUT.nii.gz", help="the field to write")
    command.add_argument(
        "--from", dest="read_as", choices=("itk", "fsl"), help="the tool it is from, by default as it says"
    )
    command.add_argument("--as", dest="meaning", choices=MEANINGS, help=wording.OF_MEANING)
    command.add_argument("--to", dest="write_as", choices=wording.FORMATS, required=True, help="the tool it is for")
    command.add_argument("--fixed", type=Path, required=True, metavar="F.nii.gz", help="the image that stays")
    command.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help="the image that is warped")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--abs", dest="absolute", action="store_true", default=None, help="FSL's warp holds coordinates")
    kind.add_argument("--rel", dest="absolute", action="store_false", default=None, help="it holds displacements")
    _add_header(command)


def _add_score(commands: Commands) -> None:
    command = commands.add_parser(
        "score",
        help="Dice, HD95, folds of any tool's transforms between two label maps",
        description="Warp a label map by ITK or FSL transforms and print the workflow's metrics (docs/transforms.md).",
    )
    command.add_argument(
        "--fixed-labels", type=Path, required=True, metavar="A.nii.gz", help="labels of the fixed image"
    )
    command.add_argument("--moving-labels", type=Path, required=True, metavar="B.nii.gz", help="those that are warped")
    command.add_argument("--transform", action="extend", nargs="+", default=[], metavar="T", help=wording.OF_TRANSFORMS)
    command.add_argument(
        "--moving", type=Path, metavar="M.nii.gz", help="the image of FSL's warp, if B has another grid"
    )
    for end, of in (("fixed", "A"), ("moving", "B")):
        command.add_argument(f"--{end}-landmarks", type=Path, metavar="L.csv", help=wording.OF_LANDMARKS.format(of))
    command.add_argument(
        "--protocol", default="freesurfer", help="freesurfer (the default), a2009s, aparc.DKT, seg35, or a table"
    )
    command.add_argument("--out", type=Path, metavar="SCORES.csv", help="write them too: a row a metric and ROI")
    command.add_argument("--as", dest="meaning", choices=MEANINGS, help=wording.OF_MEANING)
    _add_header(command)


def _add_train(commands: Commands) -> None:
    command = commands.add_parser(
        "train",
        help="train and score a method of a config without Snakemake",
        description="Train a method and score it on subjects that `snakemake quality cohorts` has prepared.",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.yaml", help="the config that prepared them")
    command.add_argument("method", metavar="METHOD", help="one of its methods that are trained")
    command.add_argument("folder", type=Path, metavar="results/DATASET", help="the prepared subjects, and the results")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="of the training, by default 1")
    command.add_argument("--threads", type=int, metavar="N", help="on processors, by default as in the config")


def _add_train_tissues(commands: Commands) -> None:
    command = commands.add_parser(
        "train-tissues",
        help="train the network that names tissues for the refinement",
        description="Train, on FreeSurfer label maps of heads or brains in any pose, the network whose maps of tissues "
        "a refinement compares beside the images.",
    )
    command.add_argument("out", type=Path, metavar="OUT.pt", help="the network; its record is OUT.json")
    command.add_argument("--train", nargs="+", type=Path, required=True, metavar="LABELS", help="of people who train")
    command.add_argument("--val", nargs="+", type=Path, required=True, metavar="LABELS", help="of people who validate")
    command.add_argument("--steps", type=int, default=3000, metavar="N", help="by default 3000")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="of the training, by default 1")
    command.add_argument("--threads", type=int, metavar="N", help="by default all processors")


def _add_import(commands: Commands) -> None:
    command = commands.add_parser(
        "import-weights",
        help="convert published weights of LapIRN or ICNet",
        description="Convert the .pth file that the authors publish; name the result as a method's `weights`.",
    )
    command.add_argument("method", choices=("lapirn", "icnet"))
    command.add_argument("source", type=Path, metavar="FILE.pth", help="the authors' file")
    command.add_argument("out", type=Path, metavar="OUT.pt", help="the weights file to write")
    command.add_argument("--variant", choices=("diff", "disp"), help="of LapIRN; by default from the file's name")
    command.add_argument("--orientation", metavar="AXES", help="of the authors' images, such as LPS (see the docs)")


def _add_export(commands: Commands) -> None:
    command = commands.add_parser(
        "export-weights",
        help="weights in half precision, to be passed on",
        description="Write trained weights in half the size; `register` takes them as it takes the others.",
    )
    command.add_argument("source", type=Path, metavar="W.pt", help="weights.pt of the last level")
    command.add_argument("out", type=Path, metavar="OUT.pt", help="the weights file to write")


def _add_check(commands: Commands) -> None:
    command = commands.add_parser(
        "check",
        help="open every file of a cohort, and say all that is wrong",
        description="Check a config, a participants.tsv or a BIDS folder without running anything; 1 for problems.",
    )
    command.add_argument("cohort", type=Path, metavar="COHORT", help="CONFIG.yaml, participants.tsv or a BIDS folder")
    command.add_argument("--jobs", type=int, metavar="N", help="files opened at a time, by default at most 4")
    _add_header(command)


def _add_verify(commands: Commands) -> None:
    command = commands.add_parser(
        "verify",
        help="whether tables are what their metrics give",
        description="Make tables again from the metrics that their JSONs name, and compare them; 1 if one differs.",
    )
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="a table, its JSON, or a folder of results"
    )


def _add_header(command: argparse.ArgumentParser) -> None:
    command.add_argument("--header", choices=FORMS, help=wording.OF_HEADER)


_COMMANDS = (
    *(
        _add_register,
        _add_apply,
        _add_bids,
        _add_template,
        _add_convert,
        _add_score,
        _add_train,
        _add_train_tissues,
        _add_import,
        _add_export,
    ),
    *(_add_check, add_plan, add_demo, _add_verify),
)
