"""The terms of the objective: pure functions of images and fields, each of which returns a scalar."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from smgicnet.registration.fields import compose, forward_differences, identity_grid, jacobian_determinant


def box_sum(maps: Tensor, window: int) -> Tensor:
    """Sum ``maps (N, C, D, H, W)`` over a cubic ``window`` around each voxel; they are zero beyond the border.

    The window is an odd number of voxels, and the cost does not depend on it. No gradient is recorded.
    """
    outer = _running_sums if maps.is_cuda else _sliding_sums
    return outer(outer(_running_sums(maps, 4, window), 3, window), 2, window)


def _running_sums(maps: Tensor, axis: int, window: int) -> Tensor:
    """Sum over ``window`` voxels along an axis by differences of running sums."""
    padding = [0, 0] * (4 - axis) + [window // 2 + 1, window // 2]
    running = F.pad(maps, padding).cumsum(axis)
    length = maps.shape[axis]
    return running.narrow(axis, window, length) - running.narrow(axis, 0, length)


def _sliding_sums(maps: Tensor, axis: int, window: int) -> Tensor:
    """Do the same by one sum of whole slices that slides along the axis.

    A CPU then reads and writes its memory in order, while running sums along an outer axis stride through it.
    """
    radius, length = window // 2, maps.shape[axis]
    slices, sums = maps.unbind(axis), torch.empty_like(maps)
    total = maps.narrow(axis, 0, min(radius, length)).sum(axis, dtype=torch.float64)
    for index, place in enumerate(sums.unbind(axis)):
        if index + radius < length:
            total += slices[index + radius]
        if index > radius:
            total -= slices[index - radius - 1]
        place.copy_(total)
    return sums


class _NCCContext(FunctionCtx):
    """The attributes of torch's context that `_SquaredLocalNCC` uses, with their types."""

    window: int
    needs_input_grad: tuple[bool, ...]
    saved_tensors: tuple[Tensor, ...]


