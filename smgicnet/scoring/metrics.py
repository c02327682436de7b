"""METRICS: one entry for each number that a registered pair is scored by.

To add one, write a function of a `smgicnet.scoring.pair.PairToScore`, in a module of its own or in `pair_metrics`, and
its entry here: scores, tables and figures take it from there, and a finished run is scored without registering again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A metric of an ordered pair.

    ``name``: in the rows of metrics. ``label``: in tables and figures, with the unit. ``unit``: empty by default.
    ``decimals``: in tables; 3 by default. ``regions``: the group of regions of which each has one, and the pair their
    mean: "rois", the 36, or "parcels", of the cortex; none by default. ``better``: which way is better; neither by
    default. ``function``: "module:function" that computes it from a pair; empty, the default, for what a job measures.
    ``worst_label``: of the row of its worst pair in tables, which have none by default. ``in_tables``: whether tables
    have a row of it; true by default. ``compared_as``: its name in sentences, where methods are compared by it, with
    intervals and tests; they are not by default. ``of_labels``: whether the moved label map is enough to compute it;
    false by default.
    """

    name: str
    label: str
    unit: str = ""
    decimals: int = 3
    regions: Literal["rois", "parcels", ""] = ""
    better: Literal["higher", "lower", ""] = ""
    function: str = ""
    worst_label: str = ""
    in_tables: bool = True
    compared_as: str = ""
    of_labels: bool = False


_ALL = (  # in the order of the rows of a pair
    Metric(
        "dice",
        "DSC",
        regions="rois",
        better="higher",
        function="smgicnet.scoring.pair_metrics:dice_of_rois",
        worst_label="DSC of the worst pair",
        compared_as="Dice",
        of_labels=True,
    ),
    Metric(
        "hd95_mm",
        "HD95 (mm)",
        "mm",
        2,
        regions="rois",
        better="lower",
        function="smgicnet.scoring.pair_metrics:hd95_of_rois",
        of_labels=True,
    ),
    Metric(
        "parcels_dice",
        "DSC of cortical parcels",
        regions="parcels",
        better="higher",
        function="smgicnet.scoring.pair_metrics:dice_of_parcels",
    ),
    Metric("rois", "ROIs scored", decimals=1, function="smgicnet.scoring.pair_metrics:rois", of_labels=True),
    Metric("folds_percent", "|J| ≤ 0 (%)", "%", better="lower", function="smgicnet.scoring.pair_metrics:folds_percent"),
    Metric(
        "folds_percent_grid",
        "|J| ≤ 0 (% of the grid)",
        "%",
        better="lower",
        function="smgicnet.scoring.pair_metrics:folds_percent_grid",
        in_tables=False,
    ),
    Metric("sd_log_jacobian", "SD log J", better="lower", function="smgicnet.scoring.pair_metrics:sd_log_jacobian"),
    Metric("ndv_percent", "NDV (%)", "%", better="lower", function="smgicnet.scoring.pair_metrics:ndv"),
    Metric(
        "inverse_consistency_mm",
        "Inverse consistency (mm)",
        "mm",
        better="lower",
        function="smgicnet.scoring.pair_metrics:inverse_consistency",
    ),
    Metric(
        "integration_error_mm",
        "Integration error (mm)",
        "mm",
        better="lower",
        function="smgicnet.scoring.pair_metrics:integration_error",
        in_tables=False,
    ),
    Metric(
        "endpoint_error_mm",
        "Endpoint error (mm)",
        "mm",
        2,
        better="lower",
        function="smgicnet.scoring.pair_metrics:endpoint_error",
        worst_label="Endpoint error of the worst pair (mm)",
        compared_as="endpoint error",
    ),
    Metric(
        "endpoint_error_cortex_mm",
        "Endpoint error, cortex (mm)",
        "mm",
        2,
        better="lower",
        function="smgicnet.scoring.pair_metrics:endpoint_error_cortex",
    ),
    Metric(
        "endpoint_error_deep_mm",
        "Endpoint error, deep regions (mm)",
        "mm",
        2,
        better="lower",
        function="smgicnet.scoring.pair_metrics:endpoint_error_deep",
    ),
    Metric(
        "tre_mm",
        "Target registration error (mm)",
        "mm",
        2,
        better="lower",
        function="smgicnet.scoring.landmarks:target_registration_error",
        compared_as="target registration error",
    ),
    Metric(
        "seconds", "Time (s)", "s", better="lower", function="smgicnet.scoring.pair_metrics:seconds", of_labels=True
    ),
    Metric("peak_memory_mib", "Peak memory (MiB)", "MiB", 0, better="lower"),
    Metric("affine_seconds", "of which affine (s)", "s", better="lower"),
    Metric("no_result_percent", "Without a result (%)", "%", 1, better="lower"),
    Metric("failure_percent", "Judged to have failed (%)", "%", 1, better="lower", in_tables=False),
    Metric("pose_consistency_mm", "Pose consistency (mm)", "mm", 2, better="lower"),
    Metric("pose_consistency_p95_mm", "Pose consistency, 95th percentile (mm)", "mm", 2, better="lower"),
)
METRICS = {metric.name: metric for metric in _ALL}
SCORED = {metric.name: metric for metric in _ALL if metric.function}
COMPARED = {metric.name: metric for metric in _ALL if metric.compared_as}
