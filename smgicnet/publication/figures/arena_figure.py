"""Ranks of methods: the place of each with its interval, and who beats whom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM, MM, fit, row_mm
from smgicnet.publication.figures.plotting import COLOUR, INK, RULE, style
from smgicnet.scoring.ranking import Ranking

NAMES_MM, GAP_MM, BELOW_MM, ABOVE_MM = 44.0, 8.0, 10.0, 8.0


def arena_figure(found: Ranking, labels: Sequence[str]) -> Figure:
    """Return the figure; ``labels`` name the runs of a ranking, in its order."""
    order = sorted(range(len(labels)), key=lambda k: (found.by_means[k], found.places[k]))
    count = len(order)
    half = (DOUBLE_COLUMN_MM - NAMES_MM - GAP_MM) / 2
    with style():
        names = [fit(labels[k], NAMES_MM - 2) for k in order]
        body = count * row_mm(names)
        tall = body + BELOW_MM + ABOVE_MM
        figure = Figure(figsize=(DOUBLE_COLUMN_MM * MM, tall * MM))
        FigureCanvasAgg(figure)

        def panel(left: float, width: float):
            return figure.add_axes((left / DOUBLE_COLUMN_MM, BELOW_MM / tall, width / DOUBLE_COLUMN_MM, body / tall))

        places, matrix = panel(NAMES_MM, half), panel(NAMES_MM + half + GAP_MM, half)
        rows = np.arange(count)
        places.hlines(rows, found.low[order], found.high[order], color=COLOUR, linewidth=2.5, alpha=0.45)
        places.plot(found.by_means[order], rows, "o", color=COLOUR, markersize=4)
        places.set(xlim=(0.5, count + 0.5), ylim=(count - 0.5, -0.5), xticks=rows + 1)
        places.set_yticks(rows, names)
        places.set_xlabel("place by means, and places of 95 % of draws of people")
        places.grid(axis="x", color=RULE, linewidth=0.5)
        places.tick_params(axis="y", length=0)
        wins = found.wins[np.ix_(order, order)].astype(float)
        np.fill_diagonal(wins, np.nan)
        matrix.imshow(wins, cmap="Blues", vmin=0, vmax=1.4 * max(len(found.cases), 1), aspect="auto")
        for one, other in zip(*np.nonzero(~np.isnan(wins)), strict=True):
            matrix.text(other, one, f"{wins[one, other]:.0f}", ha="center", va="center", color=INK)
        matrix.set(xticks=rows, yticks=rows)
        matrix.set_xticklabels([str(place) for place in rows + 1])
        matrix.set_yticklabels([str(place) for place in rows + 1])
        matrix.set_xlabel(f"wins of the row against the column, in {len(found.cases)} cases")
        matrix.tick_params(length=0)
        for side in matrix.spines.values():
            side.set_visible(False)
    return figure
