"""The page of quality control: a row a subject, everything in one file, nothing from a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from smgicnet.cohort.participants import SPLITS
from smgicnet.core.errors import InputError
from smgicnet.core.provenance import write_text
from smgicnet.imaging.foreground import brain_centre, foreground
from smgicnet.imaging.images import Volume, on_grid_of, read_image, read_labels
from smgicnet.preparation.preprocessing import to_canonical
from smgicnet.preparation.quality import intensity_histogram, read_quality
from smgicnet.publication.report.assets import in_script, library, library_versions

HEIGHT = 128  # of a picture, in pixels
FINER = 2  # pixels of an outline a pixel of the picture: lines as broad as the picture's hide the cortex
GAP = 3  # between the slices
GREY_LEVELS = 48  # as many as an eye tells apart at this size, and the fewer the smaller the file
PLANES = (2, 1, 0)  # axial, coronal, sagittal: the axis across each, in RAS
HISTOGRAM = (96, 52)  # width and height of the drawings, in pixels
STRIP = (110, 20)
HEADROOM = 1.6  # of the histograms, above the highest bin of the cohort's


class Tissue(NamedTuple):
    """One colour of the outlines; no ROIs: all that the others do not name."""

    name: str
    colour: str
    rois: tuple[int, ...]


# in order of precedence where two meet; colours after Okabe and Ito, which the colour-blind tell apart
TISSUES = (
    Tissue("ventricles and CSF", "#cc79a7", (4, 5, 14, 15, 24, 31, 43, 44, 63)),
    Tissue("deep grey matter and brain stem", "#00b586", ()),
    Tissue("white matter", "#56b4e9", (2, 7, 41, 46)),
    Tissue("cortex", "#e69f00", (3, 8, 42, 47)),
)


class Pictures(NamedTuple):
    """The pictures of one subject.

    There are two PNGs in base64 (``outlines`` "" without labels), the ``size`` at which both are shown, the share of
    the brain in each bin of the histogram, and the median intensity.
    """

    grey: str
    outlines: str
    size: tuple[int, int]
    histogram: np.ndarray
    median: float


def write_quality_page(
    out: str | Path,
    *,
    dataset: str,
    table_path: str | Path,
    images: Mapping[str, str | Path],
    labels: Mapping[str, str | Path],
) -> int:
    """Write the page of ``dataset``, flagged subjects first; returns its size in bytes.

    Parameters
    ----------
    table_path : table of `smgicnet.preparation.quality.write_quality`
    images, labels : prepared files by subject

    Raises `InputError` for a file that cannot be used, or when the table names a subject without files.
    """
    table = read_quality(table_path).sort_values("flagged", ascending=False, kind="stable")
    unknown = [name for name in table["subject"] if name not in images or name not in labels]
    if unknown:
        raise InputError(table_path, f"{unknown[0]!r} is none of the prepared subjects", "Run the workflow again")
    pictures = [draw(images[name], labels[name]) for name in table["subject"]]
    cohort = np.median([one.histogram for one in pictures], axis=0)
    content = {
        "dataset": dataset,
        "lead": _lead(table),
        "volumes": table["brain_ml"],
        "rows": _rows(table, pictures, cohort),
        "cohort_histogram": _histogram_path(cohort, cohort),
        "dots": _places(table["brain_ml"]),
        "histogram_size": HISTOGRAM,
        "strip_size": STRIP,
        "tissues": TISSUES,
        "libraries": library_versions(),
        "licences": _part("licences.txt"),
        "style": Markup(_part("report.css") + _part("quality.css")),
        "tables_library": Markup(library("tables")),
        "script": Markup(in_script(_part("quality.js"))),
    }
    page = _render(content)
    write_text(out, page)
    return len(page.encode())


def _render(content: Mapping) -> str:
    loader = PackageLoader("smgicnet.publication.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("quality.html.jinja").render(content)


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _lead(table: pd.DataFrame) -> str:
    splits = [f"{(table['split'] == split).sum()} {split}" for split in SPLITS if (table["split"] == split).any()]
    flagged, excluded = (int(table[column].sum()) or "none" for column in ("flagged", "excluded"))
    return f"{len(table)} subjects ({', '.join(splits)}); {flagged} flagged, {excluded} excluded."


def _rows(table: pd.DataFrame, pictures: Sequence[Pictures], cohort: np.ndarray) -> list[dict]:
    """What the template shows of each subject; ``cohort``: its median histogram."""
    return [
        {
            **record,
            "pictures": one,
            "reasons": record["reason"].split("; ") if record["reason"] else [],
            "place": place,
            "histogram": _histogram_path(one.histogram, cohort),
            "source_shape": record["source_shape"].replace("x", " × "),
            "source_spacing_mm": record["source_spacing_mm"].replace("x", " × "),
        }
        for record, one, place in zip(table.to_dict("records"), pictures, _places(table["brain_ml"]), strict=True)
    ]


def draw(image_path: str | Path, labels_path: str | Path) -> Pictures:
    """Draw three slices through the brain's centre and the histogram of a prepared subject."""
    image, labels = read_image(image_path), read_labels(labels_path)
    labels = on_grid_of(image, labels, image_path, labels_path)
    image, labels = to_canonical(image), to_canonical(labels)
    brain = foreground(image.data)
    centre = brain_centre(brain).round().astype(int)
    grey = _side_by_side(image, centre, HEIGHT, Image.Resampling.BILINEAR)
    levels = np.rint(np.clip(grey, 0, 1) * (GREY_LEVELS - 1)) * (255 / (GREY_LEVELS - 1))
    outlines = ""
    if labels.data.any():
        rois = _side_by_side(labels, centre, FINER * HEIGHT, Image.Resampling.NEAREST)
        outlines = _png(_outlines(rois.astype(np.uint8)), [tissue.colour for tissue in TISSUES])
    values = image.data[brain]
    counts = intensity_histogram(values)
    size = grey.shape[::-1]
    return Pictures(_png(levels.astype(np.uint8)), outlines, size, counts / counts.sum(), float(np.median(values)))


