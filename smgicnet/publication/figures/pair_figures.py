"""Figures of registered pairs: many methods side by side, and one pair registered in both directions.

All sizes are in mm on the page; y is measured from the top. Slices and windows are those of `figures.plotting`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy import ndimage

from smgicnet.publication.figures.page import TEXT_PT, add_axes, evenly, fit, new_page, text_mm
from smgicnet.publication.figures.plotting import (
    COLUMN_MM,
    DIFFERENCE_COLOURS,
    MM,
    _axial_slice,
    _common_window,
    _show,
    style,
)

TITLE_PT = 6.5
LINE_MM = 2.6  # from one line of text to the next
GAP_MM = 0.7  # between panels
PAGE_HEIGHT_MM = 240
MIN_PANEL_MM, MAX_PANEL_MM = 12.0, 32.0
BRAIN = 0.05  # of the brightest: darker is background
ARROWS = 12  # along the longer side of a panel
SIZE_COLOURS = "cividis"
EDGE_MM = 0.5  # from the page's edge to the first panel


def methods_figure(examples: Sequence[Sequence[Mapping]], labels: Sequence[str], width_mm: float = COLUMN_MM) -> Figure:
    """Each pair as registered by several runs: images above, absolute difference to the fixed image below (Figure 2).

    Parameters
    ----------
    examples : one entry a pair, of one mapping a run as `examples.load_example` returns it: all of one pair
        and one shape ``(D, H, W)``; fixed and moving image and ``dice_before`` are the first run's
    labels : the runs' names, in order
    width_mm : of the page; panels wrap into as many bands as it takes to keep each at least 12 mm wide and each
        word above it whole; as far as that allows, the figure is narrower rather than higher than 240 mm

    Shown is the axial slice through the middle of the fixed brain, the subject's left on the left. Below the moving
    image stands the mean Dice before registration, below each warped one that after; nothing for NaN. One scale of
    differences serves all panels; it ends where all but 1 % of the differences after registration do.
    Raises ``ValueError`` without examples or where the runs of a pair do not match.
    """
    _check(examples, labels)
    shown = [[_axial_slice(example) for example in pair] for pair in examples]
    windows = [_common_window(slices) for slices in shown]
    scale = _difference_scale(shown)
    with style():
        entries = ("Fixed", "Moving", *labels)
        narrowest = max(MIN_PANEL_MM, *(text_mm(word) for entry in entries for word in entry.split()))
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
            _write_at(figure, EDGE_MM, top + 0.6, f"{pair[0]['name_moving']} → {pair[0]['name_fixed']}")
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
        _colour_bar(bar, scale, "vertical")
        bar.yaxis.set_label_position("left")
        _mark_sides(figure.axes[0])
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


def _difference_scale(shown: Sequence[Sequence[Mapping[str, np.ndarray]]]) -> _Scale:
    """One for all panels, to a multiple of 0.1; before registration more may lie beyond it."""
    before = [(slices[0]["moving"], slices[0]["fixed"]) for slices in shown]
    after = [(run["warped"], run["fixed"]) for slices in shown for run in slices]
    values = np.concatenate([np.abs(a - b)[np.maximum(a, b) > BRAIN] for a, b in after])
    ceiling = max(math.ceil(10 * np.quantile(values, 0.99) - 1e-6), 1) / 10 if values.size else 1.0
    largest = max(np.abs(a - b).max() for a, b in before + after)
    return _Scale("|Difference|", DIFFERENCE_COLOURS, ceiling, bool(largest > ceiling))


def _draw_entry(
    axes: tuple[Axes, Axes],
    pair: Sequence[Mapping],
    slices: Sequence[Mapping[str, np.ndarray]],
    index: int,
    window: tuple[float, float, float, float],
    scale: _Scale,
) -> None:
    """One column of a band: fixed (0), moving (1) or the warped image of run ``index - 2``, and its difference."""
    image, below = axes
    run = max(index - 2, 0)
    shown = slices[run]["warped"] if index > 1 else slices[0]["fixed" if index == 0 else "moving"]
    _show(image, shown, window, "gray")
    if index == 0:
        below.set_axis_off()
        return
    _show(below, np.abs(shown - slices[run]["fixed"]), window, DIFFERENCE_COLOURS)
    below.images[0].set_clim(0, scale.ceiling)
    dice = pair[run]["dice_after"] if index > 1 else pair[0]["dice_before"]
    if math.isfinite(dice):
        image.set_xlabel(f"Dice {dice:.2f}", fontsize=TEXT_PT, labelpad=1.5)


@dataclass(frozen=True)
class _Scale:
    """Colours from 0 to ``ceiling``; ``clipped`` if some values lie beyond."""

    label: str
    colours: str
    ceiling: float
    clipped: bool


def _colour_bar(axis: Axes, scale: _Scale, orientation: str) -> None:
    mapped = ScalarMappable(Normalize(0, scale.ceiling), scale.colours)
    bar = axis.figure.colorbar(mapped, cax=axis, orientation=orientation)
    last = f"≥ {scale.ceiling:g}" if scale.clipped else f"{scale.ceiling:g}"
    bar.set_ticks([0, scale.ceiling / 2, scale.ceiling], labels=["0", f"{scale.ceiling / 2:g}", last])
    bar.set_label(scale.label, fontsize=TEXT_PT, labelpad=1.5)
    bar.outline.set_visible(False)
    axis.tick_params(length=1.5, pad=1)


def _mark_sides(axis: Axes) -> None:
    """The subject's left and right, in the corners above."""
    for x, side, align in ((0.03, "L", "left"), (0.97, "R", "right")):
        axis.text(x, 0.98, side, color="white", fontsize=TEXT_PT, va="top", ha=align, transform=axis.transAxes)


