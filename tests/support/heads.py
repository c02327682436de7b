"""Heads whose brain, labels and place in the world are known."""

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial.transform import Rotation

from smgicnet.imaging.images import Volume, read_image
from smgicnet.imaging.templates import find_template
from smgicnet.preparation.preprocessing import resample

TURN = np.eye(4)  # of the moving head in its world, RAS mm
TURN[:3, :3] = Rotation.from_rotvec([0.1, 0.2, -0.15]).as_matrix()
TURN[:3, 3] = 12, -7, 5


def head(background=0.0):
    """An image (40, 50, 44) at 1 x 1 x 1.5 mm whose brain spans known voxels, and its labels."""
    labels = np.zeros((40, 50, 44), np.int32)
    labels[8:30, 10:44, 12:36] = 2
    labels[12:20, 16:30, 16:30] = 10
    labels[21:27, 16:30, 16:30] = 1022  # cortex of aparc
    rng = np.random.default_rng(0)
    image = np.where(labels > 0, 200.0 + labels % 100 + rng.normal(0, 1, labels.shape), 0).astype(np.float32)
    affine = np.diag([1, 1, 1.5, 1.0])
    affine[:3, 3] = [-20, 30, 7]
    return Volume(image + np.float32(background), affine), Volume(labels, affine)


def brain(shape=(40, 44, 36)):
    """A ball of two tissues at 4 mm with noise, and its mask."""
    points = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij"))
    radius = np.linalg.norm(points, axis=0)
    values = np.where(radius < 10, 900.0, 600) + np.random.default_rng(0).normal(0, 60, shape)
    return np.where(radius < 15, values, 0).astype(np.float32), radius < 15


def real_brain(step=4):
    """The MNI152 brain, an average of scans, on every ``step``-th voxel."""
    template = read_image(find_template("mni").path)
    return Volume(template.data[::step, ::step, ::step], template.affine @ np.diag([step, step, step, 1]))


def with_skull(brain):
    """A brain in a skull, a bright scalp and noisy air, and the mask of the brain."""
    mask = ndimage.binary_fill_holes(brain.data > 0)
    distance = ndimage.distance_transform_edt(~mask)
    data = np.select([mask, distance <= 1, distance <= 2], [brain.data, 600.0, 8000.0], 0)
    noise = np.abs(100 * np.random.default_rng(0).standard_normal(data.shape))
    return Volume((data + noise).astype(np.float32), brain.affine), mask


def moved(volume):
    """A volume as a scanner sees the head after `TURN`, on a grid of its own."""
    affine = volume.affine @ np.diag([0.95, 0.95, 0.95, 1.0])
    shape = tuple(int(n / 0.95) + 6 for n in volume.data.shape)
    return Volume(resample(volume, np.linalg.inv(TURN) @ affine, shape, order=1), affine)


def distances(matrix, brain):
    """How far a matrix from the fixed to the moving world leads points of the brain from where `TURN` leads them."""
    points = apply_affine(brain.affine, np.argwhere(brain.data > 0))
    return np.linalg.norm(apply_affine(np.array(matrix), points) - apply_affine(TURN, points), axis=1)
