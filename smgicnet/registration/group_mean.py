"""The mean image of a group: of the shape that is the mean of all, in the place that all have in common.

Each image has a map from the mean image's world: a global one G and a velocity w, ``G o exp(w)``. The mean image of
the next round is the mean of all images under ``G o exp(w) o exp(-m) o exp(-s)``, with m the mean of the velocities and
s that of the logarithms of the stretches of G. So no person's shape or size is preferred (Guimond et al. 2000, "Average
brain models"; in the manner of Avants et al. 2010, "The optimal template effect").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from smgicnet.registration.fields import sample
from smgicnet.registration.mean_image import place_in_mean
from smgicnet.registration.posed_flow import PosedFlow, cells, integrated, places_of, slabs

COARSE = 2  # voxels of the mean image along one of the grid on which velocities are averaged


@dataclass(frozen=True)
class Member:
    """A person's image in the mean image.

    Attributes
    ----------
    image : ``(1, 1, D, H, W)`` on a background of 0
    to_voxels : ``(4, 4)`` float64, from the person's world, mm, to the image's voxels
    flow : the map from the mean image's world to the person's, mm
    """

    image: Tensor
    to_voxels: Tensor
    flow: PosedFlow

    @property
    def linear(self) -> Tensor:
        """The global map from the mean image's world to the person's, ``(4, 4)``."""
        linear: Tensor = self.flow.to_moving @ torch.linalg.inv(self.flow.to_fixed)
        return linear


def first_places(images: Sequence[Tensor], affines: Sequence[Tensor], mean: Tensor, rotations: int) -> list[Tensor]:
    """Return a map ``(4, 4)`` from one world, upright and about 0, to that of each image, without any velocity.

    ``affines`` lead from the images' voxels to their worlds, mm; ``mean`` is an image of `mean_image.mean_image`. The
    stretches of the maps have a mean of 1, so that the world has the group's mean size.
    """
    centre = torch.eye(4, dtype=torch.float64)
    centre[:3, 3] = (torch.tensor(images[0].shape[2:], dtype=torch.float64) - 1) / 2
    places = [
        affine @ place_in_mean(image, mean, rotations) @ centre for image, affine in zip(images, affines, strict=True)
    ]
    even = unstretched(places)
    return [place @ even for place in places]


def unstretched(maps: Sequence[Tensor]) -> Tensor:
    """Return the linear map ``(4, 4)`` after which the stretches of ``maps (4, 4)`` have a mean logarithm of 0."""
    total = torch.zeros(3, 3, dtype=torch.float64)
    for one in maps:
        squares, axes = torch.linalg.eigh(one[:3, :3].T @ one[:3, :3])
        total += axes @ torch.diag(squares.log() / 2) @ axes.T
    even = torch.eye(4, dtype=torch.float64)
    even[:3, :3] = torch.linalg.matrix_exp(-total / len(maps))
    return even


@dataclass(frozen=True)
class GroupMean:
    """The way in which a mean image is made of the members of a group.

    Attributes
    ----------
    velocity : the mean of the members' velocities, ``(1, 3, d, h, w)`` in voxels of a grid that fills the mean image's
    even : `unstretched` of their global maps
    affine, shape : the grid of the mean image; ``(4, 4)`` from its voxels to its world, mm
    """

    velocity: Tensor
    even: Tensor
    affine: Tensor
    shape: Sequence[int]

    @classmethod
    def of(cls, flows: Iterable[PosedFlow], affine: Tensor, shape: Sequence[int]) -> GroupMean:
        """Return the mean of the maps of all members."""
        small = [max(1, n // COARSE) for n in shape]
        to_world = affine @ cells(small, shape)
        total, linears = torch.zeros(1, 3, *small), []
        for flow in flows:
            linears.append(flow.to_moving @ torch.linalg.inv(flow.to_fixed))
            total += _velocity_on(flow, to_world, small)
        return cls(total / len(linears), unstretched(linears), affine, shape)

    @property
    def drift(self) -> float:
        """The root mean square of the mean velocity, mm: 0 where no shape is preferred."""
        step = torch.linalg.det(self._small[:3, :3]).abs() ** (1 / 3)
        return float(self.velocity.square().sum(1).mean().sqrt() * step)

    @property
    def _small(self) -> Tensor:
        """The affine map of the velocity's grid."""
        return self.affine @ cells(self.velocity.shape[2:], self.shape)

    def image(self, members: Iterable[Member], report: Callable[[], None] = lambda: None) -> Tensor:
        """Return the mean of the members' images ``(1, 1, *shape)``; ``report`` is called after each member."""
        to_small, small = torch.linalg.inv(self._small), self.velocity.shape[2:]
        back = integrated(-self.velocity)
        total, count = torch.zeros(1, 1, *self.shape), 0
        for member in members:
            there = integrated(_velocity_on(member.flow, self._small, small))
            out = member.to_voxels @ member.linear @ self._small
            for rows in slabs(self.shape):
                places = places_of(to_small @ self.even @ self.affine, rows, self.shape)
                places = places + sample(back, places, padding="border")
                places = places + sample(there, places, padding="border")
                into = torch.einsum("ij,njp->nip", out[:3, :3].float(), places) + out[:3, 3, None].float()
                total[:, :, rows] += sample(member.image, into).view_as(total[:, :, rows])
            count += 1
            report()
        return total / count


def _velocity_on(flow: PosedFlow, to_world: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a map's velocity on a grid of its fixed world, ``(1, 3, *shape)`` in voxels of that grid.

    Under an affine change of coordinates the map that a velocity makes changes as the velocity does, exactly.
    """
    into = torch.linalg.inv(flow.to_fixed) @ to_world
    turned = torch.linalg.inv(into)[:3, :3].float()
    places = places_of(into, slice(0, shape[0]), shape)
    moved = sample(flow.velocity, places, padding="border")
    found: Tensor = torch.einsum("ij,njp->nip", turned, moved).view(1, 3, *shape)
    return found


def sharpness(image: Tensor) -> float:
    """Return the mean gradient within the brain of an image ``(1, 1, D, H, W)``, in shares of its mean a voxel."""
    inside = image > image.mean()
    slopes = torch.stack(torch.gradient(image, dim=(2, 3, 4))).square().sum(0).sqrt()
    return float(slopes[inside].mean() / image[inside].mean())
