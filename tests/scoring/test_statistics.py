"""Means and standard deviations over pairs, by hand."""

import io
import math

import numpy as np
import pandas as pd
import pytest

from smgicnet.core.errors import InputError
from smgicnet.scoring.statistics import cohort_size, pair_mean, pair_means, summarise


def metric_rows(values, *, seed=0, metric="dice", roi="mean", method="syn"):
    common = {"dataset": "ixi", "arm": "raw", "method": method, "metric": metric, "roi": roi}
    return [
        {**common, "seed": seed, "fixed": fixed, "moving": moving, "value": value}
        for (fixed, moving), value in values.items()
    ]


def test_summary_is_mean_and_sample_sd_over_ordered_pairs():
    rows = metric_rows({("a", "b"): 0.2, ("b", "a"): 0.4, ("a", "c"): 0.9}) + metric_rows({("a", "b"): 7.0}, roi="CSF")
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert row["mean"] == pytest.approx(0.5)
    assert row["sd"] == pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2))
    assert row["n"] == 3
    assert row["lowest"] == 0.2


def test_a_pair_is_averaged_over_seeds_before_the_sd():
    rows = metric_rows({("a", "b"): 0.0, ("b", "a"): 1.0}, seed=0) + metric_rows(
        {("a", "b"): 1.0, ("b", "a"): 2.0}, seed=1
    )
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert (row["mean"], row["sd"], row["n"]) == (pytest.approx(1), pytest.approx(math.sqrt(0.5)), 2)


def test_empty_roi_survives_a_csv_and_nan_is_left_out():
    rows = metric_rows({("a", "b"): 1.0, ("b", "a"): np.nan}, metric="seconds", roi="")
    frame = pd.read_csv(io.StringIO(pd.DataFrame(rows).to_csv(index=False)))
    [row] = summarise(frame).to_dict("records")
    assert (row["mean"], row["n"]) == (1, 1)
    assert math.isnan(row["sd"])


def test_arms_methods_and_metrics_are_kept_apart():
    rows = metric_rows({("a", "b"): 1.0}) + metric_rows({("a", "b"): 2.0}, method="icnet")
    rows += [*metric_rows({("a", "b"): 3.0}, metric="hd95_mm"), {**rows[0], "arm": "affine", "value": 4.0}]
    summary = summarise(pd.DataFrame(rows))
    assert summary[["arm", "method", "metric", "mean"]].to_numpy().tolist() == [
        ["affine", "syn", "dice", 4.0],
        ["raw", "icnet", "dice", 2.0],
        ["raw", "syn", "dice", 1.0],
        ["raw", "syn", "hd95_mm", 3.0],
    ]


def test_one_metric_of_one_run_by_pairs():
    rows = metric_rows({("a", "b"): 1.0, ("b", "a"): 2.0}) + metric_rows({("a", "b"): 3.0}, seed=1)
    rows += [*metric_rows({("a", "b"): 7.0}, metric="hd95_mm"), *metric_rows({("a", "b"): 8.0}, method="icnet")]
    rows += [{**rows[0], "arm": "affine", "value": 9.0}, *metric_rows({("a", "b"): 6.0}, roi="CSF")]
    rows += metric_rows({("b", "c"): np.nan})
    metrics = pd.DataFrame(rows)
    assert pair_means(metrics, "dice", ("syn", "raw")).to_dict() == {("a", "b"): 2.0, ("b", "a"): 2.0}
    assert pair_means(metrics, "hd95_mm", ("syn", "raw")).to_dict() == {("a", "b"): 7.0}
    assert pair_mean(metrics, "hd95_mm", "a", "b") == 7
    assert pair_mean(metrics[metrics["method"] == "syn"], "dice", "b", "a") == 2
    assert math.isnan(pair_mean(metrics, "dice", "c", "a"))


def test_a_missing_column_is_named():
    with pytest.raises(InputError, match="seed"):
        summarise(pd.DataFrame(metric_rows({("a", "b"): 1.0})).drop(columns="seed"))


def test_cohort_size_counts_subjects_people_and_pairs():
    pairs = pd.DataFrame([("a1", "a2"), ("a2", "a1"), ("b", "a1"), ("a1", "b")], columns=["fixed", "moving"])
    assert cohort_size(pairs) == {"subjects": 3, "people": 3, "pairs": 2}
    assert cohort_size(pairs, {"a1": "a", "a2": "a"}) == {"subjects": 3, "people": 2, "pairs": 2}
