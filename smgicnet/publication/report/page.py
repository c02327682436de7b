"""The one page of a dataset: everything in one file, nothing from a network."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from smgicnet.publication.report.tables import PageTable, page_tables, table1_by_method
from smgicnet.publication.report.volumes import Viewer, as_json, viewer_data
from smgicnet.publication.tables.weights_note import weights_note
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


@dataclass(frozen=True)
class Page:
    """The contents of the page of a dataset."""

    title: str
    dataset: str
    labels: Mapping[str, str]  # name of each run, by "method/arm"
    reference: tuple[str, str]  # the (method, arm) of the comparisons
    tables: Mapping[str, Mapping[str, str | Path]]  # files (csv, json) by names of `TITLES`; all but table1 may lack
    figures: Sequence[Figure] = ()
    viewer: Viewer | None = None  # the pairs to look at
    audit: str | Path | None = None  # the audit's Markdown
    records: Mapping[str, str | Path] = field(default_factory=dict)  # JSON by title; the first with a config gives it
    quality: str | None = None  # address of the page of quality control, relative to this one
    built: datetime | None = None  # date of the page; now by default


def write_page(out: str | Path, page: Page) -> int:
    """Write a page; returns its size in bytes. Raises `InputError` when a file or a library of it is missing."""
    unknown = set(page.tables) - set(TITLES)
    if unknown or "table1" not in page.tables:
        raise InputError("tables", f"given are {sorted(page.tables)}", f"Give table1 and what there is of {[*TITLES]}")
    loader = PackageLoader("smgicnet.publication.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.get_template("index.html.jinja").render({**_content(page), **_libraries(bool(page.viewer))})
    write_text(out, text)
    return len(text.encode())


def _content(page: Page) -> dict:
    """What differs between pages, by the template's names."""
    index, blobs = viewer_data(page.viewer) if page.viewer else ({}, {})
    table1, comparisons = page.tables["table1"]["csv"], page.tables.get("comparisons", {}).get("csv")
    return {
        "title": page.title,
        "dataset": page.dataset,
        "headline": headline(table1, comparisons, page.labels, page.reference, _size(page.viewer), _weights(page)),
        "sections": [_section(name, page.tables[name], page.labels) for name in TITLES if name in page.tables],
        "figures": [_picture(figure) for figure in page.figures],
        "index": index,
        "index_json": Markup(as_json(index)),
        "blobs": blobs,
        "audit": _audit(page.audit) if page.audit else None,
        "provenance": _provenance(page.records),
        "quality": page.quality,
        "built": (page.built or datetime.now(UTC)).strftime("%d %B %Y, %H:%M UTC"),
    }


def _libraries(viewer: bool) -> dict:
    """Styles, scripts and licences, by the template's names."""
    return {
        "libraries": library_versions(),
        "licences": _part("licences.txt"),
        "viewer_library": Markup(library("viewer")) if viewer else "",
        "tables_library": Markup(library("tables")),
        "style": Markup(_part("report.css")),
        "script": Markup(in_script("\n".join(_part(name) for name in SCRIPTS))),
    }


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


def _size(viewer: Viewer | None) -> dict[str, int]:
    """Number of test subjects and pairs, by the first scores at hand."""
    if viewer is None:
        return {}
    return cohort_size(read_metrics([viewer.initial or viewer.runs[0].metrics]))


def _weights(page: Page) -> list[str]:
    """Which methods were not trained on this cohort, as sentences."""
    record = page.tables["table1"].get("json")
    config = json.loads(Path(record).read_text(encoding="utf-8")).get("config", {}) if record else {}
    return weights_note(config.get("methods", {}), [run.partition("/")[0] for run in page.labels])


def _section(name: str, files: Mapping[str, str | Path], labels: Mapping[str, str]) -> Section:
    if name == "table1":
        return Section(name, TITLES[name], table1_by_method(files["csv"], files["json"], labels))
    return Section(name, TITLES[name], page_tables(files["json"]))


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
