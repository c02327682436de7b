"""What can be wrong with a subject's files: a function a fault, with the file and the word of the answer."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np

from tests.support.scans import SHAPE, good_image, good_labels, truncated, write


def no_image(image, labels):
    image.unlink()


def truncated_image(image, labels):
    truncated(image)


def damaged_image(image, labels):
    image.write_bytes(gzip.compress(b"this is no NIfTI file" * 100))


def text_as_image(image, labels):
    image.write_text("not an image")


def nan_intensities(image, labels):
    data = good_image()
    data[5, 5, 5] = np.nan
    write(image, data)


def constant_intensities(image, labels):
    write(image, np.full(SHAPE, 7.0, np.float32))


def four_dimensions(image, labels):
    write(image, np.random.default_rng(0).random((*SHAPE, 2), dtype=np.float32))


def two_dimensions(image, labels):
    write(image, np.random.default_rng(0).random((24, 24), dtype=np.float32))


def affine_not_finite(image, labels):
    header = bytearray(nib.Nifti1Image(good_image(), np.diag([2.0, 2, 2, 1])).to_bytes())
    header[280:284] = np.float32(np.nan).tobytes()  # srow_x[0]
    image.write_bytes(gzip.compress(bytes(header)))


def no_labels(image, labels):
    labels.unlink()


def truncated_labels(image, labels):
    truncated(labels)


def labels_of_another_shape(image, labels):
    write(labels, good_labels()[:-1])


def labels_with_another_affine(image, labels):
    write(labels, good_labels(), np.diag([2.0, 2, 2.2, 1]))


def labels_without_rois(image, labels):
    write(labels, np.full(SHAPE, 500, np.int16))


def labels_of_fractions(image, labels):
    write(labels, good_labels().astype(np.float32) * 0.3)


def labels_too_small_for_the_grid(image, labels):
    data = np.zeros(SHAPE, np.uint8)
    data[6, 6, 6] = 17  # between the samples
    write(labels, data)


def background_brighter_than_the_brain(image, labels):
    write(image, 200 - good_image())


def colour_image(image, labels):
    write(image, np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


FILE_FAULTS = {
    no_image: ("image", "no such file"),
    truncated_image: ("image", "truncated"),
    damaged_image: ("image", "not a readable image"),
    text_as_image: ("image", "not a readable image"),
    nan_intensities: ("image", "NaN"),
    constant_intensities: ("image", "same intensity"),
    four_dimensions: ("image", "3D volume"),
    two_dimensions: ("image", "3D volume"),
    affine_not_finite: ("image", "affine"),
    no_labels: ("labels", "no such file"),
    truncated_labels: ("labels", "truncated"),
    labels_of_another_shape: ("labels", "shape"),
    labels_with_another_affine: ("labels", "affine differs"),
    labels_without_rois: ("labels", "none of the 36 ROIs"),
    labels_of_fractions: ("labels", "whole numbers"),
    labels_too_small_for_the_grid: ("labels", "no ROI is left"),
    background_brighter_than_the_brain: ("image", "nothing is brighter"),
    colour_image: ("image", "not numbers"),
}


class Payload:
    """What unpickling must never run."""

    def __reduce__(self):
        return Path.touch, (Path("run-by-unpickling"),)
