"""The figure of what a registration costs: its time against its accuracy.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from pandas import DataFrame

from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    LINE_MM,
    MM,
    TEXT_PT,
    add_axes,
    fit,
    legend,
    legend_mm,
    new_page,
    plain,
    short_number,
    text_mm,
)
from smgicnet.publication.figures.plotting import run_looks, style
from smgicnet.scoring.statistics import pair_means, read_metrics

_AROUND = np.array([(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])  # of a point
KEY_MM = 2.0, 6.0  # where numbers begin that stand for names, and where the names do
NEAR_MM = 1.6  # from a point to its name, unless there is no room: then a leader goes to it
LABEL_MM = 2.3  # height of a line of small text
NAME_MM = 32.0  # of a name beside its point; where one is longer, numbers stand there, and the names below


def time(given: Material) -> Figure:
    """Draw time and accuracy of every run that registers."""
    return time_figure(read_metrics(given.files["metrics"]), given.registering, given.labels, given.initial)


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

    Where a name is too long to stand beside its point, numbers stand there and the names below the axes. The time's
    axis is logarithmic; hues are those of the other figures, open markers have arms other than ``raw``.
    Raises ``ValueError`` when nothing can be drawn.
    """
    points, line = _points(metrics, runs, labels, initial)
    with style():
        points, line, key = _numbered(points, line, width_mm - KEY_MM[1] - 1.0)
        entries = [
            Line2D([], [], **_marker("0.3", raw), label=text)
            for raw, text in ((True, "without pre-registration"), (False, "after affine pre-registration"))
        ]
        entries = entries if points["raw"].nunique() > 1 else []
        left, right, below, tall = 9.0, 4.0, 7.5, 52.0
        head = legend_mm(entries, width_mm) + 1.5 if entries else 1.5
        figure = new_page(width_mm, head + tall + below + _key_mm(key))
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
        _write_key(figure, key, head + tall + below)
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


def _numbered(
    points: DataFrame, line: tuple[float, str] | None, width_mm: float
) -> tuple[DataFrame, tuple[float, str] | None, list[tuple[str, str]]]:
    """Return points and line as the figure calls them, and the names behind its numbers where a name is too long.

    The names are in lines of at most ``width_mm``.
    """
    names = [*points["label"], *([line[1]] if line else [])]
    if max(map(text_mm, names)) <= NAME_MM:
        return points, line, []
    numbers = [str(number) for number in range(1, 1 + len(names))]
    key = [(number, fit(name, width_mm)) for number, name in zip(numbers, names)]
    return points.assign(label=numbers[: len(points)]), (line[0], numbers[-1]) if line else None, key


def _key_mm(key: Sequence[tuple[str, str]]) -> float:
    return sum(LINE_MM * (name.count("\n") + 1) for _, name in key) + (1.5 if key else 0.0)


def _write_key(figure: Figure, key: Sequence[tuple[str, str]], top: float) -> None:
    """The names of numbers below each other, from ``top`` mm below the figure's upper edge on."""
    across, down = figure.get_figwidth() / MM, figure.get_figheight() / MM
    for number, name in key:
        for left, text in ((KEY_MM[0], number), (KEY_MM[1], name)):
            figure.text(left / across, 1 - top / down, text, fontsize=TEXT_PT, va="top")
        top += LINE_MM * (name.count("\n") + 1)


def _cost(box: tuple, solid: Sequence[tuple], thin: Sequence[tuple], size: np.ndarray) -> float:
    """How bad a name is in ``box`` (left, bottom, right, top): what it covers, and what is off the axes ``size``."""

    def covered(other: tuple) -> float:
        across, up = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
        return max(across, 0) * max(up, 0)

    off = max(-box[0], -box[1], box[2] - size[0], box[3] - size[1], 0)
    return 1000 * off + 20 * sum(map(covered, solid)) + sum(map(covered, thin))
