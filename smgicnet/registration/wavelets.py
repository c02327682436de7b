"""The wavelet pyramid: low-pass (LLL) and energy images at 1/2, 1/4 and 1/8 of the resolution.

Filters and the reference transform come from PyWavelets; `WaveletPyramid` is the same transform in torch.
Bands are periodized, so that 128 gives 64, 32 and 16, and scaled to unit gain: a constant image stays constant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pywt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ENERGIES = ("root_sum_of_squares", "sum_of_squares")
UNIT_GAIN = 2**-1.5  # one 3D level of an orthonormal wavelet multiplies a constant image by 2^1.5


class PyramidLevel(NamedTuple):
    """The images of one resolution, each ``(N, 1, D, H, W)``.

    Attributes
    ----------
    low : the low-pass (LLL) image
    energy : the energy of the detail bands, None at full resolution
    """

    low: Tensor
    energy: Tensor | None


def decompose(image: np.ndarray, wavelet: str, energy: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute one level of the 3D DWT of PyWavelets.

    Parameters
    ----------
    image : ``(D, H, W)``, even sizes
    wavelet : ``"haar"`` or ``"db2"`` (any orthogonal wavelet of PyWavelets)
    energy : one of `ENERGIES`, over the seven detail bands (Che et al. 2023 leave it open)

    Returns the LLL band and the energy image, each ``(D/2, H/2, W/2)``, at unit gain.
    """
    bands = pywt.dwtn(image, wavelet, mode="periodization")
    low = bands.pop("aaa") * UNIT_GAIN
    squares = sum((band * UNIT_GAIN) ** 2 for band in bands.values())
    return low, np.sqrt(squares) if energy == "root_sum_of_squares" else squares


class WaveletPyramid(nn.Module):
    """The transform of `decompose`, level by level, on batches and on any device.

    ``wavelet`` and ``energy`` are those of `decompose`. Raises ``ValueError`` for an unknown energy.
    """

    filters: Tensor

    def __init__(self, wavelet: str, energy: str):
        super().__init__()
        if energy not in ENERGIES:
            raise ValueError(f"energy must be one of {ENERGIES}, got {energy!r}")
        self.energy = energy
        bank = pywt.Wavelet(wavelet)
        pair = torch.tensor([bank.dec_lo[::-1], bank.dec_hi[::-1]], dtype=torch.float64)
        filters = torch.einsum("az,by,cx->abczyx", pair, pair, pair).reshape(8, 1, *[bank.dec_len] * 3)
        self.register_buffer("filters", (filters * UNIT_GAIN).float(), persistent=False)

    def decompose(self, image: Tensor) -> PyramidLevel:
        """Compute one level of an ``image (N, 1, D, H, W)``; the result has half its size."""
        length = self.filters.shape[-1]
        before = length // 2 - 1
        padded = F.pad(image, [before, length - 2 - before] * 3, mode="circular") if length > 2 else image
        with torch.autocast(image.device.type, enabled=False):  # an image keeps its precision, as a field does
            bands = F.conv3d(padded, self.filters.to(image.dtype), stride=2)
        squares = bands[:, 1:].square().sum(1, keepdim=True)
        if self.energy == "root_sum_of_squares":
            squares = (squares + torch.finfo(squares.dtype).tiny).sqrt()
        return PyramidLevel(bands[:, :1], squares)

    def forward(self, image: Tensor, levels: int) -> list[PyramidLevel]:
        """Return ``levels`` resolutions, the coarsest first; the last is the image itself, without an energy image."""
        pyramid = [PyramidLevel(image, None)]
        for _ in range(levels - 1):
            pyramid.insert(0, self.decompose(pyramid[0].low))
        return pyramid
