"""The figure and the page over all datasets, from files to files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from smgicnet.publication.figures.arena_figure import arena_figure
from smgicnet.publication.figures.canvas import save
from smgicnet.publication.report.arena_page import write_arena_page
from smgicnet.scoring.ranking import rank
from smgicnet.scoring.statistics import read_metrics, runs


def show_arena(record: Path, metrics: Sequence[Path], figures: Sequence[Path], page: Path) -> None:
    """Draw the ranks of a table of kind ``arena``, by its JSON ``record``, and write the page of both."""
    facts: Mapping = json.loads(record.read_text(encoding="utf-8"))
    parameters, rows = facts["parameters"], read_metrics(metrics)
    ranked = runs(rows)
    found = rank(rows, ranked, parameters["rank_by"], resamples=parameters["resamples"], seed=parameters["seed"])
    save(arena_figure(found, [parameters["labels"]["/".join(run)] for run in ranked]), figures)
    png = next(one for one in figures if one.suffix == ".png")
    write_arena_page(page, record, png, list(facts["config"]["datasets"]))
