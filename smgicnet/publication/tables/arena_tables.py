"""All methods on all datasets: a table of means for each dataset, the ranks over all of them, and who beats whom."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from pandas import DataFrame

from smgicnet.publication.tables.table import Cell, Row, Table, cell_text, listed
from smgicnet.publication.tables.table_rows import NOTES, WORST
from smgicnet.scoring.metrics import METRICS
from smgicnet.scoring.ranking import Ranking
from smgicnet.scoring.resampling import EACH, bootstrap_interval, pair_matrix
from smgicnet.scoring.statistics import cohort_size, pair_means, summarise

Run = tuple[str, str]
COLUMNS = (  # metrics, in the order of the columns; the worst pair of one stands behind it
    "dice",
    "parcels_dice",
    "hd95_mm",
    "endpoint_error_mm",
    "tre_mm",
    "folds_percent",
    "ndv_percent",
    "inverse_consistency_mm",
    "pose_consistency_mm",
    "seconds",
    "peak_memory_mib",
    "no_result_percent",
)
WITH_INTERVAL = {"dice": 1.0, "endpoint_error_mm": math.inf}  # over people; the largest value that there can be
NO_INTERVAL = "too few people for an interval"


def arena_rows(
    metrics: DataFrame,
    people: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    *,
    resamples: int,
    seed: int,
) -> DataFrame:
    """Return the numbers of the tables of means: a row a dataset, run and metric.

    Columns dataset, method, arm, metric, mean, sd, n (ordered pairs), lowest and highest (of a pair), low and high (the
    95 % interval of the mean, from the bootstrap over people; NaN for metrics outside `WITH_INTERVAL`). ``people``: as
    for `smgicnet.scoring.ranking.rank`.
    """
    rows = summarise(metrics)
    rows = rows[rows["metric"].isin(COLUMNS)].reset_index(drop=True)
    ends = [_interval(metrics, row, people.get(row.dataset, EACH), resamples, seed) for row in rows.itertuples()]
    return rows.assign(low=[low for low, _ in ends], high=[high for _, high in ends])


def _interval(
    metrics: DataFrame, row: object, people: Mapping[str, str], resamples: int, seed: int
) -> tuple[float, float]:
    if row.metric not in WITH_INTERVAL:
        return math.nan, math.nan
    of_dataset = metrics[metrics["dataset"] == row.dataset]
    values, persons = pair_matrix(pair_means(of_dataset, row.metric, (row.method, row.arm)), people)
    low, high = bootstrap_interval(values, persons, resamples=resamples, seed=seed)
    return max(low, 0.0), min(high, WITH_INTERVAL[row.metric])


def means_table(
    rows: DataFrame,
    dataset: str,
    labels: Mapping[Run, str],
    metrics: DataFrame,
    notes: list[str],
    people: Mapping[str, str] = EACH,
) -> Table:
    """Return the table of a dataset: a row a run, in the order of ``labels``; ``notes`` stand below it.

    ``people``: as for `smgicnet.scoring.statistics.cohort_size`.
    """
    own = rows[rows["dataset"] == dataset].set_index(["method", "arm", "metric"])
    shown = [name for name in COLUMNS if name in own.index.unique("metric")]
    headings, lines = [], {run: [] for run in labels}
    for name in shown:
        metric = METRICS[name]
        worst = WORST[metric.better].rstrip("_") if metric.worst_label else ""
        headings += [metric.label, *(["worst pair"] if worst else [])]
        for run, cells in lines.items():
            known = (*run, name) in own.index
            one = own.loc[(*run, name)] if known else None
            cells.append(None if one is None else _cell(name, run, dataset, one))
            if worst:
                cells.append(None if one is None else cell_text(one[worst], math.nan, metric.decimals))
    size = cohort_size(metrics[metrics["dataset"] == dataset], people)
    of_people = "" if size["people"] == size["subjects"] else f" of {size['people']} people"
    said = [
        f"{size['subjects']} test subjects{of_people}, {size['pairs']:,} unordered pairs, each registered in both "
        "directions. In brackets: the 95 % interval of the mean over people"
        + (f" ({NO_INTERVAL})." if size["people"] < 3 else ", from a bootstrap that draws people and not pairs.")
    ]
    said += [note for name, note in NOTES.items() if name in shown]
    body = tuple(Row(labels[run], tuple(cells)) for run, cells in lines.items())
    return Table(f"All methods on the {dataset} test pairs: means.", tuple(headings), (("", body),), (*said, *notes))


def _cell(name: str, run: Run, dataset: str, one: pd.Series) -> Cell:
    decimals = METRICS[name].decimals
    text = cell_text(one["mean"], math.nan, decimals)
    if not math.isnan(one["low"]):
        text += f" ({one['low']:.{decimals}f}–{one['high']:.{decimals}f})"
    return Cell(name, *run, dataset, one["mean"], one["sd"], int(one["n"]), text)


def ranking_table(found: Ranking, labels: Mapping[Run, str], resamples: int) -> Table:
    """Return the table of ranks, the best first."""
    order = sorted(range(len(found.runs)), key=lambda k: (found.places[k], found.by_means[k]))
    body = tuple(
        Row(
            labels[found.runs[k]],
            (
                str(found.places[k]),
                f"{found.scores[k]:.3f}",
                str(found.wins[k].sum()),
                str(found.wins[:, k].sum()),
                str(found.by_means[k]),
                f"{found.low[k]}–{found.high[k]}",
            ),
        )
        for k in order
    )
    cases = [f"{METRICS[metric].label} on {dataset}" for dataset, metric in found.cases]
    notes = (
        f"Ranked by {listed(cases)}: {len(cases)} cases, which count alike.",
        "Score: in each case a method gets 0.1, or 1 if it is significantly better than every other, or what lies in "
        "between by how many it beats; the score is the geometric mean over cases, and the place follows from it. "
        "Significantly better means that the 95 % interval of the difference over people is on its side of 0.",
        "Wins and losses count these comparisons, case by case.",
        "Place by means: by the mean over cases of the rank of each mean, significant or not. Its interval holds the "
        f"places of 95 % of {resamples:,} draws of as many people with replacement, whose means are spread further, as "
        "those of few people have to be; with fewer than three people in a dataset it holds all places. Where the "
        "intervals of two methods overlap, other people could have turned their order.",
        "A pair of which a method leaves no result counts as a hair worse than the worst that any method has on it.",
    )
    columns = ("place", "score", "wins", "losses", "place by means", "95 % of places")
    return Table("Ranks over all datasets.", columns, (("", body),), notes, corner="method")


def wins_table(found: Ranking, labels: Mapping[Run, str]) -> Table:
    """Return in how many cases the method of a row is significantly better than that of a column."""
    order = sorted(range(len(found.runs)), key=lambda k: (found.places[k], found.by_means[k]))
    body = tuple(
        Row(
            f"{number}. {labels[found.runs[k]]}",
            tuple("" if k == other else str(found.wins[k, other]) for other in order),
        )
        for number, k in enumerate(order, start=1)
    )
    columns = tuple(f"{number}." for number in range(1, len(order) + 1))
    notes = (
        f"In how many of the {len(found.cases)} cases the method of a row is significantly better than a column's.",
    )
    return Table("Who beats whom.", columns, (("", body),), notes, corner="better")
