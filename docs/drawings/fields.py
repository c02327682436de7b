"""A displacement field pulls: points go one way, intensities the other; and one displacement in four conventions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, FancyArrowPatch, Polygon
from scipy.ndimage import map_coordinates

from docs.drawings.style import BLUE, DARK, GREY, ORANGE, arrow, bare, figure, grid_lines, template

POINT = np.array([50.0, 143.0])  # a voxel of the slice
EVERY = 14  # voxels between two lines of the grid
STEP = (-8.0, 4.0)  # of the example, in mm to the right and forward
CONVENTIONS = (  # the directions of the first two axes, and what the example's step is called
    ("RAS", "nibabel, FreeSurfer,\nthe Python API here", (1, 1), "(−8, 4, 0) mm"),
    ("LPS", "ITK, ANTs, SimpleITK", (-1, -1), "(8, −4, 0) mm"),
    ("scaled voxels", "FSL, where the first axis\nof the voxels points to the right", (-1, 1), "(8, 4, 0) mm"),
    ("array axes", "Learn2Reg, on a grid\nof 2 mm in RAS axes", (1, 1), "(−4, 2, 0) voxels"),
)


def draw() -> Figure:
    """Return the drawing."""
    drawing = figure(10, 7.1)
    _pull(drawing)
    drawing.text(0.5, 0.335, "One step, 8 mm to the left and 4 mm forward, in four conventions", ha="center", size=12.5)
    for number, convention in enumerate(CONVENTIONS):
        axes = drawing.add_axes((0.015 + 0.245 * number, 0.02, 0.235, 0.29))
        _convention(axes, *convention)
    return drawing


def led(places: np.ndarray) -> np.ndarray:
    """Return where the drawn map leads ``places (2, ...)``, in voxels: a turn, and a smooth bulge."""
    centre = np.array([91.0, 109.0]).reshape(2, *[1] * (places.ndim - 1))
    right, forward = places - centre
    angle = np.deg2rad(-14)
    turned = [np.cos(angle) * right - np.sin(angle) * forward, np.sin(angle) * right + np.cos(angle) * forward]
    bulge = np.exp(-((right + 25) ** 2 + (forward - 22) ** 2) / (2 * 24**2))
    led: np.ndarray = centre + 0.92 * np.stack(turned) + np.stack([-17 * bulge, 13 * bulge])
    return led


def inverted(places: np.ndarray) -> np.ndarray:
    """Return from where the map leads to ``places``, by fixed-point steps."""
    found = places.copy()
    for _ in range(60):
        found = found - 0.8 * (led(found) - places)
    return found


def _pull(drawing: Figure) -> None:
    """Draw the fixed image, the moving one and what is pulled from it."""
    fixed = template("mni")[:, :, 90]
    grid = np.stack(np.meshgrid(*map(np.arange, fixed.shape), indexing="ij")).astype(float)
    moving = map_coordinates(fixed, inverted(grid), order=1)
    warped = map_coordinates(moving, led(grid), order=1)
    there = led(POINT)
    panels = [drawing.add_axes((left, 0.42, 0.31, 0.52)) for left in (0.005, 0.345, 0.685)]
    titles = ("fixed image, with its grid", "moving image, with the grid led by φ", "warped image")
    shown = ((fixed, grid, POINT), (moving, led(grid), there), (warped, grid, POINT))
    for axes, title, (image, places, point) in zip(panels, titles, shown, strict=True):
        bare(axes, title).imshow(image.T, origin="lower", cmap="gray", vmin=0, vmax=1.05)
        grid_lines(axes, places, EVERY, color="#8fbcff", linewidth=0.6, alpha=0.8)
        axes.plot(*point, "o", color=ORANGE, markersize=9, markeredgecolor="white", markeredgewidth=1.3, zorder=5)
        axes.set(xlim=(0, fixed.shape[0] - 1), ylim=(0, fixed.shape[1] - 1))
    for axes, name, point in ((panels[0], "x", POINT), (panels[1], "φ(x)", there), (panels[2], "x", POINT)):
        axes.annotate(
            name, point, (-6, -15), textcoords="offset points", size=13, weight="bold", ha="right", color="white"
        )
    arrow(drawing, (panels[0], POINT), (panels[1], there), ORANGE, -0.28)
    arrow(drawing, (panels[1], there), (panels[2], POINT), BLUE, -0.28)
    drawing.text(0.26, 0.385, "a point goes there:  φ(x) = x + u(x)", ha="center", color=ORANGE, weight="bold")
    drawing.text(0.72, 0.385, "a value comes back:  warped(x) = moving(φ(x))", ha="center", color=BLUE, weight="bold")


def _convention(axes: Axes, name: str, whose: str, ways: tuple[int, int], called: str) -> None:
    """Draw a head from above with the axes of a convention, and the step of the example."""
    bare(axes)
    axes.set(xlim=(-1.75, 1.75), ylim=(-2.75, 1.75))
    look = {"facecolor": "#eef1f4", "edgecolor": GREY, "linewidth": 1.4}
    axes.add_patch(Polygon([(-0.2, 0.93), (0, 1.25), (0.2, 0.93)], **look))
    for side, letter in ((-1, "left"), (1, "right")):
        axes.add_patch(Ellipse((0.86 * side, 0), 0.16, 0.42, **look))
        axes.text(1.35 * side, 0.62, letter, color=GREY, ha="center", va="center", size=9)
    axes.add_patch(Ellipse((0, 0), 1.7, 2.1, **look))
    for letter, way, along in zip("xy", ways, ((1.35, 0), (0, 1.35)), strict=True):
        tip = way * np.array(along)
        _drawn_arrow(axes, tip, DARK, 1.5)
        aside = np.array([0.0, -0.18]) if letter == "x" else np.array([0.18, 0.0])
        axes.text(*(tip * 0.98 + aside), letter, ha="center", va="center", style="italic", size=11)
    _drawn_arrow(axes, 0.1 * np.array(STEP), ORANGE, 2.8)
    axes.text(0, -1.72, f"{name}: {called}", ha="center", va="center", weight="bold", size=10.5)
    axes.text(0, -1.95, whose, ha="center", va="top", size=9.5, color="#5a646e")


def _drawn_arrow(axes: Axes, end: np.ndarray, colour: str, width: float) -> None:
    """Draw an arrow from the middle of a head."""
    head = "-|>,head_length=5,head_width=3"
    axes.add_patch(
        FancyArrowPatch(
            (0, 0), tuple(end), arrowstyle=head, linewidth=width, color=colour, shrinkA=0, shrinkB=0, zorder=4
        )
    )
