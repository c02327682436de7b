"""The figure of a pair that is registered in both directions.

All sizes are in mm on the page; y is measured from the top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import ndimage

from smgicnet.publication.examples import ShownPairs
from smgicnet.publication.figures.canvas import DIFFERENCE_COLOURS
from smgicnet.publication.figures.material import Material
from smgicnet.publication.figures.page import COLUMN_MM, LINE_MM, TEXT_PT, add_axes, new_page
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

ARROWS = 12  # along the longer side of a panel
SIZE_COLOURS = "cividis"


def reciprocal(given: Material) -> Figure:
    """Draw the first of the pairs shown, by the first run of the figure."""
    shown = ShownPairs(given.files, given.runs)
    run, (fixed, moving) = given.runs[0], shown.pairs[0]
    both = shown.example(run, fixed, moving), shown.example(run, moving, fixed)
    return reciprocal_figure(*both, [given.spacing] * 3)


def reciprocal_figure(
    forward: Mapping, backward: Mapping, spacing: Sequence[float] | None = None, width_mm: float = COLUMN_MM
) -> Figure:
    """Draw a pair registered in both directions, each by itself, and how far the two fields cancel (Figure 3a).

    Parameters
    ----------
    forward, backward : mappings as `examples.load_example` returns them, the second with fixed and moving
        image exchanged; all arrays on grids of one shape
    spacing : voxel size along each array axis in mm; without it displacements and errors are in voxels

    The left half of the page is on the grid of the forward direction's fixed image, the right half on the other's:
    fixed and warped image above; below, the displacement ``u`` (its length in 3D as colour, its part in the plane as
    arrows, length in proportion) and the round trip's error ``|phi_other(phi(x)) - x|``, whose title has its mean over
    the brain. Both halves share scales. Raises ``ValueError`` when the two are not one pair.
    """
    if (forward["name_fixed"], forward["name_moving"]) != (backward["name_moving"], backward["name_fixed"]):
        raise ValueError("forward and backward must be the two directions of one pair")
    if np.shape(forward["displacement"]) != np.shape(backward["displacement"]):
        raise ValueError("the two directions must have grids of one shape")
    halves = [_half(*both, spacing) for both in ((forward, backward), (backward, forward))]
    window = common_window([half.slices for half in halves])
    unit = "voxels" if spacing is None else "mm"
    scales = [
        _scale(f"Displacement ({unit})", SIZE_COLOURS, [half.length for half in halves], 1.0),
        _scale(f"Round-trip error ({unit})", DIFFERENCE_COLOURS, [half.error for half in halves], 0.99),
    ]
    longest = max(np.linalg.norm(half.plane, axis=0)[np.isfinite(half.length)].max() for half in halves) or 1.0
    with style():
        middle, head, above, between, bars = 2.0, 4.0, 1.2 + 2 * LINE_MM, 1.0, 8.0
        panel = (width_mm - 2 * EDGE_MM - 2 * GAP_MM - middle) / 4
        tall = panel * (window[3] - window[2]) / (window[1] - window[0])
        bottom = head + 2 * (above + tall) + between
        figure = new_page(width_mm, bottom + bars)
        lefts = EDGE_MM, EDGE_MM + 2 * panel + GAP_MM + middle
        for half, scale, left in zip(halves, scales, lefts, strict=True):
            write_heading(figure, left + panel + GAP_MM / 2, 0.8, half.name, "center")
            boxes = [
                (left + column * (panel + GAP_MM), head + above + row * (tall + above + between))
                for row, column in ((0, 0), (0, 1), (1, 0), (1, 1))
            ]
            _draw_half([add_axes(figure, *box, panel, tall) for box in boxes], half, window, scales, longest)
            bar = add_axes(figure, left + 4.0, bottom + 1.0, 2 * panel + GAP_MM - 8.0, 1.2)
            scale_bar(bar, scale, "horizontal")
        mark_sides(figure.axes[0])
    return figure


@dataclass(frozen=True)
class _Half:
    """One direction: its slices, of which ``length`` and ``error (D, H)`` are in the unit shown and NaN beyond the
    fixed brain, ``plane (2, D, H)`` in voxels; the four panels' titles."""

    name: str
    titles: tuple[str, str, str, str]
    slices: Mapping[str, np.ndarray]
    plane: np.ndarray
    length: np.ndarray
    error: np.ndarray


