"""The style of all figures: fonts, lines, colours, hatches.

A figure is built without pyplot and saved without dates: same data, same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from smgicnet.publication.figures.page import COLUMN_MM, MM, TEXT_PT

DPI = 300
PALETTE = "colorblind"
HUES = (0, 1, 2, 4, 3, 9, 5, 8, 7, 6)  # of the palette: those easiest to tell apart first, relatives in hue apart
COLOUR = sns.color_palette(PALETTE)[0]
BAND, RULE, INK = "0.955", "0.87", "0.2"
DIFFERENCE_COLOURS = "magma"

# without a fixed salt, the ids in an SVG are random; fonts are embedded as text, not as shapes
_REPRODUCIBLE = {"svg.hashsalt": "smgicnet", "pdf.fonttype": 42, "svg.fonttype": "none"}
_METADATA = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


@contextmanager
def style() -> Iterator[None]:
    """The project's style for the figures made inside: legible at a column of 85 mm, safe for colour-blind readers."""
    sizes = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), TEXT_PT)
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


def run_looks(runs: Sequence[tuple[str, str]]) -> list[dict]:
    """Face colour and hatch of each run: relatives share a hue."""
    methods = list(dict.fromkeys(method for method, _ in runs))
    hues = dict(zip(methods, cycle(sns.color_palette(PALETTE)[index] for index in HUES)))
    lighter = {method: tuple(0.45 * np.array(to_rgb(hue)) + 0.55) for method, hue in hues.items()}
    plain = [arm == "raw" for _, arm in runs]
    return [
        {"facecolor": hues[method] if solid else lighter[method], "hatch": None if solid else "//////"}
        for (method, _), solid in zip(runs, plain)
    ]
