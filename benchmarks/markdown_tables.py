"""Tables of Markdown texts, whose cells have the names of their rows and columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


class RecordError(Exception):
    """A page and its records do not fit together; the message says where."""


@dataclass(frozen=True)
class Table:
    """A table's cells as text, by the names of its rows and columns, each of which stands once."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    def cell(self, row: str, column: str) -> str:
        """The text at a place."""
        if row not in self.rows or column not in self.columns:
            raise RecordError(f"the record has no place {row!r}, {column!r}")
        return self.rows[row][self.columns.index(column)]

    def transposed(self) -> Table:
        """The same with rows and columns exchanged."""
        cells = zip(*self.rows.values(), strict=True)
        return Table(tuple(self.rows), dict(zip(self.columns, cells, strict=True)))


def cells_of(line: str) -> list[str]:
    """The cells of a line of a Markdown table, in which ``\\|`` is no border."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def plain(text: str) -> str:
    """A label without what makes it bold, code, or safe in a Markdown table."""
    return re.sub(r"[*`]", "", text).replace(r"\|", "|").strip()


def is_heading(cells: Sequence[str]) -> bool:
    """Whether a row only names those that follow."""
    return bool(cells[0]) and not any(cells[1:])


def unique(labels: Sequence[str], before: Sequence[str]) -> list[str]:
    """Labels of which each stands once: those of several places have what they belong to before them."""
    count = Counter(labels)
    names = [f"{one}, {label}" if count[label] > 1 and one else label for label, one in zip(labels, before)]
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise RecordError(f"several rows or columns are called {repeated[0]!r}")
    return names


def column_names(header: Sequence[str]) -> list[str]:
    """Names of the columns but the first; a repeated one follows the last that is not."""
    labels = [plain(cell) for cell in header[1:]]
    once, before = "", []
    for label in labels:
        once = label if labels.count(label) == 1 else once
        before.append(once)
    return unique(labels, before)


def row_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """Names of the rows, headings included. A repeated one follows its heading, or the last that is not repeated, or
    has the cells behind it that tell rows apart."""
    labels = [plain(cells[0]) for cells in rows]
    heading, once, before = "", "", []
    for label, cells in zip(labels, rows):
        heading = label if is_heading(cells) else heading
        once = label if labels.count(label) == 1 else once
        before.append(heading or once)
    if not any(before):
        columns = 1
        while len(set(labels)) < len(labels) and columns < min(map(len, rows)):
            columns += 1
            labels = [", ".join(map(plain, cells[:columns])) for cells in rows]
    return unique(labels, before)


def tables_of(text: str) -> Iterator[tuple[str, list[str]]]:
    """The tables of a Markdown text: the last line of text before each, and its own lines."""
    title, lines = "", []
    for line in [*re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
            continue
        if lines:
            yield title, lines
            title, lines = "", []
        title = line.strip().strip("*") or title


def read_table(lines: Sequence[str]) -> Table:
    """A Markdown table, without its headings."""
    header, _, *rows = map(cells_of, lines)
    named = zip(row_names(rows), rows)
    return Table(
        tuple(column_names(header)), {name: tuple(cells[1:]) for name, cells in named if not is_heading(cells)}
    )
