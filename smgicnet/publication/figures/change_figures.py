"""Figures of changed heads: up to which change a method holds.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter
from pandas import DataFrame, Series

from smgicnet.preparation.changes import CHANGES
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    DOUBLE_COLUMN_MM,
    add_axes,
    legend,
    legend_mm,
    new_page,
    plain,
    short_number,
)
from smgicnet.publication.figures.plotting import HUES, RULE, run_looks, style
from smgicnet.scoring.changed_rows import TURNED
from smgicnet.scoring.resampling import EACH, bootstrap_interval, pair_matrix
from smgicnet.scoring.rows import NO_RESULT
from smgicnet.scoring.statistics import of_pairs, read_metrics

PANELS = {  # by metric: its label, and whether its axis is logarithmic
    "dice": ("Dice", False),
    "endpoint_error_mm": ("Endpoint error (mm)", True),
    "pose_consistency_mm": ("Pose consistency (mm)", True),
    "seconds": ("Time (s)", True),
    NO_RESULT: ("Without a result (%)", False),
}
SMALLEST_MM = 0.01  # on a logarithmic axis, which has no zero
MARKERS = "osv^D"  # of as many methods each as there are colours
RESAMPLES = 2000  # of people, for the bands
KEYS = ["method", "arm", "change", "metric", "severity", "fixed", "moving"]


def angles(given: Material) -> Figure:
    """Draw every run, by how far heads are turned."""
    return changes_figure(read_metrics(given.files["changes"]), given.runs, given.labels, [TURNED], given.people)


def changes(given: Material) -> Figure:
    """Draw every run, by how heads are changed otherwise."""
    others = [kind for kind in CHANGES if kind != TURNED]
    return changes_figure(read_metrics(given.files["changes"]), given.runs, given.labels, others, given.people)


def changes_figure(
    changed: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    kinds: Sequence[str],
    people: Mapping[str, str] = EACH,
    width_mm: float = DOUBLE_COLUMN_MM,
) -> Figure:
    """Draw scores against how much the moving head is changed: a row of panels a kind, one for each metric of `PANELS`.

    Parameters
    ----------
    changed : one row a number, with `statistics.COLUMNS`, ``change`` and ``severity``, of one dataset
    runs : the (method, arm) drawn, in order; those without a value are left out
    labels : ``method/arm`` -> name of a run
    kinds : keys of `smgicnet.preparation.changes.CHANGES`; those without a row are left out
    people : as in `smgicnet.scoring.comparisons.compare`

    Lines are means over pairs, each averaged over its seeds first, and bands are their 95 % intervals over people, by
    `smgicnet.scoring.resampling.bootstrap_interval`; fewer than three people have none. A method has
    one hue; arms other than ``raw`` are paler and dashed. Where quality control has left no pair, the page says so.
    """
    rows = of_pairs(changed[changed["change"].isin(kinds) & changed["metric"].isin(PANELS)])
    if not (rows["metric"].eq(NO_RESULT) & (rows["value"] > 0)).any():  # nothing has failed
        rows = rows[rows["metric"] != NO_RESULT]
    pairs = rows.groupby(KEYS)["value"].mean().dropna()
    values = _means_and_intervals(pairs, people)
    metrics = [metric for metric in PANELS if metric in values.index.unique("metric")]
    drawn = {(method, arm) for method, arm in values.index.droplevel(["change", "metric", "severity"])}
    if not metrics or not drawn & {*runs}:
        return _empty(width_mm)
    present = [kind for kind in kinds if kind in values.index.unique("change")]
    lines = {run: line for run, line in zip(runs, _lines(runs)) if run in drawn}
    with style():
        entries = [Line2D([], [], label=labels["/".join(run)], **line) for run, line in lines.items()]
        head, below, left, right, tall = legend_mm(entries, width_mm) + 1.5, 9.0, 9.5, 1.5, 46.5
        slot = width_mm / len(metrics)
        figure = new_page(width_mm, head + len(present) * (tall + below))
        for row, kind in enumerate(present):
            for index, metric in enumerate(metrics):
                top = head + row * (tall + below)
                axis = add_axes(figure, index * slot + left, top, slot - left - right, tall)
                for run, line in lines.items():
                    key = (*run, kind, metric)
                    if key in values.index.droplevel("severity"):
                        _draw(axis, values.loc[key], line, metric)
                _finish(axis, metric, kind, values.xs(kind, level="change").index.unique("severity").max(), slot)
                if not index:  # once a row, since it is wider than one of five panels
                    axis.set_xlabel(CHANGES[kind].label, labelpad=1.5, loc="left")
        legend(figure, entries, 1.0)
    return figure


def _means_and_intervals(pairs: Series, people: Mapping[str, str]) -> DataFrame:
    """Return the columns mean, low and high of values by `KEYS`, by all of these but the pairs'."""
    groups = pairs.groupby(level=KEYS[:5])
    ends = [bootstrap_interval(*pair_matrix(values, people), resamples=RESAMPLES, seed=0) for _, values in groups]
    return groups.mean().to_frame("mean").assign(low=[low for low, _ in ends], high=[high for _, high in ends])


def _empty(width_mm: float) -> Figure:
    with style():
        figure = new_page(width_mm, 10.0)
        figure.text(0.5, 0.5, "No changed head has a score.", ha="center", va="center")
    return figure


def _lines(runs: Sequence[tuple[str, str]]) -> list[dict]:
    """Colour, dashes and marker of the line of each run; methods that share a colour have other markers."""
    hues = [look["facecolor"] for look in run_looks([(method, "raw") for method, _ in runs])]
    place = {method: number for number, method in enumerate(dict.fromkeys(method for method, _ in runs))}
    looks = [
        {"color": hue, "linestyle": "-"} if arm == "raw" else {"color": _paler(hue), "linestyle": (0, (3, 1.5))}
        for hue, (_, arm) in zip(hues, runs)
    ]
    markers = [MARKERS[place[method] // len(HUES) % len(MARKERS)] for method, _ in runs]
    return [{**look, "marker": marker, "markersize": 2.2} for look, marker in zip(looks, markers)]


def _paler(hue: Sequence[float]) -> tuple[float, ...]:
    return tuple(0.65 * np.array(hue) + 0.35)


def _draw(axis: Axes, values: DataFrame, line: Mapping, metric: str) -> None:
    """The line and the band of a run; ``values`` has the columns mean, low and high by severity."""
    lowest, highest = (SMALLEST_MM, None) if PANELS[metric][1] else (0, _largest(metric))
    mean, low, high = (values[name].clip(lowest, highest) for name in ("mean", "low", "high"))
    axis.fill_between(values.index, low, high, color=line["color"], alpha=0.1, linewidth=0)
    axis.plot(values.index, mean, **line)


def _largest(metric: str) -> float:
    """Return the largest value of a metric of which there is one: a share or a percentage."""
    return 100 if metric == NO_RESULT else 1


def _finish(axis: Axes, metric: str, kind: str, largest: float, slot_mm: float) -> None:
    label, logarithmic = PANELS[metric]
    if logarithmic:
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(short_number)
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        most = _largest(metric)
        axis.set_ylim(-0.01 * most, 1.01 * most)
        axis.set_yticks(np.linspace(0, most, 6))
    axis.yaxis.grid(True, color=RULE, linewidth=0.4, zorder=-1)
    if kind == TURNED:
        wide = 30 if slot_mm > 50 else 60
        axis.set_xticks(np.arange(0, largest + 1, wide if largest > 60 else 10))
    axis.set_xlim(-0.04 * largest, 1.04 * largest)
    axis.set_ylabel(label, labelpad=1.5)
    plain(axis)
