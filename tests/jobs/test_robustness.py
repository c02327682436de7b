"""What a config asks of changed heads, and which files and how much time their jobs need."""

from types import SimpleNamespace

import pandas as pd
import pytest

from smgicnet.config.completion import complete
from smgicnet.core.errors import InputError
from smgicnet.jobs.changed_heads import ChangedHeads
from smgicnet.jobs.decisions import Decisions
from smgicnet.jobs.needs import STARTS, StudyNeeds
from smgicnet.jobs.study import ALIGNMENTS, Study
from smgicnet.jobs.study_files import StudyFiles
from smgicnet.preparation.changes import Variant

METHODS = {
    "initial": {"type": "initial"},
    "syn": {"type": "syn"},
    "mine": {"type": "fields", "folder": "fields"},
}
RUNS = [("initial", "raw"), ("initial", "affine"), ("syn", "raw")]


def study_of(folder, robustness=None, tests=6, minutes=20, **evaluation):
    """A study of so many test subjects, with what is known of costs."""
    source = {"kind": "phantom", "subjects": {"train": 2, "val": 2, "test": 2}}
    dataset = {"source": source, "grid": {"shape": [16, 16, 16], "spacing": 8}}
    config = {"datasets": {"d": dataset}, "methods": METHODS}
    config["evaluation"] = {**evaluation, **({"robustness": robustness} if robustness is not None else {})}
    names = [f"s{number}" for number in range(tests)]
    table = pd.DataFrame({"split": "test", "to_template": "to", "from_template": "from"}, index=names)
    study = Study(
        complete(config, "test"), Decisions("ants", "", ()), job_minutes=minutes, results=folder, cohorts={"d": table}
    )
    study.measured = {"pair_seconds": {"d": {"initial": 0.2, "syn": 120.0, ALIGNMENTS: 4.0}}}
    return study


def heads_of(study):
    files = StudyFiles(study)
    return ChangedHeads(files, StudyNeeds(files))


def of(**more):
    return SimpleNamespace(dataset="d", seed="0", **more)


def test_by_default_three_pairs_are_turned_by_six_angles(tmp_path):
    found = study_of(tmp_path).robustness
    assert found.changes.variants == tuple(Variant("rotation", angle) for angle in (30, 60, 90, 120, 150, 180))
    assert found.runs == RUNS  # displacements of another program are of other images
    assert len(found.pairs("d")) == 3


@pytest.mark.parametrize("robustness", [{"pairs": 0}, {"pairs": None}, {"rotation": []}])
def test_a_study_that_is_off_has_no_jobs(tmp_path, robustness):
    study = study_of(tmp_path, robustness)
    assert study.robustness.runs == []
    assert heads_of(study).shards(of(method="syn", arm="raw"), "metrics.csv") == []
    assert heads_of(study).records(of(method="syn", arm="raw"), "record.json") == []


def test_a_dataset_without_the_study_has_no_jobs(tmp_path):
    study = study_of(tmp_path, {"datasets": []})
    assert study.robustness.runs == RUNS
    assert heads_of(study).shards(of(method="syn", arm="raw"), "metrics.csv") == []
    assert heads_of(study).records(of(method="syn", arm="raw"), "record.json") == []


@pytest.mark.parametrize(
    "robustness", [{"rotation": [0]}, {"rotation": [181]}, {"pairs": -1}, {"turn": [30]}, {"datasets": ["e"]}]
)
def test_a_study_that_there_cannot_be_is_refused(tmp_path, robustness):
    with pytest.raises(InputError, match=r"evaluation\.robustness"):
        study_of(tmp_path, robustness)


def test_jobs_are_cut_by_what_a_pair_costs(tmp_path):
    found = study_of(tmp_path, {"pairs": 20}).robustness
    assert found.pair_seconds("d", "syn") == 60 * (6 + 1)
    assert found.pair_seconds("d", ALIGNMENTS) == 2 * 6
    assert [len(pairs) for pairs in found.shards("d", "syn")] == [1] * 20
    assert [len(pairs) for pairs in found.shards("d", "initial")] == [10, 10]  # by how many heads a job keeps
    assert [pair for pairs in found.shards("d", "initial") for pair in pairs] == found.pairs("d")
    assert study_of(tmp_path / "new", tests=1).robustness.shards("d", "syn") == [[]]


def test_the_size_of_a_job_stays_what_it_was(tmp_path):
    study = study_of(tmp_path, {"pairs": 20}, minutes=20)
    before = study.robustness.shards("d", "syn")
    study.job_sizes("d").keep()
    assert study_of(tmp_path, {"pairs": 20}, minutes=200).robustness.shards("d", "syn") == before


