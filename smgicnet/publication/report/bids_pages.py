"""The pages of the BIDS App: one of each subject and one of the group, each a file without anything from a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from smgicnet.core.provenance import write_text
from smgicnet.publication.figures.overview import PANEL, column_places
from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM
from smgicnet.publication.report.pages import embedded, write_page

GOOD = "good"  # the word of a record's verdict that needs no look
STATUSES = (DONE, FAILED, MISSING) = ("registered", "failed", "not run")  # of an image


class Row(NamedTuple):
    """One image.

    Attributes
    ----------
    image : its name without suffix and ending
    subject : with ``sub-``
    status : one of `STATUSES`
    error : why it failed
    facts : the record of the registration, empty without one
    picture : the file of the picture, None without one
    """

    image: str
    subject: str
    status: str
    error: str
    facts: dict[str, Any]
    picture: Path | None

    @property
    def doubt(self) -> str:
        """Why its pose may be wrong, empty where nothing speaks against it."""
        return (self.facts.get("pose") or {}).get("doubt") or ""

    @property
    def judged(self) -> dict[str, Any]:
        """The verdict on it, empty without one."""
        return self.facts.get("verdict") or {}

    @property
    def needs_a_look(self) -> bool:
        """Whether something speaks against it."""
        return bool(self.status != DONE or self.doubt or self.judged.get("verdict", GOOD) != GOOD)

    @property
    def shown(self) -> str:
        """The picture as a page has it, empty without one."""
        if self.picture is None or not self.picture.is_file():
            return ""
        return embedded(self.picture)

    @property
    def aspect(self) -> float:
        """The width of one of the picture's columns, in its heights."""
        with Image.open(str(self.picture)) as picture:
            return picture.width * PANEL / DOUBLE_COLUMN_MM / picture.height

    def cells(self) -> dict[str, Any]:
        """Return the row of the group's table."""
        pose, moving = self.facts.get("pose") or {}, self.facts.get("moving", {})
        return {
            "image": self.image,
            "status": self.status,
            "verdict": self.judged.get("verdict", "n/a"),
            "failure_probability": self.judged.get("failure_probability", "n/a"),
            "error_mm": self.judged.get("error_mm", ["n/a"])[0],
            "dice": self.judged.get("dice", ["n/a"])[0],
            "doubt": self.doubt or "n/a",
            "error": " ".join(self.error.split()) or "n/a",
            "pose_correlation": pose.get("correlation", "n/a"),
            "runner_up": pose.get("runner_up", "n/a"),
            "folded_percent": self.facts.get("folded_percent", "n/a"),
            "brain_ml": moving.get("foreground_ml", "n/a"),
            "skull_strip": moving.get("skull_strip", {}).get("tool", "none") if self.facts else "n/a",
            "seconds": self.facts.get("seconds", "n/a"),
        }


def write_subject_page(path: Path, subject: str, space: str, rows: Sequence[Row]) -> None:
    """Write the page of a subject, whose fixed and warped image flicker."""
    write_page(path, "bids_subject.html.jinja", subject=subject, space=space, rows=rows, places=column_places())


def write_group_page(path: Path, table: Path, space: str, rows: Sequence[Row], without: Sequence[str]) -> None:
    """Write the page of all images, those that need a look first, and the same as a table (``.tsv``)."""
    cells = pd.DataFrame([row.cells() for row in rows])
    write_text(table, cells.to_csv(sep="\t", index=False))
    ordered = sorted(rows, key=lambda row: (row.status == DONE, not row.needs_a_look, row.image))
    counts = {status: sum(row.status == status for row in rows) for status in STATUSES}
    write_page(path, "bids_group.html.jinja", space=space, rows=ordered, counts=counts, without=without)
