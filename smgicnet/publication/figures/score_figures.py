"""Figures of scores by region of interest (ROI): box plots of Dice, and forest plots of differences in Dice.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from smgicnet.publication.figures.page import TEXT_PT, add_axes, evenly, fit, legend, legend_mm, new_page, text_mm
from smgicnet.publication.figures.plotting import DOUBLE_COLUMN_MM, MM, PALETTE, style

PAGE_HEIGHT_MM = 240
TITLE_PT = 6.5
LINE_MM = 2.6  # from one line of text to the next
MIN_ROI_MM = 16.0  # along the axis, for its name
MIN_BOX_MM = 1.6  # with the space beside it
MAX_BOX_MM = 5.0
GROUP = 0.86  # part of a ROI's width that its boxes take
PANELS_ACROSS = 5
MAX_PANEL_MM = 55.0
SCALES_APART = 4.0  # panels whose ranges differ more than this have scales of their own
SIGNIFICANT = 0.05
MIN_ROW_MM, MAX_ROW_MM = 2.4, 3.6  # of a forest plot
BAND, RULE, INK = "0.955", "0.87", "0.2"
HUES = (0, 1, 2, 4, 3, 9, 5, 8, 7, 6)  # of the palette: those easiest to tell apart first, relatives in hue apart
COLOUR = sns.color_palette(PALETTE)[0]
_SPELLED_OUT = {"Inf-Lat-Vent": "inf. lateral ventricle", "VentralDC": "ventral diencephalon"}
_SIDES = {"Left-": "L ", "Right-": "R "}


def readable_roi(name: str) -> str:
    """A FreeSurfer name as a reader would write it: ``Left-Cerebral-White-Matter`` is ``L cerebral white matter``."""
    side = next((side for side in _SIDES if name.startswith(side)), "")
    words = _SPELLED_OUT.get(name.removeprefix(side), name.removeprefix(side)).replace("-", " ").split(" ")
    text = " ".join(word if word.isupper() else word.lower() for word in words)
    return _SIDES[side] + text if side else text[:1].upper() + text[1:]


def without_sides(names: Iterable[str]) -> list[str]:
    """ROI names once each, in order, when left and right are taken together: without ``Left-`` and ``Right-``."""
    return list(dict.fromkeys(name.removeprefix("Left-").removeprefix("Right-") for name in names))


def dice_boxplot(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Sequence[str],
    rois: Sequence[str],
    title: str | None = None,
) -> Figure:
    """Box plots of Dice by ROI and run, in as many rows of panels as a page's width of 180 mm asks for.

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
        looks = _looks(runs)
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


def _looks(runs: Sequence[tuple[str, str]]) -> list[dict]:
    """Face colour and hatch of each run: relatives share a hue."""
    methods = list(dict.fromkeys(method for method, _ in runs))
    hues = dict(zip(methods, cycle(sns.color_palette(PALETTE)[index] for index in HUES)))
    lighter = {method: tuple(0.45 * np.array(to_rgb(hue)) + 0.55) for method, hue in hues.items()}
    plain = [arm == "raw" for _, arm in runs]
    return [
        {"facecolor": hues[method] if solid else lighter[method], "hatch": None if solid else "//////"}
        for (method, _), solid in zip(runs, plain)
    ]


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
    for index in range(0, len(rois), 2):
        axis.axvspan(index - 0.5, index + 0.5, color=BAND, linewidth=0, zorder=-2)
    axis.yaxis.grid(True, color=RULE, linewidth=0.4, zorder=-1)
    axis.set(xlabel="", ylabel="Dice", xlim=(-0.5, len(rois) - 0.5), ylim=(-0.01, 1.01))
    axis.set_yticks(np.linspace(0, 1, 6))
    axis.tick_params(axis="x", length=0, pad=2)
    axis.tick_params(axis="y", length=2, pad=1.5)
    axis.spines[["top", "right"]].set_visible(False)


def comparison_figure(
    comparisons: DataFrame, labels: Mapping[str, str], reference_label: str, rois: Sequence[str]
) -> Figure:
    """Forest plot: mean difference in Dice between a reference and each other run, overall and by ROI.

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
    rows = ["mean", *[roi for roi in rois if roi in present and roi != "mean"]]
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
        overall = row.roi == "mean"
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
