"""The rows of the tables of means, in their order: those of the paper, and those beyond it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pandas import DataFrame

from smgicnet.scoring.changed_rows import POSE_CONSISTENCY
from smgicnet.scoring.metrics import METRICS


@dataclass(frozen=True)
class TableRow:
    """A row of the table.

    ``name``, ``label``, ``decimals``: of its metric. ``paper_name``: in config/paper.yaml; None, the default, where the
    paper has no such row. ``paper_unit``: the paper's unit, where it differs; empty by default.
    """

    name: str
    label: str
    decimals: int
    paper_name: str | None = None
    paper_unit: str = ""


def _row_of(name: str, paper_name: str | None = None, paper_unit: str = "") -> TableRow:
    metric = METRICS[name]
    return TableRow(name, metric.label, metric.decimals, paper_name, paper_unit)


WORST = {"higher": "lowest_", "lower": "highest_"}  # before a metric's name, by what is better: that of its worst pair
PAPER_METRICS = (
    _row_of("dice", "dice"),
    _row_of("folds_percent", "folds_fraction", " (fraction)"),
    _row_of("seconds", "seconds"),
)
# in this order, then all others of `METRICS`; the worst pair of a metric stands below it
_ORDER = (
    "dice",
    "endpoint_error_mm",
    "endpoint_error_cortex_mm",
    "endpoint_error_deep_mm",
    "tre_mm",
    "affine_seconds",
    "hd95_mm",
    "parcels_dice",
    "inverse_consistency_mm",
    *POSE_CONSISTENCY,
    "ndv_percent",
    "sd_log_jacobian",
    "peak_memory_mib",
    "rois",
)
_OF_THE_PAPER = {row.name for row in PAPER_METRICS}
_OTHERS = [name for name, metric in METRICS.items() if metric.in_tables and name not in {*_ORDER, *_OF_THE_PAPER}]


def _further_rows() -> Iterator[TableRow]:
    for metric in map(METRICS.__getitem__, (*_ORDER, *_OTHERS)):
        if metric.name not in _OF_THE_PAPER:
            yield _row_of(metric.name)
        if metric.worst_label:
            yield TableRow(WORST[metric.better] + metric.name, metric.worst_label, metric.decimals)


FURTHER_METRICS = tuple(_further_rows())
NOTES = {  # what a reader has to know of a metric that has a row
    "endpoint_error_mm": "Endpoint error is the distance between where a voxel of the fixed image's brain is sent and "
    "where it truly belongs.",
    "endpoint_error_deep_mm": "Deep regions are thalamus, caudate, putamen, pallidum, hippocampus, amygdala, accumbens "
    "and ventral diencephalon of both sides.",
    "tre_mm": "Target registration error is the distance of corresponding landmarks, on the pairs that have some.",
    "no_result_percent": "Pairs of which a program left no result that could be read, within its limits of time and "
    "disk, count in no other number here; the reasons are in the records of its jobs.",
    "hd95_mm": "HD95 is the larger of the two directed 95th percentiles, over the ROIs that warping has not removed.",
}


def worst_pairs(values: DataFrame) -> list[DataFrame]:
    """Return the rows of the worst pair of each metric whose worst pair has a row in the table."""
    found = []
    for name, metric in METRICS.items():
        if metric.worst_label:
            prefix = WORST[metric.better]
            worst = values[values.index.get_level_values("metric") == name].rename(index={name: prefix + name})
            found.append(worst.assign(mean=worst[prefix.rstrip("_")], sd=math.nan))
    return found
