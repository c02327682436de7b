"""The paper's tables with measured values beside the printed ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from pandas import DataFrame

from smgicnet.core.errors import InputError
from smgicnet.publication.audit.columns import affine_times
from smgicnet.publication.audit.effect_size import Effect, effects
from smgicnet.publication.audit.text import OURS
from smgicnet.publication.tables.pose_note import pose_note
from smgicnet.publication.tables.table import Cell, Row, Table, cell_text
from smgicnet.publication.tables.table_rows import FURTHER_METRICS, NOTES, PAPER_METRICS, TableRow, worst_pairs
from smgicnet.scoring.comparisons import cohens_d

BEYOND_HEADING, FURTHER_HEADING = "beyond the paper", "further metrics"


def without_numbers(paper: Mapping) -> Mapping:
    """Return what the paper prints without its numbers: its methods alone, which give the order of the columns."""
    return {**paper, **{key: {} for key in ("table1", "table2", "table3", "counts")}}


def _measured_row(metric: TableRow, values: DataFrame, columns: Sequence[tuple[str, str]]) -> Row:
    """``values`` has the index (method, arm, metric) and the columns mean, sd (NaN: none), n."""
    cells = []
    for method, arm in columns:
        key = (method, arm, metric.name)
        if key not in values.index or math.isnan(values.at[key, "mean"]):
            cells.append(None)
            continue
        mean, sd, n = (values.at[key, column] for column in ("mean", "sd", "n"))
        text = cell_text(mean, sd, metric.decimals)
        cells.append(Cell(metric.name, method, arm, "measured", mean, sd, int(n), text))
    return Row(metric.label, tuple(cells))


def _paper_row(metric: TableRow, paper: Mapping, dataset: str, columns: Sequence[tuple[str, str]]) -> Row:
    """What the paper prints for ``dataset`` in Table 1 or, for the methods of its appendix, in Table 3."""
    labels = {(entry["method"], entry["arm"]): entry["label"] for entry in paper["methods"]}
    printed = {**paper["table3"][dataset].get(metric.paper_name, {}), **paper["table1"][dataset][metric.paper_name]}
    cells = []
    for method, arm in columns:
        value = printed.get(labels.get((method, arm)))
        if value is None:
            cells.append(None)
            continue
        mean, sd = value["mean"], math.nan if value["sd"] is None else value["sd"]
        text = value.get("printed") or cell_text(mean, sd, 3)
        cells.append(Cell(metric.paper_name, method, arm, f"paper {dataset}", mean, sd, None, text))
    return Row(f"paper, {dataset}{metric.paper_unit}", tuple(cells))


def _rows(
    metrics: Sequence[TableRow], values: DataFrame, paper: Mapping, columns: Sequence[tuple[str, str]]
) -> list[Row]:
    """Each metric that any method has, followed by the paper's rows for it."""
    rows = []
    for metric in metrics:
        measured = _measured_row(metric, values, columns)
        if any(measured.cells):
            printed = [_paper_row(metric, paper, name, columns) for name in paper["table1"] if metric.paper_name]
            rows += [measured, *(row for row in printed if any(row.cells))]
    return rows


