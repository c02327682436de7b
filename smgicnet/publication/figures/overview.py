"""One registered pair at a glance: three planes of fixed, moving and warped, and their differences."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from smgicnet.imaging.foreground import bounding_box, foreground
from smgicnet.imaging.images import Volume
from smgicnet.preparation.intensities import Intensities, on_dark_background, scale_intensity
from smgicnet.preparation.preprocessing import to_canonical
from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM, MM
from smgicnet.publication.figures.plotting import DIFFERENCE_COLOURS, style

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
TITLES = ("Fixed", "Moving, as it lies", "Warped", "|Fixed − moving|", "|Fixed − warped|")
MARGIN_MM = 8.0


def overview_figure(fixed: Volume, moving: np.ndarray, warped: np.ndarray) -> Figure:
    """Rows are the planes through the middle of the fixed brain, columns are in ``TITLES``.

    ``moving`` and ``warped (X, Y, Z)`` lie on the fixed image's grid, ``moving`` only by the headers. Intensities are
    scaled robustly, each image by its own brain. Anterior and superior are up, the subject's left is on the left.
    """
    volume = to_canonical(fixed)
    images = [_scaled(to_canonical(Volume(data, fixed.affine)).data) for data in (fixed.data, moving, warped)]
    images += [np.abs(images[0] - images[1]), np.abs(images[0] - images[2])]
    box = bounding_box(foreground(volume.data))
    middle = box.mean(axis=1).round().astype(int)
    margin = MARGIN_MM / volume.spacing
    low = np.maximum(box[:, 0] - margin, 0).astype(int)
    high = np.minimum(box[:, 1] + margin, np.array(volume.data.shape) - 1).astype(int)
    sizes = (high - low + 1) * volume.spacing
    across = {name: [a for a in range(3) if a != axis] for name, axis in PLANES.items()}
    gap, title, side = 0.8, 5.0, 5.0
    panel = (DOUBLE_COLUMN_MM - side) / len(TITLES) - gap
    scale = panel / max(sizes[axes[0]] for axes in across.values())
    heights = [sizes[axes[1]] * scale for axes in across.values()]
    height = title + sum(heights) + gap * len(PLANES)
    with style():
        figure = Figure(figsize=(DOUBLE_COLUMN_MM * MM, height * MM), facecolor="white")
        FigureCanvasAgg(figure)
        bottom = height - title
        for (name, axis), tall in zip(PLANES.items(), heights):
            bottom -= tall
            cut = tuple(middle[a] if a == axis else slice(low[a], high[a] + 1) for a in range(3))
            for column, (image, label) in enumerate(zip(images, TITLES)):
                left = side + column * (panel + gap)
                box_mm = (left / DOUBLE_COLUMN_MM, bottom / height, panel / DOUBLE_COLUMN_MM, tall / height)
                panel_axes = figure.add_axes(box_mm, facecolor="black")
                aspect = volume.spacing[across[name][1]] / volume.spacing[across[name][0]]
                colours = "gray" if column < 3 else DIFFERENCE_COLOURS
                panel_axes.imshow(image[cut].T, origin="lower", cmap=colours, vmin=0, vmax=1, aspect=aspect)
                panel_axes.set(xticks=[], yticks=[])
                panel_axes.spines[:].set_visible(False)
                if column == 0:
                    panel_axes.set_ylabel(name, labelpad=2)
                if axis == PLANES["axial"]:
                    panel_axes.set_title(label, pad=2)
            bottom -= gap
    return figure


def _scaled(data: np.ndarray) -> np.ndarray:
    mask = foreground(data)
    if not mask.any():
        return np.zeros(data.shape, np.float32)
    data = on_dark_background(Volume(data, np.eye(4)), mask).data
    return scale_intensity(data, *Intensities.of(data, mask).range)
