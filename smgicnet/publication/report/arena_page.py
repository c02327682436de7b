"""The page over all datasets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from smgicnet.publication.report.pages import embedded, write_page


def write_arena_page(path: Path, record: Path, figure: Path, datasets: Sequence[str]) -> None:
    """Write the page of the tables in the JSON ``record`` and of a figure (PNG), with links to the datasets' pages."""
    *means, ranks, wins = json.loads(record.read_text(encoding="utf-8"))["page"]
    write_page(path, "arena.html.jinja", tables=[ranks, wins, *means], figure=embedded(figure), datasets=datasets)
