"""The canvas of all figures: sizes, lines and fonts, and how they are saved.

A figure is built without pyplot and saved without dates: same data, same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from smgicnet.publication.figures.page import COLUMN_MM, MM, TEXT_PT

DPI = 300
DIFFERENCE_COLOURS = "magma"

# without a fixed salt, the ids in an SVG are random; fonts are embedded as text, not as shapes
_REPRODUCIBLE = {"svg.hashsalt": "smgicnet", "pdf.fonttype": 42, "svg.fonttype": "none"}
_METADATA = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


@contextmanager
def canvas() -> Iterator[None]:
    """Set sizes, lines and fonts of the figures made inside: legible at a column of 85 mm."""
    sizes = dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize"), TEXT_PT)
    sizes |= {"font.size": 7.0, "axes.labelsize": 7.0, "axes.titlesize": 7.0, "figure.titlesize": 8.0}
    lines = {"axes.linewidth": 0.6, "lines.linewidth": 1.0, "xtick.major.width": 0.6, "ytick.major.width": 0.6}
    lines |= {"hatch.linewidth": 0.35}
    shape = {"figure.figsize": (COLUMN_MM * MM, 0.75 * COLUMN_MM * MM), "figure.dpi": DPI, "savefig.dpi": DPI}
    fonts = {"font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"]}  # matplotlib brings it along
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # what the user has set must not change a figure
        matplotlib.rcParams.update({**sizes, **lines, **shape, **fonts, **_REPRODUCIBLE})
        yield


def save(figure: Figure, path: str | Path | Sequence[str | Path], *, dpi: int = DPI) -> list[Path]:
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
    with canvas():  # fonts are looked up while drawing
        for one in paths:
            one.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(one, dpi=dpi, metadata=_METADATA[one.suffix])
    return paths