def _write_at(figure: Figure, left: float, top: float, text: str, align: str = "left") -> None:
    across, down = figure.get_size_inches() / MM
    place = {"va": "top", "ha": align, "fontsize": TITLE_PT, "fontweight": "bold"}
    figure.text(left / across, 1 - top / down, text, **place)


def reciprocal_figure(
    forward: Mapping, backward: Mapping, spacing: Sequence[float] | None = None, width_mm: float = COLUMN_MM
) -> Figure:
    """A pair registered in both directions, each by itself, and how far the two fields cancel (Figure 3a).

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
    window = _common_window([half.slices for half in halves])
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
            _write_at(figure, left + panel + GAP_MM / 2, 0.8, half.name, "center")
            boxes = [
                (left + column * (panel + GAP_MM), head + above + row * (tall + above + between))
                for row, column in ((0, 0), (0, 1), (1, 0), (1, 1))
            ]
            _draw_half([add_axes(figure, *box, panel, tall) for box in boxes], half, window, scales, longest)
            bar = add_axes(figure, left + 4.0, bottom + 1.0, 2 * panel + GAP_MM - 8.0, 1.2)
            _colour_bar(bar, scale, "horizontal")
        _mark_sides(figure.axes[0])
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
    slices = _axial_slice(one)
    maps = _axial_slice({**one, "moving": length, "warped": error})  # the same slice of these
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


def _scale(label: str, colours: str, maps: Sequence[np.ndarray], quantile: float) -> _Scale:
    """A scale from 0 to the ``quantile`` of the maps' values, rounded up to a number that reads well."""
    values = np.concatenate([one[np.isfinite(one)] for one in maps] or [[]])
    wanted = np.quantile(values, quantile) if values.size else 0.0
    if wanted <= 1e-6:
        return _Scale(label, colours, 1.0, False)
    unit = 10.0 ** math.floor(math.log10(wanted))
    ceiling = next(
        step * unit for step in (1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 8, 10) if step * unit >= wanted * (1 - 1e-9)
    )
    return _Scale(label, colours, ceiling, bool(values.max() > ceiling))


def _draw_half(
    axes: Sequence[Axes],
    half: _Half,
    window: tuple[float, float, float, float],
    scales: Sequence[_Scale],
    longest: float,
) -> None:
    for axis, image in zip(axes[:2], (half.slices["fixed"], half.slices["warped"]), strict=True):
        _show(axis, image, window, "gray")
    for axis, image, scale in zip(axes[2:], (half.length, half.error), scales, strict=True):
        _show(axis, np.ma.masked_invalid(image), window, scale.colours)
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
