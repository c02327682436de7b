"""Ranks of methods over datasets and metrics: by what is significantly better, and how sure each place is.

Learn2Reg (Hering et al. 2023) gives a method, in each case of a dataset and a metric, a score from 0.1 to 1 by how many
others it is significantly better than, and takes the geometric mean over cases. So it is here, where a difference is
significant if its interval over people excludes 0 (`smgicnet.scoring.resampling.bootstrap_interval`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from smgicnet.core.errors import InputError
from smgicnet.scoring.metrics import METRICS
from smgicnet.scoring.resampling import (
    EACH,
    TAIL,
    bootstrap_interval,
    both_directions,
    by_people,
    draws,
    expansion,
    person_numbers,
    resampled,
)
from smgicnet.scoring.rows import NO_RESULT, OVER_ROIS

A_HAIR = 1e-6  # by which no result is worse than the worst one
LOWEST = 0.1  # the score of a method that is significantly better than no other
Run = tuple[str, str]
Case = tuple[str, str]


@dataclass(frozen=True)
class Ranking:
    """The places of runs among each other.

    ``cases``: (dataset, metric). ``wins (runs, runs)``: in how many cases the one of a row is significantly better than
    that of a column. ``scores``: geometric means over cases. ``places``: by scores, of which alike ones share the
    better. ``by_means``: places by the mean over cases of the rank of each mean. ``low``, ``high``: the 95 % interval
    of ``by_means``, from a bootstrap over people; all places where a dataset has fewer than three people.
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


def rank(
    metrics: DataFrame,
    runs: Sequence[Run],
    by: Sequence[str],
    *,
    people: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    resamples: int,
    seed: int,
) -> Ranking:
    """Rank ``runs`` by the metrics ``by``, in each dataset that has them.

    Parameters
    ----------
    metrics : of any number of datasets, with the columns of `smgicnet.scoring.statistics.COLUMNS`
    people : by dataset, the person of each subject that is not a person by itself, as a twin is not
    resamples, seed : of the bootstraps over people

    A pair's value is the mean of its seeds and directions. A pair that a run has not, since it left no result there,
    counts as a hair worse than the worst that any run has on it; so do all pairs of a run that left no result at all.
    A run that has results and not this metric is not ranked in that case.
    """
    failed = {name: _without_any_result(rows) for name, rows in metrics.groupby("dataset")}
    subjects = {name: sorted({*rows["fixed"], *rows["moving"]}) for name, rows in metrics.groupby("dataset")}
    persons = {name: person_numbers(found, people.get(name, EACH)) for name, found in subjects.items()}
    values = _values(metrics, runs, by, subjects, failed)
    wins = np.zeros((len(runs), len(runs)), dtype=int)
    logs = []
    for (dataset, _), matrices in values.items():
        beats = _beats(matrices, persons[dataset], [run in failed[dataset] for run in runs], resamples, seed)
        wins += beats
        present = ~np.isnan(matrices).all(axis=(1, 2))
        others = max(present.sum() - 1, 1)
        score = LOWEST + (1 - LOWEST) * beats.sum(axis=1) / others
        logs.append(np.where(present, np.log(score), np.nan))
    known = ~np.isnan(logs)
    scores = np.where(
        known.any(axis=0), np.exp(np.where(known, logs, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)), LOWEST
    )
    by_means, low, high = _places_by_means(values, persons, resamples, seed)
    return Ranking(tuple(runs), tuple(values), wins, scores, _places(-scores), by_means, low, high)


def _values(
    metrics: DataFrame,
    runs: Sequence[Run],
    by: Sequence[str],
    subjects: Mapping[str, Sequence[str]],
    failed: Mapping[str, set[Run]],
) -> dict[Case, np.ndarray]:
    """Return ``(runs, subjects, subjects)`` of each case, larger is better; what is missing is the worst of its pair.

    Subjects are those of the dataset, of whom some may have no pair in a case. Raises `InputError` without any case.
    """
    chosen = metrics[metrics["metric"].isin(by) & metrics["roi"].isin([OVER_ROIS, ""])]
    found = {}
    for (dataset, metric), rows in chosen.groupby(["dataset", "metric"], sort=False):
        ordered = _ordered(rows, runs, subjects[dataset])
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


def _ordered(rows: DataFrame, runs: Sequence[Run], subjects: Sequence[str]) -> np.ndarray:
    """Return a metric by run, fixed and moving, ``(runs, subjects, subjects)``, the mean over seeds, or NaN."""
    places = {name: place for place, name in enumerate(subjects)}
    numbers = {run: number for number, run in enumerate(runs)}
    found = np.full((len(runs), len(subjects), len(subjects)), np.nan)
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


def _beats(matrices: np.ndarray, people: np.ndarray, failed: Sequence[bool], resamples: int, seed: int) -> np.ndarray:
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
            paired = ~np.isnan(difference).all(axis=1)  # subjects that have a pair
            members = person_numbers(people[paired], EACH)
            low, high = bootstrap_interval(difference[np.ix_(paired, paired)], members, resamples=resamples, seed=seed)
            beats[one, other], beats[other, one] = low > 0, high < 0
    return beats


def _places_by_means(
    values: Mapping[Case, np.ndarray], people: Mapping[str, np.ndarray], resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return places by the mean over cases of the rank of each mean, and the ends of their 95 % intervals.

    A resample draws people, the same in all cases of a dataset. Its means are moved away from the observed ones as the
    ends of `bootstrap_interval` are, so that the places of a few people are as uncertain as their means.
    """
    streams = {dataset: (seed, number) for number, dataset in enumerate(dict.fromkeys(name for name, _ in values))}
    observed, ranks, widest = [], [], 0.0
    for (dataset, _), matrices in values.items():
        sums, counts = by_people(matrices, people[dataset])
        means = _ratio(sums.sum(axis=(1, 2)), counts.sum(axis=(1, 2)))
        observed.append(_ranks(means[None]))
        wider = expansion(counts.max(axis=0))
        widest = max(widest, wider)
        drawn = draws(counts.shape[-1], resamples, streams[dataset])
        drawn_means = _ratio(resampled(sums, drawn), resampled(counts, drawn))
        ranks.append(_ranks(means + wider * (drawn_means - means) if np.isfinite(wider) else drawn_means))
    by_means = _places_of(observed)[0]
    if np.isinf(widest):
        return by_means, np.ones_like(by_means), np.full_like(by_means, len(by_means))
    low, high = np.quantile(_places_of(ranks), [TAIL, 1 - TAIL], axis=0, method="inverted_cdf")
    return by_means, low, high


def _ratio(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)


def _ranks(means: np.ndarray) -> np.ndarray:
    """Return ranks of ``(resamples, runs)``, 1 for the largest; alike ones share their mean."""
    return DataFrame(np.round(means, 12)).rank(axis=1, ascending=False).to_numpy()


def _places_of(ranks: Sequence[np.ndarray]) -> np.ndarray:
    """Return places ``(resamples, runs)`` by the mean over cases of the ``ranks`` in each.

    A resample without any pair, of one person alone, is left out.
    """
    cases = ~np.isnan(ranks)
    counts = cases.sum(axis=0)
    mean_ranks = _ratio(np.where(cases, ranks, 0).sum(axis=0), counts)
    mean_ranks[np.isnan(mean_ranks)] = np.inf  # without a case, the last
    return np.stack([_places(one) for one in mean_ranks[(counts > 0).any(axis=1)]])


def _places(values: np.ndarray) -> np.ndarray:
    """Return places, 1 for the smallest value; alike ones share the better place."""
    return pd.Series(np.round(values, 9)).rank(method="min").to_numpy().astype(int)
