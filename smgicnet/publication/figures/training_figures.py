"""Training curves: every term of the objective and the validation Dice, level after level."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from pandas import DataFrame

from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    MM,
    TEXT_PT,
    TITLE_PT,
    add_axes,
    evenly,
    fit,
    new_page,
    plain,
    short_number,
)
from smgicnet.publication.figures.plotting import BAND, COLOUR, style

SMOOTHED_OVER = 1 / 40  # of a level
POINTS = 400  # that a curve of a level is drawn with: more would not show and make a large file
DECADES = 1.5  # from which on a positive term gets a logarithmic axis
NOT_TERMS = ("step", "learning_rate", "seconds", "validation_dice")
_TITLES = {"total": "total (weighted)", "validation_dice": "validation Dice", "multi_level": "multi-level"}


def training(given: Material) -> Figure:
    """Draw all stages of the one run of the figure."""
    return training_figure([pd.read_csv(path) for path in given.files["histories"]], given.label(given.runs[0]))


def training_figure(levels: Sequence[DataFrame], title: str | None = None, width_mm: float = COLUMN_MM) -> Figure:
    """Draw the curves of one training: total, each term and, where it was measured, validation Dice, by iteration.

    Parameters
    ----------
    levels : histories as `smgicnet.training.loop.train` returns them, one a stage, in order: columns step, total, the
        terms, learning_rate, seconds and perhaps validation_dice (NaN where not measured)
    title : above all panels
    width_mm : of the page; panels are about 40 mm wide

    Stages follow each other, every second one on a grey ground, numbered above. Pale: each iteration; dark: running
    median over a fortieth of a level. A term that is never negative and ranges over more than 1.5 decades has a
    logarithmic axis, on which zeros do not show. Raises ``ValueError`` without any row or without its columns.
    """
    levels = [level.reset_index(drop=True) for level in levels if len(level)]
    if not levels or any(not {"step", "total"} <= set(level) for level in levels):
        raise ValueError("training curves need levels with rows and the columns step and total")
    present = dict.fromkeys(name for level in levels for name in level.columns[level.notna().any()])
    names = [name for name in present if name not in NOT_TERMS] + ["validation_dice"] * ("validation_dice" in present)
    lengths = [int(level["step"].max()) + 1 for level in levels]
    starts = [0, *itertools.accumulate(lengths)]
    unit = 1000 if starts[-1] >= 10000 else 1
    with style():
        left, right, gap, tall, above, below = 9.0, 3.5, 10.5, 16.0, 6.2, 4.0
        columns = evenly(len(names), int((width_mm - right) // 38))
        wide = (width_mm - left - right - (columns - 1) * gap) / columns
        title = fit(title, width_mm - 4, 7) if title else None
        head = 1.0 + 3.0 * (title.count("\n") + 1) if title else 0.0
        rows = math.ceil(len(names) / columns)
        figure = new_page(width_mm, head + rows * (above + tall + below) + 3.5)
        for index, name in enumerate(names):
            row, column = divmod(index, columns)
            top = head + row * (above + tall + below) + above
            axis = add_axes(figure, left + column * (wide + gap), top, wide, tall)
            parts = [level[["step", name]].dropna() if name in level else level[[]] for level in levels]
            _draw_curve(axis, name, parts, np.array(starts) / unit, unit)
            if index + columns >= len(names):
                axis.set_xlabel("Iteration" + (" (thousands)" if unit > 1 else ""), fontsize=TEXT_PT, labelpad=1.5)
        if title:
            figure.suptitle(title, y=1 - 0.8 * MM / figure.get_figheight(), fontsize=7)
    return figure


def _draw_curve(axis: Axes, name: str, parts: Sequence[DataFrame], starts: np.ndarray, unit: int) -> None:
    """One panel; ``parts`` are the steps and values of each level, ``starts`` where it begins on the axis."""
    shown = []
    for part, start in zip(parts, starts):
        if part.empty:
            continue
        x, y = start + (part["step"].to_numpy() + 1) / unit, part[name]
        if name == "validation_dice":
            axis.plot(x, y, color=COLOUR, marker=".", markersize=2.5, linewidth=0.7)
            shown.append(y)
            continue
        window = 2 * max(int(len(y) * SMOOTHED_OVER / 2), 1) + 1
        smooth = y.rolling(window, center=True, min_periods=1).median().to_numpy()
        some = np.unique(np.linspace(0, len(y) - 1, POINTS).astype(int))
        axis.plot(*_extremes(x, y.to_numpy()), color=COLOUR, alpha=0.3, linewidth=0.4)
        axis.plot(x[some], smooth[some], color=COLOUR, linewidth=0.9)
        shown += [smooth, y.quantile([0.01, 0.99])]
    _scale_curve(axis, np.concatenate(shown))
    widest = int(np.argmax(np.diff(starts)))
    for index, (start, end) in enumerate(itertools.pairwise(starts)):
        if index % 2:
            axis.axvspan(start, end, color=BAND, linewidth=0, zorder=-2)
        if len(parts) > 1:
            place = {"xytext": (0, 1.2), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            where = ((start + end) / 2, 1), axis.get_xaxis_transform()
            text = f"Stage {index + 1}" if index == widest else str(index + 1)
            axis.annotate(text, where[0], xycoords=where[1], color="0.4", fontsize=TEXT_PT, **place)
    axis.set_xlim(0, starts[-1])
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 2.5, 5, 10]))
    words = _TITLES.get(name, name.replace("_", " "))
    axis.set_title(words[:1].upper() + words[1:], pad=9 if len(parts) > 1 else 3, fontsize=TITLE_PT)
    plain(axis)


def _extremes(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve that show: the lowest and the highest of each of so many stretches, in order."""
    if len(y) <= POINTS:
        return x, y
    stretches = np.array_split(np.arange(len(y)), POINTS // 2)
    kept = np.concatenate([np.sort(s[[np.argmin(y[s]), np.argmax(y[s])]]) for s in stretches])
    return x[kept], y[kept]


def _scale_curve(axis: Axes, values: np.ndarray) -> None:
    """Limits from the smoothed curve and all but the extremes of the raw one; a logarithmic axis where it is needed."""
    positive = values[values > 0]
    if (values >= 0).all() and positive.size and np.log10(positive.max() / positive.min()) > DECADES:
        top = positive.max()
        axis.set_yscale("log", nonpositive="mask")
        axis.set_ylim(max(positive.min(), 1e-5 * top) / 1.5, 1.5 * top)
        axis.yaxis.set_major_locator(LogLocator(numticks=4))
        axis.yaxis.set_minor_locator(NullLocator())
        return
    low, high = values.min(), values.max()
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    axis.set_ylim(low - margin, high + margin)
    axis.yaxis.set_major_locator(MaxNLocator(4))
    axis.yaxis.set_major_formatter(short_number)
