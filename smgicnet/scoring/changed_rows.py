"""Rows of changed heads: those of metrics, and beside them ``change``, its kind, and ``severity``."""

from __future__ import annotations

from pandas import DataFrame

METRICS = (
    "dice",
    "endpoint_error_mm",
    "seconds",
)  # what the registration of a changed head is scored by as any other is
POSE_CONSISTENCY = ("pose_consistency_mm", "pose_consistency_p95_mm")  # mean and percentile, beside the head as it lies
TURNED = "rotation"  # the change by which pose consistency is reported
BESIDE = ("change", "severity")


def over_changes(changed: DataFrame) -> DataFrame:
    """Return the pose consistency of each ordered pair, the mean over its turned heads, as rows of metrics."""
    rows = changed[changed["metric"].isin(POSE_CONSISTENCY) & (changed["change"] == TURNED)]
    columns = [column for column in changed.columns if column not in BESIDE]
    keys = [column for column in columns if column != "value"]
    return rows.groupby(keys, sort=False, as_index=False)["value"].mean()[columns]
