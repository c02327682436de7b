"""Two methods on the same pairs of subjects: effect size, interval and test of the difference of a metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from smgicnet.core.errors import InputError
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.resampling import EACH, bootstrap_interval, pair_matrix, pair_values, permutation_p
from smgicnet.scoring.rows import OVER_ROIS
from smgicnet.scoring.statistics import COLUMNS, runs

SIDE = "^(Left|Right)-"
RESULT = ["metric", "arm", "method", "roi", "subjects", "pairs", "difference", "low", "high", "d_z", "p", "p_holm"]


def cohens_d(mean: float, sd: float, other_mean: float, other_sd: float) -> float:
    """Return the difference of two means over the pooled SD ``sqrt((sd^2 + other_sd^2) / 2)``, as in the paper's Table
    2.

    It is NaN where the pooled SD is zero or not known.
    """
    pooled = math.sqrt((sd**2 + other_sd**2) / 2)
    return (mean - other_mean) / pooled if pooled > 0 else math.nan


def merge_sides(metrics: DataFrame) -> DataFrame:
    """Return ``metrics`` with each "Left-X" and "Right-X" as one ROI "X": the mean of the sides that have a value.

    All else stays, and a row stands where its first side stood: anatomical order is kept.
    """
    one_sided = metrics.assign(roi=metrics["roi"].str.replace(SIDE, "", regex=True))
    keys = [column for column in COLUMNS if column != "value"]
    return one_sided.groupby(keys, sort=False, dropna=False, as_index=False)["value"].mean()


def holm(p: Sequence[float]) -> np.ndarray:
    """Return Holm's (1979) step-down adjusted p-values of a family; NaN stays NaN and is not counted."""
    raw = np.asarray(p, dtype=float)
    order = np.argsort(raw)[: np.count_nonzero(~np.isnan(raw))]
    adjusted = np.full(raw.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(raw[order] * np.arange(len(order), 0, -1)), 1)
    return adjusted


def compare(
    metrics: DataFrame,
    reference: tuple[str, str],
    others: Iterable[tuple[str, str]],
    *,
    resamples: int,
    seed: int,
    metric: str = "dice",
    rois: bool = True,
    people: Mapping[str, str] = EACH,
) -> DataFrame:
    """Compare a metric of ``reference`` with that of each of ``others``, all given as (method, arm), on the same pairs.

    Parameters
    ----------
    metrics : of one dataset, with the columns of `statistics.COLUMNS`. Used are the pairs that both methods
        have; a pair's value is the mean of its seeds, then of its two directions.
    resamples, seed : of `bootstrap_interval` and `permutation_p`. All rows with the same number of people share
        their draws: a row's numbers do not depend on which other rows there are.
    metric : its name in the rows
    rois : also a row for each ROI, where the metric has them, not for their mean alone
    people : the person of each subject that is not a person by itself, as a twin is not

    Returns one row a comparison and ROI, "mean" (or what a pair as a whole has) first, then in anatomical order;
    columns metric, arm, method, roi, subjects, pairs (unordered), difference (mean over pairs), low, high (95 %), d_z
    (mean over SD of the pairs' differences, ddof = 1), p, p_holm (the rows "mean" are one family, all others another);
    NaN where there are too few. Raises `InputError` when one of the methods has no such metric or there is more than
    one dataset.
    """
    if metrics["dataset"].nunique() > 1:
        raise InputError("metrics", "they are of more than one dataset", "Compare within one dataset")
    base = _values(metrics, metric, *reference)
    regions = [OVER_ROIS, *_anatomical(set(base.index.unique("roi")) - {OVER_ROIS})] if rois else [OVER_ROIS]
    rows = []
    for method, arm in others:
        paired = (base - _values(metrics, metric, method, arm)).dropna()
        for roi in regions:
            values, persons = pair_matrix(paired[paired.index.get_level_values("roi") == roi], people)
            names = {"metric": metric, "arm": arm, "method": method, "roi": roi}
            rows.append(names | _numbers(values, persons, resamples, seed))
    result = DataFrame(rows, columns=RESULT)
    for family in (result["roi"] == OVER_ROIS, result["roi"] != OVER_ROIS):
        result.loc[family, "p_holm"] = holm(result.loc[family, "p"])
    return result


def compare_by_each(
    metrics: DataFrame,
    by: Sequence[str],
    reference: tuple[str, str],
    others: Sequence[tuple[str, str]],
    *,
    resamples: int,
    seed: int,
    people: Mapping[str, str] = EACH,
) -> DataFrame:
    """Return the rows of `compare` by the first metric of ``by``, then by each other that reference and others have.

    A method that has none of a metric, since it left no result, is not compared by it.
    """
    found = []
    for metric in by:
        known = set(runs(metrics[metrics["metric"] == metric].dropna(subset="value")))
        present = [run for run in others if run in known]
        if metric == by[0] or (reference in known and present):
            numbers = compare(metrics, reference, present, resamples=resamples, seed=seed, metric=metric, people=people)
            found.append(numbers)
    return pd.concat(found, ignore_index=True)


def read_comparisons(path: str | Path, metric: str) -> DataFrame:
    """Read the rows of one metric in a CSV of what `compare_by_each` gives."""
    rows = pd.read_csv(path, dtype=dict.fromkeys(("metric", "arm", "method", "roi"), str))
    return rows[rows["metric"] == metric].reset_index(drop=True)


def _values(metrics: DataFrame, metric: str, method: str, arm: str) -> Series:
    """A metric by roi, fixed and moving, averaged over seeds; what a pair as a whole has stands as its mean."""
    rows = metrics[(metrics["metric"] == metric) & (metrics["method"] == method) & (metrics["arm"] == arm)]
    if rows.empty:
        raise InputError("metrics", f"method {method!r} has no {metric} in arm {arm!r}", "Score its pairs first")
    rows = rows.assign(roi=rows["roi"].replace("", OVER_ROIS))
    return rows.groupby(["roi", "fixed", "moving"])["value"].mean()


def _anatomical(rois: Iterable[str]) -> list[str]:
    """ROIs in the order of the label table, sides merged or not; others follow by name."""
    place = {}
    for rank, name in enumerate(roi_names().values()):
        place[name] = rank
        place.setdefault(re.sub(SIDE, "", name), rank)
    return sorted(rois, key=lambda roi: (place.get(roi, len(place)), roi))


def _numbers(differences: np.ndarray, people: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The columns of a row of `compare` but for its names and ``p_holm``."""
    values = pair_values(differences)
    sd = values.std(ddof=1) if len(values) > 1 else math.nan
    low, high = bootstrap_interval(differences, people, resamples=resamples, seed=seed)
    return {
        "subjects": len(differences),
        "pairs": len(values),
        "difference": values.mean() if len(values) else math.nan,
        "low": low,
        "high": high,
        "d_z": values.mean() / sd if sd > 0 else math.nan,
        "p": permutation_p(differences, people, resamples=resamples, seed=seed),
    }
