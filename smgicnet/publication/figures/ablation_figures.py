"""The figure of ablations: what each part of a method is worth.

All sizes are in mm on the page; y is measured from the top.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    DOUBLE_COLUMN_MM,
    LINE_MM,
    MM,
    TEXT_PT,
    add_axes,
    fit,
    new_page,
    plain,
    short_number,
    text_mm,
)
from smgicnet.publication.figures.plotting import BAND, COLOUR, INK, style


def ablations(given: Material) -> Figure:
    """Draw the table of ablations, at the width of a page."""
    (path,) = given.files["ablations"]
    return ablation_figure(pd.read_csv(path), given.full_model, DOUBLE_COLUMN_MM)


def ablation_figure(table: DataFrame, reference_label: str, width_mm: float = COLUMN_MM) -> Figure:
    """Draw what each part of a method is worth: Dice, its difference to the full model and folded voxels (Figure 3b).

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
