"""Intervals and tests of means over pairs of subjects, by resampling people.

The pairs are not independent: each of n subjects is in n - 1 of the n(n - 1)/2 pairs (29 of 435 for n = 30), and a
subject that suits one method moves all of them. With ``d_ij = mu + a_i + a_j + e_ij`` the mean of all pairs varies as
``4 var(a) / n``, with the number of subjects (Hoeffding 1948). What resamples, flips or counts pairs as independent
finds differences where there are none. Interval and test here resample and flip whole people: all subjects of a person
together, where several are of one, as twins are that were made of one anatomy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd
from pandas import Series
from scipy import stats

TAIL = 0.025  # of the 95 % interval, on either side
EACH: Mapping[str, str] = MappingProxyType({})  # no subject is of another person than itself


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