def test_the_files_of_a_job(tmp_path):
    study = study_of(tmp_path, {"pairs": 3, "rotation": [45]}, shard_size=2)
    heads, (first, second, third) = heads_of(study), study.robustness.pairs("d")
    job = of(method="syn", arm="raw", shard="0")
    assert heads.pairs(job) == [first, second]
    assert heads.subjects(job) == sorted({*first, *second})
    assert heads.moving(job) == sorted([first[1], second[1]])
    assert heads.folders(job) == [f"{tmp_path}/d/robustness/subjects/{name}" for name in heads.moving(job)]
    assert heads.images(job) == [f"{tmp_path}/d/raw/subjects/{name}/image.nii" for name in heads.subjects(job)]
    assert heads.truth(job) == ["to"] * 4 + ["from"] * 4
    assert heads.alignments(job) == []
    assert heads.pairs(of(method="syn", arm="raw", shard="1")) == [third]
    run = f"{tmp_path}/d/raw/syn/seed-0/robustness"
    assert heads.shards(job, "x") == heads.records(job, "x") == [f"{run}/0/x", f"{run}/1/x"]


def test_in_the_affine_arm_a_job_takes_the_alignments_of_the_pair_as_it_lies_and_changed(tmp_path):
    study = study_of(tmp_path, {"pairs": 3, "rotation": [45]}, shard_size=2)
    heads, pairs = heads_of(study), study.robustness.pairs("d")
    job = of(method="initial", arm="affine", shard="1")
    fixed, moving = pairs[2]
    where = {pair: number for number, shard in enumerate(study.shards("d", ALIGNMENTS)) for pair in shard}
    number = where.get((fixed, moving), where.get((moving, fixed)))
    assert heads.alignments(job) == [
        f"{tmp_path}/d/affine/alignments/{number}/alignments.json",
        f"{tmp_path}/d/robustness/alignments/1/alignments.json",
    ]
    assert heads.records(job, "x")[-2:] == [f"{tmp_path}/d/robustness/alignments/{job}/record.json" for job in (0, 1)]


def test_a_job_takes_its_pairs_in_all_changes(tmp_path):
    heads = heads_of(study_of(tmp_path))
    start = 1000 * STARTS["torch"]
    assert heads.expected_ms(of(method="syn", arm="raw", shard="0")) == start + 1000 * 420
    assert heads.minutes(of(method="syn", arm="raw", shard="0"), 1) == 2 * 7 + 15
    assert heads.expected_ms(of(shard="0")) == start + 1000 * 3 * 12  # it aligns
    assert heads.changing_kb(of(subject="s0")) == 6 * (3 * 16**3 // 1000)
    asked = heads.registering(gpu=1)
    assert asked.keys() == heads.needs.registering(gpu=1).keys()
    assert asked["gpu"] == 1


def test_the_page_shows_a_changed_pair_of_the_runs_that_can_register_one(tmp_path):
    study = study_of(tmp_path, {"pairs": 3, "rotation": [45]})
    heads, root = heads_of(study), f"{tmp_path}/d/raw"
    assert study.viewed == [("syn", "raw"), ("mine", "raw")]
    assert heads.viewed(of()) == [("syn", "raw")]
    assert heads.on_page(of()) == {
        "change": [f"{tmp_path}/d/robustness/shown.json"],
        "change_heads": [f"{tmp_path}/d/robustness/subjects/{name}" for name in heads.moving(of())],
        "change_shown": [f"{root}/syn/seed-0/robustness/shown"],
        "change_metrics": [f"{root}/syn/seed-0/robustness.csv.gz"],
        "change_initial": [f"{root}/initial/seed-0/robustness.csv.gz"],
    }
    job = of(method="syn", arm="raw")
    assert heads.pairs(job) == study.robustness.pairs("d")
    assert heads.showing(gpu=1)["expected_ms"](job) == 1000 * (STARTS["torch"] + 60)  # once, one way
    aligned = heads.alignments(of(method="syn", arm="affine"))
    assert f"{tmp_path}/d/robustness/alignments/0/alignments.json" in aligned


@pytest.mark.parametrize("robustness", [{"pairs": 0}, {"rotation": []}, {"datasets": []}])
def test_a_page_without_changed_heads_needs_no_more_files(tmp_path, robustness):
    found = heads_of(study_of(tmp_path, robustness)).on_page(of())
    assert set(map(tuple, found.values())) == {()}
