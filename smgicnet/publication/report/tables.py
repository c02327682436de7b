"""The results' tables for the page: text to show and a number to sort by in every cell."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from smgicnet.core.errors import InputError
from smgicnet.publication.tables.table import MISSING, cell_text
from smgicnet.publication.tables.table_rows import FURTHER_METRICS, PAPER_METRICS

_NUMBER = re.compile(r"(<?)\s*([+\-−]?)(\d[\d,]*(?:\.\d+)?)")
_FOLDS_PRINTED = "folds_fraction"


@dataclass(frozen=True)
class PageCell:
    """``order`` is the number by which the cell sorts; None is last in either direction."""

    text: str
    order: float | None


@dataclass(frozen=True)
class PageTable:
    """One sortable table; ``rows`` hold a label and one cell for each of ``header`` but the first."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[PageCell, ...], ...]
    notes: tuple[str, ...] = ()
    heading: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """The columns that hold numbers."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.header)
        return tuple(place > 0 and any(cell.order is not None for cell in cells) for place, cells in enumerate(columns))


def leading_number(text: str) -> float | None:
    """Return the number that a cell begins with (``<0.001`` counts as half of it), or None."""
    found = _NUMBER.match(text.strip())
    if not found:
        return None
    below, sign, digits = found.groups()
    value = float(digits.replace(",", ""))
    return (-1 if sign in ("-", "−") and sign else 1) * (value / 2 if below else value)


def cell(text: str | None) -> PageCell:
    return PageCell(text or MISSING, leading_number(text or MISSING))


def page_tables(record: str | Path) -> list[PageTable]:
    """Return the tables in the JSON beside a table (its key ``page``); a block with a heading is one of its own.

    Raises `InputError` when there is none.
    """
    found = [part for table in _read(record) for part in _blocks(table)]
    if not found:
        raise InputError(record, "it has no table", "Remove it and run the workflow again")
    return found


def _read(record: str | Path) -> list[Mapping]:
    """The tables as `smgicnet.publication.tables.table.Table.to_data` gives them."""
    return json.loads(Path(record).read_text(encoding="utf-8")).get("page", [])


def _blocks(table: Mapping) -> list[PageTable]:
    """A table for each block that has rows: the caption is above the first, the notes are below the last."""
    header = (table["corner"], *table["columns"])
    parts = [
        PageTable("", header, tuple((PageCell(label, None), *map(cell, texts)) for label, *texts in rows), (), heading)
        for heading, rows in ((block["heading"], block["rows"]) for block in table["blocks"])
        if rows
    ]
    if parts:
        parts[0] = replace(parts[0], caption=table["caption"])
        parts[-1] = replace(parts[-1], notes=tuple(table["notes"]))
    return parts


def table1_by_method(csv: str | Path, record: str | Path, labels: Mapping[str, str]) -> list[PageTable]:
    """Return Table 1 turned round: a row a method, a column a metric, so that a column can be sorted.

    ``record`` is the JSON beside it, for caption and notes; ``labels`` name each "method/arm".
    The paper's numbers are a table of their own: other data, other hardware.
    """
    values = read_values(csv)
    (written,) = _read(record)
    metrics = [*PAPER_METRICS, *FURTHER_METRICS]
    measured = values[values["source"] == "measured"]
    columns = [(metric.label, "measured", metric.name, metric.decimals) for metric in metrics]
    tables = [_wide(written["caption"], values, measured, columns, labels, tuple(written["notes"]))]
    printed = values[values["source"] != "measured"]
    if not printed.empty:
        short = {"dice": "DSC", _FOLDS_PRINTED: "|J| ≤ 0 (fraction)", "seconds": "Time (s)"}
        columns = [
            (f"{title}, {source.removeprefix('paper ')}", source, name, 3)
            for name, title in short.items()
            for source in printed["source"].unique()
        ]
        tables.append(_wide("", values, printed, columns, labels, (), "What the paper prints, for orientation"))
    return tables


def read_values(csv: str | Path) -> pd.DataFrame:
    """Read the CSV of a table, as `smgicnet.publication.tables.table.Table.to_csv` writes it."""
    return pd.read_csv(csv, dtype=dict.fromkeys(("metric", "method", "arm", "source"), str), keep_default_na=True)


def _wide(
    caption: str,
    values: pd.DataFrame,
    shown: pd.DataFrame,
    columns: Sequence[tuple[str, str, str, int]],
    labels: Mapping[str, str],
    notes: tuple[str, ...],
    heading: str = "",
) -> PageTable:
    """``columns``: title, source, metric, decimals; those without any value are left out."""
    keyed = shown.set_index(["source", "metric", "method", "arm"])
    present = set(zip(shown["source"], shown["metric"]))
    columns = [column for column in columns if column[1:3] in present]
    rows = []
    for method, arm in values[["method", "arm"]].drop_duplicates().itertuples(index=False):
        cells = []
        for _, source, metric, decimals in columns:
            key = (source, metric, method, arm)
            mean, sd = keyed.loc[key, ["mean", "sd"]] if key in keyed.index else (math.nan, math.nan)
            missing = math.isnan(mean)
            cells.append(PageCell(MISSING, None) if missing else PageCell(cell_text(mean, sd, decimals), float(mean)))
        if any(one.order is not None for one in cells):
            rows.append((PageCell(labels.get(f"{method}/{arm}", f"{method}/{arm}"), None), *cells))
    return PageTable(caption, ("Method", *(column[0] for column in columns)), tuple(rows), notes, heading)
