"""Two methods on the same pairs of subjects: effect size, interval and test of the difference of a metric.

The pairs are not independent: each of n subjects is in n - 1 of the n(n - 1)/2 pairs (29 of 435 for n = 30), and a
subject that suits one method moves all of them. With ``d_ij = mu + a_i + a_j + e_ij`` the mean of all pairs varies as
``4 var(a) / n``, with the number of subjects (Hoeffding 1948). What resamples, flips or counts pairs as independent
finds differences where there are none. Interval and test here resample and flip whole people: all subjects of a person
together, where several are of one, as twins are that were made of one anatomy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from pandas import DataFrame, Series
from scipy import stats

from smgicnet.core.errors import InputError
from smgicnet.preparation.label_protocols import roi_names
from smgicnet.scoring.rows import OVER_ROIS
from smgicnet.scoring.statistics import COLUMNS, runs

SIDE = "^(Left|Right)-"
TAIL = 0.025  # of the 95 % interval, on either side
EACH: Mapping[str, str] = MappingProxyType({})  # no subject is of another person than itself
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


@lru_cache(maxsize=4)
def draws(n: int, resamples: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Return ``(resamples, n)``: how often each of n people is drawn in each resample."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(float)


@lru_cache(maxsize=4)
def _signs(n: int, resamples: int, seed: int) -> tuple[np.ndarray, int]:
    """Flips of n people, ``(flips, n)`` of +-1, and how many to count besides them.

    All ``2^n`` where those are no more than ``resamples``; else random ones, to which the observed one is added.
    """
    if 2**n <= resamples:
        return 1.0 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1), 0
    return 1.0 - 2 * np.random.default_rng((seed, 1)).integers(0, 2, size=(resamples, n)), 1


def smallest_p(n: int, resamples: int) -> float:
    """Return the smallest p that `permutation_p` can give for n people."""
    return 2 / 2**n if 2**n <= resamples else 1 / (1 + resamples)


def pair_values(differences: np.ndarray) -> np.ndarray:
    """Return the known unordered pairs of a symmetric ``(n, n)`` matrix, as a vector."""
    values = differences[np.triu_indices(len(differences), 1)]
    return values[~np.isnan(values)]


def by_people(values: np.ndarray, people: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and counts of pairs, between people and within each, both ``(..., m, m)``.

    Parameters
    ----------
    values : symmetric ``(..., n, n)`` by subjects, NaN where there is no value
    people : ``(n,)``, the number from 0 to m - 1 of each subject's person; by default each subject is a person

    An unordered pair stands in two places, or twice on the diagonal.
    """
    known, members = ~np.isnan(values), np.eye(values.shape[-1])
    if people is not None:
        members = np.eye(int(people.max(initial=-1)) + 1)[people]
    return members.T @ np.where(known, values, 0) @ members, members.T @ known @ members


