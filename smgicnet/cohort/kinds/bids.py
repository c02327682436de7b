"""A BIDS dataset, which `smgicnet.cohort.bids` reads."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from smgicnet.cohort.bids import read_bids
from smgicnet.cohort.kinds.contract import Source
from smgicnet.cohort.participants import complete_table


class Bids(Source):
    """Each subject's T1-weighted image, with label maps and masks of a derivatives folder."""

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        table = read_bids(self.block)
        return complete_table(table, self.place, self.block["splits"], self.block["seed"], segmented=segmented)
