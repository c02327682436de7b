"""The options of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from smgicnet import __version__
from smgicnet.commands import wording
from smgicnet.commands.choices import CONTRASTS, DEFORMABLE, ROUNDS, STRIPPING, TRANSFORMS
from smgicnet.commands.workflow_options import Commands, add_demo, add_plan
from smgicnet.core.shipped import DEFAULT
from smgicnet.imaging.headers import MEANINGS
from smgicnet.imaging.placement import FORMS

INTERPOLATIONS = ("linear", "cubic", "lanczos", "nearest", "label")
QUALITIES = ("fast", "default", "best")


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
        description="Register a moving scan to a fixed one. Both show heads or brains, in any orientation, pose and "
        "voxel size; nothing has to be aligned before. The last line that is printed is the verdict (docs/verdict.md).",
    )
    stays = command.add_mutually_exclusive_group(required=True)
    stays.add_argument("--fixed", type=Path, metavar="F.nii.gz", help=wording.OF_FIXED)
    stays.add_argument("--to", metavar="T", help=wording.OF_TEMPLATE)
    command.add_argument("--moving", type=Path, required=True, metavar="M.nii.gz", help=wording.OF_MOVING_SCAN)
    strip = _add_how(command)
    command.add_argument("--refine", type=int, metavar="N", help=wording.OF_REFINING)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help=wording.OF_OUT)
    formats = (*wording.FORMATS, "h5", "lta")
    command.add_argument("--format", action="extend", nargs="+", choices=formats, metavar="F", help=wording.OF_FORMAT)
    command.add_argument("--strict", action="store_true", help=wording.OF_STRICT)
    command.add_argument("--jacobian", action="store_true", help=wording.OF_JACOBIAN)
    command.add_argument(
        "--also", action="extend", nargs="+", default=[], type=Path, metavar="M2", help=wording.OF_OTHERS
    )
    for end in ("fixed", "moving"):
        command.add_argument(f"--mask-{end}", type=Path, metavar="L.nii.gz", help=wording.OF_MASK.format(end))
    strip.add_argument("--stripped", action="store_true", help=wording.OF_STRIPPED)


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
        description="Pull images of the moving person onto the fixed image's grid by transforms of any tool, in one "
        "interpolation (docs/transforms.md). Points and surfaces go the other way, from the fixed image to the "
        "moving one; to bring those of the moving image to the fixed one, give the inverse transforms.",
    )
    command.add_argument("input", nargs="+", type=Path, metavar="INPUT", help=wording.OF_INPUTS)
    command.add_argument(
        "-t", "--transform", action="extend", nargs="+", required=True, metavar="T", help=wording.OF_TRANSFORMS
    )
    command.add_argument("--to", type=Path, required=True, metavar="F.nii.gz", help=wording.OF_GRID)
    command.add_argument("--out", type=Path, required=True, metavar="OUT", help=wording.OF_RESULTS)
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
        description="Register every T1w image of a BIDS dataset, of all sessions and runs, to a template, and write "
        "derivatives and a page for each subject (docs/bids.md). Images that are done already are left as they are. "
        "The exit status is 1 where an image could not be registered.",
    )
    command.add_argument("bids_dir", type=Path, metavar="BIDS_DIR", help="The root folder of the dataset.")
    command.add_argument("out", type=Path, metavar="OUT", help=wording.OF_DERIVATIVES)
    command.add_argument("level", choices=("participant", "group"), help=wording.OF_LEVEL)
    command.add_argument("--to", metavar="T", help=wording.OF_BIDS_TEMPLATE)
    command.add_argument(
        "--participant-label", action="extend", nargs="+", default=[], metavar="SUB", help=wording.OF_SUBJECTS
    )
    _add_how(command)


def _add_template(commands: Commands) -> None:
    command = commands.add_parser(
        "template",
        help="make the mean image of a group of people",
        description="Make the mean image of a group of people, which has their mean size and shape and prefers nobody "
        "(docs/template.md). Each round registers the last mean image to everybody. A command that was interrupted "
        "goes on where it stopped when it is given again.",
    )
    command.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help=wording.OF_PEOPLE)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help=wording.OF_OUT)
    command.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=wording.OF_ROUNDS)
    command.add_argument("--spacing", type=float, metavar="MM", help=wording.OF_SPACING)
    _add_scans(command)


def _add_convert(commands: Commands) -> None:
    command = commands.add_parser(
        "convert",
        help="write a displacement field in another tool's format",
        description="Read a displacement field of one tool and write it for another, on the fixed image's grid "
        "(docs/transforms.md).",
    )
    command.add_argument("field", type=Path, metavar="FIELD", help="The field to read.")
    command.add_argument("out", type=Path, metavar="OUT.nii.gz", help="The field to write.")
    command.add_argument("--from", dest="read_as", choices=("itk", "fsl"), help=wording.OF_SOURCE_TOOL)
    command.add_argument("--as", dest="meaning", choices=MEANINGS, help=wording.OF_MEANING)
    command.add_argument(
        "--to", dest="write_as", choices=wording.FORMATS, required=True, help="The tool that the field is for."
    )
    command.add_argument("--fixed", type=Path, required=True, metavar="F.nii.gz", help="The fixed image of the field.")
    command.add_argument(
        "--moving", type=Path, required=True, metavar="M.nii.gz", help="The moving image of the field."
    )
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--abs", dest="absolute", action="store_true", default=None, help=wording.OF_ABSOLUTE)
    kind.add_argument("--rel", dest="absolute", action="store_false", default=None, help=wording.OF_RELATIVE)
    _add_header(command)


def _add_score(commands: Commands) -> None:
    command = commands.add_parser(
        "score",
        help="score transforms of any tool between two label maps: Dice, HD95, folds",
        description="Warp a label map by the transforms of any tool and print the metrics of this benchmark: Dice, "
        "HD95 in mm and folds (docs/transforms.md). Without --transform the maps are compared as they lie.",
    )
    for end, name in (("fixed", "A.nii.gz"), ("moving", "B.nii.gz")):
        text = wording.OF_LABELS[end]
        command.add_argument(f"--{end}-labels", type=Path, required=True, metavar=name, help=text)
    command.add_argument("--transform", action="extend", nargs="+", default=[], metavar="T", help=wording.OF_TRANSFORMS)
    command.add_argument("--moving", type=Path, metavar="M.nii.gz", help=wording.OF_SCORED_MOVING)
    for end in ("fixed", "moving"):
        command.add_argument(f"--{end}-landmarks", type=Path, metavar="L.csv", help=wording.OF_LANDMARKS.format(end))
    command.add_argument("--protocol", default="freesurfer", help=wording.OF_PROTOCOL)
    command.add_argument("--out", type=Path, metavar="SCORES.csv", help=wording.OF_SCORES)
    command.add_argument("--as", dest="meaning", choices=MEANINGS, help=wording.OF_MEANING)
    _add_header(command)


def _add_train(commands: Commands) -> None:
    command = commands.add_parser(
        "train",
        help="train and score a method of a config without Snakemake",
        description="Train a method and score it on subjects that `snakemake quality cohorts` has prepared.",
    )
    command.add_argument("config", type=Path, metavar="CONFIG.yaml", help="The config that prepared the subjects.")
    command.add_argument("method", metavar="METHOD", help="A method of the config that is trained.")
    command.add_argument("folder", type=Path, metavar="results/DATASET", help=wording.OF_PREPARED)
    command.add_argument("--seed", type=int, default=1, metavar="N", help=wording.OF_SEED)
    command.add_argument("--threads", type=int, metavar="N", help=wording.OF_OWN_THREADS)


def _add_train_tissues(commands: Commands) -> None:
    command = commands.add_parser(
        "train-tissues",
        help="train the network that names tissues for the refinement",
        description="Train, on FreeSurfer label maps of heads or brains in any pose, the network whose maps of tissues "
        "a refinement compares beside the images.",
    )
    command.add_argument("out", type=Path, metavar="OUT.pt", help="The file of the network. Its record is OUT.json.")
    command.add_argument("--train", nargs="+", type=Path, required=True, metavar="LABELS", help=wording.OF_TRAINING)
    command.add_argument("--val", nargs="+", type=Path, required=True, metavar="LABELS", help=wording.OF_VALIDATING)
    command.add_argument("--steps", type=int, default=3000, metavar="N", help=wording.OF_STEPS)
    command.add_argument("--seed", type=int, default=1, metavar="N", help=wording.OF_SEED)
    command.add_argument("--threads", type=int, metavar="N", help=wording.OF_THREADS)


def _add_import(commands: Commands) -> None:
    command = commands.add_parser(
        "import-weights",
        help="convert published weights of LapIRN or ICNet",
        description="Convert the authors' .pth file. A config names the result as a method's `weights`.",
    )
    command.add_argument("method", choices=("lapirn", "icnet"), help="The method that the weights are of.")
    command.add_argument("source", type=Path, metavar="FILE.pth", help="The authors' file.")
    command.add_argument("out", type=Path, metavar="OUT.pt", help="The weights file to write.")
    command.add_argument("--variant", choices=("diff", "disp"), help=wording.OF_VARIANT)
    command.add_argument("--orientation", metavar="AXES", help=wording.OF_AXES)


def _add_export(commands: Commands) -> None:
    command = commands.add_parser(
        "export-weights",
        help="write weights in half precision, to pass them on",
        description="Write trained weights in half the size. `smgicnet register` takes them as it takes others.",
    )
    command.add_argument("source", type=Path, metavar="W.pt", help="The file weights.pt of the last level.")
    command.add_argument("out", type=Path, metavar="OUT.pt", help="The weights file to write.")


def _add_check(commands: Commands) -> None:
    command = commands.add_parser(
        "check",
        help="open every file of a cohort and list all that is wrong",
        description="Check a config, a participants.tsv or a BIDS folder without running anything. The exit status is "
        "1 if there are problems.",
    )
    command.add_argument("cohort", type=Path, metavar="COHORT", help="A config, a participants.tsv or a BIDS folder.")
    command.add_argument("--jobs", type=int, metavar="N", help=wording.OF_FILES)
    _add_header(command)


def _add_verify(commands: Commands) -> None:
    command = commands.add_parser(
        "verify",
        help="check that tables are what their metrics give",
        description="Make tables again from the metrics that the JSON files beside them name, and compare them. Each "
        "table gets a line, ok or DIFFERS. The exit status is 1 if a table differs.",
    )
    command.add_argument("paths", nargs="+", type=Path, metavar="PATH", help=wording.OF_TABLES)


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