class _SquaredLocalNCC(torch.autograd.Function):
    """The mean squared local correlation with its analytic gradient.

    With S the box sum and n the window's volume: c = S(IJ) - S(I)S(J)/n, v_I = S(II) - S(I)^2/n, v_J likewise,
    value = mean(c^2 / (v_I v_J + eps)). Autograd through the five sums would keep five times the memory.
    """

    @staticmethod
    def forward(ctx: _NCCContext, image: Tensor, other: Tensor, window: int, eps: float) -> Tensor:
        n = window ** image[0, 0].ndim
        sums = box_sum(torch.cat([image, other, image * image, other * other, image * other], dim=1), window)
        s_i, s_j, s_ii, s_jj, s_ij = sums.split(image.shape[1], dim=1)
        cross = s_ij - s_i * s_j / n
        var_i = (s_ii - s_i * s_i / n).clamp_(min=0)
        var_j = (s_jj - s_j * s_j / n).clamp_(min=0)
        denominator = var_i * var_j + eps
        ctx.save_for_backward(image, other, s_i / n, s_j / n, cross, var_i, var_j, denominator)
        ctx.window = window
        squared: Tensor = cross * cross / denominator
        return squared.mean()

    @staticmethod
    def backward(ctx: _NCCContext, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, other, mean_i, mean_j, cross, var_i, var_j, denominator = ctx.saved_tensors
        ratio = cross / denominator
        g_cross = ratio * 2
        g_shared = -(ratio * ratio)
        need_i, need_j = ctx.needs_input_grad[:2]
        maps = [g_cross]
        if need_i:
            g_i = 2 * g_shared * var_j
            maps += [g_i, g_cross * mean_j + g_i * mean_i]
        if need_j:
            g_j = 2 * g_shared * var_i
            maps += [g_j, g_cross * mean_i + g_j * mean_j]
        sums = list(box_sum(torch.cat(maps, dim=1), ctx.window).split(image.shape[1], dim=1))
        s_cross, scale = sums.pop(0), grad / cross.numel()
        grad_i = grad_j = None
        if need_i:
            grad_i = (other * s_cross + image * sums.pop(0) - sums.pop(0)) * scale
        if need_j:
            grad_j = (image * s_cross + other * sums.pop(0) - sums.pop(0)) * scale
        return grad_i, grad_j, None, None


_squared_local_ncc: Callable[[Tensor, Tensor, int, float], Tensor] = _SquaredLocalNCC.apply


def local_ncc(image: Tensor, other: Tensor, window: int = 9, eps: float = 1e-5) -> Tensor:
    """Return the negative mean squared local normalised cross-correlation (Avants et al. 2008), in [-1, 0].

    ``image`` and ``other`` are ``(N, C, D, H, W)``, ``window`` is the odd side length of the cube in voxels.
    The values are those of the convolution form in common use (zero padding, full-window mean).
    Raises ``ValueError`` for an even window.
    """
    if window % 2 == 0:
        raise ValueError(f"the NCC window must be odd, got {window}")
    return -_squared_local_ncc(image, other, window, eps)


def similarity_force(image: Tensor, other: Tensor, window: int) -> Tensor:
    """Return the force with which `local_ncc` pulls each voxel of ``image``, as SyN uses it.

    It is minus the gradient of `local_ncc` by a displacement of ``image``, times the number of voxels. The images are
    ``(N, 1, D, H, W)``, the force is ``(N, 3, D, H, W)`` and has no gradient itself.
    """
    with torch.enable_grad():
        image = image.detach().requires_grad_()
        [pull] = torch.autograd.grad(local_ncc(image, other.detach(), window), image)
    slopes = torch.cat(torch.gradient(image.detach(), dim=(2, 3, 4)), dim=1)
    return -pull * slopes * pull.numel()


def diffusion(field: Tensor) -> Tensor:
    """Return the mean squared forward difference of ``field (N, 3, D, H, W)``, summed over axes, in voxel units."""
    along_0, along_1, along_2 = (d.square().mean() for d in forward_differences(field))
    return along_0 + along_1 + along_2


def antifold(field: Tensor) -> Tensor:
    """Return ICNet's anti-folding penalty: mean ``max(0, d)^3`` with ``d = u(x) - u(x + e_j) - 1``, over axes ``j``.

    As published, all three components of ``field (N, 3, D, H, W)`` are penalised along each axis, not only the one
    along it (Zhang 2018, "Inverse-consistent deep networks for unsupervised deformable image registration").
    """
    along_0, along_1, along_2 = ((-d - 1).clamp(min=0).pow(3).mean() for d in forward_differences(field))
    return (along_0 + along_1 + along_2) / 3


def folding(displacement: Tensor) -> Tensor:
    """Return mean ``max(0, -det(I + Du))`` of ``displacement (N, 3, D, H, W)`` in voxels, LapIRN's optional penalty."""
    return (-jacobian_determinant(displacement)).clamp(min=0).mean()


def soft_dice(moving: Tensor, fixed: Tensor, displacement: Tensor) -> Tensor:
    """Return 1 minus the soft Dice ``2 sum(ab) / (sum(a) + sum(b))`` of two label maps.

    It is a mean over the labels that both maps have before warping, then over pairs. For one label, b is 1 where a
    voxel of ``fixed`` has it, and a is the share of it in a voxel of the warped ``moving``, by trilinear interpolation.

    Parameters
    ----------
    moving, fixed : ``(N, 1, D, H, W)``, whole numbers from 0, which is no label, to 255
    displacement : ``(N, 3, D, H, W)`` in voxels; the result is differentiable by it

    A warped voxel has the labels of eight neighbours at most. These are looked up, and no map of each label is warped.
    """
    count, size = moving.shape[0], [n + 2 for n in moving.shape[2:]]
    pair = torch.arange(count, device=displacement.device).view(-1, 1, 1, 1)
    # Pairs are kept apart by an offset: pair p's labels are 256 p to 256 p + 255.
    padded, fixed = F.pad(moving[:, 0].long(), (1, 1) * 3) + 256 * pair, fixed[:, 0].long() + 256 * pair

    def volumes(labels: Tensor, shares: Tensor) -> Tensor:
        return displacement.new_zeros(256 * count).index_add(0, labels.flatten(), shares.flatten())

    place = displacement + identity_grid(fixed.shape[1:], device=displacement.device) + 1
    places = [p.clamp(0, n - 1) for p, n in zip(place.unbind(1), size, strict=True)]
    corners = [p.detach().floor().clamp(max=n - 2) for p, n in zip(places, size, strict=True)]
    fractions = [(1 - (p - corner), p - corner) for p, corner in zip(places, corners, strict=True)]
    x, y, z = (corner.long() for corner in corners)
    first = ((pair * size[0] + x) * size[1] + y) * size[2] + z
    common, warped = torch.zeros_like(places[0]), displacement.new_zeros(256 * count)
    for i, j, k in product((0, 1), repeat=3):
        share = fractions[0][i] * fractions[1][j] * fractions[2][k]
        label = padded.take(first + (i * size[1] + j) * size[2] + k)
        common = common + share * (label == fixed)
        warped = warped + volumes(label, share)
    before, target = (volumes(one, torch.ones_like(one, dtype=common.dtype)) for one in (padded, fixed))
    present = (before > 0) & (target > 0)
    present[::256] = False
    dice = 2 * volumes(fixed, common) / (warped + target).clamp(min=1) * present
    return 1 - (dice.view(count, -1).sum(1) / present.view(count, -1).sum(1).clamp(min=1)).mean()


def symmetric_consistency(warped: Tensor, warped_by_inverse: Tensor) -> Tensor:
    """Return ``MSE(A o phi_AB, A o phi_BA^-1)``, where both bring A to B (Eq. 2, read in one common space)."""
    return F.mse_loss(warped, warped_by_inverse)


def inverse_consistency(composed: Tensor) -> Tensor:
    """Return ``mean |phi_AB(phi_BA(x)) - x|^2`` in squared voxels (Eq. 3 for two independently predicted directions).

    ``composed`` is the displacement of ``phi_AB o phi_BA``, ``(N, 3, D, H, W)``.
    """
    return composed.square().sum(1).mean()


def gradient_inverse_consistency(composed: Tensor) -> Tensor:
    """Return ``mean |grad(phi_AB o phi_BA) - I|_F^2`` (Section 3.3; Tian et al. 2023), by forward differences.

    ``composed`` is the displacement of ``phi_AB o phi_BA``, so that the gradient minus I is its own gradient.
    """
    along_0, along_1, along_2 = (d.square().sum(1).mean() for d in forward_differences(composed))
    return along_0 + along_1 + along_2


def multi_level_consistency(warped: Tensor, warped_before: Tensor) -> Tensor:
    """Return ``MSE(w_i, (w_i + w_(i-1)) / 2)`` of the moving image warped after and before this level (Eq. 4)."""
    return F.mse_loss(warped, (warped + warped_before) / 2)


def compose_both_orders(displacement: Tensor) -> Tensor:
    """Return ``phi_AB o phi_BA`` and ``phi_BA o phi_AB`` of a batch whose halves are the two directions.

    ``displacement`` and the result are ``(2N, 3, D, H, W)`` in voxels: N fields A to B, then the N fields B to A.
    """
    return compose(displacement, swap_directions(displacement))


def both_directions(image_a: Tensor, image_b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the moving and the fixed images of a batch that holds A to B first and B to A second."""
    return torch.cat([image_a, image_b]), torch.cat([image_b, image_a])


def swap_directions(batch: Tensor) -> Tensor:
    """Exchange the two halves of a batch that holds A to B first and B to A second."""
    return batch.roll(batch.shape[0] // 2, dims=0)
