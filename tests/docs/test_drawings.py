"""The drawings of the concepts: each page has one, and what the pages say of them is what they show."""

import re

import numpy as np
import pytest

from docs.drawings import fields, intervals, velocities
from docs.drawings.__main__ import DRAWINGS, IMAGES
from docs.drawings.style import save
from smgicnet.registration.fields import compose, exp
from tests.support import ROOT

CONCEPTS = ROOT / "docs/concepts"


def test_each_concept_has_a_drawing():
    assert {page.stem for page in CONCEPTS.glob("*.md")} == DRAWINGS.keys()
    for name in DRAWINGS:
        text = (CONCEPTS / f"{name}.md").read_text(encoding="utf-8")
        assert re.findall(r"!\[[^\]]{60,}\]\((.+?)\)", text) == [f"../images/concept-{name}.svg"]
        assert f"python -m docs.drawings {name}" in text
        assert (IMAGES / f"concept-{name}.svg").exists()


def test_a_drawing_is_the_same_each_time(tmp_path):
    for number in range(2):
        save(velocities.draw(), tmp_path / f"{number}.svg")
    assert (tmp_path / "0.svg").read_bytes() == (tmp_path / "1.svg").read_bytes()


def test_the_example_step_is_the_same_in_all_conventions():
    """Eight mm to the left and four forward, in voxels of 2 mm where there are voxels."""
    for name, _, ways, called in fields.CONVENTIONS:
        numbers = np.array([float(one.replace("−", "-")) for one in re.findall(r"−?\d+", called)])
        spacing = 2.0 if "voxels" in called else 1.0
        np.testing.assert_allclose(numbers, [*(np.array(fields.STEP) * ways / spacing), 0], err_msg=name)


def test_the_drawn_map_is_led_back():
    places = np.array([[50.0, 90, 130], [143.0, 109, 60]])
    np.testing.assert_allclose(fields.led(fields.inverted(places)), places, atol=0.01)


def test_what_is_integrated_comes_back_and_what_is_added_does_not():
    arrows = velocities.velocity()
    there_and_back = [compose(exp(-arrows), exp(arrows)), compose(-arrows, arrows)]
    assert [float(one.norm(dim=1).max()) for one in there_and_back] == [
        pytest.approx(0.3, abs=0.1),
        pytest.approx(11.8, abs=1),
    ]
    assert [velocities._folded(one) > 0 for one in (exp(arrows), exp(-arrows), arrows, -arrows)] == [
        False,
        False,
        True,
        True,
    ]


def test_intervals_that_draw_pairs_miss_the_truth_and_those_that_draw_people_do_not():
    random = np.random.default_rng(1)
    cohorts = [intervals.cohort(random) for _ in range(200)]
    held = []
    for interval in (intervals.pairs_interval, intervals.people_interval):
        low, high = np.array([interval(one) for one in cohorts]).T
        held.append(np.mean((low <= intervals.TRUTH) & (high >= intervals.TRUTH)))
    assert held[0] < 0.65
    assert held[1] > 0.9
