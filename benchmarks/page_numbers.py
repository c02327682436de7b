"""Numbers on a page and those of its records, which the comments name that `benchmarks.records` describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from benchmarks.markdown_tables import RecordError, Table, cells_of, column_names, is_heading, row_names

NUMBER = re.compile(r"(?<![\w.])(<?[-+−]?)((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?![\d])")
COMMENT = re.compile(r"<!--\s*(numbers?):(.*?)-->", re.DOTALL)
TABLE = re.compile(r"\s*\n((?:\|[^\n]*\n?)+)")


@dataclass(frozen=True)
class Place:
    """A column, or a cell, of a record: the ``table`` ("" for the only one) and the number to begin with."""

    table: str
    column: str
    start: int

    @classmethod
    def parse(cls, text: str, table: str) -> Place:
        """``TABLE / COLUMN [2]``, of which only the column has to be there."""
        name, number = re.fullmatch(r"(.*?)(?:\s*\[(\d+)\])?", text.strip(), re.DOTALL).groups()
        *tables, column = name.split(" / ")
        return cls(" / ".join(tables) or table, column, int(number or 1) - 1)


class Records:
    """The records of a folder, each read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, dict[str, Table]] = {}

    def table(self, record: str, name: str) -> Table:
        """A table of a record, by its name, which is not needed where it is the only one."""
        path = self.folder / f"{record}.json"
        if record not in self._read:
            if not path.is_file():
                raise RecordError(f"there is no record {path}")
            content = json.loads(path.read_text(encoding="utf-8"))["tables"]
            self._read[record] = {
                key: Table(tuple(one["columns"]), {row: tuple(cells) for row, cells in one["rows"].items()})
                for key, one in content.items()
            }
        tables = self._read[record]
        if not name and len(tables) == 1:
            return next(iter(tables.values()))
        if name not in tables:
            raise RecordError(f"{path.name} has no table {name!r}, but {', '.join(map(repr, tables))}")
        return tables[name]


def rounded(value: str, shown: str) -> str:
    """A record's number with as many decimals as the number ``shown``, and with a plus only where that has a sign."""
    (sign, digits), (of_page, pattern) = NUMBER.fullmatch(value).groups(), NUMBER.fullmatch(shown).groups()
    if "<" in sign:
        return value
    step = Decimal(1).scaleb(-len(pattern.partition(".")[2]))
    found = Decimal(digits.replace(",", "")).quantize(step, ROUND_HALF_UP)
    sign = "-" if sign == "−" else sign if sign == "-" or of_page else ""
    return f"{sign}{found:,}" if "," in digits else f"{sign}{found}"


def renewed_cell(shown: str, recorded: str, start: int = 0, others: Sequence[str] = ()) -> str:
    """A cell of a page with the numbers of its record; ``others`` of its column show how, if it has none itself."""
    values = [match[0] for match in NUMBER.finditer(recorded)][start:]
    if start and not values:
        raise RecordError(f"the page shows {shown!r} where the record has {recorded!r}")
    if not values:
        return recorded if NUMBER.search(shown) else shown
    shown = next((text for text in (shown, *others) if NUMBER.search(text)), recorded)
    if len(NUMBER.findall(shown)) > len(values):
        raise RecordError(f"the page shows {shown!r} where the record has {recorded!r}")
    numbers = iter(values)
    return NUMBER.sub(lambda match: rounded(next(numbers), match[0]), shown)


