"""Ranks of methods over datasets and metrics: by what is significantly better, and how sure each place is.

Learn2Reg (Hering et al. 2023) gives a method, in each case of a dataset and a metric, a score from 0.1 to 1 by how many
others it is significantly better than, and takes the geometric mean over cases. So it is here, where a difference is
significant if its interval over people excludes 0 (`smgicnet.scoring.comparisons.bootstrap_interval`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from smgicnet.core.errors import InputError
from smgicnet.scoring.comparisons import bootstrap_interval, both_directions, pair_draws
from smgicnet.scoring.metrics import METRICS
from smgicnet.scoring.rows import NO_RESULT, OVER_ROIS

A_HAIR = 1e-6  # by which no result is worse than the worst one
LOWEST = 0.1  # the score of a method that is significantly better than no other
TAIL = 0.025  # of the 95 % interval of places, on either side
Run = tuple[str, str]
Case = tuple[str, str]


@dataclass(frozen=True)
class Ranking:
    """The places of runs among each other.

    ``cases``: (dataset, metric). ``wins (runs, runs)``: in how many cases the one of a row is significantly better than
    that of a column. ``scores``: geometric means over cases. ``places``: by scores, of which alike ones share the
    better. ``by_means``: places by the mean over cases of the rank of each mean. ``low``, ``high``: the 95 % interval
    of ``by_means``, from a bootstrap over people.
    """

    runs: tuple[Run, ...]
    cases: tuple[Case, ...]
    wins: np.ndarray
    scores: np.ndarray
    places: np.ndarray
    by_means: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def to_data(self) -> dict[str, list[Any]]:
        """Return all of it as JSON has it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: value.tolist() if isinstance(value, np.ndarray) else list(value) for key, value in values.items()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Ranking:
        """Return the ranking of which `to_data` has given ``data``."""
        runs, cases = (tuple((first, second) for first, second in data[key]) for key in ("runs", "cases"))
        return cls(runs, cases, **{key: np.array(data[key]) for key in data.keys() - {"runs", "cases"}})


def rank(metrics: DataFrame, runs: Sequence[Run], by: Sequence[str], *, resamples: int, seed: int) -> Ranking:
    """Rank ``runs`` by the metrics ``by``, in each dataset that has them.

    Parameters
    ----------
    metrics : of any number of datasets, with the columns of `smgicnet.scoring.statistics.COLUMNS`
    resamples, seed : of the bootstraps over people

    A pair's value is the mean of its seeds and directions. A pair that a run has not, since it left no result there,
    counts as a hair worse than the worst that any run has on it; so do all pairs of a run that left no result at all.
    A run that has results and not this metric is not ranked in that case.
    """
    failed = {name: _without_any_result(rows) for name, rows in metrics.groupby("dataset")}
    values = _values(metrics, runs, by, failed)
    wins = np.zeros((len(runs), len(runs)), dtype=int)
    logs = []
    for (dataset, _), matrices in values.items():
        beats = _beats(matrices, [run in failed[dataset] for run in runs], resamples, seed)
        wins += beats
        present = ~np.isnan(matrices).all(axis=(1, 2))
        others = max(present.sum() - 1, 1)
        score = LOWEST + (1 - LOWEST) * beats.sum(axis=1) / others
        logs.append(np.where(present, np.log(score), np.nan))
    known = ~np.isnan(logs)
    scores = np.where(
        known.any(axis=0), np.exp(np.where(known, logs, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)), LOWEST
    )
    places = _places_by_means(values, _drawn(values, resamples, seed))
    low, high = np.quantile(places, [TAIL, 1 - TAIL], axis=0, method="inverted_cdf")
    by_means = _places_by_means(values, {dataset: np.ones((1, m.shape[1])) for (dataset, _), m in values.items()})[0]
    return Ranking(tuple(runs), tuple(values), wins, scores, _places(-scores), by_means, low, high)


