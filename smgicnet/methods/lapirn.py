"""LapIRN's network, objective and levels (Mok and Chung 2020, "Large deformation diffeomorphic image registration with
Laplacian pyramid networks"). ``docs/baselines.md`` says what is as published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smgicnet.config.building import build
from smgicnet.methods.contract import Displacements, LearnedMethod
from smgicnet.registration import losses
from smgicnet.registration.fields import exp, from_orientation, to_orientation, warp
from smgicnet.registration.networks import SLOPE, ResidualBlock, conv, conv_pair, field_conv, half_width

LEVELS = 3
PUBLISHED_SMOOTHNESS = {"diff": 3.5, "disp": 1.0}  # the weight, by variant


@dataclass(frozen=True)
class NetworkConfig:
    """The shape of the network and what it sees.

    Attributes
    ----------
    variant : ``"diff"``, which predicts a stationary velocity, or ``"disp"``, which predicts a displacement
    channels : the channels of every level (28 as published)
    velocity_range : bound of a level's field, in half-widths of the grid
    integration_steps : squarings of `exp`
    orientation : the orientation of the arrays that the network sees
    """

    variant: str
    channels: int
    velocity_range: float
    integration_steps: int
    orientation: str


@dataclass(frozen=True)
class ObjectiveConfig:
    """The weights of the objective.

    Attributes
    ----------
    windows : window of the local NCC of each level, in voxels
    weights : the weights of the named terms; None for smoothness stands for the variant's published weight
    """

    windows: tuple[int, ...]
    weights: Mapping[str, float | None]


@dataclass(frozen=True)
class LevelOutput:
    """The images that a level compares, and the fields that it finds.

    Attributes
    ----------
    moving, fixed : its images
    velocity : the velocity, or for ``disp`` the displacement, in voxels of the level's grid
    displacement : in voxels of the level's grid
    """

    moving: Tensor
    fixed: Tensor
    velocity: Tensor
    displacement: Tensor


class Level(nn.Module):
    """One level, with features at its own resolution, residual blocks at half of it, and a field in half-widths."""

    def __init__(self, channels_in: int, config: NetworkConfig):
        super().__init__()
        c = config.channels
        self.velocity_range = config.velocity_range
        self.encoder = conv_pair(channels_in, c, bias=False)
        self.down = conv(c, c, stride=2, bias=False)
        self.blocks = nn.Sequential(*[ResidualBlock(c, bias=False) for _ in range(5)])
        self.up = nn.ConvTranspose3d(c, c, 2, stride=2, bias=False)
        self.head = nn.Sequential(conv(2 * c, c, bias=False), nn.LeakyReLU(SLOPE), field_conv(c, bias=False))
        _, last = self.head.parameters()
        nn.init.normal_(last, std=1e-4)  # a level starts from the result of the level below

    def forward(self, inputs: Tensor, embedding: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the level's field and its blocks' features, upsampled, which are the next level's ``embedding``."""
        features = self.encoder(inputs)
        x = self.down(features)
        x = self.up(self.blocks(x if embedding is None else x + embedding))
        return F.softsign(self.head(torch.cat([x, features], dim=1))) * self.velocity_range, x


def pool(image: Tensor) -> Tensor:
    """Return an image of half the size, by the published average pooling."""
    return F.avg_pool3d(image, 3, stride=2, padding=1, count_include_pad=False)


def enlarge(field: Tensor) -> Tensor:
    """Return a field of twice the size, as published; in half-widths of the grid it keeps its values."""
    return F.interpolate(field, scale_factor=2, mode="trilinear", align_corners=False)


