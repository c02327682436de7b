"""The figure of Dice by region of interest (ROI), box plots.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from pandas import DataFrame

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    DOUBLE_COLUMN_MM,
    LINE_MM,
    MM,
    add_axes,
    evenly,
    fit,
    legend,
    legend_mm,
    new_page,
)
from smgicnet.publication.figures.plotting import BAND, INK, RULE, run_looks, style
from smgicnet.publication.figures.regions import readable_roi, without_sides
from smgicnet.scoring.comparisons import merge_sides
from smgicnet.scoring.statistics import read_metrics

MIN_ROI_MM = 16.0  # along the axis, for its name
MIN_BOX_MM = 1.6  # with the space beside it
MAX_BOX_MM = 5.0
GROUP = 0.86  # part of a ROI's width that its boxes take


def dice(given: Material) -> Figure:
    """Draw all runs, by every region that label maps may have."""
    metrics, rois = read_metrics(given.files["metrics"]), list(roi_names().values())
    if given.merge_sides:
        metrics, rois = merge_sides(metrics), without_sides(rois)
    return dice_boxplot(metrics, given.runs, [given.label(run) for run in given.runs], rois)


def dice_boxplot(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Sequence[str],
    rois: Sequence[str],
    title: str | None = None,
) -> Figure:
    """Draw box plots of Dice by ROI and run, in as many rows of panels as a page's width of 180 mm asks for.

    Parameters
    ----------
    metrics : one row a number, with `statistics.COLUMNS`, of one dataset; its rows with metric ``dice`` count
    runs, labels : the (method, arm) drawn, in order, and their names in the legend
    rois : names as in ``metrics``, in the order drawn; those without any value are left out

    A box is over the ordered pairs, each averaged over its seeds first: median, quartiles, whiskers to the last value
    within 1.5 interquartile ranges, dots beyond. A method has one hue (ten differ); arms other than ``raw`` are lighter
    and hatched. Raises ``ValueError`` when nothing can be drawn.
    """
    values = _pair_means(metrics, runs, rois)
    present = set(values["roi"])
    shown = [roi for roi in rois if roi in present]
    if not shown:
        raise ValueError(f"no Dice of {['/'.join(run) for run in runs]} in any of the ROIs asked for")
    with style():
        left, right, tall, gap = 10.0, 1.0, 38.0, 2.0
        wide = DOUBLE_COLUMN_MM - left - right
        columns = evenly(len(shown), int(wide // max(MIN_ROI_MM, MIN_BOX_MM * len(runs) / GROUP)))
        slot = wide / columns
        looks = run_looks(runs)
        names = {roi: fit(readable_roi(roi), slot - 1.5) for roi in shown}
        below = 1.8 + LINE_MM * max(name.count("\n") + 1 for name in names.values())
        head = 5.5 if title else 1.0
        entries = [Patch(**look, edgecolor=INK, linewidth=0.4, label=label) for look, label in zip(looks, labels)]
        top = head + legend_mm(entries) + 1.5
        rows = math.ceil(len(shown) / columns)
        figure = new_page(DOUBLE_COLUMN_MM, top + rows * (tall + below) + (rows - 1) * gap + 0.5)
        for row in range(rows):
            part = shown[row * columns : (row + 1) * columns]
            axis = add_axes(figure, left, top + row * (tall + below + gap), slot * len(part), tall)
            _draw_boxes(axis, values[values["roi"].isin(part)], runs, looks, part, slot)
            axis.set_xticks(range(len(part)), [names[roi] for roi in part])
        legend(figure, entries, head)
        if title:
            figure.suptitle(title, y=1 - 1.0 * MM / figure.get_figheight())
    return figure


def _pair_means(metrics: DataFrame, runs: Sequence[tuple[str, str]], rois: Sequence[str]) -> DataFrame:
    """Dice of each run (``method/arm``), ROI and ordered pair, averaged over seeds: run, roi, fixed, moving, value."""
    metrics = metrics.assign(run=metrics["method"] + "/" + metrics["arm"])
    chosen = metrics["run"].isin(["/".join(run) for run in runs]) & metrics["roi"].isin(rois)
    rows = metrics[chosen & (metrics["metric"] == "dice")]
    return rows.groupby(["run", "roi", "fixed", "moving"], as_index=False)["value"].mean().dropna()


def _draw_boxes(
    axis: Axes,
    values: DataFrame,
    runs: Sequence[tuple[str, str]],
    looks: Sequence[Mapping],
    rois: Sequence[str],
    slot: float,
) -> None:
    """The boxes of ``rois``, each ``slot`` mm wide, from the values of ``_pair_means``."""
    keys = ["/".join(run) for run in runs]
    dots = {"marker": ".", "markersize": 1.2, "markerfacecolor": INK, "markeredgecolor": "none"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "vert: bool was deprecated")  # by matplotlib 3.11; seaborn 0.13.2 uses it
        sns.boxplot(
            values,
            x="roi",
            y="value",
            hue="run",
            order=rois,
            hue_order=keys,
            palette=dict(zip(keys, [look["facecolor"] for look in looks])),
            saturation=1,
            width=min(GROUP, MAX_BOX_MM * len(runs) / slot),
            gap=0.12,
            linewidth=0.4,
            linecolor=INK,
            flierprops=dots,
            medianprops={"color": "black", "linewidth": 0.8},
            showcaps=False,
            legend=False,
            ax=axis,
        )
    drawn = set(values["run"])  # seaborn makes one container for each run that has values, in order
    hatches = [look["hatch"] for key, look in zip(keys, looks) if key in drawn]
    for container, hatch in zip(axis.containers, hatches, strict=True):
        for box in container.boxes:
            box.set_hatch(hatch)
    _draw_ground(axis, len(rois))


def _draw_ground(axis: Axes, count: int) -> None:
    """What stands behind the boxes of ``count`` ROIs: every second on a grey ground, lines of equal Dice."""
    for index in range(0, count, 2):
        axis.axvspan(index - 0.5, index + 0.5, color=BAND, linewidth=0, zorder=-2)
    axis.yaxis.grid(True, color=RULE, linewidth=0.4, zorder=-1)
    axis.set(xlabel="", ylabel="Dice", xlim=(-0.5, count - 0.5), ylim=(-0.01, 1.01))
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.tick_params(axis="x", length=0, pad=2)
    axis.tick_params(axis="y", length=2, pad=1.5)
    axis.spines[["top", "right"]].set_visible(False)
