"""Subjects that `smgicnet.cohort.phantom` generates, with their true transforms, of the embedded brain or of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from zlib import crc32

import pandas as pd

from smgicnet.cohort.kinds.contract import Source, numbered, with_files
from smgicnet.cohort.kinds.map_folder import (
    FIRST_ID_OUTSIDE,
    divided,
    is_folder_of_anatomies,
    maps_in,
    name_of,
    opened_once,
)
from smgicnet.cohort.participants import ANATOMY, SPLITS, TRUTH_COLUMNS
from smgicnet.core.errors import InputError


class Phantom(Source):
    """Subjects that depend on the seed, on their anatomy and on the number in the column ``stream`` alone.

    Without ``anatomies`` they are of the embedded brain, and numbered. With them, they are twins: each anatomy is in
    one split, and has as many subjects as ``subjects`` says of that split. The column ``label_map`` has the file of a
    subject's anatomy, and ``anatomy`` its name: true maps are known between subjects of one anatomy.
    """

    files: ClassVar = {"image": "T1w.nii.gz", "labels": "labels.nii.gz"} | {
        column: f"{column}.nii"
        for column in TRUTH_COLUMNS  # noise does not compress
    }
    cohort_keys = (*Source.cohort_keys, "anatomies", "pairs")
    made = "are generated"
    first_id_outside = FIRST_ID_OUTSIDE

    def __init__(self, block: Mapping):
        super().__init__(block)
        self._anatomies = block.get("anatomies")
        if self._anatomies:
            self.made = ""  # there are label maps to be opened

    @property
    def place(self) -> str:
        return self._anatomies["path"] if self._anatomies else self.block["kind"]

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        table = self._twins() if self._anatomies else numbered(self.block["subjects"])
        streams = [crc32(name.encode()) for name in table["subject"]] if self._anatomies else range(len(table))
        return with_files(table.assign(stream=streams), folder, self.files)

    def _twins(self) -> pd.DataFrame:
        """The twins of each anatomy; others in the folder change no subject. Raises `InputError` as `plan` does."""
        maps = maps_in(self.place, self._anatomies["maps"], "source.anatomies")
        self._require_enough(len(maps))
        splits = divided(maps, self._anatomies["splits"], self.block["seed"], self.place)
        rows = [
            {
                "subject": f"{name_of(path)}-twin-{number}",
                "split": split,
                ANATOMY: name_of(path),
                "label_map": str(path),
            }
            for path, split in zip(maps, splits, strict=True)
            for number in range(1, 1 + self.block["subjects"].get(split, 0))
        ]
        return pd.DataFrame(rows)

    def _require_enough(self, there: int) -> None:
        """Raise `InputError` where the splits take more anatomies than are ``there``; one at least has to train."""
        counts = self._anatomies["splits"] | {"train": self._anatomies["splits"]["train"] or 1}
        needed = sum(counts.values())
        if needed > there:
            each = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
            problem = f"{there} label maps in this folder, and the splits take at least {needed} anatomies ({each})"
            raise InputError(self.place, problem, "Put more there, or lower source.anatomies.splits in the config")

    def is_shipped(self) -> bool:
        return not self._anatomies or is_folder_of_anatomies(self.place)

    def to_open(self, table: pd.DataFrame) -> pd.DataFrame:
        return opened_once(table) if self._anatomies else super().to_open(table)

    def groups(self, table: pd.DataFrame) -> list[list[str]]:
        if self.block["pairs"] == "all" or ANATOMY not in table:
            return super().groups(table)
        test = table[table["split"] == "test"]
        return [twins.index.tolist() for _, twins in test.groupby(ANATOMY, sort=False)]