def _notes(rows: Sequence[Row], labels: Sequence[str], paper: Mapping, context: Mapping) -> list[str]:
    """What a reader has to know; ``labels`` name the columns of ``rows``."""
    subjects, pairs = context["subjects"], context["pairs"]
    metrics = {cell.metric for row in rows for cell in row.cells if cell}
    sources = {cell.source for row in rows for cell in row.cells if cell}
    notes = [
        f"{subjects} test subjects, {pairs:,} unordered pairs. Each pair is registered in both directions; "
        f"mean (±SD) are over the {2 * pairs:,} ordered pairs, of values averaged over seeds."
    ]
    for label, cell in zip(labels, rows[0].cells, strict=True) if rows else ():
        if cell and cell.n != 2 * pairs:
            notes.append(f"{label} is scored on {cell.n:,} of the {2 * pairs:,} ordered pairs only.")
    for name, counts in paper["counts"].items():
        if subjects == counts["test"] and math.comb(subjects, 2) != counts["test_pairs"]:
            notes.append(
                f"{subjects} subjects make C({subjects}, 2) = {math.comb(subjects, 2):,} pairs; "
                f"the paper prints {counts['test_pairs']:,} for {name}."
            )
    notes += context.get("given_weights", [])
    if "folds_percent" in metrics:
        text = "|J| is the determinant of the gradient of the deformation, det(I + Du), over the fixed image's brain"
        if "folds_fraction" in metrics:
            text += "; the paper's fractions near 0.49 are not comparable with it: results/audit.md"
        notes.append(f"{text}.")
    if "seconds" in metrics:
        times = f"Times are of the registration alone, measured on {context['hardware']}"
        notes.append(f"{times}{_affine_times(rows, labels, paper)}.")
    if context.get("threads"):
        notes.append(f"SyN runs on {context['threads']} thread{'s' * (context['threads'] > 1)}.")
    notes += context.get("programs", [])
    notes += [note for name, note in NOTES.items() if name in metrics]
    notes += pose_note(rows, context.get("rotation", ()))
    if sources - {"measured"}:
        notes.append("Rows of the paper: its Table 1 (ICON and SynthMorph: Table 3), on its own data and hardware.")
    return [*notes, *affine_note(context)]


def affine_note(context: Mapping) -> list[str]:
    """Say which engine aligned the arm "affine", by the records of its jobs."""
    entries = context.get("affine", [])
    engines = [f"{one['version']}, rotations of up to {one['search_degrees']:g} degrees searched" for one in entries]
    arm = "w.pose" if any(one.get("engine") == "pose" for one in entries) else "w.affine"
    return [f"Affine pre-registration ({arm}) by {'; '.join(engines)}."] if engines else []


def _affine_times(rows: Sequence[Row], labels: Sequence[str], paper: Mapping) -> str:
    """What times in the affine arm hold, and what the paper's hold instead."""
    times = {cell.source: row.cells for row in rows for cell in row.cells if cell and cell.metric == "seconds"}
    affine = [label for label, cell in zip(labels, times["measured"]) if cell and cell.arm == "affine"]
    if not affine:
        return ""
    text = f"; those of {', '.join(affine)} include the affine registration, measured for each pair"
    if times.keys() - {"measured"}:
        added = {name: set() for name in paper["table1"]}
        for time in affine_times(paper):
            added[time.dataset].add(f"{time.difference:.3f}")
        constants = ", ".join(f"{name}: {' or '.join(sorted(seconds))} s" for name, seconds in added.items())
        text += f". The paper's w.affine times are the unaligned ones plus a constant ({constants}), with the same SD"
    return text


def table1(
    summary: DataFrame, paper: Mapping, dataset: str, methods: Sequence[tuple[str, str, str]], context: Mapping
) -> Table:
    """Return the paper's Table 1 for ``dataset``.

    Parameters
    ----------
    summary : as `smgicnet.scoring.statistics.summarise` returns it
    paper : config/paper.yaml, or `without_numbers` of it for a table without the paper's rows
    methods : (method, arm, label) of each column; the paper's come first and in its order, the others follow as given
    context : ``subjects`` (in the test set), ``pairs`` (unordered), ``hardware`` (of the times, as text);
        optional: ``affine`` (of the engines that aligned the arm "affine"), ``threads`` (SyN's), ``rotation`` (degrees)

    A metric that no method has is left out. Raises `InputError` when the summary has no row of ``dataset``.
    """
    values = summary[summary["dataset"] == dataset].set_index(["method", "arm", "metric"])
    if values.empty:
        raise InputError("summary", f"it has no row of dataset {dataset!r}", "Score this dataset's pairs first")
    order = {(entry["method"], entry["arm"]): place for place, entry in enumerate(paper["methods"])}
    ordered = sorted(methods, key=lambda entry: order.get(entry[:2], len(order)))
    columns, labels = [entry[:2] for entry in ordered], [entry[2] for entry in ordered]
    values = pd.concat([values, *worst_pairs(values)])
    blocks = [
        ("", _rows(PAPER_METRICS, values, paper, columns)),
        (BEYOND_HEADING if paper["table1"] else FURTHER_HEADING, _rows(FURTHER_METRICS, values, paper, columns)),
    ]
    return Table(
        caption=f"Registration of the {dataset} test pairs: mean (±SD).",
        columns=tuple(labels),
        blocks=tuple((heading, tuple(rows)) for heading, rows in blocks if rows),
        notes=tuple(_notes([row for _, rows in blocks for row in rows], labels, paper, context)),
    )


