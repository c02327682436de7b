"""A head whose brain, labels and place in the world are known."""

import numpy as np

from smgicnet.imaging.images import Volume


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
