"""Tab-separated tables: participants, label protocols, BIDS. A tab separates fields, and no other sign has a meaning.

A quotation mark is a character like others, no column is an index, and a row that has another number of fields than the
header is named instead of being shifted.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 100 * 2**20  # a table of a hundred thousand people has a tenth of it
MAX_FIELDS = 5_000_000  # fifty columns of those people; a field takes some hundred bytes of memory
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BYTES_BREAK = re.compile(rb"\r\n|\r|\n")
_SHOWN = 60  # characters of a row in a message


def read_tsv(path: str | Path, remedy: str = "Correct the table") -> pd.DataFrame:
    """Read a table of text, "" for an empty field, from a UTF-8 file with a header line.

    Blank lines are skipped, blanks around fields are dropped, and so are empty fields at the end of rows and header.
    ``remedy`` says in messages what the table should be like. Raises `InputError` for a file that is missing, not UTF-8
    text, or larger than `MAX_BYTES` or `MAX_FIELDS`, for a row with too few or too many fields, and for two columns of
    one name.
    """
    import pandas as pd  # it costs as much time as a scan's reading: not where no table is read

    path = Path(path)
    lines = enumerate(_LINE_BREAK.split(_text(path, remedy)), start=1)
    rows = [(number, [field.strip() for field in line.split("\t")]) for number, line in lines if line.strip()]
    if not rows:
        raise InputError(path, "not a tab-separated table: it is empty", remedy)
    columns = _without_empty_end(rows[0][1], 1)
    if len(columns) == 1 and any(sign in columns[0] for sign in ",; "):
        raise InputError(
            path, f"not a tab-separated table: no tab is in its header {columns[0][:_SHOWN]!r}", f"Use tabs. {remedy}"
        )
    repeated = sorted(name for name, count in Counter(columns).items() if count > 1)
    if repeated or "" in columns:
        what = f"the column {repeated[0]!r} stands twice" if repeated and repeated[0] else "a column has no name"
        raise InputError(path, f"line {rows[0][0]}: {what}", "Give each column one name")
    values = []
    for number, fields in rows[1:]:
        fields = _without_empty_end(fields, len(columns))
        if len(fields) != len(columns):
            shown = "\t".join(fields)[:_SHOWN]
            raise InputError(
                path,
                f"not a tab-separated table: line {number} has {len(fields)} fields and the header {len(columns)}: "
                f"{shown!r}",
                "Separate fields by one tab each, empty ones too, and leave tabs out of the text",
            )
        values.append(fields)
    return pd.DataFrame(values, columns=columns, dtype=str)


def _text(path: Path, remedy: str) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(path, f"not a tab-separated table: it has {size / 2**20:,.0f} MiB", remedy)
        content = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Correct its path or restore the file") from error
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(path, "not a tab-separated table: it is UTF-16", "Save it as UTF-8 text with tabs")
    ends = sum(map(content.count, (b"\t", b"\n", b"\r")))
    if ends > MAX_FIELDS:
        problem = f"not a tab-separated table: it has {ends:,} tabs and line ends, more than {MAX_FIELDS:,}"
        raise InputError(path, problem, remedy)
    if b"\0" in content:
        before = _BYTES_BREAK.split(content[: content.index(b"\0")])
        start = content.index(b"\0") - len(before[-1])
        shown = _BYTES_BREAK.split(content[start : start + _SHOWN])[0].decode("utf-8", "replace")
        raise InputError(
            path,
            f"not a tab-separated table: line {len(before)} holds a NUL byte: {shown!r}",
            "Save it as UTF-8 text with tabs",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(_BYTES_BREAK.split(content[: error.start]))
        raise InputError(
            path, f"not a tab-separated table: line {line} is not UTF-8 ({error})", "Save it as UTF-8 text with tabs"
        ) from error


def _without_empty_end(fields: list[str], least: int) -> list[str]:
    end = len(fields)
    while end > least and not fields[end - 1]:
        end -= 1
    return fields[:end]


def write_tsv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table, all its columns and not its index, as `read_tsv` reads it; atomically.

    Raises `InputError` for a field that holds a tab or a line break, and as `smgicnet.imaging.images.atomic_path` does.
    """
    columns = {str(name): [_field(value) for value in table[name]] for name in table.columns}
    for name, values in columns.items():
        broken = next((value for value in (name, *values) if re.search(r"[\t\r\n]", value)), None)
        if broken is not None:
            raise InputError(path, f"{broken[:_SHOWN]!r} in column {name!r} holds a tab or a line break", "Remove it")
    rows = [columns, *zip(*columns.values(), strict=True)]
    with atomic_path(path) as part:
        part.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8", newline="\n")


def _field(value: object) -> str:
    import pandas as pd

    return "" if pd.isna(value) else str(value)
