"""A prepared scan as a refinement sees it."""

from __future__ import annotations

import numpy as np
import torch

from smgicnet.methods.device import image_tensor
from smgicnet.preparation.intensities import scale_intensity
from smgicnet.preparation.preprocessing import Prepared
from smgicnet.registration.detail import Source


def source_of(prepared: Prepared, device: torch.device, left_out: np.ndarray | None = None) -> Source:
    """Return a scan on its own grid, scaled as the network's image, with what is left out (None for nothing)."""
    scaled = scale_intensity(prepared.native.data, *prepared.report["intensity_range"])
    to_voxels = np.linalg.inv(prepared.native.affine) @ prepared.affine
    hole = None if left_out is None else image_tensor(left_out, device)
    return Source(image_tensor(scaled, device), torch.from_numpy(to_voxels), hole)
