"""A folder of label maps, from which `smgicnet.cohort.label_maps` renders images."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from smgicnet.cohort.kinds.contract import Source, with_files
from smgicnet.cohort.participants import check_sizes, draw_splits
from smgicnet.core.errors import InputError

RENDERING = "-rendering-"  # and a number: in the names of a person's second image and on


class LabelMaps(Source):
    """One image of each map of val and test, and ``renderings`` of each map that trains.

    The map that an image is rendered from is in the column ``label_map``.
    """

    files: ClassVar = {"image": "rendered.nii.gz", "labels": "rois.nii.gz"}
    cohort_keys = (*Source.cohort_keys, "maps", "renderings")
    first_id_outside = 500  # of the maps of whole heads that `smgicnet.cohort.label_maps` is made for

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        maps = self._maps()
        names = [path.name.removesuffix(".nii.gz") for path in maps]
        table = pd.DataFrame({"subject": names, "split": self._splits(names), "label_map": list(map(str, maps))})
        check_sizes(table["split"], self.place)
        training = table[table["split"] == "train"]
        numbers = range(2, self.block["renderings"] + 1)
        more = [training.assign(subject=training["subject"] + f"{RENDERING}{number}") for number in numbers]
        return with_files(pd.concat([table[table["split"] != ""], *more], ignore_index=True), folder, self.files)

    def _maps(self) -> list[Path]:
        """The label maps that take part, by name. Raises `InputError` for none, or fewer than the config takes."""
        maps = sorted(path for path in Path(self.place).glob("*.nii.gz") if not path.name.startswith("."))
        if not maps:
            raise InputError(self.place, "no *.nii.gz label maps in this folder", "Correct source.path in the config")
        if len(maps) < (self.block["maps"] or 0):
            problem = f"{len(maps)} label maps in this folder, and the config takes {self.block['maps']}"
            raise InputError(self.place, problem, "Put them all there, or correct source.maps in the config")
        return maps[: self.block["maps"]]

    def _splits(self, names: list[str]) -> list[str]:
        """A split for each map, or "" for one that is left over."""
        counts = dict(self.block["subjects"])
        if counts["train"] is None:
            counts["train"] = max(len(names) - counts["val"] - counts["test"], 0)
        where = f"{self.place}, the first {len(names)} maps" if self.block["maps"] else self.place
        return draw_splits(names, counts, self.block["seed"], source=where)

    def to_open(self, table: pd.DataFrame) -> pd.DataFrame:
        """The label maps, each once."""
        maps = table["label_map"].drop_duplicates()
        return pd.DataFrame({"image": "", "labels": list(maps)}, index=[Path(one).name for one in maps])
