"""Cortical parcels: which ids of a label map are which parcel of FreeSurfer's two parcellations of the cortex.

They are a second group of regions beside the 36 ROIs: each lies in the cortex of its side, which is one ROI. A parcel
has a code from 1 to 255, so that a map of parcels takes a byte a voxel as a map of ROIs does.

Snakemake imports this module in an environment without SciPy and nibabel (envs/snakemake.yaml).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from smgicnet.core.files import packaged
from smgicnet.core.tab_separated import read_tsv
from smgicnet.preparation.label_protocols import label_table

if TYPE_CHECKING:
    import pandas as pd

PARCEL_TABLE = packaged("labels") / "cortex" / "parcels.tsv"  # no protocol: those lie in the folder above


@cache
def parcel_table() -> pd.DataFrame:
    """Read the table of parcels: ``code``, ``label`` (FreeSurfer's id), ``roi`` (in which it lies) and ``name``."""
    return read_tsv(PARCEL_TABLE, "Restore it").astype({"code": int, "label": int, "roi": int})


@cache
def parcel_names() -> dict[int, str]:
    """Return FreeSurfer's names of the parcels by their codes: Desikan-Killiany's, then Destrieux'."""
    table = parcel_table()
    return dict(zip(table["code"], table["name"]))


def map_parcels(labels: np.ndarray, mapping: str = "freesurfer") -> np.ndarray:
    """Map the ids of a label map to the codes of parcels, uint8; what is no parcel becomes 0.

    An id is that of a parcel where the label map's protocol, ``mapping``, has it in the parcel's ROI: one that a
    protocol lacks, or that means something else by it, is none.
    """
    table, protocol = parcel_table(), label_table(mapping)
    roi_of = dict(zip(protocol["label"], protocol["roi"]))
    codes = np.zeros(table["label"].max() + 1, dtype=np.uint8)
    for code, label, roi in table[["code", "label", "roi"]].itertuples(index=False):
        codes[label] = code if roi_of.get(label) == roi else 0
    return codes[np.where((labels > 0) & (labels < len(codes)), labels, 0)]


def parcel_labels(parcels: np.ndarray) -> np.ndarray:
    """Return FreeSurfer's ids of a map of codes, int16; 0 where there is no parcel."""
    table = parcel_table()
    labels = np.zeros(256, dtype=np.int16)
    labels[table["code"]] = table["label"]
    return labels[parcels]