def _half(one: Mapping, other: Mapping, spacing: Sequence[float] | None) -> _Half:
    sizes, unit = (np.ones(3), "voxels") if spacing is None else (np.asarray(spacing, float), "mm")
    field = np.asarray(one["displacement"], float)
    brain = ndimage.binary_fill_holes(np.asarray(one["fixed"]) > BRAIN)
    brain |= not brain.any()  # an empty image: all of it
    length, error = np.full((2, *brain.shape), np.nan)
    length[brain] = np.linalg.norm(field[:, brain] * sizes[:, None], axis=0)
    error[brain] = np.linalg.norm(_round_trip(field, other["displacement"], brain) * sizes[:, None], axis=0)
    slices = axial_slice(one)
    maps = axial_slice({**one, "moving": length, "warped": error})  # the same slice of these
    dice = f"\nDice {one['dice_after']:.2f}" if math.isfinite(one["dice_after"]) else ""
    titles = ("Fixed", f"Warped{dice}", "Displacement", f"Round-trip error\nmean {np.nanmean(error):.2g} {unit}")
    plane = slices["phi"] - np.indices(slices["fixed"].shape)
    name = f"{one['name_moving']} → {one['name_fixed']}"
    return _Half(name, titles, slices, plane, maps["moving"], maps["warped"])


def _round_trip(out: np.ndarray, back: np.ndarray, where: np.ndarray) -> np.ndarray:
    """``phi_back(phi_out(x)) - x = out(x) + back(x + out(x))`` in voxels at the voxels ``x`` of ``where (D, H, W)``.

    ``out`` and ``back`` are ``(3, D, H, W)`` in voxels; beyond the grid ``back`` keeps its border value. Returns
    ``(3, voxels)``.
    """
    step = out[:, where]
    reached = np.argwhere(where).T + step
    return step + np.stack([ndimage.map_coordinates(part, reached, order=1, mode="nearest") for part in back])


def _scale(label: str, colours: str, maps: Sequence[np.ndarray], quantile: float) -> Scale:
    """A scale from 0 to the ``quantile`` of the maps' values, rounded up to a number that reads well."""
    values = np.concatenate([one[np.isfinite(one)] for one in maps] or [[]])
    wanted = np.quantile(values, quantile) if values.size else 0.0
    if wanted <= 1e-6:
        return Scale(label, colours, 1.0, False)
    unit = 10.0 ** math.floor(math.log10(wanted))
    ceiling = next(
        step * unit for step in (1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10) if step * unit >= wanted * (1 - 1e-9)
    )
    return Scale(label, colours, ceiling, bool(values.max() > ceiling))


def _draw_half(
    axes: Sequence[Axes],
    half: _Half,
    window: tuple[float, float, float, float],
    scales: Sequence[Scale],
    longest: float,
) -> None:
    for axis, image in zip(axes[:2], (half.slices["fixed"], half.slices["warped"]), strict=True):
        show(axis, image, window, "gray")
    for axis, image, scale in zip(axes[2:], (half.length, half.error), scales, strict=True):
        show(axis, np.ma.masked_invalid(image), window, scale.colours)
        axis.images[0].set_clim(0, scale.ceiling)
    for axis, title in zip(axes, half.titles, strict=True):
        axis.set_title(title, pad=2, fontsize=TEXT_PT)
    _draw_arrows(axes[2], half, window, longest)


def _draw_arrows(axis: Axes, half: _Half, window: tuple[float, float, float, float], longest: float) -> None:
    """The field's part in the plane, from the fixed point to where it samples; a ``longest`` one spans 1.3 steps."""
    step = max(round(max(window[1] - window[0], window[3] - window[2]) / ARROWS), 1)
    here = np.zeros(half.length.shape, bool)
    here[step // 2 :: step, step // 2 :: step] = True
    x, y = np.nonzero(here & np.isfinite(half.length))
    arrow = {"width": 0.012, "headwidth": 4.5, "headlength": 4.5, "headaxislength": 4, "minlength": 0}
    colours = {"color": "white", "edgecolor": "black", "linewidth": 0.25}
    scale = {"angles": "xy", "scale_units": "xy", "scale": longest / (1.3 * step)}
    axis.quiver(x, y, *half.plane[:, x, y], **arrow, **colours, **scale)
