"""Metrics of runs with known means, to be ranked."""

import itertools

import numpy as np
import pandas as pd

RUNS = [("best", "raw"), ("good", "raw"), ("bad", "raw")]


def rows(quality, people=8, noise=0.01, dataset="d", metric="dice", seed=0):
    """Metrics of runs whose pairs have these means, with a part that all runs share."""
    random = np.random.default_rng(seed)
    pairs = list(itertools.permutations([f"s{k}" for k in range(people)], 2))
    shared = random.normal(0, 0.05, len(pairs))
    return pd.DataFrame(
        [
            [dataset, arm, method, 0, fixed, moving, metric, "mean" if metric == "dice" else "", value]
            for method, arm in quality
            for (fixed, moving), value in zip(
                pairs, quality[method, arm] + shared + random.normal(0, noise, len(pairs)), strict=True
            )
        ],
        columns=["dataset", "arm", "method", "seed", "fixed", "moving", "metric", "roi", "value"],
    )
