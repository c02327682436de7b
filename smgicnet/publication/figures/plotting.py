"""The style of the figures of results: colours, hatches, axes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.colors import to_rgb

from smgicnet.publication.figures.canvas import canvas

PALETTE = "colorblind"
HUES = (0, 1, 2, 4, 3, 9, 5, 8, 7, 6)  # of the palette: those easiest to tell apart first, relatives in hue apart
COLOUR = sns.color_palette(PALETTE)[0]
BAND, RULE, INK = "0.955", "0.87", "0.2"


@contextmanager
def style() -> Iterator[None]:
    """Set the project's style for the figures made inside: a `canvas` that is safe for colour-blind readers."""
    with canvas():
        looks = {key: value for key, value in sns.axes_style("ticks").items() if not key.startswith("font")}
        matplotlib.rcParams.update({**looks, "axes.prop_cycle": matplotlib.cycler(color=sns.color_palette(PALETTE))})
        yield


def run_looks(runs: Sequence[tuple[str, str]]) -> list[dict]:
    """Return face colour and hatch of each run: relatives share a hue."""
    methods = list(dict.fromkeys(method for method, _ in runs))
    hues = dict(zip(methods, cycle(sns.color_palette(PALETTE)[index] for index in HUES)))
    lighter = {method: tuple(0.45 * np.array(to_rgb(hue)) + 0.55) for method, hue in hues.items()}
    plain = [arm == "raw" for _, arm in runs]
    return [
        {"facecolor": hues[method] if solid else lighter[method], "hatch": None if solid else "//////"}
        for (method, _), solid in zip(runs, plain)
    ]
