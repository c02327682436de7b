"""A run of the workflow starts: its study, with all that has to be right before the first job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smgicnet.config.completion import complete
from smgicnet.config.origin import Origin
from smgicnet.core.errors import InputError, InputErrors
from smgicnet.core.layout import arena_page
from smgicnet.jobs.decisions import decide, missing_programs, read_decisions, write_decisions
from smgicnet.jobs.study import Study
from smgicnet.preparation.tools import TOOLS, UNCHECKED, needed_tools, require_tools

MACHINE_KEYS = ("image", "job_minutes", "unchecked_tools", "costs")  # what a profile says beside the config of a study


@dataclass(frozen=True)
class Machine:
    """The facts of the machine that a profile gives.

    ``job_minutes``: wished length of a job that registers pairs, in minutes; 20 by default.
    ``unchecked_tools``: whether the programs of preprocessing are looked for where jobs run alone; false by default.
    ``costs``: a file as `smgicnet plan` writes it, for what it has not measured here; none by default.
    """

    job_minutes: float = 20
    unchecked_tools: bool = False
    costs: str | None = None

    @classmethod
    def of(cls, config: Mapping, origin: Origin) -> Machine:
        """Read from the config that Snakemake gives. Raises `InputError` for a value that is none."""
        minutes, unchecked = config.get("job_minutes", 20), config.get("unchecked_tools", False)
        where = origin.of([("job_minutes",)])
        try:
            given, minutes = minutes, float(minutes)
        except (TypeError, ValueError):
            raise InputError(where, f"job_minutes is {minutes!r}", "Give a number of minutes above 0") from None
        if not 0 < minutes < float("inf"):
            raise InputError(where, f"job_minutes is {given!r}", "Give a number of minutes above 0")
        if str(unchecked).lower() not in ("true", "false"):
            where = origin.of([("unchecked_tools",)])
            raise InputError(where, f"unchecked_tools is {unchecked!r}", "Give true or false")
        return cls(minutes, str(unchecked).lower() == "true", config.get("costs"))


def open_study(config: Mapping, origin: Origin, *, conda: bool, in_job: bool, image: bool = False) -> Study:
    """Return the study of a config as Snakemake gives it, checked as far as it can be before anything runs.

    ``conda``: environments are made for the jobs. ``image``: jobs run in the image of the workflow's container.
    ``in_job``: this is a job of a run that has started: what was decided then is read, and no program is looked for.
    Raises `InputError` for what cannot be used.
    """
    machine = Machine.of(config, origin)
    # nothing is taken out of what is given: a module is read once a `use rule`, each time with the same config
    full = complete({key: value for key, value in config.items() if key not in MACHINE_KEYS}, origin)
    study = Study(full, job_minutes=machine.job_minutes, costs=machine.costs)
    study.require_usable()
    if in_job:
        study.decisions = read_decisions(full)
        return study
    problems: list[InputError] = []

    def tried(function: Callable, *arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except InputError as error:
            problems.append(error)
            return None

    study.decisions = tried(decide, full, conda=conda, image=image)
    if not machine.unchecked_tools:
        wanted = tools_of(study, to_come=True)
        tried(_require_in_image, wanted) if image else tried(require_tools, wanted, conda=conda)
    if problems:
        raise InputErrors(problems)
    return study


def tools_of(study: Study, *, to_come: bool) -> dict[str, list[str]]:
    """Return the tools that preprocessing asks for, and for each the config keys that do.

    ``to_come``: without those of datasets that are prepared; a table can be made where FreeSurfer is not.
    """
    wanted: dict[str, list[str]] = {}
    for name, dataset in study.datasets.items():
        if to_come and _is_prepared(study, name):
            continue
        for key, tool in needed_tools(dataset["preprocessing"]).items():
            wanted.setdefault(tool, []).append(f"datasets.{name}.preprocessing.{key}")
    return wanted


def _is_prepared(study: Study, dataset: str) -> bool:
    paths = study.paths(dataset)
    return all(Path(paths.prepared("raw", name, "image")).is_file() for name in study.subjects(dataset))


def _require_in_image(wanted: Mapping[str, Sequence[str]]) -> None:
    """Raise `InputError` for tools of preprocessing that the image of the workflow's container does not have."""
    lacking = [name for name in wanted if not TOOLS[name].package]
    if lacking:
        there = ", ".join(name for name, tool in TOOLS.items() if tool.package)
        problem = f"the image of the workflow's container has no {', '.join(lacking)}"
        remedy = f"Name {there} or none, run without --sdm apptainer, or say {UNCHECKED} where you bind them into it"
        raise InputError("missing tools", problem, remedy)


def start(study: Study) -> None:
    """Write down what was decided, for the jobs, and how many pairs each of them takes, so that it stays so."""
    write_decisions(study.config, study.decisions)
    for dataset in study.datasets:
        study.job_sizes(dataset).keep()


def what_was_decided(study: Study, *, image: bool = False) -> list[str]:
    """Say which engine aligns, and which methods are left out, as sentences; ``image`` as in `open_study`."""
    said = [f"Affine pre-registration: {study.decisions.reason}"] if study.decisions.reason else []
    for name in study.absent:
        if name in study.published:
            file = study.published[name]["file"]
            said.append(f"{name} is left out: no file {file}; `snakemake --cores 1 weights` fetches it")
        else:
            programs = ", ".join(missing_programs(study.methods[name], image=image))
            place = "in the container's image" if image else f"on the PATH. {study.methods[name]['install']}"
            said.append(f"{name} is left out: no {programs} {place}")
    return said


def pages_since(study: Study, start: float) -> list[str]:
    """Return the pages that were written since ``start``, in seconds of the epoch."""
    pages = [*(study.paths(one).page for one in study.datasets), arena_page(study.results)]
    return [page for page in pages if Path(page).is_file() and Path(page).stat().st_mtime >= start]