def _values(
    metrics: DataFrame, runs: Sequence[Run], by: Sequence[str], failed: Mapping[str, set[Run]]
) -> dict[Case, np.ndarray]:
    """Return ``(runs, people, people)`` of each case, larger is better; what is missing is the worst of its pair.

    People are those of the dataset, of whom some may have no pair in a case. Raises `InputError` without any case.
    """
    chosen = metrics[metrics["metric"].isin(by) & metrics["roi"].isin([OVER_ROIS, ""])]
    people = {name: sorted({*rows["fixed"], *rows["moving"]}) for name, rows in metrics.groupby("dataset")}
    found = {}
    for (dataset, metric), rows in chosen.groupby(["dataset", "metric"], sort=False):
        ordered = _ordered(rows, runs, people[dataset])
        ordered = ordered if METRICS[metric].better == "higher" else -ordered
        present = ~np.isnan(ordered).all(axis=(1, 2)) | np.array([run in failed[dataset] for run in runs])
        if present.sum() > 1:
            worst = np.fmin.reduce(ordered) - A_HAIR  # in each direction of each pair
            filled = np.where(np.isnan(ordered) & present[:, None, None], worst, ordered)
            found[dataset, metric] = both_directions(filled)
    if not found:
        problem = f"no two methods have one of {list(by)}"
        raise InputError("evaluation.rank_by", problem, "Name a metric that they have, or run more methods")
    return found


def _ordered(rows: DataFrame, runs: Sequence[Run], people: Sequence[str]) -> np.ndarray:
    """Return a metric by run, fixed and moving, ``(runs, people, people)``, the mean over seeds, or NaN."""
    places = {name: place for place, name in enumerate(people)}
    numbers = {run: number for number, run in enumerate(runs)}
    found = np.full((len(runs), len(people), len(people)), np.nan)
    for (method, arm, fixed, moving), value in (
        rows.groupby(["method", "arm", "fixed", "moving"])["value"].mean().items()
    ):
        if (method, arm) in numbers:
            found[numbers[method, arm], places[fixed], places[moving]] = value
    return found


def _without_any_result(metrics: DataFrame) -> set[Run]:
    """Return the runs of a dataset of which all that is known is that they failed."""
    kinds = metrics.groupby(["method", "arm"])["metric"].agg(set)
    return {run for run, found in kinds.items() if found == {NO_RESULT}}


def _beats(matrices: np.ndarray, failed: Sequence[bool], resamples: int, seed: int) -> np.ndarray:
    """Return ``(runs, runs)``: 1 where the run of a row is significantly better than that of a column.

    Whoever has a result is better than one of ``failed``, which has none at all.
    """
    beats = np.zeros((len(matrices), len(matrices)), dtype=int)
    present = np.flatnonzero(~np.isnan(matrices).all(axis=(1, 2)))
    for number, one in enumerate(present):
        for other in present[:number]:
            if failed[one] or failed[other]:
                beats[one, other], beats[other, one] = not failed[one], not failed[other]
                continue
            difference = matrices[one] - matrices[other]
            paired = ~np.isnan(difference).all(axis=1)  # people who have a pair
            low, high = bootstrap_interval(difference[np.ix_(paired, paired)], resamples=resamples, seed=seed)
            beats[one, other], beats[other, one] = low > 0, high < 0
    return beats


def _drawn(values: Mapping[Case, np.ndarray], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Return the `pair_draws` of each dataset's people, ``(resamples, people)``, the same for all its cases."""
    known: dict[str, np.ndarray] = {}
    for (dataset, _), matrices in values.items():
        known[dataset] = known.get(dataset, False) | ~np.isnan(matrices).all(axis=0)
    return {
        dataset: pair_draws(pairs, resamples=resamples, seed=(seed, number))
        for number, (dataset, pairs) in enumerate(known.items())
    }


def _places_by_means(values: Mapping[Case, np.ndarray], drawn: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return places ``(resamples, runs)`` by the mean over cases of the rank of each mean, of people drawn so often.

    A resample without any pair, of one person alone, is left out.
    """
    ranks = []
    for (dataset, _), matrices in values.items():
        known, times = ~np.isnan(matrices), drawn[dataset]
        totals = np.einsum("ri,mij,rj->rm", times, np.where(known, matrices, 0), times, optimize=True)
        counts = np.einsum("ri,mij,rj->rm", times, known.astype(float), times, optimize=True)
        means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
        ranks.append(DataFrame(means).rank(axis=1, ascending=False).to_numpy())  # alike ones share their mean
    cases = ~np.isnan(ranks)
    counts = cases.sum(axis=0)
    sums = np.where(cases, ranks, 0).sum(axis=0)
    mean_ranks = np.divide(sums, counts, out=np.full_like(sums, np.inf), where=counts > 0)  # without a case, the last
    return np.stack([_places(one) for one in mean_ranks[(counts > 0).any(axis=1)]])


def _places(values: np.ndarray) -> np.ndarray:
    """Return places, 1 for the smallest value; alike ones share the better place."""
    return pd.Series(np.round(values, 9)).rank(method="min").to_numpy().astype(int)
