"""Whole heads from label maps that have the tissues around the brain: images like T1, with skull, scalp and noise.

``python -m benchmarks.heads LABELS... OUT`` writes ``OUT/NAME-head.nii.gz`` and ``OUT/NAME-aseg.nii.gz``, the labels of
the brain alone, for FreeSurfer label maps whose ids of 500 and more lie outside the brain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy import ndimage

from smgicnet.imaging.images import read_labels, write_volume

OUTSIDE = 500  # the first id outside the brain
WHITE, GREY, DEEP, STEM, FLUID, OTHER = 110.0, 79.0, 90.0, 103.0, 34.0, 70.0
BRAIN = {
    **dict.fromkeys((2, 41, 7, 46, 85), WHITE),
    **dict.fromkeys((3, 42, 8, 47, 17, 53, 18, 54, 26, 58), GREY),
    **dict.fromkeys((10, 49, 11, 50, 12, 51, 25, 57), DEEP),
    **dict.fromkeys((16, 13, 52, 28, 60), STEM),
    **dict.fromkeys((4, 43, 5, 44, 14, 15, 24, 136, 137, 163, 164), FLUID),
}
HEAD = (15.0, 150.0)  # the range from which a head tissue's intensity is drawn
BLUR, NOISE = 0.6, 3.0  # voxels; the standard deviation


def head(labels: np.ndarray, seed: int) -> np.ndarray:
    """An image ``(X, Y, Z)`` of a label map, float32."""
    rng = np.random.default_rng(seed)
    ids = np.unique(labels)
    values = np.zeros(int(ids.max()) + 1, np.float32)
    for one in map(int, ids[ids > 0]):
        values[one] = BRAIN.get(one, OTHER) if one < OUTSIDE else rng.uniform(*HEAD)
    image = ndimage.gaussian_filter(values[labels], BLUR) + rng.normal(0, NOISE, labels.shape)
    return np.abs(image).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", nargs="+", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for number, path in enumerate(arguments.labels):
        volume = read_labels(path)
        name = path.name.split(".")[0]
        write_volume(arguments.out / f"{name}-head.nii.gz", head(volume.data, number), volume.affine)
        brain = np.where(volume.data < OUTSIDE, volume.data, 0).astype(np.int16)
        write_volume(arguments.out / f"{name}-aseg.nii.gz", brain, volume.affine)
        print(arguments.out / f"{name}-head.nii.gz")


if __name__ == "__main__":
    main()
