"""The brain of a stripped image: where it is, whatever surrounds it."""

import numpy as np
import pytest

from smgicnet.imaging.foreground import background_level, bounding_box, brain_centre, foreground
from tests.support.heads import brain, head


@pytest.mark.parametrize("background", [0, -0.65, 30])
def test_foreground_and_box_whatever_the_background(background):
    image, labels = head(background)
    assert background_level(image.data) == pytest.approx(background)
    mask = foreground(image.data)
    np.testing.assert_array_equal(mask, labels.data > 0)
    assert bounding_box(mask).tolist() == [[8, 29], [10, 43], [12, 35]]


def test_foreground_ignores_specks():
    image, labels = head()
    image.data[1, 1, 1] = 300
    np.testing.assert_array_equal(foreground(image.data), labels.data > 0)


def test_a_tail_below_the_brain_does_not_move_its_centre():
    """A hundredth of the brain on either side is left out: fluid in the neck, above all."""
    _, labels = head()
    mask, middle = labels.data > 0, np.array([18.5, 26.5, 23.5])
    np.testing.assert_allclose(brain_centre(mask), middle)
    mask[18:20, 26:28, 0:12] = True
    assert (middle - bounding_box(mask).mean(axis=1)).tolist() == [0, 0, 6]
    np.testing.assert_allclose(brain_centre(mask), middle, atol=0.5)


def test_what_is_faint_is_brain_from_a_twentieth_of_its_range_on():
    image, _ = head()
    faint = image.data.copy()
    faint[30:33, 20:30, 20:30] = 0.06 * image.data.max()  # beside the brain
    assert foreground(faint)[31, 25, 25]
    faint[30:33, 20:30, 20:30] = 0.04 * image.data.max()
    assert not foreground(faint)[31, 25, 25]


def test_nothing_above_the_background_is_no_brain():
    assert not foreground(np.full((8, 8, 8), 3.0)).any()


def test_a_background_within_the_brains_range_is_a_background():
    image, mask = brain()
    z = np.where(mask, (image - image[mask].mean()) / image[mask].std(), 0).astype(np.float32)
    assert (z[mask] < 0).mean() > 0.3
    assert (foreground(z) != mask).mean() < 0.003
    dark = z - 5 * ~mask
    padded = np.pad(dark, 6)
    assert (foreground(padded) != np.pad(mask, 6)).mean() < 0.001
