"""The check that tables are what the JSONs beside them say: each is made again from its metrics."""

from __future__ import annotations

import gzip
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from jsonschema import Draft202012Validator

from smgicnet.core.code import source_digest
from smgicnet.core.errors import InputError, printable
from smgicnet.core.provenance import MERGED, sha256, versions
from smgicnet.jobs.gather import gathered
from smgicnet.jobs.tables import CHECKOUT, KINDS, MAKERS, base, derive, path_of

FORMS = ("md", "csv", "tex")
AGAIN = "Run the workflow again, as `snakemake --cores all`"
SHOWN = 120  # characters of a line that differs
_TEXT = {"type": "string"}
_FILE = {"type": "object", "properties": {"path": _TEXT, "sha256": _TEXT}, "required": ["path", "sha256"]}
_FILES = {"type": "array", "items": _FILE}
_PARTS = {
    "table": {"enum": list(KINDS)},
    "dataset": _TEXT,
    "config": {"type": "object"},
    "code": _TEXT,
    "sources": {"type": "array", "items": _TEXT},
    "made_with": {"type": "object"},
    "parameters": {"type": "object"},
    "inputs": {"type": "object", "required": ["metrics", "records"], "additionalProperties": _FILES},
    "outputs": {"type": "object", "required": list(FORMS), "additionalProperties": _FILE},
}
SHAPE = {"type": "object", "properties": _PARTS, "required": list(_PARTS)}  # of a table's JSON, where it is relied on


class Verdict(NamedTuple):
    """The verdict on the table whose JSON is ``path``: differences from its claims, and notes that are no fault."""

    path: Path
    differences: list[str]
    notes: list[str]


def main(paths: Sequence[str | Path]) -> int:
    """Print a line a table with what differs, and a summary; the exit code, 1 when something differs."""
    differ = []
    for verdict in verify(paths):
        differ.append(bool(verdict.differences))
        lines = [*verdict.differences, *(f"note: {note}" for note in verdict.notes)]
        head = f"{verdict.path}: {'DIFFERS' if verdict.differences else 'ok'}"
        print(printable("\n".join([head, *(textwrap.indent(line, "    ") for line in lines)])), flush=True)
    count, wrong = len(differ), sum(differ)
    print(f"{count} table{'s' * (count > 1)}: {count - wrong} ok, {wrong} differ{'s' * (wrong == 1)}")
    return 1 if wrong else 0


def verify(paths: Sequence[str | Path]) -> Iterator[Verdict]:
    """Return a verdict on each table at or below ``paths``: JSONs, files of tables, or folders.

    Raises `InputError`, before the first verdict, for a path without a table and for a JSON that is not of a table.
    """
    records = {path: _read(path) for given in paths for path in _tables_at(Path(given))}
    gathered: dict[Path, list[str]] = {}  # metrics that many tables share are looked at once
    for path, record in records.items():
        yield _verdict(path, record, gathered)


def _tables_at(path: Path) -> list[Path]:
    if path.is_dir():
        names = {f"{kind}.{form}" for kind in KINDS for form in (*FORMS, "json")}
        found = sorted({file.with_suffix(".json") for file in path.rglob("*") if file.name in names})
        if not found:
            raise InputError(path, "there is no table in or below it", "Give a folder such as results/embedded")
        return found
    if not path.is_file():
        raise InputError(path, "no such file or folder", "Give a table, its JSON, or a folder of results")
    return [path.with_suffix(".json")]


def _read(path: Path) -> dict:
    if not path.is_file():
        raise InputError(path, "this JSON is not there, beside its table", AGAIN)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"not readable ({error})", AGAIN) from None
    if not Draft202012Validator(SHAPE).is_valid(record):
        problem = "it is not the JSON of a table, or it is from before tables could be verified"
        raise InputError(path, problem, f"Give a table's. {AGAIN} if it is one")
    return record


def _verdict(path: Path, record: Mapping, gathered: dict[Path, list[str]]) -> Verdict:
    folder = path.parent
    differences = [
        reason for role, entries in record["inputs"].items() for reason in _changed(entries, base(role, folder))
    ]
    facts, texts = {}, {}
    try:
        if not differences:
            differences += _gathering_differences(record["inputs"], folder, gathered)
        facts, texts = derive(record, folder)
    except Exception as error:  # whatever an edited file or JSON leads to
        reason = str(error) if isinstance(error, InputError | OSError) else f"{type(error).__name__}: {error}"
        differences.append(f"the table cannot be made again ({reason})")
    for key in (*MERGED, "seeds", *(key for key in ("page", "ranking") if key in record)) if facts else ():
        claimed, found = (json.dumps(one.get(key)) for one in (record, facts))
        if claimed != found:
            differences.append(_difference(f"{path.name}, {key}", claimed, found))
    for form in FORMS:
        differences += _output_differences(path.with_suffix(f".{form}"), record["outputs"][form], texts.get(form))
    return Verdict(path, differences, _notes(record))


