"""The contract of a source of subjects with the workflow and ``smgicnet check``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from smgicnet.cohort.participants import SPLITS, check_subjects
from smgicnet.core.errors import InputError


class Source(ABC):
    """The place that the subjects of a dataset come from; ``block`` is the completed ``source`` block of the config."""

    # The keys of the block that say who is in the cohort, and on which no file of one subject depends.
    cohort_keys: ClassVar[tuple[str, ...]] = ("subjects", "path")
    # The names of the files that the workflow makes for each subject, by column; none where they are there before.
    files: ClassVar[Mapping[str, str]] = {}
    # How the workflow comes by the images, after "they"; empty where something is there to be opened before it runs.
    made: str = ""
    # The first id of a label map that is known to lie outside the brain; None where an id that is unknown is reported.
    first_id_outside: ClassVar[int | None] = None

    def __init__(self, block: Mapping):
        self.block = block

    @property
    def place(self) -> str:
        """The file or folder that messages name."""
        return self.block.get("path", self.block["kind"])

    @abstractmethod
    def plan(self, folder: str | Path, *, segmented: bool) -> pd.DataFrame:
        """Return the participants, indexed by subject, with their ``split`` and their files, before anything is made.

        Parameters
        ----------
        folder : the folder of what the workflow makes or fetches
        segmented : whether label maps will be made, so that none have to be given

        The columns are ``image`` and ``labels``, where there are any ``mask``, ``to_template`` and ``from_template``,
        ``anatomy`` where those lead to several templates, and what the rules of the source need. Raises `InputError`
        for a source that cannot be used.
        """

    def in_spite_of(self, error: InputError) -> tuple[pd.DataFrame | None, list[InputError]]:
        """Return what ``smgicnet check`` opens and reports where a cohort cannot be planned for this ``error``.

        Returns the participants as far as they can be read, or None, and the problems.
        """
        return None, [error]

    def groups(self, table: pd.DataFrame) -> list[list[str]]:
        """Return the test subjects in groups, within which all pairs are registered: by default one group."""
        return [table.index[table["split"] == "test"].tolist()]

    def is_shipped(self) -> bool:
        """Return whether the cohort is one of the paper's or comes with this project; only these stand beside it."""
        return False

    def to_open(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of ``table`` whose files are there before the workflow runs."""
        if self.made:
            return table.iloc[:0]
        return table[table["split"] != ""] if "split" in table else table


def numbered(counts: Mapping[str, int]) -> pd.DataFrame:
    """Return a row with ``subject``, ``sub-001`` and on, and ``split`` for each of the ``counts`` of the splits."""
    splits = [split for split in SPLITS for _ in range(counts[split])]
    names = [f"sub-{number:03d}" for number in range(1, 1 + len(splits))]
    return pd.DataFrame({"subject": names, "split": splits})


def with_files(table: pd.DataFrame, folder: str | Path, files: Mapping[str, str]) -> pd.DataFrame:
    """Return the table, indexed by subject, with the ``files`` that will be made in each subject's own folder.

    Raises `InputError` for a name of a subject that no folder can have.
    """
    check_subjects(table["subject"], folder)
    made = {column: [f"{folder}/{name}/{file}" for name in table["subject"]] for column, file in files.items()}
    return table.assign(**made).set_index("subject")
