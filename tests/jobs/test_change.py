"""Changed heads in files: resampled once, in the place of the head as it lies, with the map that undoes the change."""

import json

import numpy as np
import pytest
from nibabel.affines import apply_affine

from smgicnet.cohort.subjects import SubjectFiles
from smgicnet.core.errors import InputError
from smgicnet.core.layout import changed_file
from smgicnet.imaging.displacements import grid_points, sample
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import read_image, read_labels, write_volume
from smgicnet.jobs.change import change_subject, changed_images, read_change
from smgicnet.preparation.changes import Changes, Variant
from smgicnet.preparation.preprocessing import prepare, write_prepared
from tests.support.heads import head

GRID = Grid((40, 40, 40), 1.5)
VARIANTS = (Variant("rotation", 40), Variant("rotation", 120))


@pytest.fixture
def scan(tmp_path):
    """The scan of a head, and its prepared image."""
    image, labels = head()
    sided = image.data + np.linspace(0, 90, image.data.shape[0])[:, None, None] * (labels.data > 0)
    write_volume(tmp_path / "scan.nii", sided.astype(np.float32), image.affine)
    write_volume(tmp_path / "labels.nii", labels.data, labels.affine)
    prepared = prepare(tmp_path / "scan.nii", tmp_path / "labels.nii", GRID)
    names = {"image": "image.nii", "labels": "rois.nii", "parcels": "parcels.nii", "preprocessing": "report.json"}
    write_prepared(prepared, {kind: tmp_path / name for kind, name in names.items()})
    return SubjectFiles("sub-1", tmp_path / "scan.nii", tmp_path / "labels.nii")


def changed(scan, tmp_path, shift=2.0, variants=VARIANTS):
    change_subject(scan, tmp_path / "image.nii", GRID, Changes(variants, shift, 1), tmp_path / "changed")
    return tmp_path / "changed"


def test_a_changed_head_is_where_its_map_says(scan, tmp_path):
    folder = changed(scan, tmp_path)
    own, rois = read_image(tmp_path / "image.nii"), read_labels(tmp_path / "rois.nii")
    for variant in VARIANTS:
        found = read_image(changed_file(folder, variant.name, "image"))
        to_own = read_change(changed_file(folder, variant.name, "preprocessing"))
        assert np.abs(to_own[:3, 3]).max() > 1
        seen = apply_affine(to_own, grid_points(GRID.shape, found.affine))
        again = sample(own, seen)
        assert np.corrcoef(found.data.ravel(), again.ravel())[0, 1] > 0.97  # which was interpolated twice
        assert np.corrcoef(found.data.ravel(), own.data.ravel())[0, 1] < 0.9
        labels = read_labels(changed_file(folder, variant.name, "labels"))
        nearest = np.rint(apply_affine(np.linalg.inv(rois.affine), seen)).astype(int)
        inside = ((nearest >= 0) & (nearest < GRID.shape)).all(axis=-1)
        assert np.mean(labels.data[inside] == rois.data[tuple(nearest[inside].T)]) > 0.95
        assert set(np.unique(labels.data)) == set(np.unique(rois.data))


def test_no_header_tells_of_the_change(scan, tmp_path):
    folder = changed(scan, tmp_path)
    own = read_image(tmp_path / "image.nii")
    for path in changed_images({"sub-1": folder}, VARIANTS).values():
        np.testing.assert_array_equal(read_image(path).affine, own.affine)
        assert np.count_nonzero(read_image(path).affine[:3, :3]) == 3
    said = json.loads(changed_file(folder, "rotation-40", "preprocessing").read_text())
    assert (said["change"], said["severity"]) == ("rotation", 40)
    assert said["cut_percent"] < 5


def test_images_have_the_names_of_heads(tmp_path):
    found = changed_images({"a": tmp_path / "a"}, VARIANTS)
    assert found == {
        "a/rotation-40": tmp_path / "a/rotation-40/image.nii", "a/rotation-120": tmp_path / "a/rotation-120/image.nii"
    }  # fmt: skip


def test_a_head_that_leaves_the_grid_is_said(scan, tmp_path):
    with pytest.raises(
        InputError, match=r"scan\.nii: changed by rotation-40.*beyond the common grid.*robustness\.shift"
    ):
        changed(scan, tmp_path, shift=60.0)


@pytest.mark.parametrize("content", ["{}", '{"to_own": [[1]]}', "no JSON"])
def test_a_file_without_a_map_is_said(tmp_path, content):
    (tmp_path / "change.json").write_text(content)
    with pytest.raises(InputError, match=r"change\.json: it holds no map"):
        read_change(tmp_path / "change.json")
