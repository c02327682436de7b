"""SyN: ANTs' transforms as this project's fields; labels and Jacobian determinants as ANTs computes them itself."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from smgicnet.cohort.phantom import PhantomConfig, make_phantom
from smgicnet.cohort.sources import recipe
from smgicnet.config.building import build
from smgicnet.config.completion import complete, complete_method
from smgicnet.config.schemas import schema
from smgicnet.imaging.displacements import to_world, write_itk
from smgicnet.methods.syn import SyN, SyNConfig
from smgicnet.preparation.ants_affine import import_ants
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.registration.fields import compose, jacobian_determinant, warp
from smgicnet.scoring.overlap import dice, present_labels, warp_labels

SHAPE = (32, 38, 32)


def method(**changes):
    part = {"type": "syn", "iterations": [10, 5], "radius": 2, "gradient_step": 0.2, **changes}
    return SyN.from_block(complete_method(part, "test"))


@pytest.fixture(scope="module")
def subjects():
    """Images ``(1, 1, *SHAPE)`` in [0, 1], label maps and affines of two phantoms; their poses differ."""
    source = {"kind": "phantom", "shape": list(SHAPE), "spacing": 6.5, "orientations": ["LPS"], "translation": 12}
    source = complete({"datasets": {"d": {"source": source}}, "methods": {"m": {"type": "initial"}}})["datasets"]["d"][
        "source"
    ]
    config = build(PhantomConfig, recipe(source))
    made = [make_phantom(index, config) for index in (0, 1)]
    images = [torch.from_numpy(m.image.data / m.image.data.max())[None, None] for m in made]
    return images, [map_labels(m.labels.data) for m in made], [m.image.affine for m in made]


@pytest.fixture(scope="module")
def registered(subjects):
    return method().register(*subjects[0])


def mean_dice(fixed, moved):
    return float(np.nanmean(dice(fixed, moved, present_labels(fixed, list(roi_names())))))


def test_fields_are_finite_voxel_displacements_and_inverse_to_each_other(registered):
    for field in (registered.forward, registered.inverse):
        assert field.shape == (1, 3, *SHAPE)
        assert field.dtype == torch.float32
        assert torch.isfinite(field).all()
        assert not field.requires_grad
    assert registered.seconds > 0
    for pair in ((registered.forward, registered.inverse), (registered.inverse, registered.forward)):
        inner = compose(*pair)[..., 6:-6, 6:-6, 6:-6].norm(dim=1)
        assert inner.mean() < 0.05
        assert inner.max() < 0.5


def test_mutual_information_is_another_metric_that_registers_too(subjects, registered):
    images, labels, _ = subjects
    result = method(metric="mutual-information").register(*images)
    assert (result.forward - registered.forward).abs().mean() > 0.01
    assert mean_dice(labels[0], warp_labels(labels[1], result.forward)) > mean_dice(labels[0], labels[1]) + 0.15


def test_images_and_labels_agree_afterwards(subjects, registered):
    (fixed, moving), (fixed_labels, moving_labels), _ = subjects
    for target, image, labels, moved, field in (
        (fixed, moving, fixed_labels, moving_labels, registered.forward),
        (moving, fixed, moving_labels, fixed_labels, registered.inverse),
    ):
        assert (warp(image, field) - target).square().mean() < 0.3 * (image - target).square().mean()
        assert mean_dice(labels, warp_labels(moved, field)) > mean_dice(labels, moved) + 0.1


def test_a_b_a_gives_the_same_bytes(subjects, registered):
    one, two = subjects[0]
    other = method()
    other.register(two, one)
    again = other.register(one, two)
    assert torch.equal(again.forward, registered.forward)
    assert torch.equal(again.inverse, registered.inverse)


def test_labels_are_warped_as_ants_warps_them(subjects, registered, tmp_path):
    (fixed, moving), labels, _ = subjects
    ants = import_ants()
    files = method()._run(fixed, moving, tmp_path)
    fixed_labels, moving_labels = (ants.from_numpy(data.astype(np.float32)) for data in labels)
    theirs = ants.apply_transforms(
        fixed_labels, moving_labels, [str(files.warp), str(files.affine)], interpolator="nearestNeighbor"
    )
    back = ants.apply_transforms(
        moving_labels, fixed_labels, [str(files.affine), str(files.inverse_warp)],
        whichtoinvert=[True, False], interpolator="nearestNeighbor",
    )  # fmt: skip
    for field, moved, target, truth, target_image in (
        (registered.forward, labels[1], labels[0], theirs, fixed_labels),
        (registered.inverse, labels[0], labels[1], back, moving_labels),
    ):
        ours = warp_labels(moved, field)
        rois = present_labels(target, list(roi_names()))
        table = ants.label_overlap_measures(truth, target_image).set_index("Label")
        expected = [table.loc[roi, "MeanOverlap"] for roi in rois]
        if field is registered.forward:
            np.testing.assert_array_equal(ours, truth.numpy())
            np.testing.assert_allclose(dice(ours, target, rois), expected, atol=1e-6)
        else:  # one interpolation more than ANTs, which inverts nothing but the affine
            assert (ours != truth.numpy()).mean() < 1e-3
            np.testing.assert_allclose(dice(ours, target, rois), expected, atol=0.02)


def ants_jacobian_determinant(field, affine, path):
    """What ANTs makes of our exported field ``(1, 3, D, H, W)`` between two grids with that affine."""
    ants = import_ants()
    write_itk(path, to_world(field[0].numpy(), affine, affine), affine)
    domain = ants.split_channels(ants.image_read(str(path)))[0]
    return ants.create_jacobian_determinant_image(domain, str(path)).numpy()


def fourth_order_jacobian_determinant(field):
    """``det(I + Du)`` with the stencil (1, -8, 0, 8, -1) / 12, which ANTs uses; not at the two outermost voxels."""
    gradient = [ndimage.correlate1d(field[0].numpy(), np.array([1, -8, 0, 8, -1]) / 12, axis) for axis in (1, 2, 3)]
    return np.linalg.det(np.moveaxis(np.stack(gradient), (0, 1), (-1, -2)) + np.eye(3))


def test_jacobian_determinants_agree_with_ants(subjects, registered, tmp_path):
    """Of the whole map, affine and warp, from one exported file in mm. ANTs' differences are of fourth order, ours of
    second: they meet where the grid is fine for the field."""
    _, (labels, _), (affine, _) = subjects
    theirs = ants_jacobian_determinant(registered.forward, affine, tmp_path / "u.nii.gz")
    inner = (slice(2, -2),) * 3
    expected = fourth_order_jacobian_determinant(registered.forward)
    np.testing.assert_allclose(theirs[inner], expected[inner], rtol=1e-4)
    ours = jacobian_determinant(registered.forward)[0].numpy()
    assert np.all(np.sign(ours) == np.sign(theirs))

    finer = affine @ np.diag([*[(n - 1) / (3 * n - 1) for n in SHAPE], 1])
    fine = [ndimage.zoom(u, 3) * (3 * n - 1) / (n - 1) for u, n in zip(registered.forward[0].numpy(), SHAPE)]
    fine = torch.from_numpy(np.stack(fine))[None]
    theirs = ants_jacobian_determinant(fine, finer, tmp_path / "u.nii.gz")
    ours = jacobian_determinant(fine)[0].numpy()
    brain = ndimage.zoom((labels > 0).astype(float), 3, order=1) > 0.5
    assert np.mean(np.abs(ours / theirs - 1)[brain] < 1e-2) > 0.99
    assert np.all(np.sign(ours) == np.sign(theirs))
    assert ours[brain].std() > 0.1


def test_nothing_is_left_behind(subjects, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    method(iterations=[1], affine_iterations=[1]).register(*subjects[0])
    assert not list(tmp_path.iterdir())


def test_the_schema_is_the_papers_and_agrees_with_the_dataclass():
    part = complete_method({"type": "syn"}, "test")
    config = SyN.from_block(part).config
    assert config == SyNConfig((100, 70, 50, 20), (1000, 500, 250, 100), "cross-correlation", 4, 0.1, 3, 0, 90, 1, 1)
    assert (part["arms"], part["weights"], part["stages"], part["label"]) == (["raw"], None, [], "SyN")
    assert set(part) == set(schema("methods/syn")["properties"])
    with pytest.raises(TypeError, match="SyNConfig"):
        SyN.from_block({**part, "sharpness": 1})
