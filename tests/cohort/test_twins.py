"""Twins: several subjects of each of several anatomies, the true maps between them, and anatomies kept apart."""

import os
from functools import cache
from itertools import permutations
from zlib import crc32

import numpy as np
import pytest
import yaml
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from smgicnet.cohort.participants import ANATOMY
from smgicnet.cohort.phantom import make_phantom
from smgicnet.cohort.sources import groups_of, plan_cohort
from smgicnet.cohort.template import load_anatomy, load_template
from smgicnet.config.completion import load
from smgicnet.config.validation import validated
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field, grid_points
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import Volume, write_volume
from smgicnet.preparation.label_protocols import map_labels
from smgicnet.preparation.preprocessing import prepare
from tests.support import ROOT
from tests.support.phantoms import phantom_config

TRUTH_TOLERANCE = 0.3  # mm, of two fields that are stored and read one after the other
PREPROCESSING = {"skull_strip": "none", "segmentation": "given", "labels": "freesurfer", "histogram_reference": None}


def dataset(path, splits=None, **changes):
    anatomies = {"path": str(path), "splits": splits or {"val": 1, "test": 2}, **changes.pop("anatomies", {})}
    source = {"kind": "phantom", "seed": 1, "subjects": {"train": 3, "val": 2, "test": 3}, **changes}
    return {"source": validated({**source, "anatomies": anatomies}, "sources/phantom", "", "test"),
            "preprocessing": PREPROCESSING}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Six label maps, which planning does not open."""
    for number in range(6):
        (tmp_path / f"p{number}.nii.gz").touch()
    return tmp_path


# who is in the cohort


def test_no_anatomy_is_in_two_splits(folder):
    table = plan_cohort(dataset(folder), "x")
    assert table.groupby(ANATOMY)["split"].nunique().eq(1).all()
    assert table.groupby("split")[ANATOMY].nunique().to_dict() == {"train": 3, "val": 1, "test": 2}
    assert table["split"].value_counts().to_dict() == {"train": 9, "val": 2, "test": 6}
    assert table["label_map"].tolist() == [f"{folder}/{name}.nii.gz" for name in table[ANATOMY]]
    assert table.index.tolist() == [
        f"{name}-twin-{number}" for name, twins in table.groupby(ANATOMY) for number in range(1, 1 + len(twins))
    ]


def test_a_subject_depends_on_its_name_alone_and_further_anatomies_are_left_out(folder):
    before = plan_cohort(dataset(folder), "x")
    for number in range(6, 9):
        (folder / f"p{number}.nii.gz").touch()
    assert plan_cohort(dataset(folder, anatomies={"maps": 6}), "x").equals(before)
    assert before["stream"].tolist() == [crc32(name.encode()) for name in before.index]
    more = plan_cohort(dataset(folder, anatomies={"maps": 6}, subjects={"train": 3, "val": 2, "test": 4}), "x")
    assert more.loc[before.index].equals(before)


def test_without_anatomies_subjects_are_numbered_as_before():
    source = validated(
        {"kind": "phantom", "subjects": {"train": 2, "val": 0, "test": 2}}, "sources/phantom", "", "test"
    )
    table = plan_cohort({"source": source, "preprocessing": PREPROCESSING}, "x")
    assert table["stream"].to_dict() == {"sub-001": 0, "sub-002": 1, "sub-003": 2, "sub-004": 3}
    assert ANATOMY not in table
    source["pairs"] = "twins"  # they all are
    assert groups_of({"source": source}, table) == [["sub-003", "sub-004"]]


@pytest.mark.parametrize("pairs", ["all", "twins"])
def test_pairs_are_of_all_or_of_twins(folder, pairs):
    block = dataset(folder, pairs=pairs)
    table = plan_cohort(block, "x")
    groups = groups_of(block, table)
    test = table.index[table["split"] == "test"].tolist()
    assert [name for group in groups for name in group] == test
    assert len(groups) == (1 if pairs == "all" else 2)
    assert all(table.loc[group, ANATOMY].nunique() == (2 if pairs == "all" else 1) for group in groups)


def test_the_people_of_each_split_are_those_of_the_anatomies(tmp_path, monkeypatch):
    """Of config/anatomies.yaml, whose test people no network has trained on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources/anatomies").mkdir(parents=True)
    for number in range(1, 21):
        (tmp_path / f"resources/anatomies/anatomy-{number:02d}.nii.gz").touch()
    anatomies, twins = (load(ROOT / f"config/{name}.yaml")["datasets"][name] for name in ("anatomies", "twins"))
    people, table = plan_cohort(anatomies, "x"), plan_cohort(twins, "x")
    for split in ("train", "val", "test"):
        mine, theirs = (set(one.loc[one["split"] == split, "label_map"]) for one in (table, people))
        assert mine == theirs
    assert [len(group) for group in groups_of(twins, table)] == [3] * 4


