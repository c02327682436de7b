"""A person's own table of images, label maps and masks."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from smgicnet.cohort.kinds.contract import Source
from smgicnet.cohort.participants import FILE_COLUMNS, check_cohort, check_subjects, read_participants
from smgicnet.core.errors import InputError, attempt
from smgicnet.core.files import require_distinct
from smgicnet.core.tab_separated import read_tsv


class Participants(Source):
    """The rows of a ``participants.tsv`` as they are."""

    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        _require_own_place(self.place, Path(folder) / "participants.tsv")
        return read_participants(self.place, self.block["splits"], self.block["seed"], segmented=segmented)

    def in_spite_of(self, error: InputError) -> tuple[pd.DataFrame | None, list[InputError]]:
        """Return the rows of a table with faults, whose files can be opened all the same, and the faults of names."""
        rows = self.rows()
        if rows is None:
            return None, [error]
        absent = [file for column in FILE_COLUMNS for file in rows[column] if file and not os.path.isfile(file)]
        told = any(repr(file) in error.problem for file in absent)  # opening the files says it of each
        return rows.set_index("subject"), [*([] if told else [error]), *self.name_problems(rows)]

    def rows(self) -> pd.DataFrame | None:
        """Return the rows of the table, unchecked, with paths as seen from here; None for what is no such table."""
        path = Path(self.place)
        try:
            rows = read_tsv(path)
        except InputError:
            return None  # reading it again, as a cohort, says why
        if not {"subject", "image"} <= set(rows.columns):
            return None
        for column in FILE_COLUMNS:
            values = rows[column] if column in rows else [""] * len(rows)
            rows[column] = [str(path.parent / value) if value else "" for value in values]
        return rows

    def name_problems(self, rows: pd.DataFrame) -> list[InputError]:
        """Return the problems with the names of subjects: each one that is not allowed, and each that stands twice."""
        problems: list[InputError] = []
        for name in rows["subject"].unique():
            attempt(problems, check_subjects, [name], self.place)
        for _, same in rows[rows["subject"].duplicated(keep=False)].groupby("subject"):
            attempt(problems, check_cohort, same if "split" in same else same.assign(split=""), self.place)
        return problems


def _require_own_place(path: str, written: Path) -> None:
    """Raise `InputError` for a table of the user's that is the very file which the workflow writes."""
    try:
        require_distinct([written], [path])
    except InputError as error:
        remedy = "Move your table to a folder of its own, and name it there in source.path"
        raise InputError(path, f"the workflow writes {written}, which would replace the input", remedy) from error
