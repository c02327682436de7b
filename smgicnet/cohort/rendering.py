"""From a map of tissue classes to a skull-stripped T1-like image.

A map of regions, int16, holds what both an image and a label map are made from: a voxel's class, or FreeSurfer's id of
the cortical parcel that it is in. A class is an ROI's id, `OTHER_TISSUE` or `UNLABELLED`, a number below 256; 0 is no
brain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from smgicnet.preparation.label_protocols import map_labels, roi_names
from smgicnet.preparation.parcels import map_parcels, parcel_labels

# Rendered, but 0 in a label map. FreeSurfer ids that are brain tissue of none of the 36 ROIs: without the corpus
# callosum (251-255) a brain would have a hole. In the template also brain voxels that the atlas leaves out.
OTHER_TISSUE_IDS = (77, 78, 79, 80, 85, 251, 252, 253, 254, 255)
OTHER_TISSUE, UNLABELLED = 254, 255
BIAS_ORDER = 3  # cosines along an axis
CONTRAST_LIMIT = 2.0  # SDs; a factor beyond would turn tissues' order around


@dataclass(frozen=True)
class RenderConfig:
    """See ``render`` in ``config/schemas/sources/phantom.schema.yaml``."""

    contrast: float
    texture: float
    blur: float
    bias: float
    noise: float
    white_matter: float


@dataclass(frozen=True)
class Tissue:
    """Median and robust SD of a class in the template, white matter being 1; ``name`` is the same left and right."""

    name: str
    mean: float
    spread: float


def to_regions(labels: np.ndarray) -> np.ndarray:
    """Map source labels to regions: the ROIs of ``config/labels/``, parcels and `OTHER_TISSUE`; 0 is no brain."""
    regions = map_labels(labels).astype(np.int16)
    regions[np.isin(labels, OTHER_TISSUE_IDS)] = OTHER_TISSUE
    parcels = map_parcels(labels)
    return np.where(parcels > 0, parcel_labels(parcels), regions)


def to_classes(regions: np.ndarray) -> np.ndarray:
    """Map regions to classes, uint8: a parcel is the cortex of its side."""
    parcels = regions > UNLABELLED
    classes = np.where(parcels, 0, regions).astype(np.uint8)
    classes[parcels] = map_labels(regions[parcels])
    return classes


def to_labels(regions: np.ndarray) -> np.ndarray:
    """Map regions to the ids of a written label map: FreeSurfer's of ROIs, uint8, or with those of parcels, int16."""
    labels = np.where((regions == OTHER_TISSUE) | (regions == UNLABELLED), 0, regions)
    return labels if (labels > UNLABELLED).any() else labels.astype(np.uint8)


def measure_tissues(image: np.ndarray, classes: np.ndarray) -> dict[int, Tissue]:
    """Measure the `Tissue` of each class.

    Voxels of 0 do not count: half of the ventricles is masked out in the MNI152 brain.
    """
    names = {**roi_names(), OTHER_TISSUE: "Other-Tissue", UNLABELLED: "Unlabelled-Brain"}
    image, classes = image[image > 0], classes[image > 0]
    values = {key: image[classes == key] for key in names}
    white = np.median(np.concatenate([values[2], values[41]]))
    tissues = {}
    for key, name in names.items():
        median = np.median(values[key])
        spread = 1.4826 * np.median(np.abs(values[key] - median))  # a normal distribution's SD
        side_free = name.removeprefix("Left-").removeprefix("Right-")
        tissues[key] = Tissue(side_free, float(median / white), float(spread / white))
    return tissues


def streams(seed: int, index: int, count: int) -> list[np.random.Generator]:
    """Return independent random generators of one subject: no other subject and no other stream changes them."""
    return [np.random.default_rng(child) for child in np.random.SeedSequence([seed, index]).spawn(count)]


def render(
    classes: np.ndarray, tissues: Mapping[int, Tissue], rng: np.random.Generator, config: RenderConfig
) -> np.ndarray:
    """Render a skull-stripped T1-like image of a map of classes.

    Parameters
    ----------
    classes : uint8 ``(X, Y, Z)``, 0 is background
    tissues : intensity of each class, white matter is 1

    Contrast, texture, bias field and noise are drawn anew. Returns float32 ``(X, Y, Z)``, exactly 0 in the background.
    Raises ``ValueError`` for a class without intensity.
    """
    unknown = set(np.flatnonzero(np.bincount(classes.ravel()))) - {0, *tissues}
    if unknown:
        raise ValueError(f"no intensity is known for the classes {sorted(map(int, unknown))}")
    mean, spread = _draw_contrast(tissues, rng, config)
    image = mean[classes] + spread[classes] * rng.standard_normal(classes.shape, dtype=np.float32)
    image = ndimage.gaussian_filter(image, config.blur)
    image *= _draw_bias(classes.shape, rng, config.bias)
    real, imaginary = config.noise * rng.standard_normal((2, *classes.shape), dtype=np.float32)
    image = np.hypot(image + real, imaginary) * np.float32(config.white_matter)
    image[classes == 0] = 0
    return image


def _draw_contrast(
    tissues: Mapping[int, Tissue], rng: np.random.Generator, config: RenderConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Look-up tables (256,) float32 of mean and spread by class."""
    names = sorted({tissue.name for tissue in tissues.values()})
    deviation = np.clip(rng.standard_normal(len(names)), -CONTRAST_LIMIT, CONTRAST_LIMIT)
    factor = dict(zip(names, 1 + config.contrast * deviation, strict=True))
    mean, spread = np.zeros((2, 256), dtype=np.float32)
    for key, tissue in tissues.items():
        mean[key] = tissue.mean * factor[tissue.name]
        spread[key] = tissue.spread * config.texture
    return mean, spread


def _draw_bias(shape: tuple[int, ...], rng: np.random.Generator, limit: float) -> np.ndarray:
    """A smooth factor ``(X, Y, Z)`` float32 around 1, of low-order cosines; its strength is uniform up to ``limit``."""
    bases = [np.cos(np.pi * np.outer((np.arange(n) + 0.5) / n, np.arange(BIAS_ORDER + 1))) for n in shape]
    coefficients = rng.standard_normal((BIAS_ORDER + 1,) * 3)
    coefficients[0, 0, 0] = 0
    field = np.einsum("abc,ia,jb,kc->ijk", coefficients, *bases, optimize=True)
    return (1 + rng.uniform(0, limit) * field / np.abs(field).max()).astype(np.float32)
