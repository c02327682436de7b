"""Ranks over datasets and metrics: who wins, what a missing pair counts, and how sure a place is."""

import numpy as np
import pandas as pd
import pytest

from smgicnet.core.errors import InputError
from smgicnet.scoring.ranking import rank
from tests.support.rankings import RUNS, rows


def ranked(metrics, runs=RUNS, by=("dice", "hd95_mm"), **changes):
    return rank(metrics, runs, by, **{"resamples": 500, "seed": 1, **changes})


def test_what_is_clearly_better_wins_and_scores_by_how_many_it_beats():
    found = ranked(rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True))))
    assert found.wins.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert found.scores == pytest.approx([1, 0.55, 0.1])
    assert found.places.tolist() == [1, 2, 3]
    assert found.by_means.tolist() == [1, 2, 3]
    assert found.low.tolist() == found.high.tolist() == [1, 2, 3]


def test_alike_ones_share_a_place_and_their_interval_is_wide():
    found = ranked(rows({RUNS[0]: 0.7, RUNS[1]: 0.7, RUNS[2]: 0.5}, noise=0.05))
    assert found.wins.tolist() == [[0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert found.places.tolist() == [1, 1, 3]
    assert (found.low[:2] == 1).all()
    assert (found.high[:2] == 2).all()


def test_a_metric_of_which_less_is_better_and_several_datasets_count_alike():
    good_in_dice = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)))
    bad_in_mm = rows(dict(zip(RUNS, (9.0, 5.0, 3.0), strict=True)), metric="hd95_mm")
    elsewhere = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)), dataset="e", people=6)
    found = ranked(pd.concat([good_in_dice, bad_in_mm, elsewhere]))
    assert found.cases == (("d", "dice"), ("d", "hd95_mm"), ("e", "dice"))
    assert found.wins[0].tolist() == [0, 2, 2]
    assert found.wins[2].tolist() == [1, 1, 0]
    assert found.scores[0] == pytest.approx((1 * 0.1 * 1) ** (1 / 3))
    assert found.by_means.tolist() == [1, 2, 3]


def test_a_pair_without_a_result_counts_as_the_worst_of_all():
    metrics = rows({RUNS[0]: 0.8, RUNS[1]: 0.7, RUNS[2]: 0.3})
    failing = (metrics["method"] == "best") & (metrics["fixed"].isin(["s0", "s1", "s2", "s3", "s4"]))
    kept = ranked(metrics[~failing])
    assert kept.by_means.tolist() == [2, 1, 3]
    assert kept.wins[0, 1] == 0


def test_a_run_without_any_result_is_beaten_by_all():
    metrics = rows({RUNS[0]: 0.8, RUNS[1]: 0.7})
    failed = rows({RUNS[2]: 100.0}, noise=0, metric="no_result_percent").assign(value=100.0)
    found = ranked(pd.concat([metrics, failed]))
    assert found.wins.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert found.places.tolist() == found.by_means.tolist() == [1, 2, 3]
    few = ranked(pd.concat([rows({RUNS[0]: 0.8, RUNS[1]: 0.7}, 3, noise=0.3), failed]))
    assert few.wins[:2, 2].tolist() == [1, 1]  # however little three people tell


def test_a_run_without_a_metric_is_not_ranked_by_it():
    metrics = pd.concat(
        [
            rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True))),
            rows({RUNS[1]: 3.0, RUNS[2]: 5.0}, metric="hd95_mm"),
        ]
    )
    found = ranked(metrics)
    assert found.scores[0] == pytest.approx(1)
    assert found.scores[1] == pytest.approx((0.55 * 1) ** 0.5)


def test_two_people_are_too_few_to_win():
    found = ranked(rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)), people=2))
    assert found.wins.sum() == 0
    assert found.places.tolist() == [1, 1, 1]
    assert found.by_means.tolist() == [1, 2, 3]
    assert (found.low.tolist(), found.high.tolist()) == ([1, 1, 1], [3, 3, 3])  # they tell nothing of others


def test_seeds_are_no_further_pairs_and_the_same_rows_give_the_same_ranking():
    metrics = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)), noise=0.1)
    twice = pd.concat([metrics, metrics.assign(seed=1)])
    one, other = ranked(metrics), ranked(twice.sample(frac=1, random_state=1))
    np.testing.assert_allclose(one.scores, other.scores)
    np.testing.assert_array_equal(one.low, other.low)
    np.testing.assert_array_equal(one.high, other.high)


def test_a_failure_in_one_direction_costs_that_direction():
    metrics = rows({RUNS[0]: 0.8, RUNS[1]: 0.7, RUNS[2]: 0.1}, noise=0.001)
    one_way = metrics[~((metrics["method"] == "best") & (metrics["fixed"] < metrics["moving"]))]
    assert ranked(metrics).by_means.tolist() == [1, 2, 3]
    assert ranked(one_way).by_means.tolist() == [2, 1, 3]  # (0.8 + 0.1) / 2 < 0.7


def test_metrics_of_one_dataset_may_be_of_other_people():
    dice = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)))
    few = rows(dict(zip(RUNS, (1.0, 2.0, 9.0), strict=True)), 4, metric="tre_mm")
    found = ranked(pd.concat([dice, few]), by=("dice", "tre_mm"))
    assert found.wins.tolist() == [[0, 2, 2], [0, 0, 2], [0, 0, 0]]
    assert found.by_means.tolist() == [1, 2, 3]


def test_without_a_metric_of_two_runs_there_is_no_rank():
    with pytest.raises(InputError, match="no two methods"):
        ranked(rows({RUNS[0]: 0.8}))


def test_twins_are_drawn_as_one_person():
    every = rows(dict(zip(RUNS, (0.8, 0.7, 0.5), strict=True)))
    twins = every[every["fixed"].str[1:].astype(int) // 2 == every["moving"].str[1:].astype(int) // 2]
    people = {"d": {f"s{number}": f"p{number // 2}" for number in range(8)}}
    found = ranked(twins, people=people)
    assert found.wins.tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert found.low.tolist() == found.high.tolist() == [1, 2, 3]
    few = ranked(twins[twins["fixed"].isin(["s0", "s1", "s2", "s3"])], people=people)  # two people
    assert few.wins.sum() == 0
    assert (few.low.tolist(), few.high.tolist()) == ([1, 1, 1], [3, 3, 3])


@pytest.mark.parametrize("people", [4, 8])
def test_methods_that_do_not_differ_seldom_have_places_apart(people):
    apart = 0
    for cohort in range(200):
        random = np.random.default_rng(cohort)
        effects = random.normal(size=people)
        metrics = rows({RUNS[0]: 0.0, RUNS[1]: 0.0}, people, noise=0, seed=cohort)
        first = metrics["method"] == "best"
        for column in ("fixed", "moving"):
            metrics.loc[first, "value"] += effects[metrics.loc[first, column].str[1:].astype(int)]
        found = ranked(metrics, RUNS[:2], resamples=300)
        apart += found.high[0] < found.low[1] or found.high[1] < found.low[0]
    assert apart <= 20  # 5 % are promised: 10, and by chance not twice as many
