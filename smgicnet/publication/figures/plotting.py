"""Figures in one style. A figure is built without pyplot and saved without dates: same data, same bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

COLUMN_MM = 85  # a journal's column
DOUBLE_COLUMN_MM = 180  # and its page
MM = 1 / 25.4  # inch
DPI = 300
PALETTE = "colorblind"
DIFFERENCE_COLOURS = "magma"
GRID_LINES = 16  # along the longer side of what is shown

# without a fixed salt, the ids in an SVG are random; fonts are embedded as text, not as shapes
_REPRODUCIBLE = {"svg.hashsalt": "smgicnet", "pdf.fonttype": 42, "svg.fonttype": "none"}
_METADATA = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
_TITLES = ("Fixed", "Moving", "Warped", "|Diff.|\nbefore", "|Diff.|\nafter", "Grid")


@contextmanager
def style() -> Iterator[None]:
    """The project's style for the figures made inside: legible at a column of 85 mm, safe for colour-blind readers."""
    sizes = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), 6.0)
    sizes |= {"font.size": 7.0, "axes.labelsize": 7.0, "axes.titlesize": 7.0, "figure.titlesize": 8.0}
    lines = {"axes.linewidth": 0.6, "lines.linewidth": 1.0, "xtick.major.width": 0.6, "ytick.major.width": 0.6}
    lines |= {"hatch.linewidth": 0.35}
    shape = {"figure.figsize": (COLUMN_MM * MM, 0.75 * COLUMN_MM * MM), "figure.dpi": DPI, "savefig.dpi": DPI}
    fonts = {"font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"]}  # matplotlib brings it along
    colours = {"axes.prop_cycle": matplotlib.cycler(color=sns.color_palette(PALETTE))}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # what the user has set must not change a figure
        matplotlib.rcParams.update(
            {**sns.axes_style("ticks"), **sizes, **lines, **shape, **fonts, **colours, **_REPRODUCIBLE}
        )
        yield


