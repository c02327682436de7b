"""The places of a prepared subject's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SubjectFiles:
    """The files of one preprocessed subject.

    ``truth`` holds its two template fields, or nothing. ``parcels``: the map of its cortical parcels; None, the
    default, where it is not needed. ``template``: the name of the template that the fields lead to; empty, the default,
    where all subjects have one. ``landmarks``: None, the default, where it has none.
    """

    name: str
    image: Path
    labels: Path | None = None
    truth: tuple[Path, ...] = ()
    parcels: Path | None = None
    template: str = ""
    landmarks: Path | None = None
