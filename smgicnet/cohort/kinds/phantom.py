"""The embedded cohort: subjects that `smgicnet.cohort.phantom` generates, with their true transforms."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from smgicnet.cohort.kinds.contract import Source, numbered, with_files
from smgicnet.cohort.participants import TRUTH_COLUMNS


class Phantom(Source):
    """Numbered subjects, each of which depends on the seed and on its own index alone."""

    files: ClassVar = {"image": "T1w.nii.gz", "labels": "labels.nii.gz"} | {
        column: f"{column}.nii"
        for column in TRUTH_COLUMNS  # noise does not compress
    }
    made = "are generated"

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        return with_files(numbered(self.block["subjects"]), folder, self.files)