def table2(
    summary: DataFrame,
    paper: Mapping,
    dataset: str,
    reference: tuple[str, str],
    methods: Sequence[tuple[str, str, str]],
    context: Mapping,
) -> Table:
    """Return the paper's Table 2 for ``dataset``: Cohen's d of the Dice of ``reference`` (method, arm) against others.

    Parameters
    ----------
    summary, paper, methods : as in `table1`; the paper's comparisons come first and in its order
    context : ``subjects``, ``pairs`` (unordered); optional ``affine`` as in `table1`

    The paper's columns are there where ``reference`` is SM-GICNet, the paper's own. Raises `InputError` when the
    summary has no Dice of ``reference``.
    """
    values = summary[(summary["dataset"] == dataset) & (summary["metric"] == "dice")].set_index(["method", "arm"])
    if reference not in values.index:
        raise InputError("summary", f"it has no Dice of {'/'.join(reference)} on {dataset}", "Score its pairs first")
    labels = {entry[:2]: entry[2] for entry in methods}
    columns = [("Cohen's d", "measured", _measured_effects(values, reference))]
    runs = {entry["label"]: (entry["method"], entry["arm"]) for entry in paper["methods"]}
    printed = effects(paper)
    if runs[OURS] == reference:
        for kind, field in (("paper", "printed"), ("recomputed", "value")):
            for name in paper["table2"]:
                values_of = {runs[e.label]: getattr(e, field) for e in printed if e.dataset == name}
                columns.append((f"{kind}, {name}", f"{kind} {name}", values_of))
    order = [runs[effect.label] for effect in printed]
    others = sorted((run for run in labels if run != reference), key=[*order, *labels].index)
    columns = [column for column in columns if column[2].keys() & set(others)]
    rows = []
    for run in others:
        n = int(values.at[run, "n"]) if run in values.index else 0
        cells = [
            Cell("cohens_d", *run, source, d[run], math.nan, n if source == "measured" else None, f"{d[run]:.3f}")
            if run in d
            else None
            for _, source, d in columns
        ]
        rows.append(Row(labels[run], tuple(cells)))
    return Table(
        caption=f"Cohen's d of the Dice of {labels[reference]} against the other methods, {dataset} test pairs.",
        columns=tuple(title for title, _, _ in columns),
        blocks=(("", tuple(rows)),),
        notes=tuple(_effect_notes(rows, printed, labels[reference], context)),
        corner="comparison",
    )


def _measured_effects(values: DataFrame, reference: tuple[str, str]) -> dict[tuple[str, str], float]:
    """Cohen's d of ``reference`` against every (method, arm) of ``values``, where it is defined."""
    moments = values[["mean", "sd"]]
    found = {run: cohens_d(*moments.loc[reference], *moments.loc[run]) for run in values.index}
    return {run: d for run, d in found.items() if not math.isnan(d)}


def _effect_notes(rows: Sequence[Row], printed: Sequence[Effect], reference: str, context: Mapping) -> list[str]:
    subjects, ordered = context["subjects"], 2 * context["pairs"]
    notes = [
        "d is the difference of the means over the pooled SD, the root of the mean of the two squared SDs, over the "
        f"{ordered:,} ordered pairs of {subjects} subjects; above 0 where {reference} has the higher Dice.",
        "d is an effect size and not a test, and its SD is that between pairs: intervals and tests of the paired "
        "differences are in the table of comparisons.",
    ]
    cells = [(row.label, cell) for row in rows for cell in row.cells if cell]
    notes += [
        f"{label} is scored on {cell.n:,} of the {ordered:,} ordered pairs only."
        for label, cell in cells
        if cell.source == "measured" and cell.n != ordered
    ]
    if any(cell.source != "measured" for _, cell in cells):
        agree = [effect.agrees for effect in printed]
        notes.append(
            f"Recomputed: from the means and SDs of the paper's own Table 1. {agree.count(False)} of the {len(agree)} "
            "values of its Table 2 do not follow from them, whatever their rounding."
        )
    return [*notes, *affine_note(context)]
