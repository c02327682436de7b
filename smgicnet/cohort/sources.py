"""Where a cohort comes from: a config's ``source`` block to the table of its subjects, before anything is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smgicnet.cohort.archive import require_license
from smgicnet.cohort.bids import read_bids
from smgicnet.cohort.participants import (
    SPLITS,
    TRUTH_COLUMNS,
    check_sizes,
    check_subjects,
    complete_table,
    draw_splits,
    read_participants,
)
from smgicnet.core.errors import InputError
from smgicnet.core.files import require_distinct
from smgicnet.preparation.label_protocols import label_table
from smgicnet.preparation.tools import needed_tools

RENDERING = "-rendering-"  # and a number: in the names of a person's second image and on


def plan_cohort(dataset: Mapping, folder: str | Path) -> pd.DataFrame:
    """The participants of a completed dataset block, as `read_participants` gives them.

    A cohort that is generated or fetched is planned without doing so: its files will lie in ``folder``. A label map
    that images are rendered from is in the column ``label_map``. Raises `InputError` for a source that cannot be used.
    """
    source, preprocessing = dataset["source"], dataset["preprocessing"]
    segmented = preprocessing["segmentation"] != "given"
    if source["kind"] == "participants":
        _require_own_place(source["path"], Path(folder) / "participants.tsv")
        table = read_participants(source["path"], source["splits"], source["seed"], segmented=segmented)
    elif source["kind"] == "bids":
        table = read_bids(source)
        table = complete_table(table, source["path"], source["splits"], source["seed"], segmented=segmented)
    else:
        table = PLANS[source["kind"]](source)
        check_subjects(table["subject"], folder)
        table = _with_files(table, source, folder).set_index("subject")
    _check_inputs(table, source, preprocessing)
    return table


def _require_own_place(path: str, written: Path) -> None:
    """Raise `InputError` for a table of the user's that is the very file which the workflow writes."""
    try:
        require_distinct([written], [path])
    except InputError as error:
        remedy = "Move your table to a folder of its own, and name it there in source.path"
        raise InputError(path, f"the workflow writes {written}, which would replace the input", remedy) from error


def _plan_phantom(source: Mapping) -> pd.DataFrame:
    return _numbered(source["subjects"])


def _numbered(counts: Mapping[str, int]) -> pd.DataFrame:
    splits = [split for split in SPLITS for _ in range(counts[split])]
    names = [f"sub-{number:03d}" for number in range(1, 1 + len(splits))]
    return pd.DataFrame({"subject": names, "split": splits})


def _plan_label_maps(source: Mapping) -> pd.DataFrame:
    """A row an image: one of each map of val and test, ``renderings`` of each that trains."""
    maps = sorted(path for path in Path(source["path"]).glob("*.nii.gz") if not path.name.startswith("."))
    if not maps:
        raise InputError(source["path"], "no *.nii.gz label maps in this folder", "Correct source.path in the config")
    if len(maps) < (source["maps"] or 0):
        problem = f"{len(maps)} label maps in this folder, and the config takes {source['maps']}"
        raise InputError(source["path"], problem, "Put them all there, or correct source.maps in the config")
    maps = maps[: source["maps"]]
    names = [path.name.removesuffix(".nii.gz") for path in maps]
    counts = dict(source["subjects"])
    if counts["train"] is None:
        counts["train"] = max(len(names) - counts["val"] - counts["test"], 0)
    where = f"{source['path']}, the first {len(maps)} maps" if source["maps"] else source["path"]
    splits = draw_splits(names, counts, source["seed"], source=where)
    table = pd.DataFrame({"subject": names, "split": splits, "label_map": list(map(str, maps))})
    check_sizes(table["split"], source["path"])
    training = table[table["split"] == "train"]
    numbers = range(2, source["renderings"] + 1)
    more = [training.assign(subject=training["subject"] + f"{RENDERING}{number}") for number in numbers]
    return pd.concat([table[table["split"] != ""], *more], ignore_index=True)


