"""Small images and label maps of random blobs."""

import numpy as np
import torch

SHAPE = (16, 32, 16)


def blobs(seed, detail=(5, 6, 5)):
    """A smooth random image in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 1, *detail, generator=generator)
    return torch.nn.functional.interpolate(coarse, SHAPE, mode="trilinear")


def label_blobs(seed=0, shape=(14, 16, 18), labels=(2, 3, 17)):
    """A label map of a few ragged regions, away from the border."""
    labels_map = np.zeros(shape, dtype=np.uint8)
    random = np.random.default_rng(seed)
    for label in labels:
        corner = random.integers(3, 7, size=3)
        size = random.integers(3, 6, size=3)
        box = tuple(slice(a, a + b) for a, b in zip(corner, size, strict=True))
        labels_map[box] = np.where(random.random(size) < 0.8, label, labels_map[box])
    return labels_map
