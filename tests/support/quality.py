"""Prepared subjects whose quality is known."""

import json

import numpy as np
import pandas as pd

from smgicnet.imaging.images import write_volume
from smgicnet.preparation.quality import (
    QualityConfig,
)

CONFIG = QualityConfig(exclude=False, volume_ml=(700, 2500), volume_deviations=5, labels_outside_percent=20)


def write_subject(folder, white=0.8, grey=0.4, shift=0, labelled=True, **report):
    """A cube of cortex around one of white matter, 4 mm voxels; ``shift``: of the labels, in voxels."""
    labels = np.zeros((16, 16, 16), np.uint8)
    labels[4:12, 4:12, 4:12] = 3
    labels[6:10, 6:10, 6:10] = 41
    image = np.select([labels == 3, labels == 41], [grey, white], 0).astype(np.float32)
    affine = np.diag([4.0, 4, 4, 1])
    write_volume(folder / "image.nii", image, affine, unit=True)
    write_volume(folder / "labels.nii", np.roll(labels, shift, axis=0) * np.uint8(labelled), affine)
    record = {
        "image": f"scans/{folder.name}.nii.gz",
        "labels": f"scans/{folder.name}-aseg.nii.gz" if labelled else None,
        "source_shape": [160, 256, 256],
        "source_spacing_mm": [1.2, 0.9375, 0.9375],
        "source_orientation": "PSR",
        "foreground_ml": 1400.0,
        "cut_percent": 0.0,
    }
    (folder / "preprocessing.json").write_text(json.dumps({**record, **report}))
    return [folder / name for name in ("image.nii", "labels.nii", "preprocessing.json")]


def rows(count=10, **changes):
    """A cohort in which nothing is wrong; ``changes``: a column's values of the first subjects."""
    sound = {
        "brain_ml": [1400.0 + 10 * number for number in range(count)],
        "labelled_ml": 1300.0,
        "labels_outside_percent": 1.0,
        "cut_percent": 0.1,
        "unknown_percent": 0.0,
        "rois": 36,
        "rois_missing": [[] for _ in range(count)],
        "white_to_grey": 1.3,
    }
    table = pd.DataFrame(sound)
    for column, values in changes.items():
        table[column] = values + table[column].tolist()[len(values) :]
    return table
