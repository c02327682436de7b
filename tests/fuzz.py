"""Seeded mutations of every kind of file that is read: ``python -m tests.fuzz [--count N] [--seed S]``.

A mutated file has a right result, the one of the file before or of a plain copy that another reader makes of it, or it
ends in a clear error. Everything else is a fault: another exception, a warning, a wrong result in silence, an error
that does not name the file, something half-written, more than `SECONDS` or `MEMORY`.
"""

from __future__ import annotations

import argparse
import logging
import re
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from tqdm import tqdm

from smgicnet.core.errors import InputError
from tests.support.fuzz_files import (
    archive_base,
    config_base,
    copy_archive,
    copy_config,
    copy_table,
    copy_weights,
    mutate_archive,
    mutate_config,
    mutate_table,
    mutate_weights,
    run_archive,
    run_config,
    run_table,
    run_weights,
    table_base,
    weights_base,
)
from tests.support.fuzz_images import (
    Fault,
    Kind,
    copy_image,
    field_base,
    image_base,
    mutate_image,
    run_field,
    run_image,
)

SECONDS = 20  # a mutation
MEMORY = 8 * 2**30  # bytes of address space, beyond what is taken at the start
LONGEST = 20_000  # characters of a message
RATE = 8  # mutations a second, roughly


KINDS = {
    "headers": Kind("NIfTI and MGH headers", image_base, mutate_image, run_image, copy_image),
    "fields": Kind("fields and affines", field_base, mutate_image, run_field, copy_image),
    "tables": Kind("tables", table_base, mutate_table, run_table, copy_table),
    "configs": Kind("configs", config_base, mutate_config, run_config, copy_config),
    "weights": Kind("weights", weights_base, mutate_weights, run_weights, copy_weights),
    "archives": Kind("archives", archive_base, mutate_archive, run_archive, copy_archive),
}


class TooSlow(BaseException):
    """Not an `Exception`, which code that reads damaged files may take for damage."""


@dataclass(frozen=True)
class Outcome:
    """``verdict`` is right, error or fault; ``text`` says what was done to the file and what came of it."""

    kind: str
    number: int
    verdict: str
    text: str


@contextmanager
def bounded() -> Iterator[None]:
    """At most `MEMORY` more than now."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@contextmanager
def timed() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow(f"more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def same(one: object, other: object) -> bool:
    """Whether results are equal, numbers to what float32 and the rounding of headers leave of them."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray | float) and isinstance(other, np.ndarray | float):
        largest = np.nanmax(np.abs(other), initial=0) if np.isfinite(other).any() else 0
        return np.shape(one) == np.shape(other) and np.allclose(one, other, 1e-3, 1e-3 + 1e-5 * largest, True)
    return one == other


def attempt(kind: str, number: int, seed: int, folder: Path) -> Outcome:
    """One mutation, below ``folder``."""
    what = "nothing yet"
    try:
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always")
            verdict, what, text = _attempt(KINDS[kind], [seed, list(KINDS).index(kind), number], folder)
        if remarks:
            verdict, text = "fault", f"a warning: {remarks[0].message} ({Path(remarks[0].filename).name})"
    except Fault as fault:
        what, text = fault.args if len(fault.args) == 2 else (what, str(fault))
        verdict = "fault"
    return Outcome(kind, number, verdict, f"{what}: {text}")


def _attempt(kind: Kind, seeds: list[int], folder: Path) -> tuple[str, str, str]:
    random = np.random.default_rng(seeds)
    good, bad, plain = (folder / name for name in ("good", "bad", "plain"))
    good.mkdir(parents=True)
    name = kind.base(good, random)
    shutil.copytree(good, bad)
    with np.errstate(all="ignore"):
        what = f"{name}, {kind.mutate(bad / name, random)}"
    before = contents(bad)

    def run(where: Path) -> object:
        return kind.run(where, name, np.random.default_rng([*seeds, 1]))

    try:
        with timed():
            result = run(bad)
    except InputError as error:
        message = str(error)
        if contents(bad) != before:
            raise Fault(what, f"{sorted(contents(bad).items() ^ before.items())[0][0]} was written") from error
        if not re.search(rf"{re.escape(name.split('.')[0])}|source\.", message) or len(message) > LONGEST:
            raise Fault(what, f"{len(message)} characters that do not name it: {message[:300]}") from error
        return "error", what, message[:300]
    except Fault as fault:
        raise Fault(what, str(fault)) from fault
    except (Exception, TooSlow, SystemExit) as error:
        where = next(one for one in reversed(traceback.extract_tb(error.__traceback__)) if "/fuzz" not in one[0])
        place = f"{Path(where.filename).name}:{where.lineno}"
        raise Fault(what, f"{type(error).__name__} at {place}: {str(error)[:300]}") from error
    after = contents(bad)
    if any(after.get(key) != value for key, value in before.items()) or any(".part-" in key for key in after):
        raise Fault(what, "an input was changed, or a part was left")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if same(result, run(good)):
            return "right", what, "as before"
        try:
            shutil.copytree(good, plain, ignore=shutil.ignore_patterns("out*"))
            for one in bad.glob(f"{name.split('.')[0]}.*"):
                shutil.copy(one, plain)
            kind.copy(plain / name)
            expected = run(plain)
        except (Exception, RecursionError) as error:
            raise Fault(what, f"taken in silence, and another reader says {type(error).__name__}: {error}") from error
    if not same(result, expected):
        raise Fault(what, "another result than of a plain copy of it")
    return "right", what, "as a plain copy"


def fuzz(tasks: list[tuple[str, int]], seed: int) -> Iterator[Outcome]:
    """The outcome of each mutation, a kind and its number."""
    logger = logging.getLogger()
    level, handler = logger.level, logging.NullHandler()
    logger.addHandler(handler)  # so that no command adds one that prints
    logging.disable(logging.CRITICAL)
    try:
        with bounded():
            for kind, number in tasks:
                with TemporaryDirectory() as folder:
                    yield attempt(kind, number, seed, Path(folder))
    finally:
        logging.disable(logging.NOTSET)
        logger.removeHandler(handler)
        logger.setLevel(level)


def table_of(outcomes: list[Outcome]) -> str:
    rows = ["| kind of file | mutations | right result | clear error | faults |", "|---|---|---|---|---|"]
    for kind, about in KINDS.items():
        verdicts = [one.verdict for one in outcomes if one.kind == kind]
        counts = [len(verdicts), *(verdicts.count(one) for one in ("right", "error", "fault"))]
        rows.append(f"| {about.what} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=3000, metavar="N", help="mutations in all")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--only", metavar="KIND:NUMBER", help=f"one mutation again, or a KIND: {', '.join(KINDS)}")
    arguments = parser.parse_args(argv)
    tasks = [(kind, number) for number in range(arguments.count) for kind in KINDS][: arguments.count]
    if arguments.only:
        kind, _, number = arguments.only.partition(":")
        tasks = [(kind, int(number))] if number else [(kind, one) for one in range(arguments.count)]
    torch.set_num_threads(1)
    print(f"{len(tasks):,} mutated files with seed {arguments.seed}, about {len(tasks) / RATE / 60:.0f} minutes")
    outcomes = list(tqdm(fuzz(tasks, arguments.seed), total=len(tasks), unit="file", disable=None))
    print(table_of(outcomes))
    faults = [one for one in outcomes if one.verdict == "fault"]
    for one in faults or outcomes[: len(outcomes) == 1]:
        print(f"\npython -m tests.fuzz --seed {arguments.seed} --only {one.kind}:{one.number}\n  {one.text}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
