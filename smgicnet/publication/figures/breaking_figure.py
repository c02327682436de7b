"""The summary of changed heads: how much of each change a method bears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from smgicnet.preparation.changes import CHANGES
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM, MM, fit, row_mm
from smgicnet.publication.figures.plotting import INK, style
from smgicnet.scoring.statistics import dice_or_failure, read_metrics

KEPT = 0.9  # of a method's own best Dice
NAMES_MM, BELOW_MM, ABOVE_MM = 44.0, 2.0, 20.0


def breaking(given: Material) -> Figure:
    """Draw every run, by every change."""
    return breaking_figure(read_metrics(given.files["changes"]), given.runs, given.labels)


def breaking_point(means: Series) -> tuple[float, bool]:
    """Return the severity at which a Dice falls below `KEPT` of the best, and whether it does.

    ``means`` are the Dice by severity, 0 among them. Without a fall it is the largest severity. It is 0 where the Dice
    is that low from the beginning, or always 0.
    """
    means = means.sort_index()
    severities, best = means.index.to_numpy(float), means.max()
    values = means.to_numpy() / best if best > 0 else np.zeros(len(means))
    fallen = np.flatnonzero(values < KEPT)
    if not len(fallen):
        return float(severities[-1]), False
    after = fallen[0]
    if not after:
        return 0.0, True
    before = after - 1
    part = (values[before] - KEPT) / (values[before] - values[after])
    return float(severities[before] + part * (severities[after] - severities[before])), True


def breaking_figure(changed: DataFrame, runs: Sequence[tuple[str, str]], labels: Mapping[str, str]) -> Figure:
    """Return the figure: a row a run, a column a kind of change, shaded by the share of the range that a run bears.

    A pair without a result has a Dice of 0 here. ``changed`` is as in
    `smgicnet.publication.figures.change_figures.changes_figure`.
    """
    means = dice_or_failure(changed).groupby(["method", "arm", "change", "severity"])["value"].mean()
    kinds = [kind for kind in CHANGES if kind in means.index.unique("change")]
    known = {(method, arm) for method, arm in means.index.droplevel(["change", "severity"])}
    drawn = [run for run in runs if run in known]
    with style():
        names = [fit(labels["/".join(run)], NAMES_MM - 2) for run in drawn]
        tall = max(1, len(drawn)) * row_mm(names) + BELOW_MM + ABOVE_MM
        figure = Figure(figsize=(DOUBLE_COLUMN_MM * MM, tall * MM))
        FigureCanvasAgg(figure)
        place = (NAMES_MM / DOUBLE_COLUMN_MM, BELOW_MM / tall, 1 - NAMES_MM / DOUBLE_COLUMN_MM - 0.01)
        axis = figure.add_axes((*place, 1 - (BELOW_MM + ABOVE_MM) / tall))
        shades = np.full((max(1, len(drawn)), max(1, len(kinds))), np.nan)
        for row, run in enumerate(drawn):
            for column, kind in enumerate(kinds):
                if (*run, kind) not in means.index.droplevel("severity"):
                    continue
                point, falls = breaking_point(means.loc[(*run, kind)])
                largest = means.xs(kind, level="change").index.unique("severity").max()
                shades[row, column] = point / largest
                text = f"{point:.3g}" if falls else f"> {point:.3g}"
                axis.text(column, row, text, ha="center", va="center", color=INK, alpha=1 if falls else 0.6)
        axis.imshow(shades, cmap="RdYlBu", vmin=-0.6, vmax=1.6, aspect="auto")
        axis.set_yticks(np.arange(len(drawn)), names)
        axis.set_xticks(np.arange(len(kinds)), [CHANGES[kind].name for kind in kinds], rotation=90)
        axis.xaxis.tick_top()
        axis.tick_params(length=0)
        for side in axis.spines.values():
            side.set_visible(False)
    return figure
