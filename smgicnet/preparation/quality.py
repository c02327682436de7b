"""Quality control: each subject's volume, labels and contrast against plausible limits and against its cohort."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smgicnet.core.errors import InputError
from smgicnet.core.tab_separated import read_tsv, write_tsv
from smgicnet.imaging.foreground import foreground
from smgicnet.imaging.images import on_grid_of, read_image, read_labels
from smgicnet.preparation.label_protocols import roi_names

log = logging.getLogger(__name__)

WHITE_MATTER, GREY_MATTER = (2, 41), (3, 42)  # cerebral, left and right
BINS = 32  # the histogram of intensities has so many, from 0 to 1
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
MIN_COHORT = 5  # subjects below which a cohort says nothing about one of them
MIN_SD = 0.02  # the smallest SD of volumes, as a part of their median: equal brains differ by resampling alone
COMMON_ROI = 0.9  # a missing ROI counts where this part of the other labelled subjects has it
MAX_CUT_PERCENT = 1.0  # the grid may cut off so much of the brain
MAX_UNKNOWN_PERCENT = 1.0  # so many labelled voxels may have ids that the protocol lacks
NAMED_ROIS = 3  # missing ROIs that a sentence names
COLUMNS = (
    *("subject", "split", "image", "labels", "source_shape", "source_spacing_mm", "source_orientation", "brain_ml"),
    *("labelled_ml", "rois", "rois_missing", "cut_percent", "labels_outside_percent", "white_to_grey"),
    *("flagged", "reason", "excluded"),
)
NUMBERS = ("brain_ml", "labelled_ml", "cut_percent", "labels_outside_percent", "white_to_grey")


@dataclass(frozen=True)
class QualityConfig:
    """The limits, see ``config/schemas/parts/quality.schema.yaml``.

    Attributes
    ----------
    exclude : whether flagged subjects are excluded
    volume_ml : the lowest and the highest plausible volume of a brain, in ml
    volume_deviations : how many robust SDs a volume may be from the cohort's median
    labels_outside_percent : how many percent of the labelled voxels may lie outside the brain
    """

    exclude: bool
    volume_ml: tuple[float, ...]
    volume_deviations: float
    labels_outside_percent: float


def intensity_histogram(values: np.ndarray) -> np.ndarray:
    """Return the counts of the brain's intensities in `BINS` bins of [0, 1]."""
    return np.histogram(values, BINS, range=(0, 1))[0]


def measure(image_path: str | Path, labels_path: str | Path, report_path: str | Path) -> dict[str, Any]:
    """Measure one prepared subject, as `smgicnet.preparation.preprocessing.write_prepared` leaves it.

    Returns a dict: ``image``, ``labels`` (the sources), ``source_*``, ``brain_ml`` (of the source), ``labelled_ml``,
    ``rois`` (their number), ``rois_missing`` (names; none without labels), ``cut_percent``,
    ``labels_outside_percent`` (of the labelled voxels; None without labels), ``white_to_grey`` (ratio of median
    intensities; None where a tissue is missing or grey matter is 0), and the ``percentiles`` (those of `PERCENTILES`)
    and the ``histogram`` of the brain's intensities.
    Raises `InputError` for a file that cannot be used.
    """
    image, labels, report = read_image(image_path), read_labels(labels_path), _read_report(report_path)
    labels = on_grid_of(image, labels, image_path, labels_path)
    brain = foreground(image.data)
    labelled = labels.data > 0
    present = set(np.unique(labels.data[labelled]).tolist())
    return {
        "image": report["image"],
        "labels": report["labels"] or "",
        "source_shape": "x".join(map(str, report["source_shape"])),
        "source_spacing_mm": "x".join(f"{size:g}" for size in report["source_spacing_mm"]),
        "source_orientation": report["source_orientation"],
        "brain_ml": report["foreground_ml"],
        "labelled_ml": round(float(labelled.sum() * np.prod(image.spacing) / 1000), 1),
        "rois": len(present),
        "unknown_percent": (report.get("labels_unknown") or {}).get("percent", 0.0),
        "rois_missing": [name for roi, name in roi_names().items() if present and roi not in present],
        "cut_percent": report["cut_percent"],
        "labels_outside_percent": round(100 * float((~brain[labelled]).mean()), 2) if present else None,
        "white_to_grey": _contrast(image.data, labels.data),
        "percentiles": np.percentile(image.data[brain], PERCENTILES).round(4).tolist(),
        "histogram": intensity_histogram(image.data[brain]),
    }


