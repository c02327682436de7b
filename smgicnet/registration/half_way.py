"""Two images half-way to each other: their likeness there, and the force with which it moves a velocity.

Both images are interpolated alike, so that neither is blurred more than the other, and swapping them turns the force
around. All is done for a few slices at a time, which stay in a processor's cache: memory does not grow with the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.fields import resize, sampled

SLICES = 32  # of the images, that are computed at a time
EPS = 1e-5  # beside a product of two sums of squares, as in `losses.local_ncc`
QUIET = 0.25  # the share of a brain's windows that are thought to show little but noise


def half_way(
    fixed: Tensor,
    moving: Tensor,
    halves: Tensor,
    factor: int,
    window: int,
    floor: float = EPS,
    left_out: Sequence[Tensor] | None = None,
) -> tuple[float, Tensor]:
    """Return minus the mean squared local NCC (`losses.local_ncc`) of two images half-way, and the force of it.

    Parameters
    ----------
    fixed, moving : ``(1, 1, D, H, W)``
    halves : the displacements of ``exp(v/2)``, which warps the moving image, and of ``exp(-v/2)``, ``(2, 3, d, h, w)``
        in voxels of a grid whose voxels are ``factor`` times as large as the images'
    window : the side of the NCC's window in voxels of the images, an odd number
    floor : is added to the product of a window's two sums of squares, so that windows of little but noise count
        little; see `spread_of_noise`
    left_out : how much of each voxel of the fixed and of the moving image is left out, from 0 to 1, as the images are;
        a window counts as its middle does in both. By default nothing.

    The force, ``(1, 3, d, h, w)``, is the gradient by the velocity, in voxels of its grid, of minus the squared NCC,
    summed over the images' voxels and divided by how many there are in one of the velocity's. It is half of the
    gradient by a displacement of the moving image, minus half of that of the fixed one; the NCC's own part of it is
    exact, over all windows that hold a voxel.
    """
    depth, reach = fixed.shape[2], window // 2
    total, forces = 0.0, []
    for here in slabs_of(depth, factor, SLICES):
        windows, images = (widened(here, by, depth) for by in (reach, 2 * reach))
        pair = warped(moving, fixed, halves, factor, images)
        sums = box_sum(torch.cat([pair, pair * pair, pair[:, :1] * pair[:, 1:]], dim=1), window)
        squared, maps = _derivatives(_part(sums, windows, images), window**3, floor)
        if left_out:
            share = counted(left_out, halves, factor, windows)
            squared, maps = squared * share, maps * share
        total += float(_part(squared, here, windows).sum(dtype=torch.float64))
        pulls = _pulls(_part(pair, here, images), _part(box_sum(maps, window), here, windows))
        forces.append(F.avg_pool3d(_force(pulls, pair, here, images), factor) * factor)
    return -total / fixed.numel(), torch.cat(forces, dim=2)


def spread_of_noise(image: Tensor, window: int) -> float:
    """Return the sum of squared differences from the mean in windows of a brain that show little but noise.

    It is what a quarter of the windows that lie side by side within the brain do not exceed; 0 where there are none.
    ``image`` is ``(1, 1, D, H, W)`` on a background of 0.
    """
    if min(image.shape[2:]) < window:
        return 0.0
    inside = -F.max_pool3d(-image, window) > 0
    mean, square = (F.avg_pool3d(one, window)[inside] for one in (image, image * image))
    return window**3 * float((square - mean * mean).clamp_(min=0).quantile(QUIET)) if len(mean) else 0.0


def slabs_of(depth: int, factor: int, slices: int) -> list[range]:
    """Return slices of a grid, cut into slabs of about ``slices``, a multiple of ``factor``."""
    height = max(1, slices // factor) * factor
    return [range(start, min(start + height, depth)) for start in range(0, depth, height)]


def widened(slices: range, by: int, depth: int) -> range:
    """Return these slices and some more on either side, within a grid."""
    return range(max(slices.start - by, 0), min(slices.stop + by, depth))


def _part(maps: Tensor, slices: range, known: range) -> Tensor:
    """Return some of the slices of maps of which those in ``known`` are given."""
    return maps[:, :, slices.start - known.start : slices.stop - known.start]


def warped(moving: Tensor, fixed: Tensor, halves: Tensor, factor: int, slices: range) -> Tensor:
    """Return slices of images or maps ``(1, C, D, H, W)`` half-way, ``(1, 2 C, n, H, W)``, the moving ones first."""
    first, last = slices.start // factor, -(-slices.stop // factor)
    low, high = max(first - 1, 0), min(last + 1, halves.shape[2])  # one more: resizing extrapolates beyond its ends
    coarse = halves[:, :, low:high]
    known = range(low * factor, high * factor)
    there = _part(resize(coarse, [len(known), *fixed.shape[3:]]), slices, known)
    axes = [torch.arange(n, device=fixed.device, dtype=fixed.dtype) for n in fixed.shape[2:]]
    axes[0] = axes[0][slices.start : slices.stop]
    grid = there.new_empty(2, *there.shape[2:], 3)
    for axis, (place, size) in enumerate(zip(axes, fixed.shape[2:], strict=True)):
        along = place.view([-1 if one == axis else 1 for one in range(3)])
        torch.add(there[:, axis], along, out=grid[..., 2 - axis])
        grid[..., 2 - axis].mul_(2 / max(size - 1, 1)).sub_(1)
    pull = partial(F.grid_sample, mode="bilinear", padding_mode="zeros", align_corners=True)
    return torch.cat([sampled(pull, image, at) for image, at in zip((moving, fixed), grid.split(1), strict=True)], 1)


def counted(left_out: Sequence[Tensor], halves: Tensor, factor: int, slices: range) -> Tensor:
    """Return how much slices half-way count, ``(1, 1, n, H, W)``, less what is ``left_out`` of either image."""
    return (1 - warped(left_out[1], left_out[0], halves, factor, slices)).prod(1, keepdim=True)


def box_sum(maps: Tensor, window: int) -> Tensor:
    """Sum ``maps (N, C, D, H, W)`` over a cubic ``window`` around each voxel; they are zero beyond the border.

    It is `losses.box_sum` by additions of whole maps: faster where these fit into a cache and the window is small.
    """
    for axis in (4, 3, 2):
        size = maps.shape[axis]
        padded = F.pad(maps, [0, 0] * (4 - axis) + [window // 2] * 2)
        maps = padded.narrow(axis, 0, size) + padded.narrow(axis, 1, size)
        for offset in range(2, window):
            maps += padded.narrow(axis, offset, size)
    return maps


def _derivatives(sums: Tensor, count: int, floor: float) -> tuple[Tensor, Tensor]:
    """Return the squared NCC of windows of ``count`` voxels, and the maps whose `box_sum` its derivative is made of.

    ``sums (1, 5, n, H, W)`` are those of both images, their squares and their product.
    """
    s_i, s_j, s_ii, s_jj, s_ij = sums.split(1, dim=1)
    mean_i, mean_j = s_i / count, s_j / count
    cross = s_ij - s_i * mean_j
    var_i, var_j = (s_ii - s_i * mean_i).clamp_(min=0), (s_jj - s_j * mean_j).clamp_(min=0)
    ratio = cross / (var_i * var_j + floor)
    shared = ratio * ratio
    g_i, g_j = shared * var_j, shared * var_i
    return ratio * cross, torch.cat([ratio, g_i, ratio * mean_j - g_i * mean_i, g_j, ratio * mean_i - g_j * mean_j], 1)


def _pulls(pair: Tensor, spread: Tensor) -> Tensor:
    """Return half of the derivative of minus the squared NCC by each image's values, ``(1, 2, n, H, W)``."""
    i, j = pair.split(1, dim=1)
    ratio, g_i, rest_i, g_j, rest_j = spread.split(1, dim=1)
    return torch.cat([i * g_i + rest_i - j * ratio, j * g_j + rest_j - i * ratio], dim=1)


def _force(pulls: Tensor, pair: Tensor, slices: range, known: range) -> Tensor:
    """Return the force ``(1, 3, n, H, W)`` on the displacement between the images, by their slopes."""
    wide = widened(slices, 1, known.stop)
    wide = range(max(wide.start, known.start), wide.stop)
    slopes = torch.gradient(_part(pair, wide, known)[0], dim=(1, 2, 3))
    parts = [pulls[0] * _part(slope[None], slices, wide)[0] for slope in slopes]
    return torch.stack([moving - fixed for moving, fixed in parts])[None]
