"""The search over all rotations that a global registration starts from."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from smgicnet.registration.frames import Maps, Pair, Volume, correlation, linear_maps, shifted

SECOND_RATE = 1.533751168755204288118041  # of the spirals: the positive root of x^4 = x + 4, Alexa (2022)


@lru_cache(maxsize=4)
def rotations(count: int) -> Tensor:
    """Return ``count`` rotations ``(count, 3, 3)`` spread evenly over SO(3); the second half has the first's inverses.

    They lie on the super-Fibonacci spirals of Alexa (2022), "Super-Fibonacci spirals: fast, low-discrepancy sampling of
    SO(3)", which need no random numbers.
    """
    half = count // 2
    step = torch.arange(half, dtype=torch.float64) + 0.5
    inner, outer = (step / half).sqrt(), (1 - step / half).sqrt()
    alpha, beta = 2 * math.pi * step / math.sqrt(2), 2 * math.pi * step / SECOND_RATE
    quaternions = [inner * alpha.sin(), inner * alpha.cos(), outer * beta.sin(), outer * beta.cos()]
    found = torch.from_numpy(Rotation.from_quat(torch.stack(quaternions, dim=1).numpy()).as_matrix())
    return torch.cat([found, found.transpose(1, 2)])


def half_turns(turns: Tensor) -> Tensor:
    """Return the square roots ``(K, 3, 3)`` of rotations."""
    return torch.from_numpy(Rotation.from_rotvec(Rotation.from_matrix(turns.numpy()).as_rotvec() / 2).as_matrix())


def angles(turn: Tensor, others: Tensor) -> Tensor:
    """Return the angle, in radians, from a rotation ``(3, 3)`` to each of ``others (K, 3, 3)``."""
    return torch.acos(((torch.einsum("ij,kij->k", turn, others) - 1) / 2).clamp(-1, 1))


def centre_of_mass(volume: Volume, points: Tensor) -> Tensor:
    """Return the centre of mass ``(3,)`` of an image, by its values at ``points (P, 4)``; the origin if it is empty."""
    values = volume.at(torch.eye(4, dtype=torch.float64)[None], points)[0, 0].double()
    total = (values[:, None] * points[:, :3]).sum(0) / values.sum().clamp(min=torch.finfo(torch.float32).eps)
    return total.cpu()


def search_rotations(pair: Pair, points: Tensor, count: int, kept: int) -> Maps:
    """Return where to start: the ``kept`` best of ``count`` rotations about both centres of mass, by half-way frames.

    The score of a rotation is the mean of the correlations on either image's own grid, at ``points (P, 4)``, so that
    the inverse rotation has the same score when the images are swapped.
    """
    turns = rotations(count)
    centres = [centre_of_mass(one, points) for one in pair]
    still, turned = linear_maps(torch.eye(3, dtype=torch.float64)[None]), linear_maps(turns)

    def scores(one: Volume, other: Volume, near: Tensor, far: Tensor) -> Tensor:
        return correlation(one.at(shifted(still, near), points)[:, 0], other.at(shifted(turned, far), points)[:, 0])

    there, back = scores(*pair, *centres), scores(*pair[::-1], *centres[::-1])
    both = (there + back.roll(count // 2)).cpu()  # the inverse of rotation i is rotation i + count / 2
    half = half_turns(turns[both.topk(min(kept, count)).indices])
    return Maps(shifted(linear_maps(half.transpose(1, 2)), centres[0]), shifted(linear_maps(half), centres[1]))