FAULTS = {
    "no folder": (lambda folder: dataset(folder / "none"), "no *.nii.gz label maps in this folder"),
    "fewer than the config takes": (
        lambda folder: dataset(folder, anatomies={"maps": 9}),
        "6 label maps in this folder, and the config takes 9",
    ),
    "fewer than the splits take": (
        lambda folder: dataset(folder, {"val": 2, "test": 4}),
        "6 label maps in this folder, and the splits take at least 7 anatomies (1 train, 2 val, 4 test)",
    ),
    "fewer than all splits take": (
        lambda folder: dataset(folder, {"train": 4, "val": 1, "test": 2}),
        "the splits take at least 7 anatomies (4 train, 1 val, 2 test)",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_planned_says_why_before_anything_runs(folder, fault):
    make, problem = FAULTS[fault]
    block = make(folder)
    with pytest.raises(InputError) as caught:
        plan_cohort(block, "x")
    assert caught.value.source == block["source"]["anatomies"]["path"]
    assert problem in caught.value.problem
    assert "source.anatomies" in caught.value.remedy


def test_a_link_to_nowhere_and_one_person_twice_are_refused(folder):
    os.symlink("gone.nii.gz", folder / "p8.nii.gz")
    with pytest.raises(InputError, match=r"p8\.nii\.gz: there is no such file"):
        plan_cohort(dataset(folder), "x")
    (folder / "p8.nii.gz").unlink()
    os.symlink("p2.nii.gz", folder / "p8.nii.gz")
    with pytest.raises(InputError, match=r"p8\.nii\.gz: it is the same file as p2\.nii\.gz"):
        plan_cohort(dataset(folder), "x")


def test_a_name_that_no_subject_can_have_is_refused(folder):
    (folder / "p 7.nii.gz").touch()
    with pytest.raises(InputError, match="the subject name 'p 7-twin-1' is not allowed"):
        plan_cohort(dataset(folder, {"train": 1, "val": 1, "test": 5}), "x")


@pytest.mark.parametrize(
    "changes", [{"path": ""}, {"splits": {"val": 1}}, {"splits": {"val": 1, "test": 0}}, {"map": 3}]
)
def test_keys_of_anatomies_are_checked(folder, changes):
    with pytest.raises(InputError, match="anatomies"):
        dataset(folder, anatomies=changes)


# the subjects


def far_off(number):
    """A whole head on 4 mm around the MNI152 brain, turned by tens of degrees and up to 90 mm from the origin."""
    template = load_template()
    turn = Rotation.from_euler("xyz", [25 - 55 * number, 10 * number, -15], degrees=True).as_matrix()
    place = np.array([[45.0, -60, 45], [-45, 30, -70]])[number]
    affine = np.diag([-4.0, 4, 4, 1])
    affine[:3, 3] = place - affine[:3, :3] @ np.full(3, 30)
    world = grid_points((61, 61, 61), affine)
    regions = template.lookup((world - place) @ turn + template.centre)
    return Volume(np.where(regions > 0, regions, 502).astype(np.int32), affine), turn, place


@pytest.fixture(scope="module")
def anatomies(tmp_path_factory):
    """Files of two anatomies."""
    folder = tmp_path_factory.mktemp("anatomies")
    for number in (0, 1):
        volume, _, _ = far_off(number)
        write_volume(folder / f"p{number}.nii.gz", volume.data, volume.affine)
    return folder


@cache
def twin(path, stream):
    return make_phantom(stream, phantom_config(shape=None, translation=15), load_anatomy(path))


def test_an_anatomy_is_read_where_it_lies(anatomies):
    for number in (0, 1):
        found, place = load_anatomy(anatomies / f"p{number}.nii.gz"), far_off(number)[2]
        assert np.linalg.norm(found.centre - place) < 25  # the box of a turned brain has another middle
        assert 130 < (found.box[1] - found.box[0]).min() < (found.box[1] - found.box[0]).max() < 230
        assert found.tissues is load_template().tissues
        assert (found.regions == 502).sum() == 0


def test_twins_have_the_labels_of_their_anatomy_at_the_true_points(anatomies):
    """In the stored fields' own words, through the template and back: each voxel of one is where the truth says."""
    for number in (0, 1):
        path = anatomies / f"p{number}.nii.gz"
        source = load_anatomy(path)
        for stream in (1, 2):
            made = twin(path, stream)
            voxels = np.argwhere(made.labels.data > 0)[::5]
            points = apply_field(made.to_template, apply_affine(made.labels.affine, voxels))
            same = made.labels.data[tuple(voxels.T)] == source.lookup(points)
            assert same.mean() > 0.97  # the others lie on a border, within 0.1 mm


def test_the_map_between_twins_is_known_and_leads_there_and_back(anatomies):
    path = anatomies / "p0.nii.gz"
    for first, second in permutations((1, 2)):
        fixed, moving = twin(path, first), twin(path, second)
        points = apply_affine(fixed.labels.affine, np.argwhere(fixed.labels.data > 0)[::29])
        there = apply_field(moving.from_template, apply_field(fixed.to_template, points))
        assert np.linalg.norm(there - points, axis=1).mean() > 5
        back = apply_field(fixed.from_template, apply_field(moving.to_template, there))
        assert np.linalg.norm(back - points, axis=1).max() < TRUTH_TOLERANCE
        index = np.floor(apply_affine(np.linalg.inv(moving.labels.affine), there) + 0.5).astype(int)
        coarse = map_labels(moving.labels.data)[tuple(index.T)]
        labels = map_labels(fixed.labels.data)[tuple(np.argwhere(fixed.labels.data > 0)[::29].T)]
        assert (coarse == labels).mean() > 0.6  # voxels of 4 mm


def test_anatomies_with_parcels_have_subjects_with_parcels_on_the_common_grid(anatomies, tmp_path):
    made = twin(anatomies / "p1.nii.gz", 1)
    for name in ("image", "labels"):
        write_volume(tmp_path / f"{name}.nii.gz", getattr(made, name).data, getattr(made, name).affine)
    prepared = prepare(tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz", Grid((48, 48, 48), 4.0))
    assert prepared.report["cut_percent"] < 1
    assert prepared.report["parcels"] > 60
    assert len(prepared.report["rois_missing"]) <= 2  # vessels are small


def test_an_anatomy_without_brain_is_an_error_that_names_the_file(tmp_path):
    write_volume(tmp_path / "empty.nii.gz", np.full((8, 8, 8), 502, np.int32), np.eye(4))
    with pytest.raises(InputError, match=r"empty\.nii\.gz: none of the 36 ROIs is in it"):
        load_anatomy(tmp_path / "empty.nii.gz")


def test_check_opens_each_anatomy_once(anatomies, tmp_path):
    from smgicnet.commands.check import check

    for number in range(2, 5):
        os.symlink(anatomies / f"p{number % 2}.nii.gz", tmp_path / f"p{number}.nii.gz")
    write_volume(tmp_path / "p5.nii.gz", np.full((8, 8, 8), 502, np.int32), np.eye(4))
    (tmp_path / "p4.nii.gz").unlink()
    source = {
        "kind": "phantom",
        "anatomies": {"path": str(tmp_path), "splits": {"val": 0, "test": 1}},
        "pairs": "twins",
    }
    source["subjects"] = {"train": 2, "val": 0, "test": 3}
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"datasets": {"d": {"source": source}}, "methods": {"m": {"type": "initial"}}})
    )
    report = check(tmp_path / "config.yaml", jobs=1)
    assert [f"{one.source}: {one.problem}" for one in report.problems] == [
        f"{tmp_path}/p5.nii.gz: none of the 36 ROIs is in it"
    ]
    for line in ("3 test pairs, each registered", "files read: 3 of 3", "orientations: LAS (2), RAS (1)"):
        assert line in report.text
