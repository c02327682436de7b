"""The command line, which holds no logic: each command calls one function of the package."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from smgicnet.commands.options import make_parser
from smgicnet.core.errors import InputError, printable
from smgicnet.core.extras import EXTRAS, missing_package
from smgicnet.core.interruption import REQUEUE, Interrupted
from smgicnet.core.process import keep_waiting_short
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.templates import TemplateFile, find_template

NOT_GOOD = 3


def _register(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.register import register_images  # torch costs seconds: not for --help
    from smgicnet.commands.registering import Settings

    template = find_template(arguments.to) if arguments.to else TemplateFile(arguments.fixed, "")
    settings = Settings(
        quality=arguments.quality,
        refine=arguments.refine,
        transform=arguments.transform,
        skull_strip="none" if arguments.stripped else arguments.skull_strip,
        contrast=arguments.contrast,
        left_out=(arguments.mask_fixed, arguments.mask_moving),
        form=arguments.header,
    )
    files, verdict = register_images(
        template.path,
        arguments.moving,
        find_weights(arguments.weights),
        arguments.out,
        settings,
        formats=arguments.format and tuple(dict.fromkeys(arguments.format)),  # each once, in the order given
        also=arguments.also,
        jacobian=arguments.jacobian,
        space=template.space,
    )
    for name, path in files.items():
        print(f"{name.replace('_', ' ')}: {path}")
    if verdict is not None:
        print(verdict)
    return 0 if not arguments.strict or (verdict is not None and verdict.is_good) else NOT_GOOD


def _bids(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.bids import run_app
    from smgicnet.commands.registering import Settings

    settings = Settings(
        quality=arguments.quality,
        transform=arguments.transform,
        skull_strip=arguments.skull_strip,
        contrast=arguments.contrast,
        form=arguments.header,
    )
    weights = find_weights(arguments.weights)
    labels = arguments.participant_label
    failed = run_app(arguments.bids_dir, arguments.out, arguments.level, arguments.to, settings, weights, labels)
    return 1 if failed else 0


def _apply(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.apply import apply_transforms

    files = apply_transforms(
        arguments.input,
        arguments.transform,
        arguments.to,
        arguments.out,
        interpolation=arguments.interpolation,
        moving=arguments.moving,
        meaning=arguments.meaning,
        form=arguments.header,
    )
    print("\n".join(map(str, files)))


def _template(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.registering import Settings
    from smgicnet.commands.template import make_template

    settings = Settings(quality=arguments.quality, skull_strip=arguments.skull_strip, form=arguments.header)
    weights = find_weights(arguments.weights)
    rounds, spacing = arguments.rounds, arguments.spacing
    files = make_template(arguments.images, arguments.out, weights, settings, rounds=rounds, spacing=spacing)
    for name, path in files.items():
        print(f"{name}: {path}")


def _convert(arguments: argparse.Namespace) -> None:
    from smgicnet.imaging.transform_chain import Declaration, convert_field

    convert_field(
        arguments.field,
        arguments.out,
        write_as=arguments.write_as,
        fixed=arguments.fixed,
        moving=arguments.moving,
        declared=Declaration(arguments.read_as, arguments.meaning, arguments.absolute),
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
        landmarks=(arguments.fixed_landmarks, arguments.moving_landmarks),
        meaning=arguments.meaning,
        form=arguments.header,
    )


def _train(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.train import train_and_score

    train_and_score(
        arguments.config, arguments.method, arguments.folder, seed=arguments.seed, threads=arguments.threads
    )


def _train_tissues(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.train_tissues import train

    maps = {"train": arguments.train, "val": arguments.val}
    train(arguments.out, maps, steps=arguments.steps, seed=arguments.seed, threads=arguments.threads)


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


def _cores(arguments: argparse.Namespace) -> int:
    return (os.cpu_count() or 1) if arguments.cores is None else arguments.cores


def _plan(arguments: argparse.Namespace) -> None:
    from smgicnet.commands.plan import plan

    plan(
        arguments.configfile,
        snakefile=arguments.snakefile,
        cores=_cores(arguments),
        targets=arguments.targets,
        job_minutes=arguments.job_minutes,
    )


def _demo(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.demo import draw_first, run_demo
    from smgicnet.core.layout import DEMO

    if arguments.picture:
        draw_first(Path(DEMO))
        return 0
    return run_demo(arguments.configfile, arguments.snakefile, _cores(arguments))


def _verify(arguments: argparse.Namespace) -> int:
    from smgicnet.commands.verify import main as verify

    return verify(arguments.paths)


RUN: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "register": _register,
    "apply": _apply,
    "bids": _bids,
    "template": _template,
    "convert": _convert,
    "score": _score,
    "train": _train,
    "train-tissues": _train_tissues,
    "import-weights": _import,
    "export-weights": _export,
    "check": _check,
    "plan": _plan,
    "demo": _demo,
    "verify": _verify,
}


def main(argv: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    It is 1 for problems that `check` or `verify` found and for images that `bids` could not register, 2 for a problem
    that the user can mend and that is told in one line, `NOT_GOOD` for a pair whose registration is not known to be
    good, where `register` is strict, 75 (`REQUEUE`) for a training that was asked to stop and
    goes on when it is started again, and 130 for a `demo` that was.
    """
    keep_waiting_short()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells of the list of fonts that it makes once
    arguments = make_parser().parse_args(argv)
    try:
        return RUN[arguments.command](arguments) or 0
    except InputError as error:
        print(f"smgicnet {arguments.command}: {printable(str(error))}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"smgicnet {arguments.command}: {missing_package(error.name)}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(f"smgicnet {arguments.command}: {stopped}", file=sys.stderr)
        return REQUEUE


if __name__ == "__main__":
    sys.exit(main())
