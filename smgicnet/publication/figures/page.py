"""The sizes of a page, and laying one out in mm: figures, axes, text that fits a width, one legend for all panels.

All sizes are in mm on the page, of text in points; y is measured from the top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from textwrap import wrap

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

COLUMN_MM = 85  # a journal's column
DOUBLE_COLUMN_MM = 180  # and its page
PAGE_HEIGHT_MM = 240
MM = 1 / 25.4  # inch
TEXT_PT = 6.0
TITLE_PT = 6.5
LINE_MM = 2.6  # from one line of text to the next


def evenly(count: int, most: int) -> int:
    """Return how many of ``count`` stand in a line so that no line holds more than ``most`` and the lines are alike."""
    return math.ceil(count / math.ceil(count / max(most, 1)))


@cache
def text_mm(text: str, size: float = TEXT_PT) -> float:
    """Return the width of one line of ``text`` set in ``size`` points of the style's font."""
    return TextPath((0, 0), text, size=size).get_extents().width / 72 / MM if text.strip() else 0.0


def fit(text: str, width_mm: float, size: float = TEXT_PT) -> str:
    """Return ``text`` in the fewest lines of at most ``width_mm``, alike in length; a word that is wider is broken."""

    def badness(lines: Sequence[str]) -> tuple:
        widest = max(text_mm(line, size) for line in lines)
        return max(widest - width_mm, 0), " ".join(lines) != text, len(lines), widest

    return "\n".join(min((wrap(text, characters) for characters in range(1, len(text) + 1)), key=badness))


def row_mm(names: Sequence[str]) -> float:
    """Return the height of a figure's rows, each with one of ``names`` on its left, in one or more lines."""
    return LINE_MM * (max((name.count("\n") for name in names), default=0) + 1.75)


def new_page(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width * MM, height * MM))
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    across, down = figure.get_figwidth() / MM, figure.get_figheight() / MM
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def legend_columns(entries: Sequence, page: float) -> int:
    widest = max(text_mm(entry.get_label()) for entry in entries) + 7.5  # the symbol and space
    return evenly(len(entries), int(page // widest))


def legend_mm(entries: Sequence, page: float = DOUBLE_COLUMN_MM) -> float:
    return 1.0 + 3.0 * math.ceil(len(entries) / legend_columns(entries, page))


def legend(figure: Figure, entries: Sequence, top: float) -> None:
    """Draw the one legend of a figure, centred, ``top`` mm below its upper edge, read line by line."""
    columns = legend_columns(entries, figure.get_figwidth() / MM)
    figure.legend(
        handles=[entry for column in range(columns) for entry in entries[column::columns]],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - top * MM / figure.get_figheight()),
        ncols=columns,
        frameon=False,
        borderaxespad=0,
        borderpad=0,
        handlelength=2.0,
        columnspacing=1.5,
        handletextpad=0.6,
        labelspacing=0.4,
    )


def short_number(value: float, _: int | None = None) -> str:
    return (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def plain(axis: Axes) -> None:
    axis.tick_params(length=2, pad=1.5)
    axis.spines[["top", "right"]].set_visible(False)
