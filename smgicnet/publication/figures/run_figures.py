"""Figures of runs: where a method fails, and what it costs.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter
from pandas import DataFrame

from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    LINE_MM,
    MM,
    TEXT_PT,
    TITLE_PT,
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
from smgicnet.publication.figures.plotting import COLOUR, PALETTE, run_looks, style
from smgicnet.scoring.metrics import METRICS, Metric
from smgicnet.scoring.statistics import pair_means, read_metrics

_AROUND = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])  # of a point
BEFORE_AND_AFTER = ("dice", "endpoint_error_mm")  # the metrics of a figure of robustness
APART_MM = 4.0  # between the panels of one metric and of the next
WORSE = sns.color_palette(PALETTE)[3]
NEAR_MM = 1.6  # from a point to its name, unless there is no room: then a leader goes to it
LABEL_MM = 2.3  # height of a line of small text


def robustness(given: Material) -> Figure:
    """Draw every run that registers, against the state before."""
    return initial_scatter(read_metrics(given.files["metrics"]), _registered(given), given.labels, given.initial)


def time(given: Material) -> Figure:
    """Draw time and accuracy of every run that registers."""
    return time_figure(read_metrics(given.files["metrics"]), _registered(given), given.labels, given.initial)


def _registered(given: Material) -> list[tuple[str, str]]:
    return [run for run in given.runs if run != given.initial] or list(given.runs)


@dataclass(frozen=True)
class _Block:
    """The panels of one metric: the name of each run, and its pairs before (``x``) and after registration (``y``)."""

    metric: Metric
    panels: Sequence[tuple[str, DataFrame]]
    side: float  # of a panel, in mm

    @property
    def limits(self) -> tuple[float, float]:
        """Of both axes of each panel."""
        values = pd.concat([both for _, both in self.panels]).to_numpy()
        if self.metric.unit:
            return 0.0, 1.05 * float(values.max()) or 1.0
        return math.floor(10 * values.min()) / 10 - 0.02, math.ceil(10 * values.max()) / 10 + 0.02

    @property
    def names(self) -> tuple[str, str]:
        """What the axes are called."""
        name, unit = self.metric.compared_as, f" ({self.metric.unit})" if self.metric.unit else ""
        return fit(f"Initial {name}{unit}", self.side), fit(f"{name[0].upper()}{name[1:]}{unit}", self.side)

    @property
    def titles(self) -> list[str]:
        """The names of the runs, in as many lines as they take."""
        return [fit(label, self.side, TITLE_PT) for label, _ in self.panels]


def initial_scatter(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    initial: tuple[str, str],
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Draw mean Dice of each pair after registration against that before, one panel a run; beside it endpoint errors.

    Parameters
    ----------
    metrics : one row a number, with `statistics.COLUMNS`, of one dataset; its rows with metric ``dice`` and
        ROI ``mean`` count, and where there are any, those with metric ``endpoint_error_mm``
    runs : the (method, arm) drawn, in order; ``initial`` and those without a value are left out
    labels : ``method/arm`` -> name of a run
    initial : the (method, arm) of the scores before registration
    width_mm : of the panels of one metric, which are about 25 mm wide

    A point is an ordered pair, averaged over its seeds; on the line nothing has changed; a cross is a pair that
    registration made worse. The panels of a metric share limits. Raises ``ValueError`` when nothing can be drawn.
    """
    found = {name: _before_and_after(metrics, name, runs, labels, initial) for name in BEFORE_AND_AFTER}
    most = max(map(len, found.values()))
    if not most:
        raise ValueError(f"no pair has a Dice both of {'/'.join(initial)} and of another run")
    with style():
        left, right, gap = 8.5, 2.0, 2.0
        columns = evenly(most, int((width_mm - left - right + gap) // (23 + gap)))
        side = min((width_mm - left - right + gap) / columns - gap, 40.0)
        blocks = [_Block(METRICS[name], panels, side) for name, panels in found.items() if panels]
        above = 4.5 + LINE_MM * max(title.count("\n") + 1 for block in blocks for title in block.titles)
        below = 7.5 + LINE_MM * max(block.names[0].count("\n") for block in blocks)
        wide = left + columns * (side + gap) - gap + right + APART_MM
        figure = new_page(len(blocks) * wide - APART_MM, math.ceil(most / columns) * (above + side) + below)
        for number, block in enumerate(blocks):
            for index in range(len(block.panels)):
                row, column = divmod(index, columns)
                place = number * wide + left + column * (side + gap), row * (above + side) + above
                axis = add_axes(figure, *place, side, side)
                _draw_scatter(axis, block, index)
                _name_axes(axis, block, first=column == 0, last=index + columns >= len(block.panels))
    return figure


def _before_and_after(
    metrics: DataFrame,
    metric: str,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    initial: tuple[str, str],
) -> list[tuple[str, DataFrame]]:
    """The name of each run that has the metric, with its pairs before (``x``) and after registration (``y``)."""
    before, panels = pair_means(metrics, metric, initial), []
    for run in runs:
        both = pd.concat([before, pair_means(metrics, metric, run)], axis=1, join="inner", keys=["x", "y"])
        if run != initial and len(both):
            panels.append((labels["/".join(run)], both))
    return panels


def _draw_scatter(axis: Axes, block: _Block, index: int) -> None:
    (_, both), limits = block.panels[index], block.limits
    worse = both["y"] < both["x"] if block.metric.better == "higher" else both["y"] > both["x"]
    size = 3.0 if len(both) <= 100 else 1.8
    looks = {"linestyle": "none", "markersize": size, "alpha": 1.0 if len(both) <= 100 else 0.6}
    axis.plot(limits, limits, color="0.5", linewidth=0.6, zorder=0)
    axis.plot(*both[~worse].to_numpy().T, marker="o", color=COLOUR, markeredgewidth=0, **looks)
    axis.plot(*both[worse].to_numpy().T, marker="x", color=WORSE, markeredgewidth=0.7, **looks)
    axis.set(xlim=limits, ylim=limits, aspect="equal")
    for part in (axis.xaxis, axis.yaxis):
        part.set_major_locator(MaxNLocator(5, steps=[2, 5, 10]))
    axis.set_title(f"{block.titles[index]}\nworse: {worse.sum()} of {len(both)}", pad=2.5, fontsize=TEXT_PT)
    plain(axis)


def _name_axes(axis: Axes, block: _Block, *, first: bool, last: bool) -> None:
    """Name the axes of a panel that is the ``first`` of its line, or the ``last`` of its column."""
    before, after = block.names
    axis.tick_params(labelleft=first, labelbottom=last)
    axis.set_xlabel(before if last else "", fontsize=TEXT_PT, labelpad=1.5)
    axis.set_ylabel(after if first else "", fontsize=TEXT_PT, labelpad=1.5)


def time_figure(
    metrics: DataFrame,
    runs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    initial: tuple[str, str] | None = None,
    width_mm: float = COLUMN_MM,
) -> Figure:
    """Draw the time of a registration against its mean Dice: a point a run, with SDs over the ordered pairs.

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
    points, line = _points(metrics, runs, labels, initial)
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


def _points(
    metrics: DataFrame, runs: Sequence[tuple[str, str]], labels: Mapping[str, str], initial: tuple[str, str] | None
) -> tuple[DataFrame, tuple[float, str] | None]:
    """A row for each run that has Dice and a time; Dice and name of ``initial``, if it has one."""
    hues = [look["facecolor"] for look in run_looks([(method, "raw") for method, _ in runs])]
    points, line = [], None
    for run, hue in zip(runs, hues, strict=True):
        label = labels["/".join(run)]
        dice, seconds = pair_means(metrics, "dice", run), pair_means(metrics, "seconds", run)
        if run == initial and len(dice):
            line = dice.mean(), label
        elif len(dice) and seconds.mean() > 0:
            points.append((label, seconds.mean(), seconds.std(), dice.mean(), dice.std(), hue, run[1] == "raw"))
    if not points:
        raise ValueError("no run has both Dice and a time")
    found = DataFrame(points, columns=["label", "x", "x_sd", "y", "y_sd", "hue", "raw"])
    return found.fillna({"x_sd": 0, "y_sd": 0}), line


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