def _changed(entries: Sequence[Mapping], folder: Path) -> list[str]:
    """A line for each of the files that is not there or no longer what it was."""
    reasons = []
    for entry in entries:
        path = path_of(entry, folder)
        try:
            if sha256(path.read_bytes()) != entry["sha256"]:
                reasons.append(f"{path}: its digest is not the one that was written down")
        except (OSError, ValueError) as error:  # ValueError: no name that a file can have
            reasons.append(f"{path}: cannot be read ({getattr(error, 'strerror', error)})")
    return reasons


def _gathering_differences(inputs: Mapping, folder: Path, gathered: dict[Path, list[str]]) -> list[str]:
    """Where metrics are not what their jobs gave; ``gathered`` holds what is known already."""
    for metrics, record in zip(inputs["metrics"], inputs["records"]):
        path = path_of(metrics, folder)
        if path not in gathered:
            gathered[path] = _not_gathered(path, path_of(record, folder))
    return [reason for metrics in inputs["metrics"] for reason in gathered.get(path_of(metrics, folder), ())]


def _not_gathered(metrics: Path, record: Path) -> list[str]:
    """Where the metrics differ from what the jobs of the method gave; nothing where their files are gone."""
    claims = json.loads(record.read_text())
    shards, changed_heads = claims.get("shards", []), claims.get("changed", [])
    files, of_changed = ([path_of(entry, record.parent) for entry in one] for one in (shards, changed_heads))
    if not files or not all(map(Path.is_file, [*files, *of_changed])):
        return []
    if changed := _changed([*shards, *changed_heads], record.parent):
        return changed
    claimed = gzip.decompress(metrics.read_bytes()).decode()
    return _text_differences(str(metrics), claimed, gathered(files, of_changed).to_csv(index=False))


def _output_differences(path: Path, claim: Mapping, again: str | None) -> list[str]:
    """What is wrong with a file of a table, whose text made ``again`` is None where that is not known."""
    reasons = _changed([claim], path.parent)
    if claim["path"] != path.name:
        reasons.append(f"{path}: the JSON is of {claim['path']}")
    if again is None or not path.is_file():
        return reasons
    return reasons + _text_differences(path.name, path.read_bytes().decode(errors="surrogateescape"), again)


def _text_differences(name: str, claimed: str, again: str) -> list[str]:
    """The first line in which a file differs from what it should be; at most one entry."""
    for number, (line, made) in enumerate(zip_longest(claimed.split("\n"), again.split("\n")), 1):
        if line != made:
            return [_difference(f"{name}, line {number}", line, made)]
    return []


def _difference(name: str, claimed: str | None, again: str | None) -> str:
    pairs = enumerate(zip_longest(claimed or "", again or ""))
    same = next((place for place, (one, other) in pairs if one != other), 0)
    return f"{name}:\n  as it stands: {_excerpt(claimed, same)}\n  made again:   {_excerpt(again, same)}"


def _excerpt(line: str | None, place: int) -> str:
    """A line as far as it can be shown, around a place in it."""
    if line is None:
        return "(no such line)"
    start = max(0, place - SHOWN // 2) if len(line) > SHOWN else 0
    cut = line[start : start + SHOWN]
    return f"{'…' * (start > 0)}{cut}{'…' * (start + SHOWN < len(line))}"


def _notes(record: Mapping) -> list[str]:
    """With what other source or versions the table was made: no fault, where it comes out the same."""
    try:
        here = source_digest(CHECKOUT / name for name in record["sources"])
    except (OSError, ValueError) as error:
        here = f"not known ({error})"
    notes = [f"its source then {record['code']}, here {here}"] if here != record["code"] else []
    now, then = versions(MAKERS), record.get("made_with", {})
    others = [
        f"{name} {then.get(name, 'none')}, here {now.get(name, 'none')}"
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    ]
    return notes + ([f"made with {'; '.join(others)}"] if others else [])
