"""T1-like images rendered from label maps, in the pose and the world of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nibabel.affines import apply_affine
from scipy import ndimage

from smgicnet.cohort.rendering import RenderConfig, render, streams, to_classes, to_labels, to_regions
from smgicnet.cohort.template import load_template
from smgicnet.core.errors import InputError
from smgicnet.imaging.foreground import bounding_box
from smgicnet.imaging.images import Volume, read_labels
from smgicnet.preparation.label_protocols import LABEL_TABLE


@dataclass(frozen=True)
class LabelMapConfig:
    """See ``config/schemas/sources/label-maps.schema.yaml``, but for the folder and who is in which split."""

    kind: str
    seed: int
    spacing: float
    margin: float
    render: RenderConfig


def make_from_label_map(path: str | Path, index: int, config: LabelMapConfig) -> tuple[Volume, Volume]:
    """Make a T1-like image (float32) and its label map from a FreeSurfer label map of a head or brain.

    Pose, orientation and world are the file's own; the grid is brought to ``config.spacing`` and cropped to the
    brain and ``config.margin``. The label map holds ROIs and the cortical parcels that there are, see `to_labels`.
    ``index`` is the subject's, for the seed.
    Raises `InputError` when the file is unusable or holds no brain.
    """
    source = read_labels(path)
    step = config.spacing / source.spacing
    # nearest neighbours, from voxel 0 on: a grid centred on cells would fall between voxels and shift by half of one
    to_source = source.affine.copy()
    to_source[:3, :3] *= step
    shape = tuple(int(n) for n in np.ceil(np.array(source.data.shape) / step))
    regions = to_regions(ndimage.affine_transform(source.data, np.diag(step), output_shape=shape, order=0))
    if not to_labels(regions).any():
        raise InputError(path, "none of the 36 ROIs is in it", f"Give FreeSurfer labels, or extend {LABEL_TABLE.name}")
    box = bounding_box(regions > 0)
    margin = int(np.ceil(config.margin / config.spacing))
    start, stop = np.maximum(box[:, 0] - margin, 0), box[:, 1] + 1 + margin
    regions = regions[tuple(slice(a, b) for a, b in zip(start, stop))]
    affine = to_source.copy()
    affine[:3, 3] = apply_affine(to_source, start.astype(np.float64))
    (rng,) = streams(config.seed, index, 1)
    image = render(to_classes(regions), load_template().tissues, rng, config.render)
    return Volume(image, affine), Volume(to_labels(regions), affine)
