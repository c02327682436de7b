"""Samples for the network that names tissues: crops of people's label maps, bent and rendered anew each time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from smgicnet.registration.fields import identity_grid

SIDE = 96  # of a crop, in voxels of 1 mm
BEYOND = 12  # mm that a crop may reach beyond the frame
FLUIDS = ("Lateral-Ventricle", "Inf-Lat-Vent", "3rd-Ventricle", "4th-Ventricle")


@dataclass(frozen=True)
class Anatomy:
    """A person's classes, and where the frame of the mean image lies in them.

    Attributes
    ----------
    classes : uint8 ``(X, Y, Z)``, see `smgicnet.cohort.rendering`
    to_voxels : ``(4, 4)`` float64, from mm in the frame, from its corner, to voxels
    extent : of the frame, ``(3,)`` in mm
    image : the person's image on voxels of 2 mm that fill the frame, ``(1, 1, ...)``
    """

    classes: Tensor
    to_voxels: Tensor
    extent: Tensor
    image: Tensor

    def crop(self, corner: Sequence[float], shape: Sequence[int], moves: Tensor | None = None) -> Tensor:
        """Return the classes ``shape`` on voxels of 1 mm from a ``corner`` in the frame, 0 beyond the map.

        ``moves`` brings places in the frame, which are ``(1, 3, *shape)`` in mm, to those that are looked up.
        """
        places = identity_grid(shape) + torch.tensor(corner).view(1, 3, 1, 1, 1) + 0.5
        places = places if moves is None else places + moves
        matrix = self.to_voxels.float()
        index = torch.einsum("ij,jdhw->idhw", matrix[:3, :3], places[0]) + matrix[:3, 3].view(3, 1, 1, 1)
        return looked_up(self.classes, index)


def looked_up(classes: Tensor, index: Tensor) -> Tensor:
    """Return the values at the voxels nearest to ``index (3, ...)``, as int64; 0 beyond the map."""
    nearest = index.round().long()
    limits = torch.tensor(classes.shape).view(3, *[1] * (index.dim() - 1))
    inside = ((nearest >= 0) & (nearest < limits)).all(0)
    d, h, w = torch.minimum(nearest.clamp(min=0), limits - 1)
    return classes[d, h, w].long() * inside


class Draw:
    """Draws crops and images. ``names``: the tissue of each class, the same left and right; ``means``: its intensity,
    white matter being 1; ``mirrored``: the class on the other side, or the same one."""

    def __init__(self, names: Mapping[int, str], means: Mapping[int, float], mirrored: Sequence[int], seed: int):
        self.names, self.mirrored = names, torch.tensor(mirrored)
        self.means = torch.zeros(256)
        for key, mean in means.items():
            self.means[key] = mean
        self.fluids = torch.tensor([names.get(key) in FLUIDS for key in range(256)])
        self.csf = torch.tensor([names.get(key) == "CSF" for key in range(256)])
        self.random, self.torch = np.random.default_rng(seed), torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def normal(self, deviation: float) -> float:
        return float(self.random.normal(0, deviation))

    def noise(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(tuple(shape), generator=self.torch)

    def smooth(self, shape: Sequence[int], cell: float, count: int = 1) -> Tensor:
        """Return noise ``(count, *shape)`` that is smooth over cells of that many voxels."""
        coarse = self.noise([1, count, *(max(2, math.ceil(n / cell) + 1) for n in shape)])
        return F.interpolate(coarse, size=tuple(shape), mode="trilinear", align_corners=True)[0]

    def sample(self, anatomy: Anatomy, side: int = SIDE) -> tuple[Tensor, Tensor, list[float]]:
        """Return an image and its classes, ``(side, side, side)`` on voxels of 1 mm, and its corner in the frame."""
        shape, room = [side] * 3, (anatomy.extent - side).tolist()
        if self.uniform(0, 1) < 0.55:
            corner = [self.uniform(-BEYOND, max(one + BEYOND, 1 - BEYOND)) for one in room]
        else:
            corner = [one / 2 + self.uniform(-25, 25) for one in room]
        flip = self.uniform(0, 1) < 0.5
        classes = anatomy.crop(corner, shape, self._moves(anatomy, corner, shape, flip))
        classes = self._grown(self.mirrored[classes] if flip else classes)
        image, classes = self._stripped(self._painted(classes), classes)
        return self._scanned(image, classes > 0), classes, corner

    def _moves(self, anatomy: Anatomy, corner: Sequence[float], shape: Sequence[int], flip: bool) -> Tensor:
        """Return an affine map near the identity, a mirror image of it for ``flip``, and smooth displacements."""
        a, b, c = self.random.normal(0, 0.1, 3)
        skew = torch.tensor([[0, -c, b], [c, 0, -a], [-b, a, 0]], dtype=torch.float64)
        linear = torch.linalg.matrix_exp(skew) @ torch.diag(torch.from_numpy(1 + self.random.normal(0, 0.06, 3)))
        linear = linear * (1 + self.normal(0.04))
        if flip:
            linear = torch.diag(torch.tensor([-1, 1, 1], dtype=torch.float64)) @ linear
        middle = (anatomy.extent / 2).double()
        shift = middle - linear @ middle + torch.from_numpy(self.random.normal(0, 3, 3))
        places = identity_grid(shape)[0] + torch.tensor(corner).view(3, 1, 1, 1) + 0.5
        moved = torch.einsum("ij,jdhw->idhw", (linear - torch.eye(3, dtype=torch.float64)).float(), places)
        bent = self.smooth(shape, 28, 3) * self.uniform(0, 3) + self.smooth(shape, 12, 3) * self.uniform(0, 0.8)
        moves: Tensor = moved + shift.float().view(3, 1, 1, 1) + bent
        return moves[None]

    def _grown(self, classes: Tensor) -> Tensor:
        """Return classes in which ventricles, and often sulci, are wider or narrower than they were."""
        if self.uniform(0, 1) < 0.4:
            return classes
        wide = self.fluids | self.csf if self.uniform(0, 1) < 0.5 else self.fluids
        near = blurred(wide[classes].float(), self.uniform(1.5, 4))
        slopes = torch.stack(torch.gradient(near))
        reach = self.uniform(-1.5, 4) / (slopes.norm(dim=0).max() + 1e-3)
        return looked_up(classes, identity_grid(classes.shape)[0] + reach * slopes)

    def _painted(self, classes: Tensor) -> Tensor:
        """Return each class in its intensity, of which fluids have about the same."""
        factors = {name: 1 + self.normal(self.uniform(0, 0.12)) for name in sorted(set(self.names.values()))}
        means = self.means.clone()
        for key, name in self.names.items():
            means[key] = self.means[key] * factors[name] + self.normal(0.03)
        fluid = abs(0.2 + self.normal(0.12))
        for key in torch.nonzero(self.fluids).flatten().tolist():
            means[key] = abs(fluid / 2 + self.means[key] * self.uniform(0, 0.7) + self.normal(0.05))
        means[self.csf], means[0] = fluid, 0
        return means[classes]

    def _stripped(self, image: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return an image, and its classes, without some of the rim of fluid that a stripping takes off."""
        if self.uniform(0, 1) < 0.2:
            return image, classes
        fluid = self.csf[classes]
        inside = blurred(((classes > 0) & ~fluid).float(), self.uniform(1.5, 4))
        off = fluid & (inside < self.uniform(0.05, 0.4) + 0.1 * self.smooth(classes.shape, 16)[0])
        if self.uniform(0, 1) < 0.3:  # what is left of the dura
            dura = off & (self.smooth(classes.shape, 10)[0] > 0.5)
            image, off = torch.where(dura, self.uniform(0.3, 0.8), image), off & ~dura
        return torch.where(off, 0.0, image), torch.where(off, 0, classes)

    def _scanned(self, image: Tensor, brain: Tensor) -> Tensor:
        """Return an image with texture, blur, a bias field, noise and another scale and gamma."""
        shape = image.shape
        texture = self.uniform(0, 0.08) * self.smooth(shape, self.uniform(3, 8))[0]
        image = image * (1 + texture + self.uniform(0, 0.08) * self.noise(shape))
        image = blurred(image, self.uniform(0, 1))
        bias = self.uniform(0, 0.12) * self.smooth(shape, 40)[0] + self.uniform(0, 0.12) * self.smooth(shape, 70)[0]
        image = (image * (1 + bias) + self.uniform(0, 0.07) * self.noise(shape)).abs()
        image = image * (brain if self.uniform(0, 1) < 0.7 else blurred(brain.float(), self.uniform(0.3, 0.7)))
        return image.clamp(0, 1.6) ** math.exp(self.normal(0.15)) * self.uniform(0.75, 1)


def blurred(image: Tensor, deviation: float) -> Tensor:
    """Return an image ``(X, Y, Z)`` after a Gaussian filter, with what lies at the border continued beyond it."""
    reach = math.ceil(3 * deviation)
    if not reach:
        return image
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(3):
        padded = F.pad(image[None, None], [0, 0] * (2 - axis) + [reach] * 2 + [0, 0] * axis, mode="replicate")[0, 0]
        size = image.shape[axis]
        image = sum(
            (weight * padded.narrow(axis, offset, size) for offset, weight in enumerate(kernel.tolist())),
            start=torch.zeros_like(image),
        )
    return image
