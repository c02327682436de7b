"""The figure of where a method fails, pair by pair.

All sizes are in mm on the page; y is measured from the top. A run is a (method, arm).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    LINE_MM,
    TEXT_PT,
    TITLE_PT,
    add_axes,
    evenly,
    fit,
    new_page,
    plain,
)
from smgicnet.publication.figures.plotting import COLOUR, PALETTE, style
from smgicnet.scoring.metrics import METRICS, Metric
from smgicnet.scoring.statistics import pair_means, read_metrics

BEFORE_AND_AFTER = ("dice", "endpoint_error_mm")  # the metrics of a figure of robustness
APART_MM = 4.0  # between the panels of one metric and of the next
WORSE = sns.color_palette(PALETTE)[3]


def robustness(given: Material) -> Figure:
    """Draw every run that registers, against the state before."""
    return initial_scatter(read_metrics(given.files["metrics"]), given.registering, given.labels, given.initial)


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
