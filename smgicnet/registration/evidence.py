"""The evidence of its success that a registration leaves behind, where nobody knows the true map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.detail import Frame, Source
from smgicnet.registration.fields import jacobian_determinant, resample, resize, warp
from smgicnet.registration.pose import Pose
from smgicnet.registration.posed_flow import PosedFlow, integrated
from smgicnet.registration.tissue_network import TissueNetwork

SPACING = 3.0  # mm, of the voxels on which images are compared
WINDOW = 7  # voxels, of the local correlation
REGION = 8  # voxels along each axis of the regions of which the worst ones count
FILLED = 0.25  # of what the fullest region holds, a region has to hold
WORST, LEAST = 0.1, 0.02  # the quantiles of the regions that stand for the worst ones and for the very worst
LOW = 0.2  # the quantile of the tissues that stands for those that agree least
SURE = 0.05  # the least spread of a window that shows anything
SHRUNK = 0.01  # the smallest determinant whose logarithm is taken


def gather(
    flow: PosedFlow, pose: Pose, sources: Sequence[Source], tissues: TissueNetwork, spacing: float, *, refined: bool
) -> dict[str, float]:
    """Return what speaks for a registration and against it.

    Parameters
    ----------
    flow : the map between voxels of the grids on which a network sees the images, whose voxels are ``spacing`` mm, by
        way of the frame of the mean training image
    pose : the global map that is a part of it
    sources : the fixed and the moving image
    refined : whether the network's velocity was improved on this pair, which is 1 in what is returned

    The images meet in that frame on voxels of `SPACING`. ``likeness`` is their local correlation over both brains,
    ``before`` the same without the velocity, ``overlap`` the Dice of the brains, ``tissues`` the mean soft Dice of the
    tissues that the network names in either image; ``worst`` and ``least`` are those of the worst regions.
    ``certainty`` is the mean probability of the likeliest tissue, ``usual`` the agreement with the prior, of the image
    where it is less. ``bending`` is the spread of the logarithm of the Jacobian determinant, ``size`` and ``stretch``
    are the mean and the range of the logarithms of the pose's stretches, ``pose`` and ``pose_margin`` its score and its
    lead.
    """
    frame = Frame(flow.velocity.shape[2:], (flow.to_fixed, flow.to_moving), spacing)
    grid = frame.grid(SPACING, 1)
    fixed, moving = frame.images(sources, grid)
    displacement = integrated(resize(flow.velocity, grid))
    counted = 1 - _left_out(frame, sources, grid, displacement)
    brains = [(fixed > 0).float(), warp((moving > 0).float(), displacement)]
    either = torch.maximum(*brains) * counted
    linear = flow.to_moving[:3, :3] @ torch.linalg.inv(flow.to_fixed[:3, :3])
    stretches = torch.linalg.svdvals(linear).log()
    change = jacobian_determinant(displacement)[either[:, 0] > 0.5].clamp(min=SHRUNK).log()
    likeness, before = (_local_correlation(fixed, one) * either for one in (warp(moving, displacement), moving))
    return {
        "likeness": float(likeness.sum() / either.sum()),
        "likeness_worst": _worst(likeness, either, WORST),
        "likeness_least": _worst(likeness, either, LEAST),
        "before": float(before.sum() / either.sum()),
        "overlap": float(2 * torch.minimum(*brains).sum() / sum(map(torch.sum, brains))),
        **_of_tissues((fixed, moving), displacement, tissues, counted),
        "bending": float(change.std()),
        "size": float(stretches.mean().abs()),
        "stretch": float(stretches.max() - stretches.min()),
        "pose": pose.score,
        "pose_margin": pose.score - pose.runner_up,
        "refined": float(refined),
    }


def _left_out(frame: Frame, sources: Sequence[Source], grid: Sequence[int], displacement: Tensor) -> Tensor:
    """Return how much of each voxel is left out of either image, ``(1, 1, *grid)``."""
    found = frame.left_out(sources, grid)
    if found is None:
        return displacement.new_zeros(1, 1, *grid)
    return torch.maximum(found[0], warp(found[1], displacement))


def _local_correlation(image: Tensor, other: Tensor) -> Tensor:
    maps = torch.cat([image, other, image * image, other * other, image * other], dim=1)
    a, b, aa, bb, ab = F.avg_pool3d(maps, WINDOW, 1, WINDOW // 2).split(1, dim=1)
    spread = ((aa - a * a).clamp(min=SURE**2) * (bb - b * b).clamp(min=SURE**2)).sqrt()
    correlation: Tensor = (ab - a * b) / spread
    return correlation


def _of_tissues(
    images: Sequence[Tensor], displacement: Tensor, tissues: TissueNetwork, counted: Tensor
) -> dict[str, float]:
    """Return how far the tissues that are named in both images agree, and how sure and how usual they are."""
    prior = resample(tissues.prior, images[0].shape[2:])
    named = [tissues.maps(image) for image in images]
    alike, present = (one * counted for one in _agreement(named[0], warp(named[1], displacement)))
    by_tissue = _soft_dice(alike, present)
    parts = 2 * alike.sum(1, keepdim=True), present.sum(1, keepdim=True)
    sure = [one.abs().amax(1, keepdim=True)[image > 0].mean() for one, image in zip(named, images, strict=True)]
    usual = [_soft_dice(*_agreement(one.abs(), prior)).mean() for one in named]
    return {
        "tissues": float(by_tissue.mean()),
        "tissues_low": float(by_tissue.quantile(LOW)),
        "tissues_worst": _worst(*parts, WORST),
        "tissues_least": _worst(*parts, LEAST),
        "certainty": float(min(sure)),
        "usual": float(min(usual)),
    }


def _agreement(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return what two maps of tissues share at each voxel, and the sum of what they have."""
    alike = torch.minimum(one.abs(), other.abs()) * (one * other > 0)
    return alike, one.abs() + other.abs()


def _soft_dice(alike: Tensor, present: Tensor) -> Tensor:
    """Return the overlap of each tissue, ``(C,)``."""
    overlap: Tensor = 2 * alike.sum((0, 2, 3, 4)) / present.sum((0, 2, 3, 4)).clamp(min=1)
    return overlap


def _worst(values: Tensor, weights: Tensor, share: float) -> float:
    """Return a low quantile of the means of ``values`` per ``weights`` over regions."""
    total, weight = (F.avg_pool3d(one, REGION, REGION // 2) for one in (values, weights))
    return float((total / weight)[weight > FILLED * weight.max()].quantile(share))
