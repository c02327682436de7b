"""From the long table of metrics to means and standard deviations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from pandas import DataFrame, Series

from smgicnet.core.errors import InputError
from smgicnet.core.files import atomic_path
from smgicnet.scoring.resampling import EACH
from smgicnet.scoring.rows import NO_RESULT, OVER_ROIS

COLUMNS = ("dataset", "arm", "method", "seed", "fixed", "moving", "metric", "roi", "value")
COMPARISON = ["dataset", "arm", "method", "metric"]


def read_metrics(paths: Iterable[str | Path]) -> DataFrame:
    """Read the rows of several metrics files (CSV, gzipped or not), in order.

    Names stay text (``007``); ``roi`` is ``""`` for a whole pair.
    """
    text = dict.fromkeys([c for c in COLUMNS if c not in ("seed", "value")], str)
    frames = [pd.read_csv(path, dtype=text, keep_default_na=False, na_values={"value": [""]}) for path in paths]
    return pd.concat(frames, ignore_index=True)


def write_metrics(metrics: DataFrame, path: str | Path) -> None:
    """Write gzipped CSV, the same bytes for the same rows."""
    with atomic_path(path) as part:
        metrics.to_csv(part, index=False, compression={"method": "gzip", "mtime": 0})


def runs(metrics: DataFrame) -> list[tuple[str, str]]:
    """Return the (method, arm) of the rows, in the order in which they come."""
    return list(metrics[["method", "arm"]].drop_duplicates().itertuples(index=False, name=None))


def cohort_size(metrics: DataFrame, people: Mapping[str, str] = EACH) -> dict[str, int]:
    """Return the number of test ``subjects``, of ``people``, and of unordered ``pairs`` in the rows.

    ``people``: the person of each subject that is not a person by itself, as a twin is not.
    """
    subjects = metrics["fixed"].unique()
    return {
        "subjects": len(subjects),
        "people": len({people.get(name, name) for name in subjects}),
        "pairs": len(metrics[["fixed", "moving"]].drop_duplicates()) // 2,
    }


def summarise(metrics: DataFrame) -> DataFrame:
    """Return mean and standard deviation over ordered pairs of each metric's summary value.

    Parameters
    ----------
    metrics : one row a number, with the columns of ``COLUMNS``. Only rows with ``roi`` ``"mean"`` or ``""`` are used
        (a missing ``roi``, as a CSV reader makes of ``""``, counts as ``""``). A pair is averaged over its seeds first:
        seeds are not further subjects. NaN values are left out.

    Returns columns dataset, arm, method, metric, mean, sd (ddof = 1; NaN for one pair), n (ordered pairs with a value),
    lowest and highest (of a pair), sorted by the first four. Raises `InputError` when a column is missing.
    """
    missing = [column for column in COLUMNS if column not in metrics]
    if missing:
        raise InputError("metrics", f"columns {missing} are missing", f"Give a table with {list(COLUMNS)}")
    pairs = of_pairs(metrics).groupby([*COMPARISON, "fixed", "moving"])["value"].mean()
    numbers = {"mean": "mean", "sd": "std", "n": "count", "lowest": "min", "highest": "max"}
    return pairs.groupby(level=COMPARISON).agg(**numbers).reset_index()


def of_pairs(metrics: DataFrame) -> DataFrame:
    """Return the rows that stand for a whole pair: without a ROI, or the mean over ROIs."""
    return metrics[metrics["roi"].isin([OVER_ROIS, ""]) | metrics["roi"].isna()]


def dice_or_failure(metrics: DataFrame) -> DataFrame:
    """Return the rows of the Dice of whole pairs, and those of pairs without a result with a value of 0."""
    failed = metrics[(metrics["metric"] == NO_RESULT) & (metrics["value"] > 0)].assign(value=0.0)
    return pd.concat([of_pairs(metrics[metrics["metric"] == "dice"]), failed])


def pair_mean(metrics: DataFrame, metric: str, fixed: str, moving: str) -> float:
    """Return a metric of a whole ordered pair, such as its mean Dice, averaged over seeds; NaN where it has none."""
    rows = of_pairs(metrics)
    chosen = (rows["metric"] == metric) & (rows["fixed"] == fixed) & (rows["moving"] == moving)
    return float(rows.loc[chosen, "value"].mean())


def pair_means(metrics: DataFrame, metric: str, run: tuple[str, str]) -> Series:
    """Return `pair_mean` of every ordered pair of a run (method, arm) that has one, indexed by fixed and moving."""
    rows = of_pairs(metrics)
    chosen = (rows["method"] == run[0]) & (rows["arm"] == run[1]) & (rows["metric"] == metric)
    return rows[chosen].groupby(["fixed", "moving"])["value"].mean().dropna()
