"""How a scanner sees the same head otherwise: what each change does to an image, and what it leaves alone."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from smgicnet.core.errors import InputError
from smgicnet.preparation import image_changes as made
from smgicnet.preparation.changes import CHANGES, Changes, Variant

SPACING = 3.0


def brain(seed=0):
    """A ball of white matter in cortex around a ventricle, ``(40, 44, 36)``, and its labels."""
    shape = (40, 44, 36)
    away = np.sqrt(sum((axis - n / 2) ** 2 for axis, n in zip(np.indices(shape), shape, strict=True)))
    labels = np.select([away < 4, away < 11, away < 15], [4, 2, 3], 0).astype(np.uint8)
    image = np.select([labels == 4, labels == 2, labels == 3], [0.2, 0.9, 0.6], 0)
    texture = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1)
    return np.clip(image + 0.1 * texture * (labels > 0), 0.01, 1).astype(np.float32) * (labels > 0), labels


def seen(kind, severity, seed=1):
    image, labels = brain()
    found = Changes((), 0, seed).seen(Variant(kind, severity), "sub-1", image, labels, SPACING)
    assert found.shape == image.shape
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1.06
    return image, labels, found


IMAGE_KINDS = [kind for kind, change in CHANGES.items() if change.image]


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_head_is_seen_otherwise_and_lies_as_it_did(kind):
    severity = {"lesion": 5, "slices": 9}.get(kind, 20 if kind.startswith("crop") else 0.4)
    image, _, found = seen(kind, severity)
    assert np.abs(found - image).max() > 0.05
    again = seen(kind, severity)[2]
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(Changes((), 5.0, 1).to_own(Variant(kind, severity), "sub-1", np.ones(3)), np.eye(4))
    if kind != "skull":
        assert (found[image == 0] == 0).all()


@pytest.mark.parametrize(("kind", "axis"), [("crop-top", 2), ("crop-bottom", 2), ("crop-side", 0)])
def test_a_cut_takes_its_part_of_the_brain_from_its_side(kind, axis):
    image, _, found = seen(kind, 30)
    others = tuple(one for one in range(3) if one != axis)
    before, after = ((one > 0).any(axis=others) for one in (image, found))
    assert after.sum() == pytest.approx(0.7 * before.sum(), abs=1)
    kept = np.flatnonzero(after)
    whole = np.flatnonzero(before)
    if kind == "crop-top":
        assert kept[0] == whole[0]
    if kind == "crop-bottom":
        assert kept[-1] == whole[-1]
    np.testing.assert_array_equal(found[found > 0], image[found > 0])


def test_thick_slices_are_means_and_thin_ones_change_nothing():
    image, labels = brain()
    random = np.random.default_rng(0)
    same = made.slices(image, labels, SPACING, SPACING, random)
    np.testing.assert_allclose(same, image, atol=1e-5)
    thick = made.slices(image, labels, SPACING, 4 * SPACING, random)
    inside = gaussian_filter((image > 0).astype(float), 1) > 0.99
    assert np.diff(thick, axis=2)[inside[..., 1:]].std() < 0.5 * np.diff(image, axis=2)[inside[..., 1:]].std()
    assert thick[inside].mean() == pytest.approx(image[inside].mean(), rel=0.05)


def test_noise_has_its_sd_and_a_bias_field_its_range():
    image, labels = brain()
    noisy = made.noise(image, labels, SPACING, 0.1, np.random.default_rng(0))
    scale = np.percentile(image[labels == 2], 50) / np.percentile(noisy[labels == 2], 50)
    difference = (noisy * scale - image)[(labels == 2) & (noisy < 1)]
    assert difference.std() == pytest.approx(0.1, rel=0.25)
    uneven = made.bias(image, labels, SPACING, 0.5, np.random.default_rng(0))
    ratio = np.log(uneven[(image > 0.2) & (uneven < 1)] / image[(image > 0.2) & (uneven < 1)])
    assert 0.5 < ratio.max() - ratio.min() <= 1.0001


@pytest.mark.parametrize(("kind", "order"), [("t2", (4, 3, 2)), ("flair", (3, 2, 4)), ("inverted", (4, 3, 2))])
def test_another_contrast_has_its_order_of_tissues(kind, order):
    _, labels, found = seen(kind, 1)
    means = [found[labels == one].mean() for one in order]
    assert means == sorted(means, reverse=True)
    half = seen(kind, 0.5)[2]
    image = brain()[0]
    np.testing.assert_allclose(half, (image + found) / 2, atol=1e-5)


def test_another_contrast_without_labels_says_so():
    with pytest.raises(InputError, match="needs label maps"):
        made.t2(brain()[0], None, SPACING, 1, np.random.default_rng(0))


def test_a_lesion_has_its_volume_and_lies_in_the_brain():
    image, _, found = seen("lesion", 20)
    assert (found < image - 0.02).sum() * SPACING**3 / 1000 == pytest.approx(20, rel=0.5)


def test_a_skull_stands_around_the_brain():
    image, _, found = seen("skull", 0.8)
    np.testing.assert_array_equal(found[image > 0], image[image > 0])
    assert (found == np.float32(0.8)).sum() > 1000
    assert found[0, 0, 0] == 0


def test_a_shift_and_a_scale_are_as_large_as_they_say():
    centre = np.array([1.0, 2, 3])
    shift = np.linalg.inv(Changes((), 0, 1).to_own(Variant("translation", 20), "sub-1", centre))
    assert np.linalg.norm(shift[:3, 3]) == pytest.approx(20)
    factors = {
        round(np.linalg.det(Changes((), 0, seed).to_own(Variant("scale", 25), "s", centre)) ** (1 / 3), 6)
        for seed in range(20)
    }
    assert factors == {0.8, 1.25}
