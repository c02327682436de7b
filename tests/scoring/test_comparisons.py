"""Paired comparisons: hand-computed values, and simulated cohorts in which the truth is known."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import stats

from smgicnet.core.errors import InputError
from smgicnet.scoring.comparisons import RESULT, cohens_d, compare, compare_by_each, holm, merge_sides, read_comparisons
from smgicnet.scoring.resampling import (
    bootstrap_interval,
    by_people,
    permutation_p,
    person_effects,
    resampled,
    smallest_p,
)
from tests.support import ROOT

OURS, OTHER = ("smgicnet", "raw"), ("icnet", "affine")
OPTIONS = {"resamples": 200, "seed": 5}
BY = ["dice", "endpoint_error_mm", "tre_mm"]


def rows(run, values, *, roi="mean", seed=0, metric="dice"):
    """Rows of metrics from {(fixed, moving): value}."""
    common = {"dataset": "ixi", "arm": run[1], "method": run[0], "seed": seed}
    return [
        {**common, "fixed": fixed, "moving": moving, "metric": metric, "roi": roi, "value": value}
        for (fixed, moving), value in values.items()
    ]


def random_rows(run, names, rois, rng):
    pairs = list(itertools.permutations(names, 2))
    return [row for roi in rois for row in rows(run, dict(zip(pairs, rng.uniform(size=len(pairs)))), roi=roi)]


def symmetric(n, values):
    """``(n, n)`` with ``values`` as its unordered pairs, row by row."""
    matrix = np.full((n, n), np.nan)
    matrix[np.triu_indices(n, 1)] = values
    return np.where(np.isnan(matrix), matrix.T, matrix)


def simulate(rng, n, subject_sd, pair_sd):
    """``d_ij = a_i + a_j + e_ij``: two methods that do not differ."""
    subjects = rng.normal(scale=subject_sd, size=n)
    first, second = np.triu_indices(n, 1)
    return symmetric(n, subjects[first] + subjects[second] + rng.normal(scale=pair_sd, size=len(first)))


def twins(sizes, values, between=np.nan):
    """Subjects of people who have ``sizes`` of them: values of the pairs within each, and of those between two."""
    people = np.repeat(np.arange(len(sizes)), sizes)
    first, second = np.triu_indices(len(people), 1)
    every = np.empty(len(first))
    within = people[first] == people[second]
    every[within], every[~within] = values, between
    return symmetric(len(people), every), people


def rates(n, subject_sd, pair_sd, *, cohorts=1000, resamples=1000, seed=1):
    """Coverage of the interval and rejection rate of the test, by subjects and, naively, by pairs."""
    rng = np.random.default_rng(seed)
    flips = rng.choice([-1.0, 1.0], size=(math.comb(n, 2), 500))
    counts = dict.fromkeys(["covered", "rejected", "naively_covered", "naively_rejected"], 0)
    for cohort in range(cohorts):
        differences = simulate(rng, n, subject_sd, pair_sd)
        low, high = bootstrap_interval(differences, resamples=resamples, seed=cohort)
        counts["covered"] += low <= 0 <= high
        counts["rejected"] += permutation_p(differences, resamples=resamples, seed=cohort) <= 0.05
        pairs = differences[np.triu_indices(n, 1)]
        low, high = stats.t.interval(0.95, len(pairs) - 1, pairs.mean(), stats.sem(pairs))
        counts["naively_covered"] += low <= 0 <= high
        counts["naively_rejected"] += np.mean(np.abs(pairs @ flips) >= abs(pairs.sum())) <= 0.05
    return {name: count / cohorts for name, count in counts.items()}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("IXI", {"ICNet w.affine": 0.738, "LapIRN w.affine": -0.055, "ICNet": 2.856, "LapIRN": 1.481, "SyN": 0.363}),
        ("OASIS", {"ICNet w.affine": 1.029, "LapIRN w.affine": 0.247, "ICNet": 3.728, "LapIRN": 2.311, "SyN": 0.468}),
    ],
)
def test_cohens_d_of_the_papers_table_1(dataset, expected):
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    dice = {label: (value["mean"], value["sd"]) for label, value in paper["table1"][dataset]["dice"].items()}
    assert {label: round(cohens_d(*dice["Ours"], *dice[label]), 3) for label in expected} == expected


def test_cohens_d_without_spread_is_not_a_number():
    assert cohens_d(5, 3, 1, 4) == pytest.approx(4 / math.sqrt(12.5))
    assert math.isnan(cohens_d(0.5, 0, 0.4, 0))
    assert math.isnan(cohens_d(0.5, math.nan, 0.4, 0.1))


def test_sides_are_averaged_within_a_pair_and_direction():
    table = pd.DataFrame(
        rows(OURS, {("a", "b"): 0.2, ("b", "a"): 0.6}, roi="Left-Thalamus")
        + rows(OURS, {("a", "b"): 0.7}, roi="3rd-Ventricle")
        + rows(OURS, {("a", "b"): 0.4, ("b", "a"): np.nan}, roi="Right-Thalamus")
        + rows(OURS, {("a", "b"): 0.9}, roi="mean")
        + rows(OURS, {("a", "b"): 36.0}, roi="", metric="rois")
    )
    merged = merge_sides(table)
    assert list(merged) == list(table)
    assert merged[["fixed", "roi"]].to_numpy().tolist() == [
        ["a", "Thalamus"], ["b", "Thalamus"], ["a", "3rd-Ventricle"], ["a", "mean"], ["a", ""],
    ]  # fmt: skip
    assert merged["value"].tolist() == pytest.approx([0.3, 0.6, 0.7, 0.9, 36])


def test_a_pair_is_the_mean_of_its_seeds_and_directions():
    ours = rows(OURS, {("a", "b"): 0.5, ("b", "a"): 0.7, ("a", "c"): 0.9, ("c", "a"): 0.9}, seed=0)
    ours += rows(OURS, {("a", "b"): 0.7, ("b", "a"): 0.9, ("a", "c"): 0.7, ("c", "a"): 0.7}, seed=1)
    ours += rows(OURS, {("b", "c"): 0.9, ("c", "b"): np.nan, ("c", "d"): 0.9}) + rows(OURS, {("a", "d"): np.nan})
    other = rows(OTHER, dict.fromkeys(itertools.permutations("abd", 2), 0.5))
    other += rows(OTHER, {("a", "c"): 0.5, ("c", "a"): 0.7, ("b", "c"): 0.3})
    [row] = compare(pd.DataFrame(ours + other), OURS, [OTHER], **OPTIONS, rois=False).to_dict("records")
    # a-b: 0.7 - 0.5; a-c: 0.8 - 0.6; b-c: 0.9 - 0.3 in one direction; c-d and a-d have no value in one of the methods
    assert (row["arm"], row["method"], row["roi"], row["subjects"], row["pairs"]) == ("affine", "icnet", "mean", 3, 3)
    assert row["difference"] == pytest.approx(1 / 3)
    assert row["d_z"] == pytest.approx((1 / 3) / np.std([0.2, 0.2, 0.6], ddof=1))
    # h of a, b, c: -0.1, 0.3, 0.3; each has two pairs: -0.2 + 0.6 + 0.6 is 1, and 4 of the 8 flips are 1 or 1.4 from 0
    assert row["p"] == row["p_holm"] == 4 / 8


def test_rois_come_in_anatomical_order_and_families_are_corrected_apart():
    rng, names = np.random.default_rng(0), "abcdefg"
    table = pd.DataFrame(
        random_rows(OURS, names, ["CSF", "Thalamus", "my-ROI", "mean"], rng)
        + random_rows(OTHER, names, ["CSF", "Thalamus", "mean"], rng)
        + random_rows(("lapirn", "raw"), names, ["CSF", "Thalamus", "my-ROI", "mean"], rng)
    )
    table.loc[table["method"] == "smgicnet", "value"] += 1  # so that no p is near 1
    result = compare(table, OURS, [OTHER, ("lapirn", "raw")], **OPTIONS)
    assert result["roi"].tolist() == ["mean", "Thalamus", "CSF", "my-ROI"] * 2
    assert result["method"].tolist() == ["icnet"] * 4 + ["lapirn"] * 4
    assert result.loc[3, ["subjects", "pairs"]].tolist() == [0, 0]
    assert result.loc[3, ["difference", "low", "high", "d_z", "p", "p_holm"]].isna().all()
    for family in (result["roi"] == "mean", result["roi"] != "mean"):
        known = result[family].dropna()
        assert known["p_holm"].tolist() == [len(known) * 2 / 2**7] * len(known)


def test_a_row_does_not_depend_on_the_other_rows_and_the_seed_is_all():
    rng, names = np.random.default_rng(1), "abcdefghij"  # 1,024 flips are more than the resamples
    rois, third = ["CSF", "Thalamus", "mean"], ("lapirn", "raw")
    table = pd.DataFrame([row for run in (OURS, third, OTHER) for row in random_rows(run, names, rois, rng)])
    numbers = ["difference", "low", "high", "d_z", "p"]
    full = compare(table, OURS, [third, OTHER], **OPTIONS)
    pd.testing.assert_frame_equal(full, compare(table.sample(frac=1, random_state=2), OURS, [third, OTHER], **OPTIONS))
    alone = compare(table[table["roi"] != "CSF"], OURS, [OTHER], **OPTIONS)
    wanted = full[(full["method"] == OTHER[0]) & (full["roi"] != "CSF")]
    assert alone[numbers].to_numpy().tolist() == wanted[numbers].to_numpy().tolist()
    reseeded = compare(table, OURS, [third, OTHER], resamples=200, seed=6)
    assert (reseeded[["low", "high"]] != full[["low", "high"]]).all(axis=None)
    assert (reseeded["difference"] == full["difference"]).all()


def test_each_metric_is_a_family_of_its_own():
    """By endpoint error the reference is 1 mm nearer in each pair; of the other run no truth is known."""
    rng, names, third = np.random.default_rng(4), "abcdef", ("lapirn", "raw")
    pairs = list(itertools.permutations(names, 2))
    table = [row for run in (OURS, OTHER, third) for row in random_rows(run, names, ["CSF", "mean"], rng)]
    errors = dict(zip(pairs, rng.uniform(size=len(pairs))))
    for run, more in ((OURS, 0.0), (OTHER, 1.0), (third, math.nan)):
        table += rows(run, {pair: error + more for pair, error in errors.items()}, roi="", metric="endpoint_error_mm")
    table = pd.DataFrame(table)
    result = compare_by_each(table, BY, OURS, [OTHER, third], **OPTIONS)
    assert list(result) == RESULT
    dice = result["metric"] == "dice"
    pd.testing.assert_frame_equal(result[dice], compare(table, OURS, [OTHER, third], **OPTIONS))
    [error] = result[~dice].to_dict("records")
    assert (error["metric"], error["method"], error["roi"]) == ("endpoint_error_mm", "icnet", "mean")
    assert (error["difference"], error["low"], error["high"]) == pytest.approx((-1, -1, -1))
    assert error["p"] == error["p_holm"] == smallest_p(6, 200)  # not corrected for those of Dice
    assert set(compare_by_each(table, BY, third, [OURS], **OPTIONS)["metric"]) == {"dice"}


def test_comparisons_are_read_by_metric(tmp_path):
    table = random_rows(OURS, "abc", ["mean"], np.random.default_rng(0))
    table += random_rows(("007", "raw"), "abc", ["mean"], np.random.default_rng(1))
    result = compare_by_each(pd.DataFrame(table), BY, OURS, [("007", "raw")], **OPTIONS)
    pd.concat([result, result.assign(metric="endpoint_error_mm")]).to_csv(tmp_path / "c.csv", index=False)
    pd.testing.assert_frame_equal(read_comparisons(tmp_path / "c.csv", "dice"), result)
    assert read_comparisons(tmp_path / "c.csv", "tre_mm").empty


def test_what_cannot_be_compared_is_an_error():
    table = pd.DataFrame(rows(OURS, {("a", "b"): 0.5}) + rows(OTHER, {("a", "b"): 1.0}, metric="seconds"))
    with pytest.raises(InputError, match="'syn' has no dice in arm 'raw'"):
        compare(table, ("syn", "raw"), [], **OPTIONS)
    with pytest.raises(InputError, match="'icnet' has no dice"):
        compare(table, OURS, [OTHER], **OPTIONS)
    with pytest.raises(InputError, match="more than one dataset"):
        compare(pd.concat([table, table.assign(dataset="oasis")]), OURS, [], **OPTIONS)


def test_holm_by_hand():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, then 1 x 0.04, which may not fall below the one before
    assert holm([0.01, 0.04, math.nan, 0.03, 0.005]) == pytest.approx([0.03, 0.06, math.nan, 0.06, 0.02], nan_ok=True)
    assert holm([0.9, 0.6]).tolist() == [1, 1]
    assert holm([]).size == 0


def test_interval_of_three_subjects_by_hand():
    # a resample holds all three pairs or one of them: the ends are the smallest and the largest pair, expanded by
    # sqrt(3 x 2) / (3 - 2) x t(0.975; 2) / z(0.975) = 2.44949 x 4.302653 / 1.959964
    low, high = bootstrap_interval(symmetric(3, [0.1, 0.2, 0.6]), **OPTIONS)
    assert (low, high) == pytest.approx((0.3 - 0.2 * 5.377322, 0.3 + 0.3 * 5.377322), abs=1e-5)


def test_a_resample_holds_a_pair_as_often_as_its_subjects_were_drawn():
    differences = symmetric(5, np.random.default_rng(3).normal(size=10))
    differences[0, 1] = differences[1, 0] = np.nan
    means = []
    for drawn in itertools.product(range(5), repeat=5):
        pairs = [differences[i, j] for i, j in itertools.combinations(drawn, 2) if i != j]
        if not np.isnan(pairs).all():
            means.append(np.nanmean(pairs))
    mean = np.nanmean(differences[np.triu_indices(5, 1)])
    expansion = math.sqrt(20) / 3 * stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975)
    expected = [mean + expansion * (end - mean) for end in np.quantile(means, [0.025, 0.975])]
    assert bootstrap_interval(differences, resamples=200_000, seed=0) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("n", [5, 6])
def test_exact_p_by_brute_force(n):
    differences = symmetric(n, np.random.default_rng(n).normal(0.4, 1, size=math.comb(n, 2)))
    overall = np.nanmean(differences)
    effects = (n - 1) / (n - 2) * (np.nanmean(differences, axis=1) - overall) + overall / 2  # the Hajek projection
    assert person_effects(*by_people(differences)) == pytest.approx(effects)
    flipped = [abs(np.dot(signs, effects)) for signs in itertools.product([1, -1], repeat=n)]
    expected = np.mean([value >= abs(effects.sum()) - 1e-12 for value in flipped])
    assert 2 / 2**n < expected < 1
    assert permutation_p(differences, resamples=2**n, seed=0) == expected
    sampled = permutation_p(differences, resamples=2**n - 1, seed=0)
    assert sampled == pytest.approx(expected, abs=0.2)
    assert (sampled * 2**n).is_integer()  # (1 + count) / (1 + resamples)


def test_missing_pairs_leave_the_subjects_shares():
    effects = np.array([0.3, -0.1, 0.5, 0.2, 0.0])
    differences = np.add.outer(effects, effects)
    np.fill_diagonal(differences, np.nan)
    for i, j in ((0, 1), (2, 4)):
        differences[i, j] = differences[j, i] = np.nan
    assert person_effects(*by_people(differences)) == pytest.approx(effects, abs=1e-12)
    noisy = differences + symmetric(5, np.random.default_rng(1).normal(size=10))
    known = (~np.isnan(noisy)).sum(axis=1)
    shares = known * person_effects(*by_people(noisy))
    assert shares.sum() == pytest.approx(np.nansum(noisy) / 2)
    flipped = [abs(np.dot(signs, shares)) for signs in itertools.product([1, -1], repeat=5)]
    expected = np.mean(np.array(flipped) >= abs(shares.sum()) - 1e-12)
    assert permutation_p(noisy, resamples=32, seed=0) == expected != smallest_p(5, 32)


def test_interval_of_twins_by_hand():
    # of three pairs 27 samples with replacement, of which 1 in 27 holds the smallest alone and 1 the largest: the ends,
    # expanded by sqrt(3 / 2) x t(0.975; 2) / z(0.975) = 1.2247449 x 4.302653 / 1.959964
    low, high = bootstrap_interval(*twins([2, 2, 2], [0.1, 0.2, 0.6]), resamples=20_000, seed=0)
    assert (low, high) == pytest.approx((0.3 - 0.2 * 2.688661, 0.3 + 0.3 * 2.688661), abs=1e-5)


def test_people_count_as_often_as_they_have_pairs():
    values = np.array([0.1, 0.5, 0.3, 0.2, 0.7])  # of three, of one and of one pair
    means = []
    for drawn in itertools.product([(0, 1, 2), (3,), (4,)], repeat=3):
        means.append(values[[pair for person in drawn for pair in person]].mean())
    expansion = math.sqrt(3 / 2) * stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975)
    ends = np.quantile(means, [0.025, 0.975], method="inverted_cdf")
    expected = [values.mean() + expansion * (end - values.mean()) for end in ends]
    differences, people = twins([3, 2, 2], values)
    assert bootstrap_interval(differences, people, resamples=50_000, seed=0) == pytest.approx(expected, abs=0.01)


def test_pairs_within_and_between_people_are_drawn_as_their_people_are():
    differences, people = twins([2, 1, 3], [0.1, 0.2, 0.3, 0.4], between=np.linspace(0, 1, 11))
    sums, counts = by_people(differences, people)
    assert counts.tolist() == [[2, 2, 6], [2, 0, 3], [6, 3, 6]]
    drawn = np.array([[1, 2, 0], [0, 0, 3], [1, 1, 1]])
    pairs = [(i, j, people[i], people[j]) for i, j in itertools.permutations(range(6), 2)]
    for row, times in enumerate(drawn):
        weights = [times[a] if a == b else times[a] * times[b] for _, _, a, b in pairs]
        assert resampled(counts, drawn)[row] == sum(weights)
        expected = sum(weight * differences[i, j] for weight, (i, j, _, _) in zip(weights, pairs, strict=True))
        assert resampled(sums, drawn)[row] == pytest.approx(expected)
    assert resampled(sums[None], drawn)[:, 0] == pytest.approx(resampled(sums, drawn))


def test_exact_p_of_twins_by_brute_force():
    values = np.array([0.1, 0.5, -0.1, -0.2, 0.4, 0.3])
    sums = [values[:3].sum(), *values[3:]]
    flipped = [abs(np.dot(signs, sums)) for signs in itertools.product([1, -1], repeat=4)]
    expected = np.mean(np.array(flipped) >= abs(values.sum()) - 1e-12)
    assert permutation_p(*twins([3, 2, 2, 2], values), resamples=2**4, seed=0) == expected > smallest_p(4, 16)
    one_sided = twins([2] * 4, [0.1, 0.2, 0.3, 0.4])
    assert permutation_p(*one_sided, resamples=2**8, seed=0) == smallest_p(4, 2**8) == 2 / 2**4


def test_a_missing_pair_makes_no_further_people():
    differences, people = twins([3] * 4, 0.1 + 0.01 * np.arange(12))
    differences[0, 1] = differences[1, 0] = np.nan
    assert permutation_p(differences, people, resamples=2**12, seed=0) == smallest_p(4, 2**12)


def test_two_pairs_of_twins_have_no_interval_and_no_p():
    differences, people = twins([2, 2], [0.1, 0.2])
    numbers = [*bootstrap_interval(differences, people, **OPTIONS), permutation_p(differences, people, **OPTIONS)]
    assert np.isnan(numbers).all()


@pytest.mark.parametrize(("people", "each", "between"), [(12, 2, False), (8, 3, False), (8, 2, True)])
def test_interval_and_test_hold_what_they_promise_of_twins(people, each, between):
    rng, covered, rejected = np.random.default_rng(2), 0, 0
    numbers = np.repeat(np.arange(people), each)
    first, second = np.triu_indices(people * each, 1)
    kept = between | (numbers[first] == numbers[second])
    for cohort in range(1000):
        effects = rng.normal(size=people)[numbers]
        values = np.where(kept, effects[first] + effects[second] + rng.normal(scale=0.5, size=len(first)), np.nan)
        differences = symmetric(people * each, values)
        low, high = bootstrap_interval(differences, numbers, resamples=500, seed=cohort)
        covered += low <= 0 <= high
        rejected += permutation_p(differences, numbers, resamples=500, seed=cohort) <= 0.05
    print(covered, rejected)
    assert 930 <= covered <= 980
    assert 25 <= rejected <= 70


def test_a_comparison_takes_twins_as_one_person():
    pairs = {("a1", "a2"): 0.3, ("b1", "b2"): 0.4, ("c1", "c2"): 0.2, ("d1", "d2"): 0.1}
    metrics = pd.DataFrame(rows(OURS, pairs) + rows(OTHER, dict.fromkeys(pairs, 0.0)))
    options = {"resamples": 2**8, "seed": 0}
    [alone] = compare(metrics, OURS, [OTHER], **options).to_dict("records")
    people = {name: name[0] for pair in pairs for name in pair}
    [one] = compare(metrics, OURS, [OTHER], people=people, **options).to_dict("records")
    assert one["p"] == 2 / 2**4 > alone["p"]
    assert one["low"] > alone["low"]
    assert (one["subjects"], one["pairs"]) == (8, 4)


def test_one_direction_for_all_subjects_is_the_smallest_p():
    differences = symmetric(6, np.linspace(0.1, 0.2, 15))
    assert permutation_p(differences, resamples=64, seed=0) == smallest_p(6, 64) == 2 / 64
    differences = symmetric(20, np.linspace(0.1, 0.2, 190))
    assert permutation_p(differences, resamples=999, seed=0) == smallest_p(20, 999) == 1 / 1000
    assert permutation_p(-differences, resamples=999, seed=0) == 1 / 1000
    assert permutation_p(0 * differences, resamples=999, seed=0) == 1


@pytest.mark.parametrize("n", range(7))
def test_few_subjects_give_numbers_or_nan_without_warnings(n):
    differences = symmetric(n, np.linspace(0, 0.3, math.comb(n, 2)))
    numbers = [*bootstrap_interval(differences, **OPTIONS), permutation_p(differences, **OPTIONS)]
    assert np.isfinite(numbers).tolist() == [n >= 3] * 3
    if n >= 3:
        assert numbers[0] < differences[0, 1:].mean() < numbers[1]


def test_interval_and_test_hold_what_they_promise_where_pairs_share_subjects():
    found = rates(30, 1, 1)
    print(found)
    assert 0.93 <= found["covered"] <= 0.97, found
    assert found["naively_covered"] < 0.8, found
    assert 0.03 <= found["rejected"] <= 0.07, found
    assert found["naively_rejected"] > 0.5, found
