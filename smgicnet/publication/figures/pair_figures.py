"""The figure of many methods side by side. All sizes are in mm on the page; y is measured from the top."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smgicnet.publication.examples import ShownPairs
from smgicnet.publication.figures.canvas import DIFFERENCE_COLOURS
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import (
    COLUMN_MM,
    DOUBLE_COLUMN_MM,
    LINE_MM,
    PAGE_HEIGHT_MM,
    TEXT_PT,
    add_axes,
    evenly,
    fit,
    new_page,
    text_mm,
)
from smgicnet.publication.figures.plotting import style
from smgicnet.publication.figures.slices import (
    BRAIN,
    EDGE_MM,
    GAP_MM,
    Scale,
    axial_slice,
    common_window,
    mark_sides,
    scale_bar,
    show,
    write_heading,
)

MIN_PANEL_MM, MAX_PANEL_MM = 12.0, 32.0
LONGEST_WORD_MM = 20.0  # a word that is wider is broken


def methods(given: Material) -> Figure:
    """Draw every pair shown, by all runs of the figure."""
    shown = ShownPairs(given.files, given.runs)
    examples = [[shown.example(run, *pair) for run in given.runs] for pair in shown.pairs]
    return methods_figure(examples, [given.label(run) for run in given.runs], DOUBLE_COLUMN_MM)


def methods_figure(examples: Sequence[Sequence[Mapping]], labels: Sequence[str], width_mm: float = COLUMN_MM) -> Figure:
    """Draw each pair as registered by several runs: images above, difference to the fixed one below (Figure 2).

    Parameters
    ----------
    examples : one entry a pair, of one mapping a run as `examples.load_example` returns it: all of one pair
        and one shape ``(D, H, W)``; fixed and moving image and ``dice_before`` are the first run's
    labels : the runs' names, in order
    width_mm : of the page; panels wrap into as many bands as it takes to keep each at least 12 mm wide and each
        word above it whole, up to 20 mm; as far as that allows, the figure is narrower rather than higher than 240 mm

    Shown is the axial slice through the middle of the fixed brain, the subject's left on the left. Below the moving
    image stands the mean Dice before registration, below each warped one that after; nothing for NaN. One scale of
    differences serves all panels; it ends where all but 1 % of the differences after registration do.
    Raises ``ValueError`` without examples or where the runs of a pair do not match.
    """
    _check(examples, labels)
    shown = [[axial_slice(example) for example in pair] for pair in examples]
    windows = [common_window(slices) for slices in shown]
    scale = _difference_scale(shown)
    with style():
        entries = ("Fixed", "Moving", *labels)
        narrowest = max(MIN_PANEL_MM, min(LONGEST_WORD_MM, max(text_mm(word) for word in " ".join(entries).split())))
        columns = evenly(len(entries), int((width_mm - 2 * EDGE_MM + GAP_MM) // (narrowest + GAP_MM)))
        titles = [fit(entry, narrowest) for entry in entries]
        bands = [range(first, min(first + columns, len(titles))) for first in range(0, len(titles), columns)]
        heads = [0.9 + LINE_MM * max(titles[index].count("\n") + 1 for index in band) for band in bands]
        name, text, between = 3.4, 3.2, 1.2
        used = len(examples) * (name + sum(heads) + len(bands) * (text + between))
        slopes = [(window[3] - window[2]) / (window[1] - window[0]) for window in windows]
        highest = (PAGE_HEIGHT_MM - used) / (2 * len(bands) * sum(slopes))
        panel = min((width_mm - 2 * EDGE_MM + GAP_MM) / columns - GAP_MM, max(highest, narrowest), MAX_PANEL_MM)
        page = 2 * EDGE_MM + columns * (panel + GAP_MM) - GAP_MM
        talls = [panel * slope for slope in slopes]
        figure = new_page(page, used + 2 * len(bands) * sum(talls))
        top = 0.0
        for pair, slices, window, tall in zip(examples, shown, windows, talls, strict=True):
            write_heading(figure, EDGE_MM, top + 0.6, f"{pair[0]['name_moving']} → {pair[0]['name_fixed']}")
            top += name
            for band, head in zip(bands, heads, strict=True):
                for column, index in enumerate(band):
                    left, upper = EDGE_MM + column * (panel + GAP_MM), top + head
                    image = add_axes(figure, left, upper, panel, tall)
                    below = add_axes(figure, left, upper + tall + text, panel, tall)
                    _draw_entry((image, below), pair, slices, index, window, scale)
                    image.set_title(titles[index], pad=2, fontsize=TEXT_PT)
                top += head + 2 * tall + text + between
        bar = figure.axes[1].inset_axes((3.6 / panel, 0.06, 1.5 / panel, 0.88))  # the fixed image has no difference
        scale_bar(bar, scale, "vertical")
        bar.yaxis.set_label_position("left")
        mark_sides(figure.axes[0])
    return figure


def _check(examples: Sequence[Sequence[Mapping]], labels: Sequence[str]) -> None:
    if not examples or not labels:
        raise ValueError("a figure of methods needs at least one pair and one run")
    for pair in examples:
        if len(pair) != len(labels):
            raise ValueError(f"{len(labels)} runs are named, but a pair has examples of {len(pair)}")
        alike = {(example["name_fixed"], example["name_moving"], np.shape(example["fixed"])) for example in pair}
        if len(alike) > 1:
            raise ValueError(f"the runs of one pair show different pairs or shapes: {sorted(alike)}")


def _difference_scale(shown: Sequence[Sequence[Mapping[str, np.ndarray]]]) -> Scale:
    """One for all panels, to a multiple of 0.1; before registration more may lie beyond it."""
    before = [(slices[0]["moving"], slices[0]["fixed"]) for slices in shown]
    after = [(run["warped"], run["fixed"]) for slices in shown for run in slices]
    values = np.concatenate([np.abs(a - b)[np.maximum(a, b) > BRAIN] for a, b in after])
    ceiling = max(math.ceil(10 * np.quantile(values, 0.99) - 1e-6), 1) / 10 if values.size else 1.0
    largest = max(np.abs(a - b).max() for a, b in before + after)
    return Scale("|Difference|", DIFFERENCE_COLOURS, ceiling, bool(largest > ceiling))


def _draw_entry(
    axes: tuple[Axes, Axes],
    pair: Sequence[Mapping],
    slices: Sequence[Mapping[str, np.ndarray]],
    index: int,
    window: tuple[float, float, float, float],
    scale: Scale,
) -> None:
    """One column of a band: fixed (0), moving (1) or the warped image of run ``index - 2``, and its difference."""
    image, below = axes
    run = max(index - 2, 0)
    shown = slices[run]["warped"] if index > 1 else slices[0]["fixed" if index == 0 else "moving"]
    show(image, shown, window, "gray")
    if index == 0:
        below.set_axis_off()
        return
    show(below, np.abs(shown - slices[run]["fixed"]), window, DIFFERENCE_COLOURS)
    below.images[0].set_clim(0, scale.ceiling)
    dice = pair[run]["dice_after"] if index > 1 else pair[0]["dice_before"]
    if math.isfinite(dice):
        image.set_xlabel(f"Dice {dice:.2f}", fontsize=TEXT_PT, labelpad=1.5)
