"""Gauss-Newton steps on the global map of two images that meet half-way.

The sum of squares is that of the difference of both images after each has been brought to mean 0 and norm 1, so that
its minimum is the maximum of their correlation. Both maps are changed by half a step in opposite directions: swapping
the images swaps the maps (as in Reuter et al. 2010, "Highly accurate inverse consistent registration").
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from smgicnet.registration.frames import Maps, Pair

DAMPING = 1e-3  # of the diagonal of the normal equations, as in Levenberg's and Marquardt's method
STILL = 3e-4  # the largest entry of a step after which none follows: 0.03 mm for a field of view of 192 mm
LARGEST_STRETCH = 1.8  # no direction is stretched or compressed by more: people's brains differ by less


@cache
def _rigid_basis() -> Tensor:
    """Return the ``(12, 6)`` directions of rigid motions among the entries of a ``(3, 4)`` matrix."""
    basis = torch.zeros(3, 4, 6, dtype=torch.float64)
    for k, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
        basis[j, i, k], basis[i, j, k], basis[k, 3, 3 + k] = 1, -1, 1
    return basis.view(12, 6)


def improve(
    pair: Pair, maps: Maps, points: Tensor, steps: int, *, rigid: bool = False, weights: Tensor | None = None
) -> tuple[Maps, Tensor]:
    """Return ``maps`` after some steps up the correlation of two images, with the correlations ``(K,)``.

    Parameters
    ----------
    points : ``(P, 4)``, the points of the common frame at which the images are compared
    steps : Gauss-Newton steps at most; of all that was visited, the best is returned
    rigid : whether only rotation and translation change
    weights : how much each point counts, ``(K, P)``; by default all the same
    """
    pair = Pair(*(one.with_gradient() for one in pair))
    weights = points.new_ones(1, len(points)) if weights is None else weights
    roots = (weights / weights.sum(1, keepdim=True)).sqrt()
    best, highest = maps, torch.full((len(maps.fixed),), -1.0, dtype=torch.float64)
    for step in range(steps + 1):
        score, residual, jacobian = _linearised(pair, maps, points, roots)
        better = (score > highest) & _plausible(maps)
        highest = torch.where(better, score, highest)
        best = Maps(*(torch.where(better[:, None, None], new, old) for new, old in zip(maps, best, strict=True)))
        if step < steps:
            half = _solved(jacobian, residual, rigid) / 2
            if half.abs().amax() < STILL / 2:
                break
            maps = Maps(maps.fixed @ torch.matrix_exp(-half), maps.moving @ torch.matrix_exp(half))
    return best, highest


def _linearised(pair: Pair, maps: Maps, points: Tensor, roots: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the correlations ``(K,)``, the residuals ``(K, P)`` and their derivatives ``(K, P, 12)`` by a step.

    Residuals and derivatives are multiplied by ``roots (K, P)``, the square roots of the points' weights, whose sum is
    1. The derivative is the mean of those of both images, and without what changes the mean or the norm alone.
    """
    normalised, slopes = [], []
    for volume, one in zip(pair, maps, strict=True):
        channels = volume.at(one, points)
        values = roots * (channels[:, 0] - (roots.square() * channels[:, 0]).sum(1, keepdim=True))
        norm = values.norm(dim=1, keepdim=True) + torch.finfo(values.dtype).eps
        inner = (volume.to_index @ one)[:, :3, :3].to(values)
        slopes.append(torch.einsum("kji,kjp->kpi", inner / (2 * norm[:, :, None]), channels[:, 1:]))
        normalised.append(values / norm)
    score = (normalised[0] * normalised[1]).sum(1)
    middle = normalised[0] + normalised[1]
    middle = middle / (middle.norm(dim=1, keepdim=True) + torch.finfo(middle.dtype).eps)
    jacobian = ((slopes[0] + slopes[1])[:, :, :, None] * points[None, :, None, :]).flatten(2)
    mean = torch.einsum("kp,kpj->kj", roots.square().expand(len(jacobian), -1), jacobian)
    jacobian = roots[:, :, None] * (jacobian - mean[:, None])
    jacobian = jacobian - middle[:, :, None] * torch.einsum("kp,kpj->kj", middle, jacobian)[:, None]
    return score.double().cpu(), normalised[1] - normalised[0], jacobian


def _solved(jacobian: Tensor, residual: Tensor, rigid: bool) -> Tensor:
    """Return the damped Gauss-Newton steps as generators ``(K, 4, 4)`` of maps."""
    normal = (jacobian.transpose(1, 2) @ jacobian).double().cpu()
    slope = torch.einsum("kpj,kp->kj", jacobian, residual).double().cpu()
    basis = _rigid_basis() if rigid else torch.eye(12, dtype=torch.float64)
    normal, slope = basis.T @ normal @ basis, slope @ basis
    diagonal = normal.diagonal(dim1=1, dim2=2)
    damped = normal + torch.diag_embed(DAMPING * diagonal + torch.finfo(torch.float32).eps)
    generators = torch.zeros(len(normal), 4, 4, dtype=torch.float64)
    generators[:, :3] = -(torch.linalg.solve(damped, slope) @ basis.T).view(-1, 3, 4)
    return generators


def _plausible(maps: Maps) -> Tensor:
    """Return which ``(K,)`` of the maps stretch no direction by more than `LARGEST_STRETCH`."""
    stretches = torch.linalg.svdvals(maps.through[:, :3, :3])
    plausible: Tensor = (stretches.amax(1) <= LARGEST_STRETCH) & (stretches.amin(1) >= 1 / LARGEST_STRETCH)
    return plausible
