"""A dataset's published tar, which `smgicnet.cohort.archive` fetches and reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smgicnet.cohort.archive import require_license
from smgicnet.cohort.kinds.contract import Source, numbered, with_files
from smgicnet.core.errors import InputError

OF_THE_PAPER = ("IXI-T1.tar", "neurite-oasis.v1.0.tar")


class Archive(Source):
    """Numbers for names: the index of the archive will say which of its subjects each is."""

    files: ClassVar = {"image": "scan.nii.gz", "labels": "scan-labels.nii.gz"}
    made = "come out of the archive, which is fetched first"

    @property
    def place(self) -> str:
        return self.block["file"]

    def is_shipped(self) -> bool:
        return Path(self.place).name in OF_THE_PAPER

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        require_license(self.block)
        if self.block["url"] is None and not os.path.isfile(self.place):
            raise InputError(self.place, "there is no such archive", "Put it there, or give source.url in the config")
        table = with_files(numbered(self.block["subjects"]), folder, self.files)
        return table if self.block["labels"] else table.assign(labels="")
