"""Pages from templates, each a file without anything from a network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from smgicnet.core.provenance import write_text


def write_page(path: Path, template: str, **content: Any) -> None:
    """Write a page from a template of this folder."""
    loader = PackageLoader("smgicnet.publication", "report")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    write_text(path, environment.get_template(template).render(**content))


def embedded(picture: Path) -> str:
    """Return a PNG as the address of an image in a page."""
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