def save(figure: Figure, path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Save a figure; the same figure always gives the same bytes.

    ``path`` is one path without suffix, to which ``.png`` and ``.pdf`` are added, or a list of paths with suffixes
    (``.png``, ``.pdf``, ``.svg``). Folders are made. Returns the paths written.
    Raises ``ValueError`` for another suffix.
    """
    if isinstance(path, str | Path):
        paths = [Path(f"{path}{suffix}") for suffix in (".png", ".pdf")]
    else:
        paths = [Path(one) for one in path]
    unknown = [one.name for one in paths if one.suffix not in _METADATA]
    if unknown:
        raise ValueError(f"figures are saved as {', '.join(_METADATA)}, not as {unknown}")
    logging.getLogger("fontTools.subset").setLevel(logging.WARNING)  # a hundred lines for each PDF
    with style():  # fonts are looked up while drawing
        for one in paths:
            one.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(one, dpi=DPI, metadata=_METADATA[one.suffix])
    return paths


def registration_figure(examples: Sequence[Mapping], width_mm: float = COLUMN_MM) -> Figure:
    """One row a test pair: fixed, moving, warped, absolute difference before and after, deformed grid.

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
    slices = [_axial_slice(example) for example in examples]
    window = _common_window(slices)
    rows, columns = len(slices), len(_TITLES)
    with style():
        # all in mm: panels in a lattice, a line of titles above, a line of text below each row, a colour bar below all
        side, title, text, bar, gap = 6.0, 7.0, 4.0, 5.5, 0.7
        panel = (width_mm - side - columns * gap) / columns
        tall = panel * (window[3] - window[2]) / (window[1] - window[0])
        height = title + rows * (tall + text) + bar
        figure = Figure(figsize=(width_mm * MM, height * MM))
        FigureCanvasAgg(figure)
        for row, (example, shown) in enumerate(zip(examples, slices, strict=True)):
            bottom = height - title - (row + 1) * tall - row * text
            boxes = [(side + column * (panel + gap), bottom, panel, tall) for column in range(columns)]
            axes = [figure.add_axes((x / width_mm, y / height, w / width_mm, h / height)) for x, y, w, h in boxes]
            _draw_row(axes, example, shown, window)
            if row == 0:
                for axis, name in zip(axes, _TITLES, strict=True):
                    axis.set_title(name, pad=2, fontsize=6.5)
        left = side + 3 * (panel + gap)
        box = (left / width_mm, (bar - 2.0) / height, (2 * panel + gap) / width_mm, 1.2 / height)
        _colour_bar(figure, figure.add_axes(box))
    return figure


def _axial_slice(example: Mapping) -> dict[str, np.ndarray]:
    """The slice ``(D, H)`` of each image at the middle of the fixed brain and ``phi (2, D, H)`` in its plane."""
    present = np.flatnonzero(np.asarray(example["fixed"]).max(axis=(0, 1)) > 0.1)
    level = int(present[[0, -1]].mean()) if present.size else example["fixed"].shape[2] // 2
    shown = {name: np.asarray(example[name])[:, :, level] for name in ("fixed", "moving", "warped")}
    lattice = np.stack(np.meshgrid(*map(np.arange, shown["fixed"].shape), indexing="ij"))
    shown["phi"] = lattice + np.asarray(example["displacement"])[:2, :, :, level]
    return shown


def _common_window(slices: Sequence[Mapping[str, np.ndarray]]) -> tuple[float, float, float, float]:
    """Left, right, bottom and top, in voxels, of what is not background in any panel, with a margin."""
    present = np.any([shown[name] > 0.05 for shown in slices for name in ("fixed", "moving", "warped")], axis=0)
    if not present.any():
        present[:] = True
    window = []
    for indices, size in zip(np.nonzero(present), present.shape, strict=True):
        margin = 0.04 * size
        window += [max(indices.min() - margin, 0) - 0.5, min(indices.max() + margin, size - 1) + 0.5]
    return tuple(window)


def _draw_row(
    axes: Sequence[Axes], example: Mapping, shown: Mapping[str, np.ndarray], window: tuple[float, float, float, float]
) -> None:
    fixed, moving, warped = shown["fixed"], shown["moving"], shown["warped"]
    for axis, image in zip(axes[:3], (fixed, moving, warped), strict=True):
        _show(axis, image, window, "gray")
    for axis, image in zip(axes[3:5], (moving, warped), strict=True):
        _show(axis, np.abs(image - fixed), window, DIFFERENCE_COLOURS)
    _show(axes[5], 0.45 * moving, window, "gray")
    step = max(round(max(window[1] - window[0], window[3] - window[2]) / GRID_LINES), 1)
    axes[5].add_collection(
        LineCollection(_lattice_lines(shown["phi"], step), colors=[sns.color_palette(PALETTE)[1]], linewidths=0.35)
    )
    for x, side, align in ((0.03, "L", "left"), (0.97, "R", "right")):
        axes[0].text(x, 0.97, side, color="white", fontsize=6, va="top", ha=align, transform=axes[0].transAxes)
    axes[0].set_ylabel(f"{example['name_moving']} →\n{example['name_fixed']}", fontsize=6, labelpad=1.5)
    axes[1].set_xlabel(f"Dice {example['dice_before']:.2f}", fontsize=6, labelpad=1.5)
    axes[2].set_xlabel(f"Dice {example['dice_after']:.2f}", fontsize=6, labelpad=1.5)


def _show(axis: Axes, image: np.ndarray, window: tuple[float, float, float, float], colours: str) -> None:
    """``image (D, H)`` with the first array axis, to the subject's right, along x and anterior up."""
    axis.imshow(image.T, origin="lower", cmap=colours, vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    axis.set(xlim=window[:2], ylim=window[2:], xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)


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
