"""``smgicnet check``: open every file of a cohort before hours are spent, and say all that is wrong at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from smgicnet.cohort.bids import read_bids
from smgicnet.cohort.files import SubjectCheck, check_cohort_files
from smgicnet.cohort.kinds.contract import Source
from smgicnet.cohort.kinds.participants import Participants
from smgicnet.cohort.participants import SPLITS
from smgicnet.cohort.sources import SOURCES, inspect_cohort
from smgicnet.config.completion import load
from smgicnet.config.schemas import schema
from smgicnet.core.errors import InputError, attempt, printable
from smgicnet.core.layout import DatasetPaths
from smgicnet.core.shipped import find_weights
from smgicnet.imaging.grids import Grid
from smgicnet.jobs.starting import tools_of
from smgicnet.jobs.study import Study
from smgicnet.preparation.label_protocols import label_table
from smgicnet.preparation.preprocessing import read_intensities
from smgicnet.preparation.tools import require_tools

MAX_JOBS = 4  # by default: each holds a scan and what becomes of it, about 1 GB at 256 cubed
LISTED = 5  # names in a line


@dataclass
class Cohort:
    """One dataset to check."""

    name: str  # of the dataset in the config, or of the file or folder
    source: Source
    preprocessing: Mapping  # a completed block of the config
    grid: Grid | None  # the common grid; None where there is no config
    table: pd.DataFrame | None = None  # the participants, indexed by subject; None where they cannot be read
    problems: list[InputError] = field(default_factory=list)
    checks: list[SubjectCheck] = field(default_factory=list)  # what the files of each subject hold


@dataclass(frozen=True)
class CheckReport:
    """A report: its ``text`` for a person, with all ``problems`` numbered in it."""

    text: str
    problems: tuple[InputError, ...]


def main(path: str | Path, jobs: int | None = None, header: str | None = None) -> int:
    """Print the report; the exit code, 1 when there are problems."""
    report = check(path, jobs, header)
    print(report.text)
    return 1 if report.problems else 0


def check(path: str | Path, jobs: int | None = None, header: str | None = None) -> CheckReport:
    """Check a config (.yaml), a participants table (.tsv) or a BIDS folder in ``jobs`` processes.

    ``header``: the form, sform or qform, that decides where images lie, instead of the config's preprocessing.header.
    Every image, label map and mask is read to its end. Problems are collected, none is raised.
    """
    path = Path(path)
    jobs = jobs or min(MAX_JOBS, os.cpu_count() or 1)
    problems: list[InputError] = []
    cohorts = attempt(problems, _cohorts, path, problems) or []
    for cohort in cohorts:
        problems += cohort.problems
        if header:
            cohort.preprocessing = {**cohort.preprocessing, "header": header}
        if cohort.table is not None:
            cohort.checks = check_cohort_files(
                cohort.source.to_open(cohort.table), cohort.preprocessing, cohort.grid, jobs
            )
            problems += [problem for one in cohort.checks for problem in one.problems]
    unique = tuple({str(problem): problem for problem in problems}.values())
    return CheckReport(printable("\n".join([*map(_describe, cohorts), _verdict(path, unique)])), unique)


def _cohorts(path: Path, problems: list[InputError]) -> list[Cohort]:
    if os.path.isdir(path):
        return [_bids_folder(path)]
    if not os.path.isfile(path):
        kinds = "a config (.yaml), a participants table (.tsv) or a BIDS folder"
        raise InputError(path, "no such file or folder", f"Give {kinds}")
    if path.suffix not in (".yaml", ".yml"):
        return [_participants_table(path)]
    study = Study(load(path))
    for method in study.config["methods"].values():
        if method.get("weights"):
            from smgicnet.methods.weights import read_weights  # torch costs seconds

            attempt(problems, read_weights, find_weights(method["weights"]))
    attempt(problems, require_tools, tools_of(study, to_come=False))
    return [_dataset(study, name) for name in study.datasets]


def _default_preprocessing() -> dict:
    keys = schema("parts/preprocessing")["properties"]
    return {key: part["default"] for key, part in keys.items()}


def _dataset(study: Study, name: str) -> Cohort:
    """A dataset of a config."""
    dataset = study.datasets[name]
    preprocessing = dataset["preprocessing"]
    grid = Grid(tuple(dataset["grid"]["shape"]), dataset["grid"]["spacing"])
    source = SOURCES[dataset["source"]["kind"]](dataset["source"])
    cohort = Cohort(name, source, preprocessing, grid, *inspect_cohort(dataset, study.paths(name).cohort))
    if preprocessing["histogram_reference"]:
        attempt(cohort.problems, read_intensities, preprocessing["histogram_reference"])
    if attempt(cohort.problems, label_table, preprocessing["labels"]) is None:
        cohort.table = None  # no label map could be understood
    return cohort


def _participants_table(path: Path) -> Cohort:
    """A participants table without a config, which need not have splits yet."""
    source = Participants({"kind": "participants", "path": str(path), "splits": None, "seed": 0})
    cohort = Cohort(path.name, source, _default_preprocessing(), None)
    rows = source.rows()
    if rows is not None and "split" not in rows:
        cohort.table, cohort.problems = rows.set_index("subject"), source.name_problems(rows)
    else:
        dataset = {"source": source.block, "preprocessing": cohort.preprocessing}
        cohort.table, cohort.problems = inspect_cohort(dataset, DatasetPaths.of(path.name).cohort)
    return cohort


def _bids_folder(path: Path) -> Cohort:
    """A BIDS dataset without a config, with the label maps that its derivatives hold, if any."""
    keys = schema("sources/bids")["properties"]
    block = {key: part.get("default") for key, part in keys.items()} | {"kind": "bids", "path": str(path)}
    if any(not one.name.startswith(".") for one in path.glob("derivatives/*/sub-*/**/anat/*_dseg.nii*")):
        block["derivatives"] = str(path / "derivatives")
    cohort = Cohort(path.name, SOURCES["bids"](block), _default_preprocessing(), None)
    table = attempt(cohort.problems, read_bids, block)
    if table is not None and "split" in table:
        dataset = {"source": block, "preprocessing": cohort.preprocessing}
        cohort.problems += inspect_cohort(dataset, DatasetPaths.of(path.name).cohort)[1]
    cohort.table = None if table is None else table.set_index("subject")
    return cohort


def _describe(cohort: Cohort) -> str:
    """A paragraph on one dataset."""
    kind = cohort.source.block["kind"]
    lines = [f"{cohort.name} ({kind})"]
    if cohort.table is None:
        return f"{lines[0]}\n  cannot be read: see below\n"
    lines.append(_subjects_line(cohort))
    steps = cohort.preprocessing
    stripping = {True: "stripped", False: "with skull"}
    read = [one for one in cohort.checks if one.shape]
    if cohort.source.made:
        lines.append(f"files: none to open, they {cohort.source.made} when the workflow runs")
    else:
        lines += [
            f"files read: {len(read)} of {len(cohort.checks)}",
            "shapes: " + _counts(" x ".join(map(str, one.shape)) for one in read),
            "spacings in mm: " + _counts(" x ".join(f"{step:g}" for step in one.spacing) for one in read),
            "orientations: " + _counts(one.orientation for one in read),
            *_contents(cohort.checks, cohort.source.first_id_outside),
        ]
    if images := [one for one in read if one.stripped is not None]:
        lines.append("images: " + _counts(stripping[one.stripped] for one in images))
    if volumes := [one.brain_ml for one in read if one.brain_ml is not None]:
        lines.append(f"brain volume: {min(volumes):.0f} to {max(volumes):.0f} ml, median {np.median(volumes):.0f} ml")
    if not schema(f"sources/{kind}").get("images_come_stripped"):
        lines.append(
            f"steps: skull strip {steps['skull_strip']}, bias field {steps['bias_field']}, "
            f"segmentation {steps['segmentation']}, labels by {steps['labels']}"
        )
    if cohort.grid:
        lines.append(f"common grid: {' x '.join(map(str, cohort.grid.shape))} at {cohort.grid.spacing:g} mm")
    return "\n  ".join(lines) + "\n"


def _subjects_line(cohort: Cohort) -> str:
    table = cohort.table
    if "split" not in table:
        return f"subjects: {len(table)}, not divided into splits yet"
    counts = table["split"].value_counts()
    excluded = int(counts.get("", 0))
    pairs = sum(len(group) * (len(group) - 1) // 2 for group in cohort.source.groups(table))
    each = ", ".join(f"{counts.get(split, 0)} {split}" for split in SPLITS)
    without = f", {excluded} left out" if excluded else ""
    return f"subjects: {each}{without}; {pairs} test pairs, each registered in both directions"


def _contents(checks: list[SubjectCheck], outside: int | None) -> list[str]:
    """Lines on label maps and their ROIs; ids from ``outside`` on are known to lie outside the brain."""
    labelled = [one for one in checks if one.rois_missing is not None]
    without = [one.subject for one in checks if one.rois_missing is None]
    lines = [f"label maps: {len(labelled)} of {len(checks)}" + (f", not {_listed(without)}" if without else "")]
    lacking = Counter(name for one in labelled for name in one.rois_missing)
    nobody = [name for name, count in lacking.items() if count == len(labelled)]
    some = [f"{name} ({count})" for name, count in lacking.items() if count < len(labelled)]
    unknown = Counter(one for check in labelled for one in check.ids_unknown if outside is None or one < outside)
    if unknown:
        ids = _listed([f"{one} ({count})" for one, count in sorted(unknown.items())])
        lines.append(f"ids that the protocol lacks, which count as background: {ids}")
    if counts := [len(one.landmarks.points) for one in checks if one.landmarks]:
        lines.append(f"landmarks: {len(counts)} of {len(checks)}, {min(counts)} to {max(counts)} each")
    if nobody:
        lines.append("ROIs that nobody has: " + ", ".join(nobody))
    if some:
        lines.append("ROIs that some lack: " + ", ".join(some))
    return lines


def _counts(values: Iterable[str]) -> str:
    """Each value with the number of subjects that have it, the most frequent first."""
    return ", ".join(f"{value} ({count})" for value, count in Counter(values).most_common()) or "none"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def _verdict(path: Path, problems: tuple[InputError, ...]) -> str:
    if problems:
        lines = [f"{number}. {problem}" for number, problem in enumerate(problems, start=1)]
        return "\n".join([*lines, f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"])
    if path.suffix in (".yaml", ".yml"):
        return f"ready: snakemake --cores all --configfile {path}"
    return "no problems: name it as source of a dataset in a config, then check that"
