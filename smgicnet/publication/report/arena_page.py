"""The page over all datasets: one file, without anything from a network."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from smgicnet.core.provenance import write_text


def write_arena_page(path: Path, record: Path, figure: Path, datasets: Sequence[str]) -> None:
    """Write the page of the tables in the JSON ``record`` and of a figure (PNG), with links to the datasets' pages."""
    loader = PackageLoader("smgicnet.publication", "report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    shown = "data:image/png;base64," + base64.b64encode(figure.read_bytes()).decode()
    tables = json.loads(record.read_text(encoding="utf-8"))["page"]
    content = {"tables": [*tables[-2:], *tables[:-2]], "figure": shown, "datasets": datasets}
    write_text(path, environment.get_template("arena.html.jinja").render(**content))
