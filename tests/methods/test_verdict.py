"""The verdict on a registration: from evidence to words, and what the shipped model knows."""

import math

import pytest

from benchmarks.reliability import FEATURES
from smgicnet.methods.verdict import DOUBTFUL, FAILED, GOOD, judge, shipped_model

MODEL = {
    "features": {"likeness": [0.0, 1.0], "bending": [0.0, 2.0]},
    "failed": {"intercept": 0.0, "weights": {"likeness": -4.0, "bending": 1.0}},
    "log_error": {
        word: {"intercept": 1.0, "weights": {"likeness": -1.0, "bending": 0.0}, "spread": spread}
        for word, spread in ((GOOD, [-0.1, 0.2]), (DOUBTFUL, [-1, 1]), (FAILED, [-2, 2]))
    },
    "dice": {
        word: {"intercept": 0.5, "weights": {"likeness": 0.4, "bending": 0.0}, "spread": spread}
        for word, spread in ((GOOD, [-0.1, 0.2]), (DOUBTFUL, [-0.3, 0.3]), (FAILED, [-0.5, 0.5]))
    },
    "good_below": 0.05,
    "failed_above": 0.9,
}


@pytest.mark.parametrize(
    ("likeness", "bending", "word"),
    [(1.0, 0.0, GOOD), (0.5, 1.0, DOUBTFUL), (0.0, 2.0, FAILED), (7.0, -1.0, GOOD), (math.nan, 2.0, FAILED)],
)
def test_evidence_gives_a_word(likeness, bending, word):
    found = judge({"likeness": likeness, "bending": bending, "unknown": 1.0}, MODEL)
    assert found.word == word
    assert found.is_good == (word == GOOD)


def test_numbers_come_with_their_intervals():
    found = judge({"likeness": 1.0, "bending": 0.0}, MODEL)
    assert found.failure == pytest.approx(1 / (1 + math.exp(5)))
    assert found.error_mm == pytest.approx((1.0, math.exp(-0.1), math.exp(0.2)))
    assert found.dice == pytest.approx((0.9, 0.8, 1.0))  # no more than all
    assert (
        str(found) == "good: with a probability of under 1 % it failed; error about 1 mm (0.9 to 1.2), Dice about 0.90"
    )
    assert found.facts()["failure_probability"] == 0.0067


def test_without_a_feature_there_is_no_verdict():
    assert judge({"likeness": 1.0}, MODEL) is None


def test_the_shipped_model_looks_at_what_is_gathered_and_says_where_it_is_from():
    model = shipped_model()
    assert set(model["features"]) == set(FEATURES)
    assert all(low < high for low, high in model["features"].values())
    assert 0 < model["good_below"] < 0.1 < 0.8 < model["failed_above"] < 1
    assert len(model["people"]) >= 10
    assert model["registrations"] >= 1000
