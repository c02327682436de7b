"""Brains of another contrast than T1, such as T2 or FLAIR, with the intensities that T1 would give them.

A brain is brought to the frame of the mean training image, in which it is known where fluid, grey and white matter are
to be expected. A mixture of three Gaussians under that prior (Ashburner and Friston 2005, "Unified segmentation") says
which intensity is which of them. Nothing but the intensities changes: no structure is drawn that is not in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.detail import Source
from smgicnet.registration.fields import resample, sample_affine
from smgicnet.registration.frames import Frame, cube
from smgicnet.registration.likeness import normalised, scaled
from smgicnet.registration.mean_image import CELLS
from smgicnet.registration.pose import filling, to_mean
from smgicnet.registration.posed_flow import cells

MATTER = "fluid", "grey matter", "white matter"
IN_T1 = 0.45, 0.8, 1.0  # of white matter's intensity
GRID = (64, 64, 64)  # voxels that a brain fills while its intensities are told apart, of about 3 mm
ROUNDS, STEPS = 2, 20  # of placing the brain, and of the mixture in each
UNSURE = 0.02  # beside each probability of the prior, which other brains do not fit exactly
NARROWEST = 0.02  # of the Gaussians' standard deviations
LEVELS = 64  # of intensities whose counterparts are found
RANGE = 0.005, 0.995  # the quantiles of a brain between which they lie
SAMPLED = 1 << 16  # voxels, at most, whose quantiles are looked at
BETTER = 0.02  # by which a brain has to be more like the mean one for its intensities to be changed
BRAIN = 0.05  # of the largest value: what is brighter is brain


@dataclass(frozen=True)
class Contrast:
    """The intensities that an image would have in T1.

    Attributes
    ----------
    centres : the mean intensity of each of `MATTER`
    intensities, in_t1 : ``(1 + LEVELS,)``, rising from 0, and what each of them would be, white matter being 1
    likeness, before : the local correlation with the mean training image, after and before
    """

    centres: tuple[float, ...]
    intensities: Tensor
    in_t1: Tensor
    likeness: float
    before: float

    @property
    def differs(self) -> bool:
        """True where the three are not ordered as in T1, and the image is more like T1 after the change."""
        return self.centres != tuple(sorted(self.centres)) and self.likeness > self.before + BETTER

    def of(self, image: Tensor) -> Tensor:
        """Return an image, of any shape, with its intensities as T1 has them."""
        return _changed(image, self.intensities, self.in_t1)


def contrast_of(image: Tensor, source: Source, mean: Tensor, prior: Tensor, rotations: int) -> Contrast:
    """Return what the intensities of a brain would be in T1.

    Parameters
    ----------
    image : ``(1, 1, D, H, W)`` on a background of 0
    source : the same image in all its detail, with the same intensities
    mean : ``(1, 1, N, N, N)``, an image of `mean_image`
    prior : ``(1, 3, ...)``, the probability of each of `MATTER` in the frame that the mean image fills
    rotations : how many are searched
    """
    through = to_mean(image, mean, rotations)
    before = _likeness(image, through, mean)
    expected = resample(prior, GRID)[0].clamp(min=0)
    for _ in range(ROUNDS):
        place = Frame(image.shape[2:]).voxels(through @ filling(mean, image.shape[2:]))[0]
        there = sample_affine(source.image, source.to_voxels @ place @ cells(GRID, image.shape[2:]), GRID)
        inner = -F.max_pool3d(-there, 3, 1, 1)[0, 0] > 0  # an edge voxel is a part of the background
        centres, intensities, in_t1 = _mixture(there[0, 0][inner], expected[:, inner])
        changed = _changed(image, intensities, in_t1)
        through = to_mean(changed, mean, rotations)
    return Contrast(centres, intensities, in_t1, _likeness(changed, through, mean), before)


def _mixture(values: Tensor, expected: Tensor) -> tuple[tuple[float, ...], Tensor, Tensor]:
    """Return the centres, intensities and what they would be in T1.

    ``values (V,)`` are those of voxels, ``expected (3, V)`` what the prior has there.
    """
    shares = expected + UNSURE
    held = shares / shares.sum(0)
    for _ in range(STEPS):
        weight = held.sum(1)
        centre = (held * values).sum(1) / weight
        spread = ((held * (values - centre[:, None]) ** 2).sum(1) / weight).sqrt().clamp(min=NARROWEST)
        held = torch.softmax(_log_likelihood(values, centre, spread) + shares.log(), dim=0)
    low, high = values[:: 1 + len(values) // SAMPLED].quantile(values.new_tensor(RANGE)).tolist()
    levels = torch.linspace(low, high, LEVELS, device=values.device)
    held = torch.softmax(_log_likelihood(levels, centre, spread) + weight.log()[:, None], dim=0)
    in_t1 = (held * held.new_tensor(IN_T1)[:, None]).sum(0)
    dark = levels.new_zeros(1)
    return tuple(centre.tolist()), torch.cat([dark, levels]), torch.cat([dark, in_t1])


def _log_likelihood(values: Tensor, centre: Tensor, spread: Tensor) -> Tensor:
    """Return that of ``values (V,)`` under each Gaussian, ``(3, V)``, but for a constant."""
    return -0.5 * ((values - centre[:, None]) / spread[:, None]) ** 2 - spread[:, None].log()


def _changed(image: Tensor, intensities: Tensor, others: Tensor) -> Tensor:
    """Return an image with its intensities changed, between those that are given by linear interpolation."""
    above = torch.searchsorted(intensities, image.contiguous()).clamp(1, len(intensities) - 1)
    low, high = intensities[above - 1], intensities[above]
    share = ((image - low) / (high - low)).clamp(0, 1)
    return torch.lerp(others[above - 1], others[above], share)


def _likeness(image: Tensor, through: Tensor, mean: Tensor) -> float:
    """Return the local correlation of an image with the mean one, to whose frame ``through`` brings it."""
    there = Frame(image.shape[2:]).volume(image, CELLS).at(through, cube(CELLS, image.device)).view_as(mean)
    either = (there > BRAIN * there.max()) | (mean > BRAIN * mean.max())
    one, other = (normalised(scaled(one))[either] for one in (there, mean))
    return float((one * other).sum() / (one.norm() * other.norm()))
