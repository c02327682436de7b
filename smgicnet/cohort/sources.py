"""From a config's ``source`` block to the table of its subjects, before anything is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from smgicnet.core.errors import InputError
from smgicnet.core.registry import Registry
from smgicnet.preparation.label_protocols import label_table

SOURCES = Registry(
    {
        "phantom": "smgicnet.cohort.kinds.phantom:Phantom",
        "label-maps": "smgicnet.cohort.kinds.label_maps:LabelMaps",
        "archive": "smgicnet.cohort.kinds.archive:Archive",
        "participants": "smgicnet.cohort.kinds.participants:Participants",
        "bids": "smgicnet.cohort.kinds.bids:Bids",
    }
)


def plan_cohort(dataset: Mapping, folder: str | Path) -> pd.DataFrame:
    """Return the participants of a completed dataset block, indexed by subject, as the source of its kind plans them.

    A cohort that is generated or fetched is planned without doing so: its files will lie in ``folder``. Raises
    `InputError` for a source that cannot be used.
    """
    source, preprocessing = SOURCES[dataset["source"]["kind"]](dataset["source"]), dataset["preprocessing"]
    table = source.plan(folder, segmented=preprocessing["segmentation"] != "given")
    _check_inputs(table, source.place, preprocessing)
    return table


def inspect_cohort(dataset: Mapping, folder: str | Path) -> tuple[pd.DataFrame | None, list[InputError]]:
    """Return the participants of `plan_cohort`, or as far as they can be read, or None; and the problems."""
    try:
        return plan_cohort(dataset, folder), []
    except InputError as error:
        return SOURCES[dataset["source"]["kind"]](dataset["source"]).in_spite_of(error)


def groups_of(dataset: Mapping, table: pd.DataFrame) -> list[list[str]]:
    """Return the test subjects of ``table`` in groups, within which all pairs are registered, see `Source.groups`."""
    return SOURCES[dataset["source"]["kind"]](dataset["source"]).groups(table)


def recipe(source: Mapping) -> dict:
    """Return the part of a completed ``source`` block on which one subject's files depend.

    Another test subject therefore renders nothing anew.
    """
    of_the_cohort = SOURCES[source["kind"]].cohort_keys
    return {key: value for key, value in source.items() if key not in of_the_cohort}


def _check_inputs(table: pd.DataFrame, place: str, preprocessing: Mapping) -> None:
    """Raise `InputError` when a step of the ``preprocessing`` lacks what it starts from."""
    label_table(preprocessing["labels"])
    reference = preprocessing["histogram_reference"]
    if reference and not os.path.isfile(reference):
        raise InputError(reference, "there is no such image", "Correct preprocessing.histogram_reference in the config")
    used = table[table["split"] != ""]
    if preprocessing["skull_strip"] == "mask":
        without = used.index[used["mask"] == ""] if "mask" in used else used.index
        if len(without):
            raise InputError(
                place, f"{without[0]} has no mask", "Give one, or choose another preprocessing.skull_strip"
            )
    if preprocessing["segmentation"] == "given" and not used.loc[used["split"] == "test", "labels"].all():
        raise InputError(place, "there are no label maps to score with", "Choose a preprocessing.segmentation")


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
