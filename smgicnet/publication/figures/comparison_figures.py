"""The figure of differences in Dice by region of interest (ROI), a forest plot.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from smgicnet.preparation.label_protocols import roi_names
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    DOUBLE_COLUMN_MM,
    LINE_MM,
    PAGE_HEIGHT_MM,
    TEXT_PT,
    TITLE_PT,
    add_axes,
    evenly,
    fit,
    legend,
    legend_mm,
    new_page,
    text_mm,
)
from smgicnet.publication.figures.plotting import BAND, COLOUR, INK, style
from smgicnet.publication.figures.regions import readable_roi, without_sides
from smgicnet.scoring.comparisons import read_comparisons
from smgicnet.scoring.rows import OVER_ROIS

PANELS_ACROSS = 5
MAX_PANEL_MM = 55.0
SCALES_APART = 4.0  # panels whose ranges differ more than this have scales of their own
SIGNIFICANT = 0.05
MIN_ROW_MM, MAX_ROW_MM = 2.4, 3.6  # of a forest plot


def comparisons(given: Material) -> Figure:
    """Draw the reference against every other run, by every region that label maps may have."""
    (path,) = given.files["comparisons"]
    rows, rois = read_comparisons(path, "dice"), list(roi_names().values())
    return comparison_figure(
        rows, given.labels, given.label(given.reference), without_sides(rois) if given.merge_sides else rois
    )


def comparison_figure(
    comparisons: DataFrame, labels: Mapping[str, str], reference_label: str, rois: Sequence[str]
) -> Figure:
    """Draw a forest plot: mean difference in Dice between a reference and each other run, overall and by ROI.

    Parameters
    ----------
    comparisons : one row a comparison and ROI (``mean`` is overall): arm, method, roi, difference (reference minus
        other), low and high (95 % interval), p_holm, all in Dice; panels follow the order of its rows
    labels : ``method/arm`` -> name of the run that the reference is compared with
    rois : in the order drawn, below the overall result; those without a difference in any comparison are left out

    A marker is filled where ``p_holm`` is below 0.05, open also where it is NaN. A row without a difference is left
    out, a difference without an interval is drawn as a point alone. Panels share one scale unless their ranges differ
    more than fourfold; the legend then says so. Raises ``ValueError`` without comparisons.
    """
    runs = list(comparisons[["method", "arm"]].drop_duplicates().itertuples(index=False, name=None))
    if not runs:
        raise ValueError("a figure of comparisons needs at least one")
    rows, panels = _panels(comparisons, runs, rois)
    limits, shared = _limits(panels)
    with style():
        names = ["Overall", *map(readable_roi, rows[1:])]
        left, gap, right = max(map(text_mm, names)) + 3.0, 4.0, 3.0
        across = evenly(len(runs), PANELS_ACROSS)
        wide = min((DOUBLE_COLUMN_MM - left - right + gap) / across - gap, MAX_PANEL_MM)
        titles = [fit(f"vs {labels['/'.join(run)]}", wide + gap - 1, TITLE_PT) for run in runs]
        hint = fit(f"favours {reference_label} →", wide)
        entries = _marker_entries(panels, shared)
        page = left + across * (wide + gap) - gap + right
        head = legend_mm(entries, page) + 1.0
        above = 1.8 + 2.8 * max(title.count("\n") + 1 for title in titles)
        below = 5.0 + LINE_MM * (hint.count("\n") + 2)
        down = math.ceil(len(runs) / across)
        lines = _places(len(rows))[-1] + 1.2
        tall = lines * min(max(((PAGE_HEIGHT_MM - head) / down - above - below) / lines, MIN_ROW_MM), MAX_ROW_MM)
        figure = new_page(page, head + down * (above + tall + below))
        for index, (panel, title) in enumerate(zip(panels, titles)):
            row, column = divmod(index, across)
            top = head + row * (above + tall + below) + above
            axis = add_axes(figure, left + column * (wide + gap), top, wide, tall)
            _draw_comparison(axis, panel, rows, limits[index])
            axis.set_title(title, pad=3.5, fontsize=TITLE_PT)
            axis.set_xlabel(f"Difference in Dice\n{hint}", fontsize=TEXT_PT, labelpad=1.5)
            axis.set_yticks(_places(len(rows)), names)
            axis.get_yticklabels()[0].set_fontweight("bold")
            axis.tick_params(axis="y", length=0, pad=3, labelleft=column == 0)
        legend(figure, entries, 1.0)
    return figure


def _panels(
    comparisons: DataFrame, runs: Sequence[tuple[str, str]], rois: Sequence[str]
) -> tuple[list[str], list[DataFrame]]:
    """The ROIs drawn, ``mean`` first, and the rows of each run that have a difference."""
    known = comparisons.dropna(subset="difference")
    present = set(known["roi"])
    rows = [OVER_ROIS, *[roi for roi in rois if roi in present and roi != OVER_ROIS]]
    known = known[known["roi"].isin(rows)]
    panels = [known[(known["method"] == method) & (known["arm"] == arm)] for method, arm in runs]
    return rows, panels


def _limits(panels: Sequence[DataFrame]) -> tuple[list[tuple[float, float]], bool]:
    """The range of differences that each panel shows, with zero and a margin, and whether all share one."""
    ranges = []
    for panel in panels:
        ends = [0.0, *panel[["difference", "low", "high"]].to_numpy(float).ravel()]
        ranges.append((np.nanmin(ends), np.nanmax(ends)))
    spans = [high - low for low, high in ranges if high > low]
    shared = not spans or max(spans) <= SCALES_APART * min(spans)
    if shared:
        ranges = [(min(low for low, _ in ranges), max(high for _, high in ranges))] * len(panels)
    margins = [0.06 * (high - low) or 0.01 for low, high in ranges]
    return [(low - margin, high + margin) for (low, high), margin in zip(ranges, margins)], shared


def _places(count: int) -> list[float]:
    """Where the ``count`` rows of a forest plot stand, in rows from the top: the overall result stands apart."""
    return [0.0, *(index + 0.4 for index in range(1, count))]


def _draw_comparison(axis: Axes, panel: DataFrame, rows: Sequence[str], limits: tuple[float, float]) -> None:
    """One comparison: a point and an interval for each row that it has."""
    places = dict(zip(rows, _places(len(rows))))
    for place in list(places.values())[2::2]:
        axis.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=-2)
    if len(rows) > 1:
        axis.axhline(0.7, color=INK, linewidth=0.4)
    axis.axvline(0, color="0.5", linewidth=0.6, zorder=0)
    for row in panel.itertuples():
        overall = row.roi == OVER_ROIS
        axis.plot([row.low, row.high], [places[row.roi]] * 2, color=COLOUR, linewidth=1.4 if overall else 0.8)
        axis.plot(row.difference, places[row.roi], **_marker(row.p_holm < SIGNIFICANT, 3.8 if overall else 3.0))
    axis.set(xlim=limits, ylim=(max(places.values()) + 0.5, -0.7))
    axis.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))
    axis.tick_params(axis="x", length=2, pad=1.5)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _marker(filled: bool, size: float) -> dict:
    face = COLOUR if filled else "white"
    return {"linestyle": "none", "marker": "o", "markersize": size, "mfc": face, "mec": COLOUR, "mew": 0.7}


def _marker_entries(panels: Sequence[DataFrame], shared: bool) -> list[Line2D]:
    """What the legend of a forest plot explains."""
    tested = all(panel["p_holm"].notna().all() for panel in panels)
    others, scales = "" if tested else " or too few to test", "" if shared else " (scales differ between panels)"
    return [
        Line2D([], [], **_marker(True, 3.5), label=f"p < {SIGNIFICANT} after Holm's correction"),
        Line2D([], [], **_marker(False, 3.5), label=f"p ≥ {SIGNIFICANT}{others}"),
        Line2D([], [], color=COLOUR, linewidth=0.8, label=f"95 % interval{scales}"),
    ]
