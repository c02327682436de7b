"""Figures of runs: how a method learnt, where it fails, what it costs and what each of its parts is worth.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from pandas import DataFrame

from smgicnet.publication.figures.page import (
    TEXT_PT,
    add_axes,
    evenly,
    fit,
    legend,
    legend_mm,
    new_page,
    plain,
    short_number,
    text_mm,
)
from smgicnet.publication.figures.plotting import COLUMN_MM, MM, PALETTE, style
from smgicnet.publication.figures.score_figures import BAND, COLOUR, INK, LINE_MM, TITLE_PT, _looks

_AROUND = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])  # of a point
WORSE = sns.color_palette(PALETTE)[3]
NEAR_MM = 1.6  # from a point to its name, unless there is no room: then a leader goes to it
LABEL_MM = 2.3  # height of a line of small text


def _by_pair(metrics: DataFrame, run: tuple[str, str], metric: str, roi: str) -> pd.Series:
    """Values of one run by ordered pair, averaged over seeds; those without a value are left out."""
    chosen = (metrics["method"] == run[0]) & (metrics["arm"] == run[1]) & (metrics["metric"] == metric)
    rows = metrics[chosen & (metrics["roi"].fillna("") == roi)]
    return rows.groupby(["fixed", "moving"])["value"].mean().dropna()


def initial_scatter(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    initial: tuple[str, str],
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Mean Dice of each pair after registration against that before it, one panel a run.

    Parameters
    ----------
    metrics : one row a number, with `statistics.COLUMNS`, of one dataset; its rows with metric ``dice`` and
        ROI ``mean`` count
    runs : the (method, arm) drawn, in order; ``initial`` and those without a value are left out
    labels : ``method/arm`` -> name of a run
    initial : the (method, arm) of the scores before registration
    width_mm : of the page; panels are about 25 mm wide

    A point is an ordered pair, averaged over its seeds; on the line nothing has changed; a cross below it is a pair
    that registration made worse. The panels share limits. Raises ``ValueError`` when nothing can be drawn.
    """
    before = _by_pair(metrics, initial, "dice", "mean")
    panels = []
    for run in runs:
        both = pd.concat([before, _by_pair(metrics, run, "dice", "mean")], axis=1, join="inner", keys=["x", "y"])
        if run != initial and len(both):
            panels.append((labels["/".join(run)], both))
    if not panels:
        raise ValueError(f"no pair has a Dice both of {'/'.join(initial)} and of another run")
    values = pd.concat([both for _, both in panels]).to_numpy()
    limits = math.floor(10 * values.min()) / 10 - 0.02, math.ceil(10 * values.max()) / 10 + 0.02
    with style():
        left, right, gap, below = 8.5, 1.0, 2.0, 7.5
        columns = evenly(len(panels), int((width_mm - left - right + gap) // (23 + gap)))
        side = min((width_mm - left - right + gap) / columns - gap, 40.0)
        titles = [fit(label, side, TITLE_PT) for label, _ in panels]
        above = 4.5 + LINE_MM * max(title.count("\n") + 1 for title in titles)
        rows = math.ceil(len(panels) / columns)
        page = left + columns * (side + gap) - gap + right
        figure = new_page(page, rows * (above + side) + below)
        for index, (_, both) in enumerate(panels):
            row, column = divmod(index, columns)
            axis = add_axes(figure, left + column * (side + gap), row * (above + side) + above, side, side)
            _draw_scatter(axis, both, limits, titles[index])
            last = index + columns >= len(panels)
            axis.tick_params(labelleft=column == 0, labelbottom=last)
            axis.set_xlabel("Initial Dice" if last else "", fontsize=TEXT_PT, labelpad=1.5)
            axis.set_ylabel("" if column else "Dice", fontsize=TEXT_PT, labelpad=1.5)
    return figure


def _draw_scatter(axis: Axes, both: DataFrame, limits: tuple[float, float], title: str) -> None:
    worse = both["y"] < both["x"]
    size = 3.0 if len(both) <= 100 else 1.8
    looks = {"linestyle": "none", "markersize": size, "alpha": 1.0 if len(both) <= 100 else 0.6}
    axis.plot(limits, limits, color="0.5", linewidth=0.6, zorder=0)
    axis.plot(*both[~worse].to_numpy().T, marker="o", color=COLOUR, markeredgewidth=0, **looks)
    axis.plot(*both[worse].to_numpy().T, marker="x", color=WORSE, markeredgewidth=0.7, **looks)
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    for part in (axis.xaxis, axis.yaxis):
        part.set_major_locator(MaxNLocator(5, steps=[2, 5, 10]))
    axis.set_title(f"{title}\nworse: {worse.sum()} of {len(both)}", pad=2.5, fontsize=TEXT_PT)
    plain(axis)


def time_figure(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    initial: tuple[str, str] | None = None,
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Time of a registration against its mean Dice: a point a run, with standard deviations over the ordered pairs.

    Parameters
    ----------
    metrics : one row a number, with `statistics.COLUMNS`, of one dataset; its rows with metric ``dice`` and
        ROI ``mean``, or ``seconds``, count; a pair is averaged over its seeds first
    runs : the (method, arm) drawn; those without Dice or time are left out
    labels : ``method/arm`` -> name of a run
    initial : the (method, arm) without registration: its Dice is a dashed line

    The time's axis is logarithmic; hues are those of the other figures, open markers have arms other than ``raw``.
    Raises ``ValueError`` when nothing can be drawn.
    """
    hues = [look["facecolor"] for look in _looks([(method, "raw") for method, _ in runs])]
    points, line = [], None
    for run, hue in zip(runs, hues, strict=True):
        label = labels["/".join(run)]
        dice, seconds = _by_pair(metrics, run, "dice", "mean"), _by_pair(metrics, run, "seconds", "")
        if run == initial and len(dice):
            line = dice.mean(), label
        elif len(dice) and seconds.mean() > 0:
            points.append((label, seconds.mean(), seconds.std(), dice.mean(), dice.std(), hue, run[1] == "raw"))
    if not points:
        raise ValueError("no run has both Dice and a time")
    points = DataFrame(points, columns=["label", "x", "x_sd", "y", "y_sd", "hue", "raw"]).fillna({"x_sd": 0, "y_sd": 0})
    with style():
        entries = [
            Line2D([], [], **_marker("0.3", raw), label=text)
            for raw, text in ((True, "without pre-registration"), (False, "after affine pre-registration"))
        ]
        entries = entries if points["raw"].nunique() > 1 else []
        left, right, below, tall = 9.0, 4.0, 7.5, 52.0
        head = legend_mm(entries, width_mm) + 1.5 if entries else 1.5
        figure = new_page(width_mm, head + tall + below)
        axis = add_axes(figure, left, head, width_mm - left - right, tall)
        axis.set_xscale("log")
        decades = math.floor(np.log10(points["x"].min() / 1.5)), math.ceil(np.log10(points["x"].max() * 1.5))
        axis.set(xlim=10.0 ** np.array(decades), ylim=_dice_limits(points, line))
        axis.xaxis.set_major_formatter(short_number)
        axis.xaxis.set_minor_formatter(NullFormatter())
        for row in points.itertuples():
            bars = {"xerr": [[min(row.x_sd, 0.9 * row.x)], [row.x_sd]], "yerr": row.y_sd, "elinewidth": 0.5}
            axis.errorbar(row.x, row.y, **bars, ecolor=row.hue, **_marker(row.hue, row.raw))
        _name_points(axis, points, line)
        axis.set_xlabel("Time of a registration (s)", labelpad=1.5)
        axis.set_ylabel("Dice", labelpad=1.5)
        plain(axis)
        if entries:
            legend(figure, entries, 1.0)
    return figure


def _marker(hue: object, filled: bool) -> dict:
    return {"linestyle": "none", "marker": "o", "markersize": 4, "mfc": hue if filled else "white", "mec": hue}


def _dice_limits(points: DataFrame, line: tuple[float, str] | None) -> tuple[float, float]:
    lows, highs = points["y"] - points["y_sd"], points["y"] + points["y_sd"]
    low, high = min(lows.min(), line[0] if line else 1), max(highs.max(), line[0] if line else 0)
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def _name_points(axis: Axes, points: DataFrame, line: tuple[float, str] | None) -> None:
    """Write each name where it covers least: beside, above or below its point, further off with a leader."""
    size = axis.get_window_extent().size / axis.figure.dpi / MM
    to_mm = lambda xy: axis.transAxes.inverted().transform(axis.transData.transform(xy)) * size  # noqa: E731
    at = to_mm(points[["x", "y"]].to_numpy())
    reach = to_mm((points[["x", "y"]] + points[["x_sd", "y_sd"]].to_numpy()).to_numpy()) - at
    solid = [(x - 1, y - 1, x + 1, y + 1) for x, y in at]
    thin = [(x - 0.3, y - up, x + 0.3, y + up) for (x, y), (_, up) in zip(at, reach)]
    thin += [(x - across, y - 0.3, x + across, y + 0.3) for (x, y), (across, _) in zip(at, reach)]
    names = [(name, *place) for name, place in zip(points["label"], at)]
    if line:
        height = to_mm((points["x"].min(), line[0]))[1]
        axis.axhline(line[0], color="0.5", linewidth=0.7, linestyle=(0, (4, 2)), zorder=0)
        solid.append((0, height - 0.3, size[0], height + 0.3))
        names.append((line[1], size[0] - text_mm(line[1]) / 2 - 1.0, height))
    for name, x, y in names:
        half = np.array([text_mm(name) / 2 + 0.5, LABEL_MM / 2])
        found = []
        for far, (rank, side) in itertools.product((NEAR_MM, 4, 6, 9, 12), enumerate(_AROUND)):
            centre = np.array([x, y]) + side * (half + far)
            box = (*(centre - half), *(centre + half))
            aside = far > NEAR_MM or rank > 3  # not next to its point
            found.append((_cost(box, solid, thin, size) + far + 0.1 * rank, aside, tuple(centre), box))
        _, aside, centre, box = min(found)
        solid.append(box)
        leader = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": 2} if aside else None
        place = {"xycoords": "axes fraction", "textcoords": "axes fraction", "ha": "center", "va": "center"}
        axis.annotate(name, (x / size[0], y / size[1]), centre / size, fontsize=TEXT_PT, arrowprops=leader, **place)


def _cost(box: tuple, solid: Sequence[tuple], thin: Sequence[tuple], size: np.ndarray) -> float:
    """How bad a name is in ``box`` (left, bottom, right, top): what it covers, and what is off the axes ``size``."""

    def covered(other: tuple) -> float:
        across, up = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
        return max(across, 0) * max(up, 0)

    off = max(-box[0], -box[1], box[2] - size[0], box[3] - size[1], 0)
    return 1000 * off + 20 * sum(map(covered, solid)) + sum(map(covered, thin))


def ablation_figure(table: DataFrame, reference_label: str, width_mm: float = COLUMN_MM) -> Figure:
    """What each part of a method is worth: Dice, its difference to the full model and folded voxels (Figure 3b).

    Parameters
    ----------
    table : one row a model of a study, in the order drawn: study, label, dice, dice_sd, difference (variant minus full
        model, in Dice), low and high (95 % interval), folds_percent, folds_sd, parameters, train_seconds. The full
        model is in each study: the rows with the ``reference_label`` or, where a study calls it something else, those
        with difference 0 and without an interval. What is NaN is not drawn.
    reference_label : the full model's name
    width_mm : of the page; from 140 mm on it has room for the parameters and the time of training, as text

    The full model is a filled diamond and, in the panel of Dice, a line. Raises ``ValueError`` without rows.
    """
    if table.empty:
        raise ValueError("a figure of ablations needs at least one row")
    studies = list(dict.fromkeys(table["study"]))
    table = pd.concat([table[table["study"] == study] for study in studies], ignore_index=True)
    named = table["label"] == reference_label
    table["full"] = named if named.any() else table["difference"].eq(0) & table["low"].isna()
    order = table["study"].map(studies.index).to_numpy()
    places = np.arange(len(table)) + 1.2 * (order + 1)  # a heading above each study
    heads = [places[order == index][0] - 1.0 for index in range(len(studies))]
    folds_below = table[["folds_sd", "folds_percent"]].min(axis=1, skipna=False)
    panels = {
        "Dice": ("dice", table["dice_sd"], table["dice_sd"]),
        f"Difference in Dice to {reference_label}": (
            "difference", table["difference"] - table["low"], table["high"] - table["difference"]
        ),
        "Folded voxels (%)": ("folds_percent", folds_below, table["folds_sd"]),
    }  # fmt: skip
    extra = _costs(table) if width_mm >= 140 else {}
    with style():
        names = [fit(label, 0.3 * width_mm, TEXT_PT) for label in table["label"]]
        widths = [text_mm(line) for name in names for line in name.split("\n")]
        left = max(*widths, *(1.15 * text_mm(study.capitalize()) for study in studies)) + 3.0  # these are bold
        gap, right, top, row = 3.5, 14.0 * len(extra) + 2.0, 1.0, 1.0 + 2.2 * max(n.count("\n") + 1 for n in names)
        wide, tall = (width_mm - left - right + gap) / len(panels) - gap, row * (places[-1] + 0.7)
        titles = [fit(title, wide + gap - 2) for title in panels]
        figure = new_page(width_mm, top + tall + 4.0 + LINE_MM * max(title.count("\n") + 1 for title in titles))
        for index, (title, (name, below, above)) in enumerate(zip(titles, panels.values())):
            axis = add_axes(figure, left + index * (wide + gap), top, wide, tall)
            _draw_ablation(axis, table, places, name, np.array([below, above]))
            axis.set_yticks([*places, *heads], [*names, *(study.capitalize() for study in studies)])
            axis.tick_params(axis="y", length=0, pad=3, labelleft=index == 0)
            axis.set_xlabel(title, fontsize=TEXT_PT, labelpad=1.5)
        for heading in figure.axes[0].get_yticklabels()[len(places) :]:
            heading.set_fontweight("bold")
        for column, (title, texts) in enumerate(extra.items(), start=1):
            for y, text in [(heads[0], title), *zip(places, texts)]:
                place = {"xytext": (14.0 * column * MM * 72, 0), "textcoords": "offset points", "ha": "right"}
                axis.annotate(text, (1, y), xycoords=axis.get_yaxis_transform(), va="center", fontsize=TEXT_PT, **place)
    return figure


def _costs(table: DataFrame) -> dict[str, list[str]]:
    """What stands beside the panels, by title; empty where it is not known."""
    unit, seconds = ("h", 3600) if table["train_seconds"].max() >= 3600 else ("min", 60)
    parameters = [f"{n / 1e6:.2f} M" if n == n else "" for n in table["parameters"]]
    return {
        "Parameters": parameters,
        "Training": [f"{n / seconds:.1f} {unit}" if n == n else "" for n in table["train_seconds"]],
    }


def _draw_ablation(axis: Axes, table: DataFrame, places: np.ndarray, name: str, reach: np.ndarray) -> None:
    """One panel: a point and a bar for each row that has them; ``reach (2, rows)`` is the bar's, down and up."""
    full = table["full"]
    for place in places[::2]:
        axis.axhspan(place - 0.5, place + 0.5, color=BAND, linewidth=0, zorder=-2)
    zero = 0.0 if name == "difference" else table.loc[full, name].mean()
    if np.isfinite(zero) and name != "folds_percent":
        axis.axvline(zero, color="0.5", linewidth=0.6, zorder=0)
    for index, (place, value) in enumerate(zip(places, table[name])):
        if np.isfinite(reach[:, index]).all():
            axis.plot([value - reach[0, index], value + reach[1, index]], [place] * 2, color=COLOUR, linewidth=0.8)
        shape = {"marker": "D" if full[index] else "o", "mfc": INK if full[index] else COLOUR}
        axis.plot(value, place, linestyle="none", markersize=3.2, mec="none", **shape)
    axis.set_ylim(places[-1] + 0.7, 0.0)
    narrow = axis.get_position().width * axis.figure.get_figwidth() / MM < 24
    axis.xaxis.set_major_locator(MaxNLocator(2 if narrow else 4, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(short_number)
    axis.margins(x=0.08)
    plain(axis)
    axis.spines["left"].set_visible(False)
