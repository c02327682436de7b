"""All methods on all datasets: the tables, the ranks' figure and the page."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from smgicnet.cli import main
from smgicnet.core.provenance import write_record
from smgicnet.jobs.arena import show_arena
from smgicnet.jobs.tables import write_table
from smgicnet.publication.figures.arena_figure import arena_figure
from smgicnet.publication.tables.arena_tables import arena_rows, means_table
from smgicnet.scoring.ranking import Ranking, rank
from smgicnet.scoring.statistics import COLUMNS, read_metrics, write_metrics
from tests.support.chromium import require_browser
from tests.support.figures import assert_legible
from tests.support.rankings import RUNS, rows

LABELS = {"best/raw": "Best", "good/raw": "Good | one", "bad/raw": "Bad"}
METHODS = {
    "best": {"type": "command", "label": "Best", "seconds": None, "command": "x {fixed_labels}", "weights": None},
    "good": {"type": "syn", "label": "Good | one", "weights": None},
    "bad": {"type": "smgicnet", "label": "Bad", "weights": "brain-t1-4mm"},
}


@pytest.fixture
def arena(tmp_path):
    """Metrics of two datasets, of one with endpoint errors and failures, and the files of the table."""
    people = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)), dataset="people")
    twins = [rows(dict(zip(RUNS, values, strict=True)), 4, dataset="twins", metric=metric) for metric, values in (
        ("dice", (0.9, 0.8, 0.7)), ("endpoint_error_mm", (1.0, 2.0, 9.0)), ("seconds", (3.0, 2.0, 1.0)),
    )]  # fmt: skip
    failed = twins[0].assign(metric="no_result_percent", roi="", value=0.0)
    failed = failed[failed["method"] == "best"].reset_index(drop=True)
    failed.loc[0, "value"] = 100.0
    metrics, record = tmp_path / "metrics.csv.gz", tmp_path / "metrics.json"
    write_metrics(pd.concat([people, *twins, failed])[list(COLUMNS)], metrics)
    write_record(record, versions={"numpy": "1"}, hardware="a laptop")
    outputs = {form: str(tmp_path / f"arena/tables/arena.{form}") for form in ("md", "csv", "tex")}
    outputs["record"] = str(tmp_path / "arena/tables/arena.json")
    parameters = {
        "config": {"methods": METHODS, "datasets": {"people": {}, "twins": {}}}, "code": "x", "sources": [],
        "labels": LABELS, "rank_by": ["dice", "hd95_mm", "endpoint_error_mm"], "resamples": 200, "seed": 0,
        "people": {"people": {}, "twins": {"s0": "p", "s1": "p"}}, "absent": ["SynthMorph (mri_synthmorph)"],
    }  # fmt: skip
    write_table("arena", "arena", {"metrics": [str(metrics)], "records": [str(record)]}, outputs, parameters)
    return tmp_path, outputs


def test_each_dataset_has_its_table_and_all_have_ranks(arena):
    text = Path(arena[1]["md"]).read_text()
    means, _, wins = text.partition("Who beats whom.")
    means, _, ranks = means.partition("Ranks over all datasets.")
    _, people, twins = means.split("All methods on the ")
    assert "Endpoint error" not in people
    assert "Endpoint error (mm)" in twins
    assert r"Good \| one" in people
    assert "| Best | 1 | 1.000 | 6 | 0 | 1 | 1–1 |" in " ".join(ranks.split())
    assert "3 cases" in ranks
    assert "| 1. Best | – | 3 | 3 |" in " ".join(wins.split())
    assert "a laptop" in twins


def test_notes_say_what_the_numbers_do_not(arena):
    text = Path(arena[1]["md"]).read_text()
    assert "Times of Best are of the whole program" in text
    assert "Best saw the label maps" in text
    assert "Bad uses the weights brain-t1-4mm" in text
    assert "Pairs of which a program left no result" in text
    assert "8.3" in text  # one of twelve pairs
    assert "Left out, since what they need was not there: SynthMorph (mri_synthmorph)." in text
    assert "4 test subjects of 3 people, 6 unordered pairs" in text


def test_twins_are_one_person():
    every = rows(dict(zip(RUNS, (0.9, 0.8, 0.7), strict=True)), 8, dataset="twins")
    twins = every[every["fixed"].str[1:].astype(int) // 2 == every["moving"].str[1:].astype(int) // 2]
    people = {f"s{number}": f"p{number // 2}" for number in range(8)}
    for metrics, given, said in (
        (every, {}, "8 test subjects, 28 unordered pairs, each"),
        (twins, people, "8 test subjects of 4 people, 4 unordered pairs, each"),
        (twins[twins["fixed"].isin(["s0", "s1", "s2", "s3"])], people, "(too few people for an interval)."),
    ):
        numbers = arena_rows(metrics, {"twins": given}, resamples=200, seed=0)
        assert said in means_table(numbers, "twins", LABELS, metrics, [], given).notes[0]
        assert numbers["low"].isna().all() == ("too few" in said)


def test_the_csv_has_means_and_intervals_over_people(arena):
    values = pd.read_csv(arena[1]["csv"]).set_index(["dataset", "method", "metric"])
    one = values.loc[("people", "best", "dice")]
    assert one["low"] < one["mean"] < one["high"]
    assert one["n"] == 56
    assert pd.isna(values.loc[("twins", "best", "seconds"), "low"])


def test_the_table_is_what_its_metrics_give(arena, capsys):
    assert main(["verify", arena[1]["record"]]) == 0
    assert "1 ok" in capsys.readouterr().out


def test_its_json_has_the_ranking_that_is_drawn(arena, capsys):
    record = Path(arena[1]["record"])
    content = json.loads(record.read_text())
    found = Ranking.from_data(content["ranking"])
    again = rank(
        read_metrics([arena[0] / "metrics.csv.gz"]), found.runs, ["dice", "endpoint_error_mm"], resamples=200, seed=0
    )
    for one in fields(Ranking):
        np.testing.assert_array_equal(getattr(found, one.name), getattr(again, one.name))
    content["ranking"]["low"][0] += 1
    record.write_text(json.dumps(content))
    assert main(["verify", str(record)]) == 1
    assert "ranking" in capsys.readouterr().out


def test_the_figure_can_be_read(arena):
    metrics = read_metrics([arena[0] / "metrics.csv.gz"])
    found = rank(metrics, RUNS, ["dice"], resamples=100, seed=0)
    figure = arena_figure(found, list(LABELS.values()))
    assert_legible(figure, 180)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["Best", "Good | one", "Bad"]


def test_the_page_shows_ranks_first_and_leads_to_every_dataset(arena):
    folder, outputs = arena
    figures = [folder / f"arena/figures/ranks.{form}" for form in ("png", "pdf")]
    page = folder / "arena/index.html"
    show_arena(folder / "arena/tables/arena.json", figures, page)
    assert all(one.stat().st_size > 5000 for one in figures)
    text = page.read_text()
    assert text.index("Ranks over all datasets") < text.index("All methods on the people")
    for name in ("people", "twins"):
        assert f'href="../{name}/report/index.html"' in text
    assert "http" not in text.replace("http-equiv", "")
    assert len(json.loads(Path(outputs["record"]).read_text())["page"]) == 4


@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_the_page(arena, width):
    require_browser()
    from smgicnet.publication.report.browser import browser

    folder = arena[0]
    page = folder / "arena/index.html"
    show_arena(folder / "arena/tables/arena.json", [folder / "ranks.png"], page)
    with browser() as running:
        tab = running.new_page(viewport={"width": width, "height": 800})
        heard = []
        tab.on("console", lambda message: message.type in ("error", "warning") and heard.append(message.text))
        tab.on("request", lambda asked: asked.url.startswith("http") and heard.append(asked.url))
        tab.goto(page.as_uri())
        assert tab.locator("h2").all_inner_texts()[0].startswith("Ranks over all datasets")
        assert tab.locator("tbody").first.locator("tr").count() == len(RUNS)
        assert tab.evaluate("document.querySelector('img.wide').naturalWidth") > 1000
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # only tables are scrolled
        assert heard == []
