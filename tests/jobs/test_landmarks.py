"""Landmarks in a job of pairs: what they are scored by, and what is said before anything is registered."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.jobs.study import Study
from smgicnet.jobs.study_files import StudyFiles
from tests.support.registering import register

NAMES = ["s1", "s2", "s3"]
PLACES = {"s1": [(1, 2, 3), (4, 5, 6)], "s2": [(1, 2, 5), (4, 9, 6)]}  # 2 and 4 mm apart


def marked(subjects, folder, places):
    """The subjects, of which some have landmarks."""
    found = dict(subjects)
    for name, points in places.items():
        path = folder / f"{name}.csv"
        path.write_text("x,y,z\n" + "".join("{},{},{}\n".format(*point) for point in points))
        found[name] = replace(found[name], landmarks=path)
    return found


def errors(metrics):
    rows = metrics[metrics["metric"] == "tre_mm"]
    return {(row.fixed, row.moving): float(row.value) for row in rows.itertuples()}


def test_pairs_of_which_both_have_landmarks_are_scored_by_them(tmp_path, subjects):
    metrics = register(tmp_path / "run", marked(subjects, tmp_path, PLACES), NAMES)
    assert errors(metrics) == pytest.approx({("s1", "s2"): 3, ("s2", "s1"): 3})
    assert errors(register(tmp_path / "bare", subjects, NAMES)) == {}


def test_other_landmarks_are_scored_without_registering(tmp_path, subjects, registered):
    register(tmp_path / "run", marked(subjects, tmp_path, PLACES), NAMES, fields=True)
    registered.clear()
    moved = marked(subjects, tmp_path, PLACES | {"s2": [(1, 2, 3), (4, 5, 6)]})
    assert errors(register(tmp_path / "run", moved, NAMES, fields=True)) == {("s1", "s2"): 0, ("s2", "s1"): 0}
    assert not registered


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        ([(1, 2, 3)], r"s3\.csv: it has 1 landmarks, and .*s1\.csv has 2"),
        ([(1, 2, 3), (4, 5, 99)], r"s3\.csv: landmark 2, at \(4, 5, 99\) in RAS mm, is outside the common grid of s3"),
    ],
)
def test_landmarks_that_cannot_be_used_stop_a_job_before_it_registers(tmp_path, subjects, registered, points, problem):
    with pytest.raises(InputError, match=problem):
        register(tmp_path / "run", marked(subjects, tmp_path, PLACES | {"s3": points}), NAMES)
    assert not registered


def test_a_job_waits_for_the_landmarks_of_its_own_subjects(tmp_path):
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 3}}
    config = {"datasets": {"mini": {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 4}}}}
    config["methods"] = {"initial": {"type": "initial"}}
    w = SimpleNamespace(dataset="mini", method="initial", shard="0")
    table = pd.DataFrame({"subject": list("abcde"), "split": ["train"] * 2 + ["test"] * 3}).set_index("subject")
    for landmarks, expected in ((["l1", "", "", "l4", "l5"], ["", "l4", "l5"]), ([""] * 5, [""] * 3)):
        cohorts = {"mini": table.assign(landmarks=landmarks)}
        files = StudyFiles(Study(complete(config, "test"), results=tmp_path, cohorts=cohorts))
        assert [one["landmarks"] for one in files.scored_subjects(w)] == expected
        assert files.given_beside(w) == [path for path in expected if path]
    files = StudyFiles(Study(complete(config, "test"), results=tmp_path, cohorts={"mini": table}))
    assert [one["landmarks"] for one in files.scored_subjects(w)] == [""] * 3
    assert files.given_beside(w) == []