def renewed_table(lines: Sequence[str], marker: str, records: Records) -> list[str]:
    """The lines of a page's table with the numbers of the records that its marker names."""
    first, *further = [line.strip() for line in marker.strip().splitlines()]
    record, _, main = re.sub(r", (transposed|all rows)", "", first).partition(" / ")
    header, _, *rows = map(cells_of, lines)
    renamed = dict(line.removeprefix("row ").split(" = ", 1) for line in further if line.startswith("row "))
    places = _places(column_names(header), main, [line for line in further if not line.startswith("row ")])

    def recorded(name: str) -> Table:
        table = records.table(record, name)
        return table.transposed() if ", transposed" in first else table

    named = dict(zip(row_names(rows), rows, strict=True))
    if unknown := [name for name in renamed if name not in named]:
        raise RecordError(f"the table has no row {unknown[0]!r}")
    if ", all rows" in first:
        named = _in_order(named, list(recorded(main).rows), len(places))
    made = []
    for name, cells in named.items():
        if name in {*recorded(main).rows, *renamed} or not is_heading(cells):
            cells = [cells[0]] + [
                renewed_cell(
                    cells[number],
                    recorded(place.table).cell(renamed.get(name, name), place.column),
                    place.start,
                    [row[number] for row in rows],
                )
                for number, place in enumerate(places, 1)
            ]
        made.append(f"| {' | '.join(cells)} |")
    return [*lines[:2], *made]


def _in_order(rows: Mapping[str, list[str]], names: Sequence[str], columns: int) -> dict[str, list[str]]:
    """A page's rows as a record has them, those that it lacks empty, and its headings before the rows that follow."""
    ordered, headings = {}, {}
    for name, cells in rows.items():
        if name not in names and is_heading(cells):
            headings[name] = cells
        else:
            ordered[name] = {**headings, name: cells}
            headings = {}
    return {key: cells for name in names for key, cells in ordered.get(name, {name: [name, *[""] * columns]}).items()}


def _places(columns: Sequence[str], table: str, lines: Sequence[str]) -> list[Place]:
    """Where the numbers of each column are: under its own name, unless a line of the marker says otherwise."""
    places = {name: Place(table, name, 0) for name in columns}
    for line in lines:
        name, _, place = line.partition(" = ")
        if name not in places:
            raise RecordError(f"the table has no column {name!r}")
        places[name] = Place.parse(place, table)
    return list(places.values())


def renewed(text: str, records: Records) -> str:
    """A page's text with the numbers of its records."""
    done, position = [], 0
    for match in COMMENT.finditer(text):
        done.append(text[position : match.end()])
        position = match.end()
        if match[1] == "number":
            number = NUMBER.search(text, position)
            if number is None:
                raise RecordError(f"no number follows {match[0]}")
            done += [text[position : number.start()], _renewed_number(number[0], match[2], records)]
            position = number.end()
            continue
        table = TABLE.match(text, position)
        if table is None:
            raise RecordError(f"no table follows {match[0]}")
        lines = renewed_table(table[1].splitlines(), match[2], records)
        done += [text[position : table.start(1)], "\n".join(lines), "\n" if table[1].endswith("\n") else ""]
        position = table.end()
    return "".join([*done, text[position:]])


def _renewed_number(shown: str, marker: str, records: Records) -> str:
    """A number of a sentence, by its marker: ``RECORD / TABLE / ROW / COLUMN``."""
    record, *table, row, column = marker.strip().split(" / ")
    place = Place.parse(column, " / ".join(table))
    return renewed_cell(shown, records.table(record, place.table).cell(row, place.column), place.start)


def without_code(text: str) -> str:
    """A page without its blocks of code, its code in sentences, the targets of its links, and versions."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`|\]\([^)]*\)|(Python |torch |Apache-|GPL-)\d[\w.+]*", "", text)


def unmarked(text: str) -> list[str]:
    """Lines of tables that have numbers beyond their first column and no record, and lines of text with decimals that
    have none."""
    text = re.sub(r"<!--\s*numbers:[^>]*-->\s*\n(\|[^\n]*\n?)+", "", without_code(text))
    text = re.sub(r"<!--\s*number:[^>]*-->[^\d]*[\d,.]*\d", "", text)
    found = []
    for line in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines():
        in_table = line.startswith("|")
        looked_at = " ".join(cells_of(line)[1:]) if in_table else line
        if any(in_table or "." in match[2] for match in NUMBER.finditer(looked_at)):
            found.append(line)
    return found
