"""Numbers on pages and the records that they are from.

A record, ``docs/results/records/NAME.json``, holds tables as a run printed them, with the command, the commit and the
machine. A table on a page names its record in a comment above it, and a number in a sentence in a comment before it:

    <!-- numbers: arena / Ranks over all datasets., all rows
    Time (s) = All methods on the people test pairs: means. / Time (s) -->
    <!-- number: demo / alone / minutes -->14

- ``numbers: RECORD / TABLE``; the table may be left out where the record has one. ``, transposed`` exchanges rows and
  columns, and ``, all rows`` says that the page has every row of the record, in its order.
- A further line says where the numbers of a column are that has another name there: ``COLUMN = COLUMN THERE`` or
  ``COLUMN = TABLE / COLUMN THERE``. A place that ends in ``[2]`` begins with the second number there. ``row ROW = ROW
  THERE`` does the same for a row.

A page shows as many decimals, and as many numbers of a place, as it likes. ``python -m benchmarks.records check`` says
where a page differs from its records, ``write`` writes their numbers onto it, and ``make NAME FILE.md`` makes a record
of the tables in a file: a table of the workflow, beside which lies its JSON, or what a benchmark printed.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.markdown_tables import RecordError, read_table, tables_of
from benchmarks.page_numbers import Records, renewed
from smgicnet.core.provenance import sha256, write_text

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "results" / "records"
FACTS = ("command", "commit", "date", "hardware", "origin", "note")


def make_record(source: Path, facts: Mapping[str, str | None]) -> dict:
    """A record of all tables in a Markdown file, with what the JSON beside a table of the workflow says of it.

    ``facts``: `FACTS` that are known. An ``origin`` says that the file is not what the command wrote, and where the
    numbers were found instead.
    """
    text = source.read_text(encoding="utf-8")
    tables = {title: read_table(lines) for title, lines in tables_of(text)}
    record: dict = {key: facts[key] for key in FACTS if facts.get(key)}
    if "origin" not in record:
        record.setdefault("date", datetime.fromtimestamp(source.stat().st_mtime, UTC).date().isoformat())
        record["file"] = {"name": source.name, "sha256": sha256(source.read_bytes())}
    if source.with_suffix(".json").is_file():
        record |= _facts_of_workflow(json.loads(source.with_suffix(".json").read_text(encoding="utf-8")))
    record["tables"] = {
        title: {"columns": list(table.columns), "rows": {name: list(cells) for name, cells in table.rows.items()}}
        for title, table in tables.items()
    }
    return record


def _facts_of_workflow(of_table: Mapping) -> dict:
    """What is kept of the JSON of a table: the digests of its source and inputs, and where it was made."""
    facts = {key: of_table[key] for key in ("hardware", "versions", "seeds", "affine") if key in of_table}
    inputs = {one["path"]: one["sha256"] for files in of_table["inputs"].values() for one in files}
    return {"code": of_table["code"], **facts, "inputs": inputs}


def dump(record: Mapping) -> str:
    """A record as JSON: a line a fact, a row and an input."""
    facts = [f" {_line(key)}: {_line(value)}" for key, value in record.items() if key not in ("inputs", "tables")]
    if "inputs" in record:
        facts.append(f' "inputs": {_lines(record["inputs"], " " * 2)}')
    tables = []
    for title, table in record["tables"].items():
        columns, rows = _line(table["columns"]), _lines(table["rows"], " " * 4)
        tables.append(f'  {_line(title)}: {{\n   "columns": {columns},\n   "rows": {rows}\n  }}')
    return "{\n" + ",\n".join([*facts, ' "tables": {\n' + ",\n".join(tables) + "\n }"]) + "\n}\n"


def _lines(content: Mapping, indent: str) -> str:
    lines = ",\n".join(f"{indent}{_line(key)}: {_line(value)}" for key, value in content.items())
    return f"{{\n{lines}\n{indent[1:]}}}"


def _line(content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


def pages() -> list[Path]:
    """The pages whose numbers are those of records."""
    found = [path for pattern in ("arena.md", "adding-*.md", "results/*.md") for path in (ROOT / "docs").glob(pattern)]
    return [ROOT / "README.md", *sorted(found)]


def differences(page: Path, records: Records) -> list[str]:
    """The lines of a page that differ from the records, as a unified diff, or what does not fit together."""
    text = page.read_text(encoding="utf-8")
    try:
        made = renewed(text, records)
    except RecordError as error:
        return [str(error)]
    lines = (one.splitlines() for one in (text, made))
    return list(difflib.unified_diff(*lines, str(page), "its records", lineterm="", n=0))


def _make(arguments: argparse.Namespace) -> None:
    """Make a record; facts that are not given are those of the record that it replaces, but for commit and date."""
    path = RECORDS / f"{arguments.name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    kept = {key: before[key] for key in ("command", "note") if key in before}
    given = {key: getattr(arguments, key) for key in FACTS if getattr(arguments, key)}
    if not {"command"} & {*kept, *given}:
        raise SystemExit("Say by --command what makes these numbers")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, dump(make_record(arguments.file, {**kept, **given})))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="action", required=True)
    for name, text in (("check", "say where pages differ from records"), ("write", "write records onto pages")):
        commands.add_parser(name, help=text).add_argument("pages", nargs="*", type=Path, help="by default all")
    make = commands.add_parser("make", help="make a record of the tables in a file")
    make.add_argument("name", help="of the record")
    make.add_argument("file", type=Path, help="a Markdown file with tables")
    for fact in FACTS:
        make.add_argument(f"--{fact}", help="stands in the record")
    arguments = parser.parse_args()
    if arguments.action == "make":
        _make(arguments)
        return 0
    records, found = Records(RECORDS), []
    for page in arguments.pages or pages():
        if arguments.action == "write":
            write_text(page, renewed(page.read_text(encoding="utf-8"), records))
        found += differences(page, records)
    print("\n".join(found) or "Every number is that of its record.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
