"""Numbers of the README and of docs/results are those of their records, and a run renews both."""

import json
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks import records
from benchmarks.markdown_tables import RecordError, read_table, tables_of
from benchmarks.page_numbers import Records, renewed, unmarked
from smgicnet.core.provenance import sha256, write_record
from smgicnet.jobs.tables import write_table
from smgicnet.scoring.statistics import COLUMNS, write_metrics
from tests.support import ROOT
from tests.support.rankings import RUNS, rows

PAGES = [page.relative_to(ROOT).as_posix() for page in records.pages()]
STORED = sorted(path.stem for path in records.RECORDS.glob("*.json"))
TABLE = """Caption.

| | DSC | worst pair | error (mm) | worst pair |
|---|---|---|---|---|
| One | 0.6149 (0.561–0.745) | 0.594 | 1.255 | 2,284 |
| paper | 0.5 | – | – | – |
| **more** |  |  |  |  |
| Two | <0.001 (±0.000) | -0.25 | +0.13 | 12 |
"""


@pytest.fixture
def stored(tmp_path):
    """A folder with a record of `TABLE`."""
    (tmp_path / "run.md").write_text(TABLE)
    made = records.make_record(tmp_path / "run.md", {"command": "make demo"})
    (tmp_path / "run.json").write_text(records.dump(made))
    return Records(tmp_path)


@pytest.mark.parametrize("page", PAGES)
def test_every_number_is_that_of_its_record(page):
    assert records.differences(ROOT / page, Records(records.RECORDS)) == []


