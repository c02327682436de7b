"""A velocity that is integrated, beside the same arrows taken as a displacement: there, back, and both."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from docs.drawings.style import BLUE, DARK, ORANGE, RED, bare, figure, grid_lines
from smgicnet.registration.fields import compose, exp, identity_grid, jacobian_determinant, sample

SIDE, DEPTH = 97, 3  # voxels of the square, and of the axis along which nothing changes
MARGIN, EVERY = 16, 4  # voxels around the square that are not shown, and between two lines of the grid
STEPS = 7  # squarings


def draw() -> Figure:
    """Return the drawing."""
    drawing = figure(10, 5.7)
    arrows = velocity()
    rows = (
        ("integrated:  φ = exp(v)", BLUE, exp(arrows, STEPS), exp(-arrows, STEPS)),
        ("added:  φ(x) = x + v(x)", RED, arrows, -arrows),
    )
    for row, (name, colour, there, back) in enumerate(rows):
        bottom = 0.54 - 0.485 * row
        panels = [drawing.add_axes((0.035 + 0.243 * column, bottom, 0.23, 0.404)) for column in range(4)]
        drawing.text(0.016, bottom + 0.202, name, rotation=90, va="center", ha="center", weight="bold", color=colour)
        titles = ("arrows v, a point on its way", "there", "back, by −v", "there and back")
        for axes, title in zip(panels, titles if row == 0 else ("",) * 4, strict=True):
            bare(axes, title).set(xlim=(MARGIN, SIDE - 1 - MARGIN), ylim=(MARGIN, SIDE - 1 - MARGIN))
            axes.title.set_fontsize(10.5)
        _arrows(panels[0], arrows, integrated=row == 0)
        both = compose(back, there)
        for axes, displacement in zip(panels[1:], (there, back, both), strict=True):
            _grid(axes, displacement)
        _said(panels[1], f"{_folded(there):.0f} % folded" if _folded(there) else "no fold")
        _said(panels[3], f"off by up to {both.norm(dim=1).max():.1f} voxels")
    return drawing


def velocity() -> Tensor:
    """Return a smooth velocity ``(1, 3, DEPTH, SIDE, SIDE)`` in voxels: an eddy, and beside it a squeeze."""
    place = identity_grid((DEPTH, SIDE, SIDE)) - (SIDE - 1) / 2
    found = torch.zeros(1, 3, DEPTH, SIDE, SIDE)
    for centre, matrix in (((-14, 3), ((0, -1.9), (1.9, 0))), ((15, -4), ((-1.7, 0), (0, 0.9)))):
        across, up = place[:, 1] - centre[0], place[:, 2] - centre[1]
        strength = torch.exp(-(across**2 + up**2) / (2 * 8.5**2))
        for component, (by_across, by_up) in enumerate(matrix, start=1):
            found[:, component] += strength * (by_across * across + by_up * up)
    return found


def _folded(displacement: Tensor) -> float:
    """Return the percentage of what is shown that folds."""
    inside = slice(MARGIN, SIDE - MARGIN)
    return 100 * float((jacobian_determinant(displacement)[0, 1, inside, inside] <= 0).float().mean())


def _said(axes: Axes, text: str) -> None:
    axes.text(0.5, -0.035, text, transform=axes.transAxes, ha="center", va="top", size=10)


def _arrows(axes: Axes, arrows: Tensor, *, integrated: bool) -> None:
    """Draw the arrows, and the way of one point: along them in small steps, or straight by one of them."""
    every = slice(MARGIN + 2, SIDE - MARGIN, 5)
    across, up = np.meshgrid(range(*every.indices(SIDE)), range(*every.indices(SIDE)), indexing="ij")
    shown = arrows[0, 1:, 1, every, every].numpy()
    axes.quiver(across, up, *shown, angles="xy", scale_units="xy", scale=1.6, color="#a3adb8", width=0.0075, zorder=1)
    steps = 2**STEPS if integrated else 1
    way = _way(arrows, torch.tensor([1.0, 27.0, 46.0]), steps)
    axes.plot(way[:, 1], way[:, 2], color=ORANGE, linewidth=3, zorder=2, solid_capstyle="round")
    dots = [0, steps // 8, steps // 4, steps // 2, steps] if integrated else [0, 1]
    axes.plot(
        *way[dots, 1:].T, "o", color=ORANGE, markersize=5.5, markeredgecolor="white", markeredgewidth=0.8, zorder=3
    )


def _way(arrows: Tensor, start: Tensor, steps: int) -> np.ndarray:
    """Return the places ``(steps + 1, 3)`` of a point that goes along the arrows in so many steps."""
    places = [start]
    for _ in range(steps):
        places.append(places[-1] + sample(arrows, places[-1].view(1, 3, 1))[0, :, 0] / steps)
    return torch.stack(places).numpy()


def _grid(axes: Axes, displacement: Tensor) -> None:
    """Draw where a displacement leads a grid, red where it folds."""
    places = (identity_grid((DEPTH, SIDE, SIDE)) + displacement)[0, 1:, 1].numpy()
    grid_lines(axes, places, EVERY, along=2, color=DARK, linewidth=0.6)
    folded = (jacobian_determinant(displacement)[0, 1] <= 0).numpy()
    axes.plot(*places[:, folded], "s", color=RED, markersize=2, alpha=0.7, markeredgewidth=0, zorder=3)
