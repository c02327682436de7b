"""A small good scan and its label map, in files."""

import nibabel as nib
import numpy as np

SHAPE = (24, 24, 24)


def good_image():
    data = np.zeros(SHAPE, np.float32)
    data[4:20, 4:20, 4:20] = np.random.default_rng(0).uniform(50, 100, (16, 16, 16))
    return data


def good_labels():
    data = np.zeros(SHAPE, np.uint8)
    data[6:18, 6:18, 6:18] = 2
    return data


def write(path, data, affine=None):
    nib.save(nib.Nifti1Image(data, np.diag([2.0, 2, 2, 1]) if affine is None else affine), path)
    return path


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
