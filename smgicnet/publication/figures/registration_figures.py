"""The figure of test pairs as one method registered them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from smgicnet.publication.examples import ShownPairs
from smgicnet.publication.figures.canvas import DIFFERENCE_COLOURS
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import COLUMN_MM, TEXT_PT, TITLE_PT, new_page
from smgicnet.publication.figures.plotting import PALETTE, style
from smgicnet.publication.figures.slices import GAP_MM, axial_slice, common_window, show

GRID_LINES = 16  # along the longer side of what is shown
_TITLES = ("Fixed", "Moving", "Warped", "|Diff.|\nbefore", "|Diff.|\nafter", "Grid")


def registrations(given: Material) -> Figure:
    """Draw every pair shown, by the first run of the figure."""
    shown = ShownPairs(given.files, given.runs)
    return registration_figure([shown.example(given.runs[0], *pair) for pair in shown.pairs])


def registration_figure(examples: Sequence[Mapping], width_mm: float = COLUMN_MM) -> Figure:
    """Draw one row a test pair: fixed, moving, warped, absolute difference before and after, deformed grid.

    Parameters
    ----------
    examples : mappings with ``name_fixed``, ``name_moving``; ``fixed``, ``moving``, ``warped (D, H, W)`` in [0, 1],
        axes in RAS order, all of one shape; ``displacement (3, D, H, W)`` in voxels; ``dice_before``, ``dice_after``
    width_mm : of the figure

    Shown is the axial slice through the middle of the fixed brain, anterior up, the subject's left on the left
    (neurological convention). The grid is where the fixed image's lattice ``x`` samples the moving image,
    ``phi(x) = x + u(x)``, seen from above: drawn over the moving image, without the component along the axis of view.
    Raises ``ValueError`` without examples.
    """
    if not examples:
        raise ValueError("a registration figure needs at least one example")
    slices = [axial_slice(example) for example in examples]
    window = common_window(slices)
    rows, columns = len(slices), len(_TITLES)
    with style():
        # all in mm: panels in a lattice, a line of titles above, a line of text below each row, a colour bar below all
        side, title, text, bar, gap = 6.0, 7.0, 4.0, 5.5, GAP_MM
        panel = (width_mm - side - columns * gap) / columns
        tall = panel * (window[3] - window[2]) / (window[1] - window[0])
        height = title + rows * (tall + text) + bar
        figure = new_page(width_mm, height)
        for row, (example, shown) in enumerate(zip(examples, slices, strict=True)):
            bottom = height - title - (row + 1) * tall - row * text
            boxes = [(side + column * (panel + gap), bottom, panel, tall) for column in range(columns)]
            axes = [figure.add_axes((x / width_mm, y / height, w / width_mm, h / height)) for x, y, w, h in boxes]
            _draw_row(axes, example, shown, window)
            if row == 0:
                for axis, name in zip(axes, _TITLES, strict=True):
                    axis.set_title(name, pad=2, fontsize=TITLE_PT)
        left = side + 3 * (panel + gap)
        box = (left / width_mm, (bar - 2.0) / height, (2 * panel + gap) / width_mm, 1.2 / height)
        _colour_bar(figure, figure.add_axes(box))
    return figure


def _draw_row(
    axes: Sequence[Axes], example: Mapping, shown: Mapping[str, np.ndarray], window: tuple[float, float, float, float]
) -> None:
    fixed, moving, warped = shown["fixed"], shown["moving"], shown["warped"]
    for axis, image in zip(axes[:3], (fixed, moving, warped), strict=True):
        show(axis, image, window, "gray")
    for axis, image in zip(axes[3:5], (moving, warped), strict=True):
        show(axis, np.abs(image - fixed), window, DIFFERENCE_COLOURS)
    show(axes[5], 0.45 * moving, window, "gray")
    step = max(round(max(window[1] - window[0], window[3] - window[2]) / GRID_LINES), 1)
    axes[5].add_collection(
        LineCollection(_lattice_lines(shown["phi"], step), colors=[sns.color_palette(PALETTE)[1]], linewidths=0.35)
    )
    for x, side, align in ((0.03, "L", "left"), (0.97, "R", "right")):
        axes[0].text(x, 0.97, side, color="white", fontsize=TEXT_PT, va="top", ha=align, transform=axes[0].transAxes)
    axes[0].set_ylabel(f"{example['name_moving']} →\n{example['name_fixed']}", fontsize=TEXT_PT, labelpad=1.5)
    axes[1].set_xlabel(f"Dice {example['dice_before']:.2f}", fontsize=TEXT_PT, labelpad=1.5)
    axes[2].set_xlabel(f"Dice {example['dice_after']:.2f}", fontsize=TEXT_PT, labelpad=1.5)


def _lattice_lines(phi: np.ndarray, step: int) -> list[np.ndarray]:
    """Every ``step``-th line of the lattice carried by ``phi (2, D, H)``: arrays ``(points, 2)`` of positions."""
    along_second = [phi[:, i, :].T for i in range(0, phi.shape[1], step)]
    along_first = [phi[:, :, j].T for j in range(0, phi.shape[2], step)]
    return along_second + along_first


def _colour_bar(figure: Figure, axis: Axes) -> None:
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), DIFFERENCE_COLOURS), cax=axis, orientation="horizontal")
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    bar.outline.set_visible(False)
    axis.tick_params(length=1.5, pad=1)
