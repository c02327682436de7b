"""The first and the last mean of a group, side by side in three planes."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from smgicnet.imaging.images import Volume
from smgicnet.publication.figures.canvas import canvas
from smgicnet.publication.figures.page import DOUBLE_COLUMN_MM, MM

TITLES = "brought together by global maps", "and by velocities with a mean of 0"
PLANES = 2, 1, 0  # axial, coronal, sagittal
BRIGHT = 99.5  # the percentile that is white


def template_figure(first: Volume, last: Volume) -> Figure:
    """Return the middle planes of two means, a row for each."""
    sizes = [np.delete(np.array(first.data.shape) * first.spacing, axis) for axis in PLANES]
    width = sum(size[0] for size in sizes)
    with canvas():
        scale = DOUBLE_COLUMN_MM * MM / width
        tall = max(size[1] for size in sizes) * scale + 0.2
        figure = Figure(figsize=(width * scale, 2 * tall), facecolor="black")
        FigureCanvasAgg(figure)
        for row, (volume, title) in enumerate(zip((first, last), TITLES, strict=True)):
            left = 0.0
            white = np.percentile(volume.data[volume.data > 0], BRIGHT)
            for axis, size in zip(PLANES, sizes, strict=True):
                place = (left / width, 0.5 * (1 - row), size[0] / width, 0.5 - 0.1 / tall)
                panel = figure.add_axes(place)
                middle = np.take(volume.data, volume.data.shape[axis] // 2, axis)
                steps = np.delete(volume.spacing, axis)
                panel.imshow(middle.T, origin="lower", cmap="gray", vmin=0, vmax=white, aspect=steps[1] / steps[0])
                panel.set_axis_off()
                left += size[0]
            figure.text(0.01, 1 - 0.5 * row - 0.005, title, color="white", verticalalignment="top")
    return figure