class PyramidNetwork(nn.Module):
    """Levels 1 to ``stage`` of three, the first at a quarter of the resolution; the grid is divisible by 8.

    Between levels, fields are in half-widths of the grid, which is what the published weights expect.
    """

    def __init__(self, config: NetworkConfig, stage: int):
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList(Level(2 if level == 0 else 5, config) for level in range(stage))

    def forward(self, moving: Tensor, fixed: Tensor) -> list[LevelOutput]:
        """Return one output a level, the coarsest first, for images ``(N, 1, D, H, W)`` in [0, 1]."""
        pyramid = [(moving, fixed)]
        for _ in range(LEVELS - 1):
            coarsest_moving, coarsest_fixed = pyramid[0]
            pyramid.insert(0, (pool(coarsest_moving), pool(coarsest_fixed)))
        outputs: list[LevelOutput] = []
        velocity: Tensor | None = None
        displacement: Tensor | None = None
        embedding: Tensor | None = None
        for level, (level_moving, level_fixed) in zip(self.levels, pyramid, strict=False):
            scale = half_width(level_fixed)
            inputs = [level_moving, level_fixed]
            if velocity is not None and displacement is not None:
                velocity, displacement = enlarge(velocity), enlarge(displacement)
                inputs = [warp(level_moving, displacement * scale, padding="border"), level_fixed, velocity]
            found, embedding = level(torch.cat(inputs, dim=1), embedding)
            velocity = found if velocity is None else velocity + found
            displacement = velocity
            if self.config.variant == "diff":
                displacement = exp(velocity * scale, self.config.integration_steps) / scale
            outputs.append(LevelOutput(level_moving, level_fixed, velocity * scale, displacement * scale))
        return outputs


def normalise(image: Tensor) -> Tensor:
    """Scale each image of ``(N, 1, D, H, W)`` from its minimum and maximum to [0, 1]."""
    low, high = image.amin((1, 2, 3, 4), keepdim=True), image.amax((1, 2, 3, 4), keepdim=True)
    return (image - low) / (high - low).clamp(min=torch.finfo(image.dtype).eps)


class LapIRN(LearnedMethod):
    """The method, whose variant ``disp`` gives no inverse of its own."""

    same_steps = True

    def __init__(self, network: NetworkConfig, objective: ObjectiveConfig, stage: int):
        self.config, self.windows = network, objective.windows
        published = {"smoothness": PUBLISHED_SMOOTHNESS[network.variant]}
        weights = {name: published[name] if weight is None else weight for name, weight in objective.weights.items()}
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.network = PyramidNetwork(network, stage)

    @classmethod
    def from_block(cls, block: Mapping[str, Any], stage: int) -> LapIRN:
        return cls(build(NetworkConfig, block["network"]), build(ObjectiveConfig, block["objective"]), stage)

    def fields(self, fixed: Tensor, moving: Tensor) -> Displacements:
        moving, fixed = self._prepare(moving), self._prepare(fixed)
        last = self.network(moving, fixed)[-1]
        found = [last.displacement]
        if self.config.variant == "diff":
            found.append(exp(-last.velocity, self.config.integration_steps))
        forward, *inverse = (from_orientation(_to_grid(u, fixed), self.config.orientation) for u in found)
        return Displacements(forward, inverse[0] if inverse else None)

    def _prepare(self, image: Tensor) -> Tensor:
        return to_orientation(normalise(image), self.config.orientation)

    def objective(
        self, image_a: Tensor, image_b: Tensor, labels: tuple[Tensor, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Return the terms of the newest level, from ``image_a`` (moving) to ``image_b``."""
        outputs = self.network(self._prepare(image_a), self._prepare(image_b))
        last = outputs[-1]
        warped = warp(last.moving, last.displacement, padding="border")
        terms = {
            "similarity": multi_resolution_ncc(warped, last.fixed, self.windows[len(outputs) - 1], len(outputs)),
            # As published, the field is in units of half a voxel, and the mean is over the axes.
            "smoothness": losses.diffusion(2 * last.velocity) / 3,
        }
        if "folding" in self.weights:
            terms["folding"] = losses.folding(last.displacement)
        return {name: terms[name] for name in self.weights}


def _to_grid(field: Tensor, image: Tensor) -> Tensor:
    """Bring a level's field to the grid of ``image``, in voxels of either; the last level's is there already."""
    ratio = half_width(image) / half_width(field)
    while field.shape[2:] != image.shape[2:]:
        field = enlarge(field)
    return field * ratio


def multi_resolution_ncc(image: Tensor, other: Tensor, window: int, scales: int) -> Tensor:
    """Return the local NCC at ``scales`` resolutions, ``sum_i 2^-i NCC(window - 2 i)``, in [-2, 0]."""
    total = image.new_zeros(())
    for scale in range(scales):
        total = total + losses.local_ncc(image, other, window - 2 * scale) / 2**scale
        image, other = pool(image), pool(other)
    return total
