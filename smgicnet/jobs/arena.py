"""The figure and the page over all datasets, from files to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from smgicnet.publication.figures.arena_figure import arena_figure
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.report.arena_page import write_arena_page
from smgicnet.scoring.ranking import Ranking


def show_arena(record: Path, figures: Sequence[Path], page: Path) -> None:
    """Draw the ranks of a table of kind ``arena``, by its JSON ``record``, and write the page of both."""
    facts: Mapping = json.loads(record.read_text(encoding="utf-8"))
    found, labels = Ranking.from_data(facts["ranking"]), facts["parameters"]["labels"]
    save(arena_figure(found, [labels["/".join(run)] for run in found.runs]), figures)
    png = next(one for one in figures if one.suffix == ".png")
    write_arena_page(page, record, png, list(facts["config"]["datasets"]))
