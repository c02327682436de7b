"""A folder of label maps of different people, as sources find and divide it. No map is opened."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from smgicnet.cohort.participants import draw_splits
from smgicnet.core.errors import InputError

ANATOMIES = "resources/anatomies"  # where the configs that come with this project expect label maps
FIRST_ID_OUTSIDE = 500  # the brain, in the maps of whole heads that sources are made for
ENDING = ".nii.gz"


def is_folder_of_anatomies(folder: str) -> bool:
    """Return whether a folder is the one that this project's own configs name."""
    return Path(folder) == Path(ANATOMIES)


def maps_in(folder: str, count: int | None, block: str) -> list[Path]:
    """Return the label maps of a folder by name, or the first ``count`` of them; ``block`` is the block with the keys.

    Raises `InputError` for no map, fewer than ``count``, and a link to nowhere or to another of them.
    """
    maps = sorted(path for path in Path(folder).glob(f"*{ENDING}") if not path.name.startswith("."))
    if not maps:
        raise InputError(folder, "no *.nii.gz label maps in this folder", f"Correct {block}.path in the config")
    if len(maps) < (count or 0):
        problem = f"{len(maps)} label maps in this folder, and the config takes {count}"
        raise InputError(folder, problem, f"Put them all there, or correct {block}.maps in the config")
    maps = maps[:count]
    first: dict[str, Path] = {}
    for path in maps:
        if not path.is_file():
            raise InputError(path, "there is no such file", "Restore what the link leads to, or remove it")
        other = first.setdefault(os.path.realpath(path), path)
        if other != path:
            problem = f"it is the same file as {other.name}"
            raise InputError(path, problem, "Keep one of them: a person in two splits falsifies the scores")
    return maps


def name_of(path: Path) -> str:
    """Return the name of a map, which is that of its file."""
    return path.name.removesuffix(ENDING)


def divided(maps: list[Path], counts: Mapping[str, int | None], seed: int, place: str) -> list[str]:
    """Return a split for each map, "" for one left over; ``counts["train"]`` None takes what val and test leave.

    Raises `InputError`, which names ``place``, if there are too few.
    """
    taken = (counts["val"] or 0) + (counts["test"] or 0)
    train = max(len(maps) - taken, 0) if counts["train"] is None else counts["train"]
    return draw_splits(list(map(name_of, maps)), {**counts, "train": train}, seed, source=place)


def opened_once(table: pd.DataFrame) -> pd.DataFrame:
    """Return the label maps in the column ``label_map``, each once, as `Source.to_open` returns them."""
    maps = table["label_map"].drop_duplicates()
    return pd.DataFrame({"image": "", "labels": list(maps)}, index=[Path(one).name for one in maps])
