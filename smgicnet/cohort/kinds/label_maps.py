"""A folder of label maps, from which `smgicnet.cohort.label_maps` renders images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from smgicnet.cohort.kinds.contract import Source, with_files
from smgicnet.cohort.kinds.map_folder import (
    FIRST_ID_OUTSIDE,
    divided,
    is_folder_of_anatomies,
    maps_in,
    name_of,
    opened_once,
)
from smgicnet.cohort.participants import check_sizes

RENDERING = "-rendering-"  # and a number: in the names of a person's second image and on


class LabelMaps(Source):
    """One image of each map of val and test, and ``renderings`` of each map that trains.

    The map that an image is rendered from is in the column ``label_map``.
    """

    files: ClassVar = {"image": "rendered.nii.gz", "labels": "rois.nii.gz"}
    cohort_keys = (*Source.cohort_keys, "maps", "renderings")
    first_id_outside = FIRST_ID_OUTSIDE

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        maps = maps_in(self.place, self.block["maps"], "source")
        where = f"{self.place}, the first {len(maps)} maps" if self.block["maps"] else self.place
        splits = divided(maps, self.block["subjects"], self.block["seed"], where)
        table = pd.DataFrame({"subject": map(name_of, maps), "split": splits, "label_map": map(str, maps)})
        check_sizes(table["split"], self.place)
        training = table[table["split"] == "train"]
        numbers = range(2, self.block["renderings"] + 1)
        more = [training.assign(subject=training["subject"] + f"{RENDERING}{number}") for number in numbers]
        return with_files(pd.concat([table[table["split"] != ""], *more], ignore_index=True), folder, self.files)

    def is_shipped(self) -> bool:
        return is_folder_of_anatomies(self.place)

    def to_open(self, table: pd.DataFrame) -> pd.DataFrame:
        return opened_once(table)
