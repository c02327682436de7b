"""The grid that all subjects of a cohort are resampled to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """The common grid.

    Attributes
    ----------
    shape : in voxels
    spacing : the edge of isotropic voxels, in mm
    """

    shape: tuple[int, ...]
    spacing: float
