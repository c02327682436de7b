"""Tables of paired comparisons, which the paper lacks: overall and by region of interest (ROI)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pandas import DataFrame

from smgicnet.publication.tables.paper_tables import affine_note
from smgicnet.publication.tables.table import Row, Table
from smgicnet.scoring.metrics import METRICS, Metric
from smgicnet.scoring.resampling import smallest_p
from smgicnet.scoring.rows import OVER_ROIS

ALPHA = 0.05
ROI_COLUMNS = 4  # comparisons side by side: what fits a page


def comparison_table(comparisons: DataFrame, labels: Mapping[str, str], context: Mapping) -> Table:
    """Return a table with a block a metric and a row a comparison; ``comparisons`` are those of `compare_by_each`.

    ``labels`` name each "method/arm"; ``context``: ``dataset``, ``reference`` (its label), ``subjects``,
    ``people``, ``pairs`` (unordered), ``resamples``; optional ``affine`` as in `table1`.
    """
    overall = comparisons[comparisons["roi"] == OVER_ROIS]
    by_metric = [(METRICS[name], found) for name, found in overall.groupby("metric", sort=False)]
    several, reference = len(by_metric) > 1, context["reference"]
    blocks, notes = [], _comparison_notes(context, several)
    for metric, found in by_metric:
        rows = tuple(_row(one, metric, labels) for one in found.itertuples())
        blocks.append((_heading(metric, reference) if several else "", rows))
        notes += _partial_notes(found, labels, context, f", by {metric.compared_as}," if several else "")
    notes += dict.fromkeys(note for _, found in by_metric for note in _floor_note(found, context))
    what = f"{reference} minus the other methods" if several else f"Dice of {reference} minus that of the other methods"
    return Table(
        caption=f"{what}, {context['dataset']} test pairs.",
        columns=("Difference", "95 % interval", "d_z", "p", "p (Holm)"),
        blocks=tuple(blocks),
        notes=(*notes, *affine_note(context)),
        corner="comparison",
    )


def _heading(metric: Metric, reference: str) -> str:
    """What a block is of, and on which side of 0 the reference is better."""
    side = "above" if metric.better == "higher" else "below"
    return f"{metric.label}: {side} 0 favours {reference}"


def _row(found: object, metric: Metric, labels: Mapping[str, str]) -> Row:
    low, high = (_signed(end, metric.decimals) for end in (found.low, found.high))
    d_z = None if math.isnan(found.d_z) else f"{found.d_z:.2f}"
    numbers = (_signed(found.difference, metric.decimals), low and f"{low} to {high}", d_z)
    return Row(labels[f"{found.method}/{found.arm}"], (*numbers, _p_text(found.p), _p_text(found.p_holm)))


def roi_tables(comparisons: DataFrame, labels: Mapping[str, str], context: Mapping) -> list[Table]:
    """Return tables of Dice, a row a ROI, a few comparisons as columns; arguments are those of `comparison_table`."""
    by_roi = comparisons[(comparisons["metric"] == "dice") & (comparisons["roi"] != OVER_ROIS)]
    runs = list(dict.fromkeys(zip(by_roi["method"], by_roi["arm"])))
    text = {(row.method, row.arm, row.roi): _roi_text(row) for row in by_roi.itertuples()}
    notes = [
        f"Difference and 95 % interval as in the table of all ROIs. * p < {ALPHA} after Holm's correction over all "
        f"{by_roi['p'].count()} comparisons of single ROIs.",
        *_floor_note(by_roi, context),
    ]
    if (by_roi["pairs"] != context["pairs"]).any():
        notes.append("A ROI is compared on the pairs of which both subjects have it.")
    chunks = [runs[start : start + ROI_COLUMNS] for start in range(0, len(runs), ROI_COLUMNS)]
    caption = f"Dice of {context['reference']} minus that of the other methods by ROI, {context['dataset']} test pairs"
    tables = []
    for number, chunk in enumerate(chunks, 1):
        rows = [Row(roi, tuple(text.get((*run, roi)) for run in chunk)) for roi in by_roi["roi"].unique()]
        tables.append(
            Table(
                caption=f"{caption} ({number} of {len(chunks)})." if len(chunks) > 1 else f"{caption}.",
                columns=tuple(labels[f"{method}/{arm}"] for method, arm in chunk),
                blocks=(("", tuple(rows)),),
                notes=tuple(notes),
                corner="ROI",
            )
        )
    return tables


def _comparison_notes(context: Mapping, several: bool) -> list[str]:
    subjects, resamples, pairs = context["subjects"], context["resamples"], context["pairs"]
    people, drawn = context["people"], _drawn(context)
    swaps = f"all {2**people:,} swaps" if 2**people <= resamples else f"{resamples:,} random swaps"
    if drawn == "subjects":
        of_people, why = "", f"A subject is in {2 * pairs / subjects:.3g} pairs, so that the pairs are not independent."
    else:
        of_people, why = f" of {people} people", "Only people are independent, neither pairs nor subjects of a person."
    return [
        f"Difference: the mean over {pairs:,} unordered pairs of {subjects} subjects{of_people}; a pair's value is the "
        "mean of its seeds and of its two directions.",
        f"{why} The interval is from a bootstrap of {resamples:,} resamples of {drawn}, not of pairs, expanded for the "
        f"small number of {drawn} (Owen 2007; Hesterberg 2015).",
        f"p: two-sided permutation test that swaps the two methods for whole {drawn}, {swaps}; Holm's correction is "
        f"over the rows of {'one metric' if several else 'this table'}.",
        "d_z: mean over SD of the pairs' differences, an effect size and not a test.",
    ]


def _drawn(context: Mapping) -> str:
    """Return what is drawn and swapped as a whole."""
    return "subjects" if context["people"] == context["subjects"] else "people"


def _partial_notes(rows: DataFrame, labels: Mapping[str, str], context: Mapping, by: str) -> list[str]:
    """Which comparisons, of one metric, are not on all pairs."""
    return [
        f"{labels[f'{row.method}/{row.arm}']} is compared{by} on {row.pairs:,} pairs of {row.subjects} subjects only."
        for row in rows.itertuples()
        if row.pairs != context["pairs"]
    ]


def _floor_note(rows: DataFrame, context: Mapping) -> list[str]:
    """Says so where no difference, however large, can be significant."""
    people, resamples = context["people"], context["resamples"]
    smallest, family = smallest_p(people, resamples), rows["p"].count()
    if family * smallest <= ALPHA:
        return []
    return [
        f"{people} {_drawn(context)} and {resamples:,} resamples allow no p below {smallest:.3g}, "
        f"{min(family * smallest, 1):.3g} after the correction for {family}: no row can reach {ALPHA}, however large "
        "its difference."
    ]


def _signed(value: float, decimals: int = 3) -> str | None:
    return None if math.isnan(value) else f"{value:+.{decimals}f}"


def _p_text(p: float) -> str | None:
    if math.isnan(p):
        return None
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _roi_text(row: object) -> str | None:
    """Difference, interval and a star of a row of `smgicnet.scoring.comparisons.compare`."""
    if math.isnan(row.difference):
        return None
    ends = "" if math.isnan(row.low) else f" [{_signed(row.low)}, {_signed(row.high)}]"
    return f"{_signed(row.difference)}{ends}{' *' if row.p_holm < ALPHA else ''}"
