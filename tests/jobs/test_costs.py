"""What jobs are thought to cost, and how that decides their size."""

import json

import pytest

from smgicnet.cohort.participants import shards
from smgicnet.config.schemas import choices, schema
from smgicnet.core.errors import InputError
from smgicnet.jobs.costs import (
    JobSizes,
    memory_mb,
    method_cost,
    pair_seconds,
    pairs_a_job,
    read_costs,
    runtime_minutes,
)
from tests.support.methods import LEARNED

GRID = {"shape": [100, 100, 100], "spacing": 2.0}


def test_memory_grows_with_the_grid_and_the_attempt():
    assert memory_mb(2000, GRID, 1) == 3500
    assert memory_mb(2000, GRID, 2) == 7000
    assert memory_mb(2000, {**GRID, "shape": [200, 100, 100]}, 1) == 5500


def test_time_grows_with_the_attempt():
    assert runtime_minutes(600, 1) == 35
    assert runtime_minutes(600, 3) == 105


@pytest.mark.parametrize("kind", choices("methods"))
def test_every_method_says_what_it_costs(kind):
    said = schema(f"methods/{kind}")["cost"]
    wanted = {"pair_seconds", "pair_memory"} | ({"training_memory"} if kind in LEARNED else set())
    assert said.keys() == wanted
    assert method_cost({"type": kind})["pair_seconds"] == said["pair_seconds"] > 0


def test_jobs_have_about_the_wished_length():
    for seconds in (0.5, 3, 40, 600):
        pairs = pairs_a_job(seconds, 60)
        assert pairs * seconds <= 3600
        assert pairs == 1024 or pairs * seconds > 3600 / 2.5
    assert pairs_a_job(10_000, 60) == 1


def test_many_pairs_make_longer_jobs_and_not_ever_more():
    """As 142 people have 10,011 pairs: a method has about a hundred jobs, unless these would be far too long."""
    assert pairs_a_job(26, 20) == pairs_a_job(26, 20, 1770) == 36
    assert pairs_a_job(26, 20, 10_011) == 144
    assert pairs_a_job(26, 20, 10**6) == 144  # four times the wished length
    assert pairs_a_job(700, 20, 10_011) == pairs_a_job(700, 80) == 4
    assert pairs_a_job(0.5, 20, 10_011) == pairs_a_job(0.5, 20) == 1024
    assert pairs_a_job(0, 20, 10**7) == 1024


def test_the_full_paper_is_no_job_a_pair():
    """1,770 pairs: SyN at twenty minutes a pair in hours, a network at ten seconds in a few jobs."""
    subjects = [f"sub-{k:03}" for k in range(60)]
    assert len(shards(subjects, pairs_a_job(1200, 120))) < 600
    assert len(shards(subjects, pairs_a_job(10, 120))) < 10


def test_what_was_measured_goes_before_what_the_schema_says():
    cost = {"pair_seconds": 10}
    assert pair_seconds("syn", cost, "ixi", GRID, {}) == 10
    assert pair_seconds("syn", cost, "ixi", GRID, {"pair_seconds": {"ixi": {"syn": 7.0}}}) == 7
    assert pair_seconds("syn", cost, "oasis", GRID, {"pair_seconds": {"ixi": {"syn": 7.0}}}) == 10
    assert pair_seconds("syn", cost, "ixi", {**GRID, "shape": [200, 100, 100]}, {}) == 20  # by million voxels


def test_the_size_of_jobs_is_decided_once(tmp_path):
    path = tmp_path / "cohort/shards.json"
    first = JobSizes(path, None)
    assert first.pairs("syn", 60, 60) == 36
    first.keep()
    again = JobSizes(path, None)
    assert again.pairs("syn", 1, 600) == 36  # another machine and profile: the same jobs
    assert again.pairs("icnet", 1, 60) == 1024
    again.keep()
    assert json.loads(path.read_text()) == {"syn": 36, "icnet": 1024}
    assert JobSizes(path, 5).pairs("syn", 60, 60) == 5  # the config says so


@pytest.mark.parametrize("content", ["{", "[]", '{"syn": 0}', '{"syn": "many"}'])
def test_damaged_sizes_are_said(tmp_path, content):
    path = tmp_path / "shards.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"shards\.json: not readable"):
        JobSizes(path, None)


def test_damaged_costs_are_said(tmp_path):
    assert read_costs(tmp_path / "none.json") == {}
    (tmp_path / "costs.json").write_text("{")
    with pytest.raises(InputError, match="smgicnet plan"):
        read_costs(tmp_path / "costs.json")


def test_label_maps_take_memory_in_training():
    plain, labelled = ({"type": "smgicnet", "objective": {"weights": {"labels": weight}}} for weight in (0, 1))
    more = {key: value - method_cost(plain)[key] for key, value in method_cost(labelled).items()}
    assert more.pop("training_memory") > 505  # MiB a million voxels, measured
    assert set(more.values()) == {0}
