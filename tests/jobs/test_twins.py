"""Pairs within anatomies: what a study registers, in which jobs, and what is scored of them."""

from types import SimpleNamespace

import numpy as np
import pytest

from smgicnet.cohort.participants import ANATOMY, shards, shards_of_groups, unordered_pairs
from smgicnet.config.completion import complete
from smgicnet.imaging.images import Volume, write_volume
from smgicnet.jobs.study import ALIGNMENTS, Study
from smgicnet.jobs.study_files import StudyFiles
from tests.support.images import SHAPE
from tests.support.registering import register


def study(folder, **changes):
    for number in range(7):
        (folder / f"p{number}.nii.gz").touch()
    source = {"kind": "phantom", "anatomies": {"path": str(folder), "splits": {"val": 1, "test": 4}}}
    source |= {"subjects": {"train": 2, "val": 2, "test": 3}, **changes}
    methods = {"initial": {"type": "initial"}, "syn": {"type": "syn"}}
    evaluation = {"shard_size": 7}
    return Study(complete({"datasets": {"d": {"source": source}}, "methods": methods, "evaluation": evaluation}))


def test_of_twins_no_pair_of_two_people_is_registered(tmp_path):
    twins, every = study(tmp_path, pairs="twins"), study(tmp_path)
    people = twins.cohort("d")[ANATOMY]
    assert len(every.pairs("d")) == 66
    assert twins.pairs("d") == [pair for pair in every.pairs("d") if people[pair[0]] == people[pair[1]]]
    assert len(twins.pairs("d")) == 12
    for one in (twins, every):
        for name in ("syn", ALIGNMENTS):
            jobs = one.shards("d", name)
            assert sorted(pair for pairs in jobs for pair in pairs) == sorted(one.pairs("d"))
            assert max(map(len, jobs)) <= 7
        assert set(one.aligned_in("d")) == set(one.pairs("d"))
    assert [len(pairs) for pairs in twins.shards("d", "syn")] == [6, 6]  # two people share a job


def test_a_job_knows_of_which_anatomy_its_subjects_are(tmp_path):
    files = StudyFiles(study(tmp_path))
    w = SimpleNamespace(dataset="d", arm="raw", method="syn", seed="0", shard="0")
    scored = files.scored_subjects(w)
    assert [one["name"] for one in scored] == files.shard_subjects(w)
    for one in scored:
        assert one["template"] == one["name"].split("-")[0]
        names = [f"{one['name']}/{name}_template.nii" for name in ("to", "from")]
        assert ["/".join(path.split("/")[-2:]) for path in one["truth"]] == names
    embedded = StudyFiles(study(tmp_path, anatomies=None, subjects={"train": 2, "val": 0, "test": 3}))
    assert [one["template"] for one in embedded.scored_subjects(w)] == [""] * 3


@pytest.mark.parametrize("size", [1, 3, 4, 10, 100])
def test_groups_are_cut_as_one_is_and_small_ones_share_jobs(size):
    groups = [["a", "b", "c"], ["d", "e"], [], ["f"], list("ghijklmn")]
    jobs = shards_of_groups(groups, size)
    assert sorted(pair for job in jobs for pair in job) == [pair for one in groups for pair in unordered_pairs(one)]
    assert max(map(len, jobs)) <= size
    assert all(jobs)
    assert shards_of_groups([list("ghijklmn")], size) == shards(list("ghijklmn"), size)
    if size >= 4:
        assert jobs[0][:4] == unordered_pairs("abc") + unordered_pairs("de")


@pytest.fixture
def twins(subjects, tmp_path):
    """The subjects with a truth that moves nothing, two of each of two templates, and parcels that two of them have."""
    still = Volume(np.zeros((4, 4, 4, 3), np.float32), np.diag([20.0, 20, 20, 1]))
    write_volume(tmp_path / "still.nii", still.data, still.affine)
    parcels = np.where(np.indices(SHAPE)[1] > 9, 1, 36).astype(np.uint8)
    found = {}
    for number, (name, files) in enumerate(subjects.items()):
        write_volume(tmp_path / f"{name}_parcels.nii.gz", parcels * np.uint8(number < 2), np.eye(4))
        truth = (tmp_path / "still.nii",) * 2
        more = {"parcels": tmp_path / f"{name}_parcels.nii.gz", "template": f"p{number // 2}", "truth": truth}
        found[name] = type(files)(files.name, files.image, files.labels, **more)
    return found


def pairs_of(rows, metric):
    rows = rows[(rows["metric"] == metric) & rows["roi"].isin(["", "mean"])]
    return {tuple(pair) for pair in rows[["fixed", "moving"]].to_numpy()}


def test_truth_is_scored_between_twins_and_parcels_where_both_have_them(tmp_path, twins):
    rows = register(tmp_path / "run", twins, list(twins))
    ordered = {("s1", "s2"), ("s2", "s1")}
    assert pairs_of(rows, "endpoint_error_mm") == ordered | {("s3", "s4"), ("s4", "s3")}
    assert pairs_of(rows, "parcels_dice") == ordered
    parcels = rows[rows["metric"] == "parcels_dice"]
    assert set(parcels["roi"]) == {"ctx-lh-bankssts", "ctx-rh-bankssts", "mean"}
    assert set(parcels["value"].astype(float)) == {1.0}  # initial leaves images as they lie
    assert len(pairs_of(rows, "dice")) == 12


def test_other_parcels_or_templates_are_scored_without_registering(tmp_path, twins, registered):
    register(tmp_path / "run", twins, list(twins), fields=True)
    registered.clear()
    data = np.where(np.indices(SHAPE)[1] > 20, 1, 36).astype(np.uint8)
    write_volume(twins["s2"].parcels, data, np.eye(4))
    one = {name: type(files)(**{**vars(files), "template": ""}) for name, files in twins.items()}
    rows = register(tmp_path / "run", one, list(twins), fields=True)
    assert not registered
    mean = rows[(rows["metric"] == "parcels_dice") & (rows["roi"] == "mean")]["value"].astype(float)
    assert mean.max() < 1
    assert len(pairs_of(rows, "endpoint_error_mm")) == 12
