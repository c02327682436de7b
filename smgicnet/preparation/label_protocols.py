"""Label protocols, which say which numbers of a label map are which of the 36 ROIs, and which are none.

Snakemake imports this module for its tables alone, in an environment without SciPy and nibabel (envs/snakemake.yaml).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smgicnet.core.errors import InputError
from smgicnet.core.files import packaged
from smgicnet.core.tab_separated import read_tsv

if TYPE_CHECKING:
    import pandas as pd

_TABLES = packaged("labels")
LABEL_TABLE = _TABLES / "freesurfer.tsv"
BACKGROUND = 0
BESIDE_THE_ROIS = (1, 6, 29, 40, 45, 61, 72, 77, 78, 79, 80, 81, 82, 85, *range(251, 256), 258, 259)  # of FreeSurfer's
DESTRIEUX = (11100, 12175)  # ids of FreeSurfer's cortical parcels after Destrieux, aparc.a2009s
LISTED = 5  # ids in a message
_WHOLE = re.compile(r"[+-]?\d{1,9}")


def label_file(mapping: str) -> Path:
    """Return the table's file of a label protocol, ``"freesurfer"``, ``"seg35"`` (neurite-OASIS) or one's own path."""
    return Path(mapping) if mapping.endswith(".tsv") else _TABLES / f"{mapping}.tsv"


@cache
def label_table(mapping: str = "freesurfer") -> pd.DataFrame:
    """Read a protocol's table: source ``label``, target ``roi`` (FreeSurfer id) and its ``name``.

    Raises `InputError` for a table that is missing or maps a label twice or to none of the 36 ROIs.
    """
    path = label_file(mapping)
    if not os.path.isfile(path):
        known = ", ".join(sorted(one.stem for one in _TABLES.glob("*.tsv")))
        source, problem = mapping, "not a .tsv" if os.path.isfile(mapping) else "no such protocol of labels"
        raise InputError(
            source,
            problem,
            f"A protocol is one of {known}, or the path of a .tsv with the columns label, roi and name",
        )
    remedy = "Give the tab-separated columns label, roi and name"
    table = read_tsv(path, remedy)
    missing = sorted({"label", "roi", "name"} - set(table.columns))
    if missing:
        raise InputError(path, f"not a table of labels: columns {missing} are missing", remedy)
    for column in ("label", "roi"):
        wrong = next((text for text in table[column] if not _WHOLE.fullmatch(text)), None)
        if wrong is not None:
            raise InputError(path, f"not a table of labels: {wrong!r} in column {column} is no whole number", remedy)
    table = table.astype({"label": int, "roi": int})[["label", "roi", "name"]]
    unknown = [] if path == LABEL_TABLE else sorted(set(table["roi"]) - roi_names().keys() - {BACKGROUND})
    if unknown or table["label"].duplicated().any():
        problem = f"{unknown} are none of the 36 ROIs" if unknown else "a label is mapped twice"
        raise InputError(path, problem, f"Map each label once, to a roi of {LABEL_TABLE.name} or to 0")
    return table


@cache
def roi_names() -> dict[int, str]:
    """Return the names of the 36 ROIs by their FreeSurfer ids, in anatomical order."""
    table = label_table()
    return dict(zip(table["roi"], table["name"]))


def map_labels(labels: np.ndarray, mapping: str = "freesurfer") -> np.ndarray:
    """Map source labels to the 36 ROIs, uint8; a label that is not listed becomes 0."""
    table = label_table(mapping)
    values, inverse = np.unique(labels, return_inverse=True)
    targets = dict(zip(table["label"], table["roi"]))
    return np.array([targets.get(int(v), 0) for v in values], dtype=np.uint8)[inverse].reshape(labels.shape)


def unknown_labels(labels: np.ndarray, mapping: str = "freesurfer") -> dict[int, int]:
    """Return the ids of a label map that its protocol lacks, and that become background, with their voxel counts.

    Ids that a protocol maps to 0, and those that FreeSurfer's label maps hold beside the 36 ROIs, are background on
    purpose, and are not returned.
    """
    known = {BACKGROUND, *label_table(mapping)["label"]}
    if label_file(mapping).parent == _TABLES:
        known |= {*BESIDE_THE_ROIS}
    values, counts = np.unique(labels, return_counts=True)
    return {int(value): int(count) for value, count in zip(values, counts) if int(value) not in known}


def unknown_sentence(unknown: Mapping[int, int], labelled: int, mapping: str) -> str:
    """Return the sentence on `unknown_labels` that are not empty; ``labelled`` counts the voxels that are not 0."""
    ids = ", ".join(map(str, list(unknown)[:LISTED])) + (f", ... ({len(unknown)} ids)" if len(unknown) > LISTED else "")
    voxels = sum(unknown.values())
    percent = 100 * voxels / labelled
    share = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    text = f"{voxels:,} voxels ({share} % of the labelled) have ids that the protocol "
    text += f"{label_file(mapping).stem} lacks and count as background: {ids}"
    destrieux = any(DESTRIEUX[0] <= one <= DESTRIEUX[1] for one in unknown)
    return f"{text}. Ids of {DESTRIEUX[0]} and up are Destrieux': name the protocol a2009s" if destrieux else text
