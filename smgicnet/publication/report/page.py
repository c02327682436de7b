"""The one page of a dataset: everything in one file, nothing from a network."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown import Markdown
from markupsafe import Markup

from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text
from smgicnet.publication.report.assets import in_script, library, library_versions
from smgicnet.publication.report.headline import headline
from smgicnet.publication.report.tables import PageTable, read_markdown, table1_by_method
from smgicnet.publication.report.volumes import Run, as_json, viewer_data
from smgicnet.scoring.statistics import cohort_size, read_metrics

TITLES = {
    "table1": "Table 1: accuracy, folds and time",
    "table2": "Table 2: effect sizes",
    "table3": "Table 3: published weights",
    "comparisons": "Comparisons",
    "ablations": "Ablations",
}
SCRIPTS = ("report.js", "viewer.js")


class Figure(NamedTuple):
    """A PNG of the page; its caption is plain text and its alternative text, too."""

    path: str | Path
    title: str
    caption: str


class Section(NamedTuple):
    """Tables under one title; ``name`` is their place in the page's addresses."""

    name: str
    title: str
    tables: list[PageTable]


def write_page(
    out: str | Path,
    *,
    title: str,
    dataset: str,
    labels: Mapping[str, str],
    reference: tuple[str, str],
    tables: Mapping[str, Mapping[str, str | Path]],
    figures: Sequence[Figure] = (),
    pairs: Mapping[str, tuple[str, str]],
    runs: Sequence[Run] = (),
    images: Mapping[str, str | Path],
    initial: str | Path | None = None,
    audit: str | Path | None = None,
    records: Mapping[str, str | Path] | None = None,
    quality: str | None = None,
    built: datetime | None = None,
) -> int:
    """Write the page of ``dataset``; returns its size in bytes.

    Parameters
    ----------
    labels : name of each "method/arm"; ``reference``: the (method, arm) of the comparisons
    tables : files (``md``, ``csv``) by the names in ``TITLES``; all but table1 may be absent
    pairs : the viewer's (fixed, moving), by title
    runs : the viewer's methods, each with kept fields of all ``pairs``
    images : preprocessed image by subject
    initial : scores before registration; ``audit``: the audit's Markdown
    records : JSON by title, as `smgicnet.core.provenance.merge_records` writes them; the first with a config gives it
    quality : address of the page of quality control, relative to this one
    built : date of the page, now by default

    Raises `InputError` when a file or a library of the page is missing.
    """
    unknown = set(tables) - set(TITLES)
    if unknown or "table1" not in tables:
        raise InputError("tables", f"given are {sorted(tables)}", f"Give table1 and what there is of {list(TITLES)}")
    index, blobs = viewer_data(pairs, runs, images, initial) if pairs and runs else ({}, {})
    comparisons = tables.get("comparisons", {}).get("csv")
    content = {
        "title": title,
        "dataset": dataset,
        "headline": headline(tables["table1"]["csv"], comparisons, labels, reference, _size(runs, initial)),
        "sections": [_section(name, tables[name], labels) for name in TITLES if name in tables],
        "figures": [_picture(figure) for figure in figures],
        "index": index,
        "index_json": Markup(as_json(index)),
        "blobs": blobs,
        "audit": _audit(audit) if audit else None,
        "provenance": _provenance(records or {}),
        "quality": quality,
        "libraries": library_versions(),
        "licences": _part("licences.txt"),
        "built": (built or datetime.now(UTC)).strftime("%d %B %Y, %H:%M UTC"),
        "viewer_library": Markup(library("viewer")) if index else "",
        "tables_library": Markup(library("tables")),
        "style": Markup(_part("report.css")),
        "script": Markup(in_script("\n".join(_part(name) for name in SCRIPTS))),
    }
    loader = PackageLoader("smgicnet.publication.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("index.html.jinja").render(content)
    write_text(out, page)
    return len(page.encode())


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _picture(figure: Figure) -> dict:
    """A figure with its size in pixels, so that the page keeps its place while pictures are decoded."""
    path = Path(figure.path)
    if not path.is_file():
        raise InputError(path, "no such figure", "Run the workflow again")
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n"):
        raise InputError(path, "it is not a PNG", "Remove it and run the workflow again")
    width, height = struct.unpack(">II", content[16:24])
    data = base64.b64encode(content).decode("ascii")
    return {"title": figure.title, "caption": figure.caption, "data": data, "width": width, "height": height}


def _size(runs: Sequence[Run], initial: str | Path | None) -> dict[str, int]:
    """Number of test subjects and pairs, by the first scores at hand."""
    files = [*([initial] if initial else []), *(run.metrics for run in runs)]
    return cohort_size(read_metrics(files[:1])) if files else {}


def _section(name: str, files: Mapping[str, str | Path], labels: Mapping[str, str]) -> Section:
    if name == "table1":
        return Section(name, TITLES[name], table1_by_method(files["csv"], files["md"], labels))
    return Section(name, TITLES[name], read_markdown(files["md"]))


def _audit(path: str | Path) -> Markup:
    """Markdown as HTML below the page's own headings; HTML in it is shown as text."""
    converter = Markdown(extensions=["tables", "sane_lists"], output_format="html")
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    html = converter.convert(Path(path).read_text(encoding="utf-8"))
    for level in range(4, 0, -1):
        html = html.replace(f"<h{level}>", f"<h{level + 2}>").replace(f"</h{level}>", f"</h{level + 2}>")
    html = html.replace("<table>", '<div class="scroll" tabindex="0"><table>').replace("</table>", "</table></div>")
    return Markup(html)


def _provenance(records: Mapping[str, str | Path]) -> dict:
    """Config, seeds, and by fact what the records say: one entry where they agree."""
    read = {name: json.loads(Path(path).read_text(encoding="utf-8")) for name, path in records.items()}
    config = next((record["config"] for record in read.values() if record.get("config")), None)
    versions: dict[str, dict] = {}
    hardware: dict[str, None] = {}
    digests = {}
    for name, record in read.items():
        for entry in _as_list(record.get("versions")):
            for package, version in entry.items():
                versions.setdefault(package, {})[version] = None
        hardware |= dict.fromkeys(_as_list(record.get("hardware")))
        digests[name] = record.get("code") or record.get("source")
    return {
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100) if config else None,
        "seeds": ", ".join(map(str, _as_list((config or {}).get("seeds")))),
        "versions": {package: ", ".join(found) for package, found in sorted(versions.items())},
        "hardware": list(hardware),
        "digests": {name: digest for name, digest in digests.items() if digest},
    }


def _as_list(value: object) -> list:
    return [] if value is None else value if isinstance(value, list) else [value]