def _side_by_side(volume: Volume, centre: np.ndarray, height: int, resampling: Image.Resampling) -> np.ndarray:
    """The slices of `PLANES` in one array, float32 ``(height, width)``, in true proportions; anterior, superior up.

    Left is left, and anterior is to the right in the sagittal slice.
    """
    extent = np.array(volume.data.shape) * volume.spacing
    pixels = np.rint(HEIGHT / extent[1:].max() * extent).astype(int) * (height // HEIGHT)
    panels = []
    for axis in PLANES:
        plane = np.moveaxis(volume.data, axis, 0)[centre[axis]].T[::-1].astype(np.float32)
        panel = np.asarray(Image.fromarray(plane).resize(tuple(np.delete(pixels, axis)), resampling))
        above = (height - len(panel)) // 2
        panels.append(np.pad(panel, [(above, height - len(panel) - above), (0, GAP * height // HEIGHT)]))
    return np.concatenate(panels, axis=1)[:, : -GAP * height // HEIGHT]


def _outlines(rois: np.ndarray) -> np.ndarray:
    """Where the ROI changes, 1 + the index in `TISSUES`, else 0: ids uint8 ``(H, W)`` to uint8 of the same shape."""
    tissue_of = np.full(256, 1 + next(i for i, tissue in enumerate(TISSUES) if not tissue.rois), np.uint8)
    for index, tissue in enumerate(TISSUES):
        tissue_of[list(tissue.rois)] = 1 + index
    tissue_of[0] = 255
    right, below = np.roll(rois, -1, axis=1), np.roll(rois, -1, axis=0)
    edge = (rois != right) | (rois != below)
    return np.where(edge, np.minimum.reduce([tissue_of[part] for part in (rois, right, below)]), 0).astype(np.uint8)


def _png(pixels: np.ndarray, colours: Sequence[str] = ()) -> str:
    """Grey values, or 0 for transparent and n for the n-th of ``colours``, as a PNG in base64."""
    picture, options = Image.fromarray(pixels), {}
    if colours:
        picture.putpalette(b"\0\0\0" + b"".join(bytes.fromhex(colour[1:]) for colour in colours))
        options = {"transparency": 0}
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True, **options)
    return base64.b64encode(content.getvalue()).decode("ascii")


def _histogram_path(shares: np.ndarray, cohort: np.ndarray) -> str:
    """An SVG path of steps over the bins, on the cohort's scale; what is higher is cut."""
    width, height = HISTOGRAM
    tops = height - height * np.minimum(shares / (HEADROOM * cohort.max()), 1)
    edges = np.linspace(0, width, len(shares) + 1)
    return f"M0,{height}" + "".join(f"V{y:.1f}H{x:.1f}" for x, y in zip(edges[1:], tops)) + f"V{height}"


def _places(volumes: pd.Series) -> list[float]:
    """Where each volume lies on the strip, in pixels."""
    low, high, margin = volumes.min(), volumes.max(), STRIP[1] / 4
    shares = (volumes - low) / (high - low) if high > low else volumes * 0 + 0.5
    return (margin + (STRIP[0] - 2 * margin) * shares).round(1).tolist()
