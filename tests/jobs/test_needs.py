"""What the jobs of a study ask for and are expected to take."""

from types import SimpleNamespace

import pytest

from smgicnet.config.completion import complete
from smgicnet.jobs.needs import STARTS, StudyNeeds
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles

W = {"dataset": "mini", "arm": "raw", "method": "smgicnet", "seed": "1"}


@pytest.fixture
def needs(tmp_path, monkeypatch):
    """Of a cohort with 4 subjects to train on and 2 to validate on: 12 ordered pairs and one pair."""
    monkeypatch.chdir(tmp_path)
    subjects = {"train": 4, "val": 2, "test": 5}
    dataset = {"source": {"kind": "phantom", "subjects": subjects}, "grid": {"shape": [16, 32, 16], "spacing": 8}}
    stages = [{"iterations": 100}, {"epochs": 2}, {"iterations": 1}, {"iterations": 1}]
    method = {"type": "smgicnet", "stages": stages, "training": {"validate_every": 40}}
    study = Study(complete({"datasets": {"mini": dataset}, "methods": {"smgicnet": method}}, "test"))
    study.measured = {"step_seconds": {"mini": {"smgicnet": [1, 2, 3, 4]}}, "pair_seconds": {"mini": {"smgicnet": 6}}}
    return StudyNeeds(StudyFiles(study))


def of(**more):
    return SimpleNamespace(**W, **more)


def test_a_stage_takes_its_steps_its_validations_and_its_start(needs):
    start = 1000 * STARTS["torch"]
    assert needs.training_ms(of(stage="1")) == start + 1000 * (100 * 1 + 3 * 6)  # after 40, 80 and all
    assert needs.training_ms(of(stage="2")) == start + 1000 * (2 * 12 * 2 + 1 * 6)
    needs.study.measured = {}
    assert needs.training_ms(of(stage="1")) == start  # where no step was measured


def test_jobs_start_with_torch_or_without(needs):
    assert needs.with_torch(2) == 1000 * (STARTS["torch"] + 2)
    assert needs.without_torch(2) == 1000 * (STARTS["other"] + 2)


def test_registering_takes_its_pairs_and_asks_for_twice_that(needs):
    assert needs.pairs(of(shard="0")) == 10
    assert needs.registering_ms(of(shard="0")) == 1000 * (STARTS["torch"] + 10 * 6)
    assert needs.registering_minutes(of(shard="0"), 1) == 2 * 1 + 15
    assert needs.registering_minutes(of(shard="0"), 2) == 2 * (2 * 1 + 15)
    assert needs.registering_memory(of(shard="0"), 2) == 2 * needs.registering_memory(of(shard="0"), 1)


def test_a_prepared_subject_takes_three_bytes_a_voxel(needs):
    assert needs.prepared_kb(of()) == 3 * 16 * 32 * 16 // 1000
