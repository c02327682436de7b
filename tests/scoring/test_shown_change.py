"""The changed pair that the page shows is chosen by a rule from the scores of all runs."""

import json

import pandas as pd
import pytest

from smgicnet.preparation.changes import Variant
from smgicnet.scoring.rows import NO_RESULT
from smgicnet.scoring.shown_change import ChangedPair, choose_changed_pair, read_changed_pair, write_changed_pair
from smgicnet.scoring.statistics import COLUMNS

TURNED, NOISY = ("rotation", 120.0), ("noise", 0.3)


def scores(dice, metric="dice"):
    """Rows of Dice by (method, (fixed, moving), (change, severity)); None is a pair without a result."""
    rows = []
    for (method, pair, variant), value in dice.items():
        kind = (NO_RESULT, "", 100.0) if value is None else (metric, "mean", value)
        rows.append(("d", "raw", method, 0, *pair, *kind, *variant))
        if value is not None:
            rows.append(("d", "raw", method, 0, *pair, metric, "Left-Thalamus", 5 - 5 * value, *variant))
    return pd.DataFrame(rows, columns=[*COLUMNS, "change", "severity"])


def chosen(dice):
    found = choose_changed_pair(scores(dice))
    return found and (found.fixed, found.moving, found.variant.change, found.variant.severity)


def test_it_is_the_pair_on_which_runs_are_furthest_behind_the_best():
    ab, cd = ("a", "b"), ("c", "d")
    dice = {
        **{(method, ab, TURNED): value for method, value in {"x": 0.8, "y": 0.2, "z": 0.1}.items()},
        **{(method, cd, TURNED): value for method, value in {"x": 0.2, "y": 0.1, "z": 0.1}.items()},  # none holds
        **{(method, ab, NOISY): value for method, value in {"x": 0.8, "y": 0.8, "z": 0.05}.items()},  # one fails
        **{(method, cd, ("rotation", 0.0)): value for method, value in {"x": 0.9, "y": 0, "z": 0}.items()},
    }
    assert chosen(dice) == (*ab, *TURNED)  # and never the pair as it lies


def test_a_pair_without_a_result_counts_as_0():
    ab, cd = ("a", "b"), ("c", "d")
    dice = {("x", ab, TURNED): 0.8, ("y", ab, TURNED): 0.3, ("x", cd, TURNED): 0.8, ("y", cd, TURNED): None}
    assert chosen(dice) == (*cd, *TURNED)


def test_one_run_shows_its_lowest_dice_and_equals_are_settled_by_name():
    one = {("x", ("a", "b"), TURNED): 0.3, ("x", ("a", "b"), NOISY): 0.2, ("x", ("c", "d"), TURNED): 0.25}
    assert chosen(one) == ("a", "b", *NOISY)
    same = {("x", pair, variant): 0.3 for pair in (("c", "d"), ("a", "b")) for variant in (TURNED, NOISY)}
    assert chosen(same) == ("a", "b", *NOISY)


@pytest.mark.parametrize("metric", ["dice", "endpoint_error_mm"])
def test_without_a_score_there_is_no_choice(metric, tmp_path):
    lying = scores({("x", ("a", "b"), ("rotation", 0.0 if metric == "dice" else 60.0)): 0.5}, metric)
    assert choose_changed_pair(lying) is None
    write_changed_pair(None, tmp_path / "shown.json")
    assert json.loads((tmp_path / "shown.json").read_text()) == {}
    assert read_changed_pair(tmp_path / "shown.json") is None


def test_a_choice_is_read_as_it_was_written(tmp_path):
    pair = ChangedPair("a", "b", Variant("noise", 0.3))
    write_changed_pair(pair, tmp_path / "shown.json")
    assert read_changed_pair(tmp_path / "shown.json") == pair
    assert pair.head == "b/noise-0.3"