def _read_report(path: str | Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return report
    except (OSError, ValueError) as error:
        raise InputError(path, f"not a record of preprocessing ({error})", "Run the workflow again") from error


def _contrast(image: np.ndarray, labels: np.ndarray) -> float | None:
    tissues = [image[np.isin(labels, rois)] for rois in (WHITE_MATTER, GREY_MATTER)]
    if not all(values.size for values in tissues):
        return None
    white, grey = map(np.median, tissues)
    return round(float(white / grey), 3) if grey > 0 else None


def assess(rows: pd.DataFrame, config: QualityConfig) -> pd.DataFrame:
    """Return ``rows``, one of `measure` a subject, with ``flagged`` (bool) and ``reason``, sentences joined by "; "."""
    kinds = _reasons(rows, config).values()
    reasons = ["; ".join(filter(None, sentences)) for sentences in zip(*kinds, strict=True)]
    return rows.assign(flagged=[bool(reason) for reason in reasons], reason=reasons)


def _reasons(rows: pd.DataFrame, config: QualityConfig) -> dict[str, list[str]]:
    """Return one sentence a subject by kind of reason, "" where there is none."""
    limit = config.labels_outside_percent
    outside = [
        f"{percent:.0f} % of the labels lie outside the brain, more than {limit:g} %" if percent > limit else ""
        for percent in rows["labels_outside_percent"].astype(float)
    ]
    cut = [
        f"{percent:.1f} % of the brain is cut off by the grid" if percent > MAX_CUT_PERCENT else ""
        for percent in rows["cut_percent"]
    ]
    unknown = [
        f"{percent:.1f} % of the labels are of ids that the protocol lacks" if percent > MAX_UNKNOWN_PERCENT else ""
        for percent in rows["unknown_percent"]
    ]
    return {
        "implausible brain volume": _implausible(rows["brain_ml"], *config.volume_ml),
        "brain volume far from the cohort's": _outlying(rows["brain_ml"], config.volume_deviations),
        "labels outside the brain": outside,
        "brain cut by the grid": cut,
        "missing ROIs": _lacking(rows["rois_missing"], rows["rois"] > 0),
        "another contrast": _other_contrast(rows["white_to_grey"].astype(float)),
        "unknown labels": unknown,
    }


def _implausible(volumes: pd.Series, low: float, high: float) -> list[str]:
    def sentence(ml: float) -> str:
        if low <= ml <= high:
            return ""
        return f"a brain of {ml:,.0f} ml is " + (f"below {low:,.0f} ml" if ml < low else f"above {high:,.0f} ml")

    return [sentence(ml) for ml in volumes]


def _outlying(volumes: pd.Series, limit: float) -> list[str]:
    median = volumes.median()
    sd = max(1.4826 * (volumes - median).abs().median(), MIN_SD * median)  # a normal distribution's SD

    def sentence(ml: float) -> str:
        deviations = abs(ml - median) / sd
        if deviations <= limit or len(volumes) < MIN_COHORT:
            return ""
        side = "below" if ml < median else "above"
        return f"its {ml:,.0f} ml are {deviations:.1f} robust SDs {side} the cohort's median brain, {median:,.0f} ml"

    return [sentence(ml) for ml in volumes]


def _lacking(missing: pd.Series, labelled: pd.Series) -> list[str]:
    """Return sentences on ``missing``, the names of each subject's missing ROIs, unless few of the others have them."""
    others = int(labelled.sum()) - 1
    absent = Counter(chain.from_iterable(missing[labelled]))

    def sentence(names: Sequence[str]) -> str:
        rare = [name for name in names if others + 1 - absent[name] >= COMMON_ROI * others]
        if not rare or others + 1 < MIN_COHORT:
            return ""
        named = ", ".join(rare[:NAMED_ROIS]) + (f" and {len(rare) - NAMED_ROIS} more" if rare[NAMED_ROIS:] else "")
        what = "1 ROI is missing" if len(rare) == 1 else f"{len(rare)} ROIs are missing"
        return f"{what} that nearly all others have: {named}"

    return [sentence(names) for names in missing]


def _other_contrast(ratios: pd.Series) -> list[str]:
    median = ratios.median()
    return [
        f"white matter is darker than grey matter (ratio {ratio:.2f}, the cohort's median is {median:.2f}):"
        " another contrast or inverted"
        if ratio < 1 < median
        else ""
        for ratio in ratios
    ]


def write_quality(
    subjects: Sequence[str],
    splits: Sequence[str],
    images: Sequence[str | Path],
    labels: Sequence[str | Path],
    reports: Sequence[str | Path],
    config: QualityConfig,
    table_path: str | Path,
) -> pd.DataFrame:
    """Measure and assess the prepared subjects, one in memory at a time, and write the table (TSV, `COLUMNS`).

    Returns what is in it. Raises `InputError`, after writing, when excluding the flagged subjects leaves no pair to
    train on or to test on.
    """
    rows = []
    for subject, split, *files in zip(subjects, splits, images, labels, reports, strict=True):
        rows.append({"subject": subject, "split": split, **measure(*files)})
    table = assess(pd.DataFrame(rows), config)
    table["excluded"] = table["flagged"] & config.exclude
    for kind, sentences in _reasons(table, config).items():
        if any(sentences):
            log.info("%s: %d of %d subjects", kind, sum(map(bool, sentences)), len(table))
    table["rois_missing"] = [", ".join(names) for names in table["rois_missing"]]
    table = table[list(COLUMNS)]
    write_tsv(table, table_path)
    log.info("%d of %d subjects are flagged: %s", table["flagged"].sum(), len(table), table_path)
    _check_remaining(table, table_path)
    return table


def _check_remaining(table: pd.DataFrame, path: str | Path) -> None:
    for split in ("train", "test"):
        rows = table[table["split"] == split]
        left = int((~rows["excluded"]).sum())
        if left < 2 and rows["excluded"].any():
            who = ", ".join(f"{row.subject} ({row.reason})" for row in rows[rows["excluded"]].itertuples())
            raise InputError(
                path,
                f"quality control leaves {left} of {len(rows)} {split} subjects, a pair needs 2. Excluded are {who}",
                "Set quality.exclude: false, look at the quality page, and correct these subjects or the limits",
            )


def read_quality(table_path: str | Path) -> pd.DataFrame:
    """Read the table that `write_quality` wrote, with NaN for a number that is not there.

    Raises `InputError` when it is missing or another table.
    """
    try:
        table = read_tsv(table_path, "Run the workflow again")
        table = table[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(table_path, f"not a table of quality control ({error})", "Run the workflow again") from error
    for column in ("flagged", "excluded"):
        table[column] = table[column] == "True"
    table["rois"] = table["rois"].astype(int)
    return table.assign(**{column: pd.to_numeric(table[column]) for column in NUMBERS})


def excluded_subjects(table_path: str | Path) -> set[str]:
    """Return the names of the subjects that are excluded, see `read_quality`."""
    table = read_quality(table_path)
    return set(table.loc[table["excluded"], "subject"])
