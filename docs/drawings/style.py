"""What the drawings share: colours, panels, arrows, slices of a brain, and how they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smgicnet.imaging.images import read_image
from smgicnet.imaging.templates import find_template

BLUE, ORANGE, RED, GREY, DARK = "#2b5c9e", "#e07b1f", "#c63a2c", "#9aa3ad", "#23292f"
STYLE = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "axes.titlepad": 7,
    "text.color": DARK,
    "axes.edgecolor": DARK,
    "axes.labelcolor": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "smgicnet",  # names in the file are then the same each time
    "svg.image_inline": True,
}


def figure(width: float, height: float) -> Figure:
    """Return an empty figure on white, of a size in inches."""
    mpl.rcParams.update(STYLE)
    return Figure(figsize=(width, height), facecolor="white")


def bare(axes: Axes, title: str = "") -> Axes:
    """Take the axes' frame and ticks away."""
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_title(title)
    return axes


def template(name: str) -> np.ndarray:
    """Return a template of a brain that comes with the package, voxels of 1 mm in RAS axes with values from 0 to 1."""
    image = read_image(find_template(name).path)
    flips = tuple(axis for axis in range(3) if image.affine[axis, axis] < 0)
    data = np.flip(image.data, flips)
    return np.ascontiguousarray(np.clip(data / np.percentile(data[data > 0], 99), 0, 1), dtype=np.float32)


def arrow(
    figure: Figure, start: tuple[Axes, np.ndarray], end: tuple[Axes, np.ndarray], colour: str, bend: float
) -> None:
    """Draw an arrow from a point of one panel to a point of another."""
    ends = [
        figure.transFigure.inverted().transform(axes.transData.transform(np.asarray(point)))
        for axes, point in (start, end)
    ]
    figure.add_artist(
        mpl.patches.FancyArrowPatch(
            *map(tuple, ends),
            transform=figure.transFigure,
            connectionstyle=f"arc3,rad={bend}",
            arrowstyle="-|>,head_length=7,head_width=4",
            linewidth=2.2,
            color=colour,
            shrinkA=6,
            shrinkB=6,
            zorder=10,
        )
    )


def grid_lines(axes: Axes, places: np.ndarray, every: int, along: int = 1, **style: Any) -> None:
    """Draw the lines of a grid whose points are led to ``places (2, H, W)``, by one point of ``along`` on each line."""
    for rows in (places[:, ::every, ::along], places[:, ::along, ::every].transpose(0, 2, 1)):
        for x, y in rows.transpose(1, 0, 2):
            axes.plot(x, y, **style)


def save(drawing: Figure, path: Path) -> None:
    """Write a drawing, the same bytes each time."""
    drawing.savefig(path, metadata={"Date": None}, dpi=110)
