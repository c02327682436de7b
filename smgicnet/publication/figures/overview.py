"""One registered pair at a glance: three planes of fixed, moving and warped, and their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nibabel.affines import apply_affine

from smgicnet.imaging.displacements import apply_field, sample
from smgicnet.imaging.images import Volume
from smgicnet.preparation.intensities import scale_intensity
from smgicnet.publication.figures.canvas import DIFFERENCE_COLOURS, canvas
from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM, MM

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
TITLES = ("Fixed", "Moving, as it lies", "Warped", "|Fixed − moving|", "|Fixed − warped|")
MARGIN_MM = 8.0
SCREEN_DPI = 200  # of this picture, which is looked at, and not printed
GAP, TITLE, SIDE = 0.8, 5.0, 5.0  # between panels, above them and left of them, in mm of the page
PANEL = (DOUBLE_COLUMN_MM - SIDE) / len(TITLES) - GAP  # the width of each
OUTLINE = "#ffb000"  # of a brain that was stripped


@dataclass(frozen=True)
class Shown:
    """A scan as it is shown.

    Attributes
    ----------
    volume : the scan in RAS axes, ``(X, Y, Z)``
    low, high : the intensities that are shown black and white
    brain : the mask ``(X, Y, Z)`` of a brain that was stripped, in RAS axes; None for an image that is one
    """

    volume: Volume
    low: float
    high: float
    brain: Volume | None = None

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return what is seen at points ``(..., 3)`` in RAS mm, from 0 to 1."""
        return scale_intensity(sample(self.volume, points, fill=self.low), self.low, self.high)

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Return how much of what is seen at points ``(..., 3)`` in RAS mm is compared, from 0 to 1."""
        if self.brain is None:
            return np.ones(points.shape[:-1], np.float32)
        return sample(Volume(self.brain.data.astype(np.float32), self.brain.affine), points)


def _left(column: int) -> float:
    return SIDE + column * (PANEL + GAP)


def column_places() -> tuple[float, float, float]:
    """Return where CSS finds the columns of the fixed and the warped image, and how large it has to draw the picture.

    They are percentages: two values of ``background-position`` and one of ``background-size``, for a box that shows one
    column.
    """
    fixed, warped = (100 * _left(column) / (DOUBLE_COLUMN_MM - PANEL) for column in (0, 2))
    return fixed, warped, 100 * DOUBLE_COLUMN_MM / PANEL


def overview_figure(fixed: Shown, moving: Shown, displacement: Volume, box: np.ndarray, note: str = "") -> Figure:
    """Draw a registered pair; rows are the planes through the middle of the fixed brain, columns are in ``TITLES``.

    ``displacement (X, Y, Z, 3)`` in RAS mm brings the fixed scan's points to the moving one's, ``box (3, 2)`` has the
    first and the last voxel of the fixed brain. Anterior and superior are up, the subject's left is on the left. A head
    is shown as it came, with the outline of its brain, and the differences are those of the brains. ``note`` stands
    below.
    """
    volume = fixed.volume
    middle = box.mean(axis=1).round().astype(int)
    margin = MARGIN_MM / volume.spacing
    low = np.maximum(box[:, 0] - margin, 0).astype(int)
    high = np.minimum(box[:, 1] + margin, np.array(volume.data.shape) - 1).astype(int)
    sizes = (high - low + 1) * volume.spacing
    across = {name: [a for a in range(3) if a != axis] for name, axis in PLANES.items()}
    scale = PANEL / max(sizes[axes[0]] for axes in across.values())
    heights = [sizes[axes[1]] * scale for axes in across.values()]
    height = TITLE + sum(heights) + GAP * len(PLANES) + (TITLE if note else 0)
    with canvas():
        figure = Figure(figsize=(DOUBLE_COLUMN_MM * MM, height * MM), facecolor="white")
        FigureCanvasAgg(figure)
        bottom = height - TITLE
        for (name, axis), tall in zip(PLANES.items(), heights):
            bottom -= tall
            spans = [middle[a : a + 1] if a == axis else np.arange(low[a], high[a] + 1) for a in range(3)]
            points = apply_affine(volume.affine, np.stack(np.meshgrid(*spans, indexing="ij"), axis=-1).squeeze(axis))
            led = apply_field(displacement, points)
            images = [fixed.at(points), moving.at(points), moving.at(led)]
            brains = [fixed.inside(points), moving.inside(points), moving.inside(led)]
            images += [np.abs(brains[0] * images[0] - brains[n] * images[n]) for n in (1, 2)]
            for column, (image, label) in enumerate(zip(images, TITLES)):
                box_mm = (_left(column) / DOUBLE_COLUMN_MM, bottom / height, PANEL / DOUBLE_COLUMN_MM, tall / height)
                panel_axes = figure.add_axes(box_mm, facecolor="black")
                aspect = volume.spacing[across[name][1]] / volume.spacing[across[name][0]]
                colours = "gray" if column < 3 else DIFFERENCE_COLOURS
                panel_axes.imshow(image.T, origin="lower", cmap=colours, vmin=0, vmax=1, aspect=aspect)
                if column < len(brains) and np.ptp(brains[column]):
                    panel_axes.contour(brains[column].T, [0.5], colors=OUTLINE, linewidths=0.4)
                panel_axes.set(xticks=[], yticks=[])
                panel_axes.spines[:].set_visible(False)
                if column == 0:
                    panel_axes.set_ylabel(name, labelpad=2)
                if axis == PLANES["axial"]:
                    panel_axes.set_title(label, pad=2)
            bottom -= GAP
        figure.text(SIDE / DOUBLE_COLUMN_MM, bottom / height, note, verticalalignment="top")
    return figure
