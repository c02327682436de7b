"""Each step from a scan to the common grid."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from smgicnet.core.errors import InputError
from smgicnet.core.layout import PREPARED
from smgicnet.imaging.foreground import bounding_box, brain_centre
from smgicnet.imaging.grids import Grid
from smgicnet.imaging.images import UNIT_STEP, Volume, read_image, read_labels, write_volume
from smgicnet.preparation.label_protocols import LABEL_TABLE, label_table, map_labels, roi_names
from smgicnet.preparation.preprocessing import (
    Intensities,
    common_affine,
    match_histogram,
    prepare,
    read_intensities,
    resample,
    scale_intensity,
    to_canonical,
    write_prepared,
)
from smgicnet.training.sampling import ImageSet
from tests.support.headers import oblique
from tests.support.heads import brain, head

GRID = Grid((16, 16, 16), 4.0)


def test_to_canonical_keeps_the_world():
    image, _ = head()
    turned = nib.Nifti1Image(image.data, image.affine).as_reoriented(nib.orientations.axcodes2ornt(("P", "I", "R")))
    volume = to_canonical(Volume(np.asarray(turned.dataobj), turned.affine))
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(volume.data, image.data)
    np.testing.assert_allclose(volume.affine, image.affine)


def test_common_grid_is_centred_on_the_brain_and_keeps_the_axes():
    """Also when a thin tail hangs below it, which would move the centre of the whole box by six voxels."""
    image, labels = head()
    mask, middle = labels.data > 0, np.array([18.5, 26.5, 23.5])
    np.testing.assert_allclose(brain_centre(mask), middle)
    mask[18:20, 26:28, 0:12] = True
    assert (middle - bounding_box(mask).mean(axis=1)).tolist() == [0, 0, 6]
    np.testing.assert_allclose(brain_centre(mask), middle, atol=0.5)
    affine = common_affine(image, middle, GRID)
    centre = affine[:3, :3] @ np.full(3, 7.5) + affine[:3, 3]
    np.testing.assert_allclose(centre, image.affine[:3, :3] @ middle + image.affine[:3, 3])
    np.testing.assert_allclose(affine[:3, :3], np.eye(3) * 4)


def test_resample_to_the_same_grid_changes_nothing():
    image, labels = head()
    np.testing.assert_allclose(resample(image, image.affine, image.data.shape, order=1), image.data, rtol=1e-5)
    np.testing.assert_array_equal(resample(labels, labels.affine, labels.data.shape, order=0), labels.data)


def test_resample_follows_the_world_and_smooths_before_it_thins():
    shape = (32, 32, 32)
    ramp = Volume(np.broadcast_to(np.arange(32, dtype=np.float32)[:, None, None], shape).copy(), np.eye(4))
    target = np.diag([4.0, 4, 4, 1])
    target[:3, 3] = 8
    np.testing.assert_allclose(resample(ramp, target, (4, 4, 4), order=1)[:, 0, 0], [8, 12, 16, 20], atol=1e-4)
    stripes = Volume(np.tile(np.float32([0, 1]), 16 * 32 * 32).reshape(shape), np.eye(4))
    thinned = resample(stripes, target, (4, 4, 4), order=1)
    assert np.abs(thinned - 0.5).max() < 0.02


def test_resample_fills_beyond_the_image():
    image = Volume(np.ones((8, 8, 8), np.float32), np.eye(4))
    target = np.eye(4)
    target[:3, 3] = -4
    out = resample(image, target, (8, 8, 8), order=1, fill=-3)
    assert out[0, 0, 0] == -3
    assert out[7, 7, 7] == 1


def test_scale_intensity():
    np.testing.assert_allclose(scale_intensity(np.array([-5.0, 0, 5, 10, 20]), 0, 10), [0, 0, 0.5, 1, 1])


def test_prepare_and_its_record(tmp_path):
    image, labels = head()
    write_volume(tmp_path / "i.nii.gz", image.data, image.affine)
    write_volume(tmp_path / "l.nii.gz", labels.data, labels.affine)
    prepared = prepare(tmp_path / "i.nii.gz", tmp_path / "l.nii.gz", GRID)
    assert prepared.image.shape == prepared.labels.shape == GRID.shape
    assert (prepared.image.dtype, prepared.labels.dtype) == (np.float32, np.uint8)
    assert prepared.image.min() == 0
    assert 0.95 < prepared.image.max() <= 1
    assert set(np.unique(prepared.labels)) == {0, 2, 3, 10}
    assert prepared.image[prepared.labels > 0].min() > 0.3  # labels lie on the brain
    report = prepared.report
    assert report["bounding_box"] == [[8, 29], [10, 43], [12, 35]]
    assert report["source_orientation"] == "RAS"
    assert report["cut_percent"] == 0
    assert "Right-Putamen" in report["rois_missing"]
    named = {kind: tmp_path / "out" / name for kind, name in PREPARED.items()}
    write_prepared(prepared, named)
    paths = [named[kind] for kind in ("image", "labels", "preprocessing")]
    np.testing.assert_allclose(read_image(paths[0]).affine, prepared.affine, atol=1e-5)
    stored = read_image(paths[0]).data
    np.testing.assert_allclose(stored, prepared.image, atol=UNIT_STEP / 2)
    assert stored.max() <= 1
    assert nib.load(paths[0]).header.get_data_dtype() == np.uint16
    assert np.array_equal(ImageSet(paths[:1]).batch([0, 0])[1, 0].numpy(), stored)
    np.testing.assert_array_equal(read_labels(paths[1]).data, prepared.labels)
    said = json.loads(paths[2].read_text())
    assert said.pop("digests").keys() == {"image", "labels", "parcels"}
    assert said == {**report, "steps": []}


def test_the_record_changes_with_every_file_of_a_subject(tmp_path):
    image, labels = head()
    write_volume(tmp_path / "i.nii.gz", image.data, image.affine)
    write_volume(tmp_path / "l.nii.gz", labels.data, labels.affine)
    (tmp_path / "truth").write_text("a true map")
    prepared = prepare(tmp_path / "i.nii.gz", tmp_path / "l.nii.gz", GRID)
    named = {kind: tmp_path / "out" / name for kind, name in PREPARED.items()}

    def record(**changes):
        write_prepared(replace(prepared, **changes), named, truth=[tmp_path / "truth"])
        return named["preprocessing"].read_bytes()

    def swapped(array):
        return array[::-1].copy()

    first = record()
    assert record() == first
    records = {record(**{kind: swapped(getattr(prepared, kind))}) for kind in ("image", "labels")}
    records.add(record(parcels=np.ones_like(prepared.parcels)))
    (tmp_path / "truth").write_text("another")
    records.add(record())
    assert len(records | {first}) == 5


def test_orientation_of_the_file_does_not_matter(tmp_path):
    image, labels = head()
    results = []
    for codes in ("RAS", "LIA", "PSR"):
        for name, volume in (("i", image), ("l", labels)):
            turned = nib.Nifti1Image(volume.data, volume.affine).as_reoriented(nib.orientations.axcodes2ornt(codes))
            write_volume(tmp_path / f"{name}.nii", np.asarray(turned.dataobj), turned.affine)
        results.append(prepare(tmp_path / "i.nii", tmp_path / "l.nii", GRID))
    for other in results[1:]:
        np.testing.assert_allclose(other.image, results[0].image, atol=1e-5)
        np.testing.assert_array_equal(other.labels, results[0].labels)
        np.testing.assert_allclose(other.affine, results[0].affine, atol=1e-4)


def test_a_brain_beyond_the_grid_is_an_error(tmp_path):
    image, _ = head()
    write_volume(tmp_path / "i.nii.gz", image.data, image.affine)
    with pytest.raises(InputError, match=r"spans \[22, 34, 36\] mm and \d+ % of it lies beyond.*Enlarge grid"):
        prepare(tmp_path / "i.nii.gz", None, Grid((16, 16, 16), 1.5))


def test_a_matched_histogram_is_the_references(tmp_path):
    """The same anatomy with another contrast, background and scale is the same image when it is matched."""
    image, labels = head()
    other = np.where(labels.data > 0, (image.data / 100) ** 3 - 5, -5).astype(np.float32)
    matched = match_histogram(
        other, Intensities.of(other, labels.data > 0), Intensities.of(image.data, labels.data > 0)
    )
    np.testing.assert_allclose(matched, image.data, atol=0.5)
    write_volume(tmp_path / "i.nii.gz", image.data, image.affine)
    write_volume(tmp_path / "o.nii.gz", other, image.affine)
    plain = prepare(tmp_path / "i.nii.gz", None, GRID)
    alone = prepare(tmp_path / "o.nii.gz", None, GRID)
    together = prepare(tmp_path / "o.nii.gz", None, GRID, reference=read_intensities(tmp_path / "i.nii.gz"))
    assert np.abs(together.image - plain.image).max() < 0.02 < np.abs(alone.image - plain.image).max()
    assert together.report["histogram_matched"]


def test_label_protocols(tmp_path):
    """The 35 labels of neurite-OASIS are FreeSurfer's in its own order; a table of one's own is checked."""
    assert map_labels(np.array([[[0, 1, 11, 13, 21, 35, 36]]]), "seg35").tolist() == [[[0, 2, 14, 16, 42, 63, 0]]]
    assert set(label_table("seg35")["roi"]) == set(roi_names()) - {24}
    assert dict(label_table("seg35")[["roi", "name"]].to_numpy()) == {k: v for k, v in roi_names().items() if k != 24}
    own = tmp_path / "own.tsv"
    for content, problem in {
        "label\troi\n1\t2\n": "not a table of labels",
        "label\troi\tname\nx\t2\ty\n": "not a table of labels",
        "label\troi\tname\n1\t999\ty\n": "[999] are none of the 36 ROIs",
        "label\troi\tname\n1\t2\ty\n1\t3\tz\n": "mapped twice",
    }.items():
        own.write_text(content)
        label_table.cache_clear()
        with pytest.raises(InputError) as caught:
            label_table(str(own))
        assert problem in caught.value.problem
    with pytest.raises(InputError, match=f"A protocol is one of .*{LABEL_TABLE.stem}"):
        label_table("aal")


def test_a_z_scored_brain_is_prepared_on_a_dark_background(tmp_path):
    image, mask = brain()
    z = np.where(mask, (image - image[mask].mean()) / image[mask].std(), 0).astype(np.float32)
    write_volume(tmp_path / "z.nii.gz", z, np.diag([4.0, 4, 4, 1]))
    prepared = prepare(tmp_path / "z.nii.gz", None, Grid((40, 44, 36), 4.0)).image
    assert np.percentile(prepared[~mask], 99) < 0.1 < np.percentile(prepared[mask], 1)


def test_tilted_slices_change_nothing_on_the_common_grid(tmp_path):
    image, _ = brain()
    results = []
    for name, angles in {"upright": (0, 0, 0), "tilted": (27, 0, 0)}.items():
        matrix = oblique(angles, (4, 4, 4), (0, 0, 0))
        matrix[:3, 3] = -matrix[:3, :3] @ ((np.array(image.shape) - 1) / 2)
        write_volume(tmp_path / f"{name}.nii.gz", image, matrix)
        found = prepare(tmp_path / f"{name}.nii.gz", None, Grid((40, 40, 40), 4.0))
        results.append(found.affine)
        assert np.allclose(found.affine[:3, :3], np.diag([4.0] * 3))
    assert np.linalg.norm(results[0][:3, 3] - results[1][:3, 3]) < 4


def test_a_few_slices_are_refused(tmp_path):
    image, _ = brain()
    write_volume(tmp_path / "slab.nii.gz", image[:, :, 17:20], np.diag([4.0, 4, 4, 1]))
    with pytest.raises(InputError, match=r"its foreground spans .* x 12 mm, and 16 mm along each axis"):
        prepare(tmp_path / "slab.nii.gz", None, Grid((40, 44, 36), 4.0))
