"""Slices of volumes as panels of a figure: which one is shown, in which window, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from smgicnet.publication.figures.page import MM, TEXT_PT, TITLE_PT

GAP_MM = 0.7  # between panels
EDGE_MM = 0.5  # from the page's edge to the first panel
BRAIN = 0.05  # of the brightest: darker is background


def axial_slice(example: Mapping) -> dict[str, np.ndarray]:
    """Return the slice ``(D, H)`` of each image at the middle of the fixed brain and ``phi (2, D, H)`` in its plane."""
    present = np.flatnonzero(np.asarray(example["fixed"]).max(axis=(0, 1)) > 0.1)
    level = int(present[[0, -1]].mean()) if present.size else example["fixed"].shape[2] // 2
    shown = {name: np.asarray(example[name])[:, :, level] for name in ("fixed", "moving", "warped")}
    lattice = np.stack(np.meshgrid(*map(np.arange, shown["fixed"].shape), indexing="ij"))
    shown["phi"] = lattice + np.asarray(example["displacement"])[:2, :, :, level]
    return shown


def common_window(slices: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top, in voxels, of what is not background in any panel, with a margin."""
    present = np.any([shown[name] > 0.05 for shown in slices for name in ("fixed", "moving", "warped")], axis=0)
    if not present.any():
        present[:] = True
    window = []
    for indices, size in zip(np.nonzero(present), present.shape, strict=True):
        margin = 0.04 * size
        window += [max(indices.min() - margin, 0) - 0.5, min(indices.max() + margin, size - 1) + 0.5]
    return tuple(window)


def show(axis: Axes, image: np.ndarray, window: tuple[float, float, float, float], colours: str) -> None:
    """Show ``image (D, H)`` with the first array axis, to the subject's right, along x and anterior up."""
    axis.imshow(image.T, origin="lower", cmap=colours, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    axis.set(xlim=window[:2], ylim=window[2:], xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)


@dataclass(frozen=True)
class Scale:
    """Colours from 0 to ``ceiling``; ``clipped`` if some values lie beyond."""

    label: str
    colours: str
    ceiling: float
    clipped: bool


def scale_bar(axis: Axes, scale: Scale, orientation: str) -> None:
    mapped = ScalarMappable(Normalize(0, scale.ceiling), scale.colours)
    bar = axis.figure.colorbar(mapped, cax=axis, orientation=orientation)
    last = f"≥ {scale.ceiling:g}" if scale.clipped else f"{scale.ceiling:g}"
    bar.set_ticks([0, scale.ceiling / 2, scale.ceiling], labels=["0", f"{scale.ceiling / 2:g}", last])
    bar.set_label(scale.label, fontsize=TEXT_PT, labelpad=1.5)
    bar.outline.set_visible(False)
    axis.tick_params(length=1.5, pad=1)


def mark_sides(axis: Axes) -> None:
    """Write the subject's left and right into the corners above."""
    for x, side, align in ((0.03, "L", "left"), (0.97, "R", "right")):
        axis.text(x, 0.98, side, color="white", fontsize=TEXT_PT, va="top", ha=align, transform=axis.transAxes)


def write_heading(figure: Figure, left: float, top: float, text: str, align: str = "left") -> None:
    across, down = figure.get_size_inches() / MM
    place = {"va": "top", "ha": align, "fontsize": TITLE_PT, "fontweight": "bold"}
    figure.text(left / across, 1 - top / down, text, **place)