def resampled(totals: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Return the sum over pairs, ``(resamples, ...)``, of ``totals (..., m, m)`` in each resample.

    ``drawn (resamples, m)``: how often each person is. A pair of two people counts as often as both together, a pair
    within one as often as the person.
    """
    within = np.diagonal(totals, axis1=-2, axis2=-1)
    between = totals * (1 - np.eye(totals.shape[-1]))
    return np.einsum("ri,...ij,rj->r...", drawn, between, drawn, optimize=True) + np.tensordot(drawn, within, (1, -1))


def expansion(counts: np.ndarray) -> float:
    """Return by how much the ends of an interval are moved away from the mean, as `bootstrap_interval` says.

    ``counts (m, m)``: pairs by people. Infinite for m < 3.
    """
    n = len(counts)
    if n < 3:
        return math.inf
    between = counts.sum() > np.trace(counts)
    factor = (n - 1) / (n - 2) if between else 1
    return float(math.sqrt(n / (n - 1)) * factor * stats.t.ppf(TAIL, n - 1) / stats.norm.ppf(TAIL))


def bootstrap_interval(
    differences: np.ndarray, people: np.ndarray | None = None, *, resamples: int, seed: int
) -> tuple[float, float]:
    """Return the 95 % interval of the mean over pairs, from a bootstrap over people.

    Parameters
    ----------
    differences : symmetric ``(n, n)``, NaN on the diagonal and for pairs without a value; every subject has a pair
    people : ``(n,)`` as in `by_people`

    A resample draws the n people with replacement and holds pair (i, j), i != j, ``w_i w_j`` times, where w counts the
    draws: the pigeonhole bootstrap (Owen 2007), valid for such dyadic data (Davezies, D'Haultfoeuille and Guyonvarch
    2021). Its percentile interval is too short for few people. It is expanded as Hesterberg (2015) derives it for a
    mean, by ``sqrt(n / (n - 1)) t_{n-1} / z``, times ``(n - 1) / (n - 2)``: a person drawn twice makes no pair with
    itself, which shrinks the spread by just that. The ends are moved and not the percentiles, since the most extreme
    resamples of three to five people do not reach far enough. A pair of two subjects of one person, such as twins, is
    held ``w_i`` times; where there are no others, nothing shrinks, and the last factor is 1.

    Coverage is 95 % where people differ; where only the pairs' own noise is left it is higher, as no bootstrap is
    exact for both (McCullagh 2000). NaN for fewer than three people.
    """
    sums, counts = by_people(differences, people)
    if len(counts) < 3:
        return math.nan, math.nan
    drawn = draws(len(counts), resamples, seed)
    weights, totals = resampled(counts, drawn), resampled(sums, drawn)
    usable = weights > 0  # the same person n times makes no pair
    ends = np.quantile(totals[usable] / weights[usable], [TAIL, 1 - TAIL])
    mean = pair_values(differences).mean()
    low, high = mean + expansion(counts) * (ends - mean)
    return float(low), float(high)


def person_effects(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return ``h (m,)``: each person's share in the differences, by least squares of d_ij ~ h_i + h_j over pairs.

    ``sums``, ``counts``: of `by_people`. With all pairs of n people it is the Hajek projection ``h_i = (n - 1) /
    (n - 2) (b_i - m) + m / 2`` (b_i: mean of person i's pairs; m: of all). Without some it is the fit to those there
    are, in which person i has ``n_i`` places. In both cases ``sum_i n_i h_i`` is the sum over pairs.
    """
    return np.linalg.lstsq(np.diag(counts.sum(axis=1)) + counts, sums.sum(axis=1), rcond=None)[0]


def permutation_p(differences: np.ndarray, people: np.ndarray | None = None, *, resamples: int, seed: int) -> float:
    """Return the two-sided p of no difference between two methods; parameters as in `bootstrap_interval`.

    With no difference, the names of the two methods can be swapped for any person: that flips its h_i in
    `person_effects`. The statistic is ``sum_i n_i h_i``, the sum over pairs. Exact where all ``2^n`` flips are no more
    than ``resamples``, else ``(1 + count) / (1 + resamples)`` of random ones. To flip pairs independently would be
    anti-conservative, since pairs share people. NaN for fewer than three people.
    """
    sums, counts = by_people(differences, people)
    n = len(counts)
    if n < 3:
        return math.nan
    shares = counts.sum(axis=1) * person_effects(sums, counts)
    signs, observed = _signs(n, resamples, seed)
    as_extreme = np.abs(signs @ shares) >= abs(shares.sum()) * (1 - 1e-9)  # rounding must not undo a tie
    return float((observed + as_extreme.sum()) / (observed + len(signs)))


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


def pair_matrix(paired: Series, people: Mapping[str, str] = EACH) -> tuple[np.ndarray, np.ndarray]:
    """Return values by fixed and moving as a symmetric ``(n, n)`` matrix over the subjects that occur, sorted, and the
    numbers of their ``people``, ``(n,)``.
    """
    ends = [paired.index.get_level_values(level) for level in ("fixed", "moving")]
    codes, names = pd.factorize(np.concatenate(ends), sort=True)
    ordered = np.full((len(names), len(names)), np.nan)
    ordered[tuple(codes.reshape(2, -1))] = paired
    return both_directions(ordered), person_numbers(names, people)


def person_numbers(subjects: Iterable[str], people: Mapping[str, str]) -> np.ndarray:
    """Return the number of each subject's person, from 0; ``people`` as in `compare`."""
    return pd.factorize(np.array([people.get(name, name) for name in subjects], dtype=object))[0]


def both_directions(ordered: np.ndarray) -> np.ndarray:
    """Return the mean of both directions of each pair, or the one there is, of matrices ``(..., n, n)``; else NaN."""
    both = np.stack([ordered, ordered.swapaxes(-1, -2)])
    known = ~np.isnan(both)
    count = known.sum(axis=0)
    sums = np.where(known, both, 0).sum(axis=0)
    return np.divide(sums, count, out=np.full_like(sums, np.nan), where=count > 0)


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
