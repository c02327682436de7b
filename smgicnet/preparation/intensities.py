"""The intensities of a skull-stripped image: scaling to [0, 1], matching of histograms, a dark background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from smgicnet.imaging.foreground import background_level, is_inside_range
from smgicnet.imaging.images import Volume

DARK_MARGIN = 0.35  # a T1 image's zero lies about so far below the brain's darkest voxels, in its robust range
PERCENTILES = (0.5, 99.5)  # the percentiles of the foreground that become 0 and 1
_QUANTILES = np.concatenate([[0, 0.5], np.arange(1, 100), [99.5, 100]])


def scale_intensity(data: np.ndarray, low: float, high: float) -> np.ndarray:
    """Scale ``[low, high]`` to [0, 1], clipped."""
    return np.clip((data - low) / (high - low), 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Intensities:
    """The intensities of an image by which it is scaled and its histogram is matched.

    Attributes
    ----------
    background : the intensity around the brain
    quantiles : those of the brain, from 0 to 100 %
    """

    background: float
    quantiles: np.ndarray

    @classmethod
    def of(cls, data: np.ndarray, mask: np.ndarray) -> Intensities:
        """Return those of an image whose brain is ``mask``."""
        return cls(background_level(data), np.percentile(data[mask], _QUANTILES))

    @property
    def range(self) -> tuple[float, float]:
        """The intensities that become 0 and 1; they are robust, and the lower is not above the background."""
        low, high = np.interp(PERCENTILES, _QUANTILES, self.quantiles)
        return min(self.background, float(low)), float(high)


def match_histogram(data: np.ndarray, own: Intensities, reference: Intensities) -> np.ndarray:
    """Bring the brain's quantiles in ``data`` to the reference's, and its background to the reference's."""
    source, unique = np.unique([own.background, *own.quantiles], return_index=True)
    target = np.maximum.accumulate(np.array([reference.background, *reference.quantiles])[unique])
    return np.interp(data, source, target).astype(np.float32)


def on_dark_background(volume: Volume, mask: np.ndarray) -> Volume:
    """Return the volume as it is where its background is dark, and else with a dark one outside ``mask``.

    A z-scored brain on 0 would have a background as bright as its grey matter, which no network has seen. The place of
    its former zero is lost. In the MNI152 brain and the default cohort zero is 0.6 of the brain's range below the
    darkest voxels, in brains with much fluid around them 0.05 below; `DARK_MARGIN` lies between.
    """
    if not is_inside_range(volume.data - background_level(volume.data)):
        return volume
    low, high = np.percentile(volume.data[mask], PERCENTILES)
    low -= DARK_MARGIN * (high - low)
    return Volume(np.where(mask, volume.data, low).astype(np.float32), volume.affine)