def recipe(source: Mapping) -> dict:
    """A generated cohort's source as far as one subject's files depend on it: another test subject renders nothing
    anew."""
    of_the_cohort = ("subjects", "path", "maps", "renderings")
    return {key: value for key, value in source.items() if key not in of_the_cohort}


def _plan_archive(source: Mapping) -> pd.DataFrame:
    """Numbers for names: which of the archive's subjects each is, its index will say."""
    require_license(source)
    if source["url"] is None and not os.path.isfile(source["file"]):
        raise InputError(source["file"], "there is no such archive", "Put it there, or give source.url in the config")
    return _numbered(source["subjects"])


PLANS = {"phantom": _plan_phantom, "label-maps": _plan_label_maps, "archive": _plan_archive}


def _with_files(table: pd.DataFrame, source: Mapping, folder: str | Path) -> pd.DataFrame:
    """The table with the files that will be made for each subject."""
    files = {
        "phantom": {
            "image": "T1w.nii.gz",
            "labels": "labels.nii.gz",
            **{column: f"{column}.nii" for column in TRUTH_COLUMNS},  # noise does not compress
        },
        "label-maps": {"image": "rendered.nii.gz", "labels": "rois.nii.gz"},
        "archive": {"image": "scan.nii.gz", "labels": "scan-labels.nii.gz" if source.get("labels") else ""},
    }[source["kind"]]
    made = {
        column: [f"{folder}/{name}/{file}" if file else "" for name in table["subject"]]
        for column, file in files.items()
    }
    return table.assign(**made)


def _check_inputs(table: pd.DataFrame, source: Mapping, preprocessing: Mapping) -> None:
    """Raise `InputError` when a step lacks what it starts from."""
    label_table(preprocessing["labels"])
    reference = preprocessing["histogram_reference"]
    if reference and not os.path.isfile(reference):
        raise InputError(reference, "there is no such image", "Correct preprocessing.histogram_reference in the config")
    where = source.get("path") or source.get("file") or source["kind"]
    used = table[table["split"] != ""]
    if preprocessing["skull_strip"] == "mask":
        without = used.index[used["mask"] == ""] if "mask" in used else used.index
        if len(without):
            raise InputError(
                where, f"{without[0]} has no mask", "Give one, or choose another preprocessing.skull_strip"
            )
    if preprocessing["segmentation"] == "given" and not used.loc[used["split"] == "test", "labels"].all():
        raise InputError(where, "there are no label maps to score with", "Choose a preprocessing.segmentation")


def require_training_labels(cohorts: Mapping[str, pd.DataFrame], datasets: Mapping, methods: Sequence[str]) -> None:
    """Raise `InputError` when ``methods``, which learn from label maps, would train on subjects that have none."""
    for name, table in cohorts.items():
        training = table[table["split"] == "train"]
        without = training.index[training["labels"] == ""]
        if methods and len(without) and datasets[name]["preprocessing"]["segmentation"] == "given":
            raise InputError(
                f"datasets.{name}",
                f"{without[0]} has no label map, and {methods[0]} learns from those of the split train",
                f"Give each one, choose a preprocessing.segmentation, or set {methods[0]}'s weight of labels to 0",
            )


def tools_to_come(datasets: Mapping[str, Mapping], cohorts: Mapping[str, pd.DataFrame]) -> dict[str, list[str]]:
    """The tools that a workflow has still to run, and for each the config keys that ask for it.

    What is done needs no tool: a table can be made where FreeSurfer is not.
    """
    wanted: dict[str, list[str]] = {}
    for name, dataset in datasets.items():
        used = cohorts[name].index[cohorts[name]["split"] != ""]
        done = all(Path(f"results/{name}/raw/subjects/{subject}/image.nii").is_file() for subject in used)
        for key, tool in {} if done else needed_tools(dataset["preprocessing"]).items():
            wanted.setdefault(tool, []).append(f"datasets.{name}.preprocessing.{key}")
    return wanted
