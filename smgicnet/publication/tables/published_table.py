"""The paper's Table 3: methods that run with their authors' weights, which are not trained here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pandas import DataFrame

from smgicnet.publication.tables.paper_tables import affine_note
from smgicnet.publication.tables.table import Cell, Row, Table, cell_text
from smgicnet.publication.tables.table_rows import FURTHER_METRICS, PAPER_METRICS

ABSENT = "weights not present"
METRICS = (*PAPER_METRICS, next(metric for metric in FURTHER_METRICS if metric.name == "hd95_mm"))


def table3(
    summary: DataFrame,
    paper: Mapping,
    dataset: str,
    methods: Sequence[tuple[str, str, str]],
    absent: Sequence[tuple[str, str]],
    context: Mapping,
) -> Table:
    """Return a table with one row a method: measured values, then the Dice that the paper prints.

    Parameters
    ----------
    summary, paper : as in `smgicnet.publication.tables.paper_tables.table1`
    methods : (method, arm, label) of each row, in order
    absent : those (method, arm) whose weights are not there: their rows say so
    context : ``subjects``, ``pairs`` (unordered), ``hardware``, ``weights`` (by label: file and licence, as text);
        optional ``affine`` as in `table1`
    """
    values = summary[summary["dataset"] == dataset].set_index(["method", "arm", "metric"])
    printed = {(entry["method"], entry["arm"]): entry["label"] for entry in paper["methods"]}
    rows = []
    for method, arm, label in methods:
        if (method, arm) in absent:
            measured = [ABSENT, *[None] * (len(METRICS) - 1)]
        else:
            measured = [_measured(values, method, arm, metric) for metric in METRICS]
        theirs = [_printed(paper, name, printed.get((method, arm)), method, arm) for name in paper["table3"]]
        rows.append(Row(label, (*measured, *theirs)))
    return Table(
        caption=f"Methods with their authors' weights on the {dataset} test pairs: mean (±SD).",
        columns=(*(metric.label for metric in METRICS), *(f"DSC, paper, {name}" for name in paper["table3"])),
        blocks=(("", tuple(rows)),),
        notes=tuple(_notes(bool(absent), context)),
        corner="method",
    )


def _measured(values: DataFrame, method: str, arm: str, metric) -> Cell | None:
    key = (method, arm, metric.name)
    if key not in values.index or math.isnan(values.at[key, "mean"]):
        return None
    mean, sd, n = (values.at[key, column] for column in ("mean", "sd", "n"))
    return Cell(metric.name, method, arm, "measured", mean, sd, int(n), cell_text(mean, sd, metric.decimals))


def _printed(paper: Mapping, name: str, label: str | None, method: str, arm: str) -> Cell | None:
    value = paper["table3"][name]["dice"].get(label)
    if value is None:
        return None
    mean, sd = value["mean"], value["sd"]
    return Cell("dice", method, arm, f"paper {name}", mean, sd, None, cell_text(mean, sd, 3))


def _notes(any_absent: bool, context: Mapping) -> list[str]:
    ordered = 2 * context["pairs"]
    notes = [
        f"{context['subjects']} test subjects; mean (±SD) are over the {ordered:,} ordered pairs.",
        "These networks were trained by their authors on other cohorts and, but for the last row, expect images that "
        "are already aligned: the raw arm shows what becomes of them without.",
        *(f"{label}: {words}." for label, words in context["weights"].items()),
    ]
    if any_absent:
        notes.append(
            f"{ABSENT}: `snakemake --cores 1 weights` fetches what has a public address, and says what to fetch by "
            "hand where there is no network; then run the workflow again."
        )
    return [*notes, *affine_note(context)]