# Other pages explain rules and settings with numbers that nobody measured.
@pytest.mark.parametrize("page", [page for page in PAGES if page == "README.md" or page.startswith("docs/results/")])
def test_every_table_and_every_decimal_has_a_record(page):
    assert unmarked((ROOT / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("name", STORED)
def test_a_record_says_where_it_is_from(name):
    text = (records.RECORDS / f"{name}.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert record["command"]
    assert record["date"]
    assert "origin" in record or len(record["file"]["sha256"]) == 64
    assert any(f"number: {name} /" in page or f"numbers: {name}" in page for page in map(_text, PAGES)), (
        "no page shows it"
    )
    assert records.dump(record) == text


def _text(page):
    return (ROOT / page).read_text(encoding="utf-8")


def test_the_pages_are_found():
    assert {"README.md", "docs/results/index.md", "docs/results/accuracy.md", "docs/results/performance.md"} <= set(
        PAGES
    )
    assert {"arena", "embedded", "bench"} <= set(STORED)


def test_names_of_places_stand_once():
    ((title, lines),) = tables_of(TABLE)
    table = read_table(lines)
    assert title == "Caption."
    assert table.columns == ("DSC", "DSC, worst pair", "error (mm)", "error (mm), worst pair")
    assert table.cell("One", "error (mm), worst pair") == "2,284"
    assert "more" not in table.rows
    assert list(read_table(["| a | b |", "|---|---|", "| 1 | x |", "| 1 | y |"]).rows) == ["1, x", "1, y"]
    with pytest.raises(RecordError, match="several rows or columns"):
        read_table(["| a | b |", "|---|---|", "| 1 | x |", "| 1 | x |"])


def test_a_page_shows_a_record_rounded(stored):
    right = """<!-- numbers: run
Dice = DSC
worst = DSC, worst pair
to = DSC [2]
row **First** = One -->

| method | Dice | to | worst | error (mm) |
|---|---|---|---|---|
| **First** | 0.61 | 0.56 | 0.594 | 1.3 |
| Two | <0.001 | 0.000 | -0.25 | 0.13 |

It is <!-- number: run / One / error (mm), worst pair -->2,284 mm.
""".replace("row **First**", "row First")
    assert renewed(right, stored) == right
    for number, other in (("0.61 ", "0.62 "), ("0.594", "0.595"), ("-0.25", "0.25"), ("2,284 mm", "2,285 mm")):
        assert number in right
        assert renewed(right.replace(number, other), stored) == right


@pytest.mark.parametrize(
    ("marker", "problem"),
    [
        ("numbers: other", "no record"),
        ("numbers: run / Other.", "no table 'Other.'"),
        ("numbers: run\nother = DSC", "no column 'other'"),
        ("numbers: run\nrow Other = One", "no row 'Other'"),
        ("numbers: run\nDSC = Dice", "no place 'One', 'Dice'"),
        ("number: run / One / DSC [4]", "the page shows"),
    ],
)
def test_a_marker_that_leads_nowhere_is_named(stored, marker, problem):
    page = f"<!-- {marker} -->\n\n| | DSC |\n|---|---|\n| One | 0.615 |\n"
    with pytest.raises(RecordError, match=problem):
        renewed(page, stored)


def test_a_table_or_a_decimal_without_a_record_is_named():
    table = "| | a |\n|---|---|\n| One | 1 |\n"
    assert unmarked(f"Text of 3 words.\n\n{table}") == ["| One | 1 |"]
    assert unmarked(f"Text.\n\n<!-- numbers: run -->\n\n{table}\nThen 0.5 mm.\n") == ["Then 0.5 mm."]
    assert unmarked("<!-- number: run / One / DSC -->0.5 mm, `0.25`, Python 3.11.\n") == []


def test_a_page_follows_the_rows_of_a_record(stored):
    page = "<!-- numbers: run, all rows -->\n\n| | DSC |\n|---|---|\n| Old | 0.6 |\n| **more** |  |\n| Two | <0.001 |\n"
    rows = renewed(page, stored).splitlines()[4:]
    assert rows == ["| One | 0.6 |", "| paper | 0.5 |", "| **more** |  |", "| Two | <0.001 |"]


def test_rows_and_columns_can_be_exchanged(stored):
    page = "<!-- numbers: run, transposed -->\n\n| | One | Two |\n|---|---|---|\n| error (mm) | 9.99 | 9.99 |\n"
    assert renewed(page, stored).splitlines()[-1] == "| error (mm) | 1.26 | 0.13 |"


def arena(folder, dice):
    """The arena's table of a miniature, as the workflow writes it."""
    metrics, record = folder / "metrics.csv.gz", folder / "metrics.json"
    values = rows(dict(zip(RUNS, dice, strict=True)), dataset="people")
    write_metrics(pd.concat([values])[list(COLUMNS)], metrics)
    write_record(record, versions={"numpy": "1"}, hardware="a laptop")
    outputs = {form: str(folder / f"tables/arena.{form}") for form in ("md", "csv", "tex")}
    labels = {"best/raw": "Best", "good/raw": "Good", "bad/raw": "Bad"}
    methods = {name: {"type": "syn", "label": name, "weights": None} for name in ("best", "good", "bad")}
    parameters = {"config": {"methods": methods, "datasets": {"people": {}}}, "code": "abc", "sources": []}
    parameters |= {"labels": labels, "rank_by": ["dice"], "resamples": 200, "seed": 0}
    inputs = {"metrics": [str(metrics)], "records": [str(record)]}
    write_table("arena", "arena", inputs, {**outputs, "record": str(folder / "tables/arena.json")}, parameters)
    return folder / "tables/arena.md"


def test_a_run_renews_record_and_page_together(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("""<!-- numbers: mini / Ranks over all datasets., all rows
Dice = All methods on the people test pairs: means. / DSC -->

| | place | Dice |
|---|---|---|
| Bad | 1 | 0.1 (0.1–0.1) |
""")
    monkeypatch.setattr(records, "RECORDS", tmp_path / "records")
    found = {}
    for run, dice in {"first": (0.8, 0.7, 0.5), "second": (0.6, 0.7, 0.5)}.items():
        table = arena(tmp_path / run, dice)
        command = ["--command", "snakemake arena"] if run == "first" else []
        for arguments in (["make", "mini", str(table), *command], ["check", str(page)], ["write", str(page)]):
            monkeypatch.setattr(sys, "argv", ["records", *arguments])
            assert records.main() == (1 if arguments[0] == "check" else 0)
        found[run] = [line.split(" | ")[0].strip("| ") for line in page.read_text().splitlines()[5:]]
    assert found == {"first": ["Best", "Good", "Bad"], "second": ["Good", "Best", "Bad"]}
    record = json.loads((tmp_path / "records/mini.json").read_text())
    assert record["command"] == "snakemake arena"
    assert record["code"] == "abc"
    assert record["hardware"] == ["a laptop"]
    assert record["file"] == {"name": "arena.md", "sha256": sha256(table.read_bytes())}
    assert record["inputs"]["../metrics.csv.gz"] == sha256((tmp_path / "second/metrics.csv.gz").read_bytes())
    assert "0.7" in page.read_text()


def test_the_check_is_a_command():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.records", "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, "Every number is that of its record.\n"), run.stdout + run.stderr
