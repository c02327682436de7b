"""Where the files of a prepared subject are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SubjectFiles:
    """Where one preprocessed subject is.

    ``truth`` holds its two template fields, or nothing. ``landmarks``: None, the default, where it has none.
    """

    name: str
    image: Path
    labels: Path | None = None
    truth: tuple[Path, ...] = ()
    landmarks: Path | None = None
